//! One delivery of a job: run it, keep its lease, say how it ended.
//!
//! Law: every job that was fetched is settled, or its lease ends. A settlement that does not get through is sent again
//! until the daemon answers; only its answer says whether the job was still ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::cmd;
use tokio::sync::{Notify, mpsc, watch};

use super::outcome::{Cause, Verdict};
use super::payload::Payload;
use super::process::Process;
use super::{Phase, Worker, reached};
use crate::cli::fault::{Fault, Kind};
use crate::cli::reply::Record;

/// The type of jobs that are commands.
const EXEC: &str = "exec";
/// When a job of a type that we do not know may be tried by another worker, in milliseconds.
const UNKNOWN_RETRY_MS: u64 = 30_000;
/// First and longest pause between attempts to reach the daemon.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(1);
/// How long a worker that was told to stop at once goes on trying to reach the daemon.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A job that a worker holds.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) id: String,
    token: i64,
    queue: String,
    kind: String,
    attempt: i64,
    scheduled_at: u64,
    /// Length of its lease.
    lease: Duration,
    payload: Vec<u8>,
}

impl Delivery {
    /// A delivery as JOB.FETCH answers it; `now_ms` is the daemon's time then.
    pub(super) fn of(record: &Record, now_ms: u64) -> Option<Self> {
        let lease_ms = record.time("deadline")?.saturating_sub(now_ms).max(1);
        Some(Self {
            id: record.text("id"),
            token: record.number("token")?,
            queue: record.text("queue"),
            kind: record.text("type"),
            attempt: record.number("attempt")?,
            scheduled_at: record.time("scheduled_at")?,
            lease: Duration::from_millis(lease_ms),
            payload: record.bytes("payload")?.to_vec(),
        })
    }

    /// What its process is told about it.
    fn about(&self, worker: &Worker, payload: &Payload) -> Vec<(&'static str, String)> {
        let url = match payload.user {
            // A password is for the user of the worker.
            Some(_) => worker.link.address.shown.clone(),
            None => worker.link.address.url.clone(),
        };
        vec![
            ("PBJ_JOB_ID", self.id.clone()),
            ("PBJ_TOKEN", self.token.to_string()),
            ("PBJ_QUEUE", self.queue.clone()),
            ("PBJ_ATTEMPT", self.attempt.to_string()),
            ("PBJ_SCHEDULED_AT", self.scheduled_at.to_string()),
            ("PBJ_URL", url),
        ]
    }
}

/// Runs a job to its end.
pub(super) async fn deliver(worker: Arc<Worker>, job: Delivery) {
    let verdict = run(&worker, &job).await;
    settle(&worker, &job, verdict).await;
}

async fn run(worker: &Arc<Worker>, job: &Delivery) -> Verdict {
    if job.kind != EXEC {
        let name = &worker.options.name;
        let text = format!(
            "worker {name} runs jobs of type exec only, not {}: give them a queue of their own",
            job.kind
        );
        return Verdict::Failed {
            kind: "unknown-type".to_owned(),
            text,
            is_final: false,
            retry_ms: Some(UNKNOWN_RETRY_MS),
        };
    }
    let payload = match Payload::parse(&job.payload) {
        Ok(payload) => payload,
        Err(fault) => return Verdict::hopeless("payload", fault),
    };
    let about = job.about(worker, &payload);
    match Process::start(&job.id, &payload, &worker.options.setting, about).await {
        Ok(process) => {
            tracing::info!(job = %job.id, attempt = job.attempt, "started");
            watch_process(worker, job, &payload, process).await
        }
        Err(fault) if payload.is_final(None) => Verdict::hopeless(&fault.kind, fault.text),
        Err(fault) => Verdict::failed(&fault.kind, fault.text),
    }
}

async fn watch_process(
    worker: &Arc<Worker>,
    job: &Delivery,
    payload: &Payload,
    mut process: Process,
) -> Verdict {
    let (causes, mut caused) = mpsc::unbounded_channel();
    let renewing = tokio::spawn(keep_lease(Arc::clone(worker), job.id.clone(), job.token, job.lease, causes));
    let limit = payload.timeout().or(worker.options.timeout_ms);
    let timeout = async {
        match limit {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    let shutdown = reached(worker.phase.clone(), Phase::Now);
    tokio::pin!(timeout, shutdown);
    let mut cause = None;
    let report = loop {
        let new = tokio::select! {
            report = process.ended() => break report,
            Some(cause) = caused.recv() => cause,
            () = &mut timeout, if cause.is_none() => Cause::Timeout(limit.unwrap_or(0)),
            () = &mut shutdown, if cause.is_none() => Cause::Shutdown,
        };
        // A job that is not ours any more must not be settled, whatever it was ended for.
        if cause.is_none() || new == Cause::Stale {
            tracing::info!(job = %job.id, cause = ?new, "ending");
            process.stop().await;
            cause = Some(new);
        }
    };
    let ended = process.collect(report).await;
    // Its lease is kept until here: to be asked to end is not to have ended.
    renewing.abort();
    ended.verdict(cause, payload, &worker.options.name)
}

/// Renews a lease after each third of it, and tells what it hears.
async fn keep_lease(
    worker: Arc<Worker>,
    id: String,
    token: i64,
    lease: Duration,
    causes: mpsc::UnboundedSender<Cause>,
) {
    let hurry = worker.watch_for_cancel(&id);
    let mut pause = lease / 3;
    let mut cancelled = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurry.notified() => {}
        }
        let mut command = cmd("JOB.EXTEND");
        command.arg(&id).arg(token);
        if let Some(lease) = &worker.options.lease {
            command.arg("LEASE").arg(lease);
        }
        pause = match worker.link.call(&command).await {
            Ok(answer) => {
                if !cancelled && Record::of(answer).is_some_and(|answer| answer.flag("cancel")) {
                    cancelled = true;
                    let _ = causes.send(Cause::Cancelled);
                }
                lease / 3
            }
            Err(fault) if fault.kind == Kind::Stale => {
                tracing::warn!(job = %id, "lost: {fault}");
                let _ = causes.send(Cause::Stale);
                return;
            }
            Err(fault) => {
                tracing::debug!(job = %id, "lease not renewed: {fault}");
                (lease / 10).clamp(PAUSE_FIRST, PAUSE_LAST)
            }
        };
    }
}

fn settlement(job: &Delivery, verdict: &Verdict) -> Option<redis::Cmd> {
    let mut command = redis::Cmd::new();
    let verb = match verdict {
        Verdict::Done(_) => "JOB.ACK",
        Verdict::Failed { .. } => "JOB.FAIL",
        Verdict::Released => "JOB.RELEASE",
        Verdict::Nothing => return None,
    };
    command.arg(verb).arg(&job.id).arg(job.token);
    match verdict {
        Verdict::Done(result) => {
            command.arg("RESULT").arg(result);
        }
        Verdict::Failed { kind, text, is_final, retry_ms } => {
            command.arg("KIND").arg(kind).arg("MSG").arg(text);
            match (is_final, retry_ms) {
                (true, _) => {
                    command.arg("NORETRY");
                }
                (false, Some(ms)) => {
                    command.arg("RETRY").arg(ms);
                }
                (false, None) => {}
            }
        }
        Verdict::Released | Verdict::Nothing => {}
    }
    Some(command)
}

/// Says how a delivery ended, until the daemon has heard it.
pub(super) async fn settle(worker: &Worker, job: &Delivery, verdict: Verdict) {
    let Some(command) = settlement(job, &verdict) else { return };
    let mut pause = PAUSE_FIRST;
    let mut tries = 0_u32;
    loop {
        tries += 1;
        match worker.link.call(&command).await {
            Ok(answer) => return note(job, &verdict, &crate::cli::reply::text(&answer)),
            Err(fault) if fault.may_pass() => {
                if tries == 1 {
                    tracing::warn!(job = %job.id, "not settled yet: {fault}");
                }
                if tries > 1 && *worker.phase.borrow() == Phase::Gone {
                    tracing::warn!(job = %job.id, "not settled: its lease will end, and it will run again");
                    return;
                }
            }
            Err(fault) => return note_refused(job, tries, &fault),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
            () = reached(worker.phase.clone(), Phase::Gone) => {}
        }
    }
}

fn note(job: &Delivery, verdict: &Verdict, answer: &str) {
    let (id, attempt) = (&job.id, job.attempt);
    match verdict {
        Verdict::Done(_) => tracing::info!(job = %id, attempt, "done"),
        Verdict::Failed { kind, text, .. } => {
            let what = text.lines().next().unwrap_or_default();
            match answer {
                "dead" | "cancelled" => tracing::warn!(job = %id, attempt, kind, "{answer}: {what}"),
                _ => tracing::warn!(job = %id, attempt, kind, "failed, will be tried again: {what}"),
            }
        }
        Verdict::Released => tracing::info!(job = %id, "released"),
        Verdict::Nothing => {}
    }
}

fn note_refused(job: &Delivery, tries: u32, fault: &Fault) {
    let text = fault.to_string();
    // What was sent before the connection broke may have arrived.
    let heard_before =
        tries > 1 && ["done", "dead", "cancelled", "delayed"].iter().any(|state| text.ends_with(state));
    match fault.kind {
        Kind::Stale if heard_before => tracing::info!(job = %job.id, "settled at an earlier try: {text}"),
        _ => tracing::warn!(job = %job.id, "not settled: {text}"),
    }
}

/// How long a worker that must go waits for its last words to be heard.
pub(super) fn last_words() -> Duration {
    LAST_WORDS
}

/// Jobs that were called off while nobody here knew them: one more than anybody cancels while a fetch is answered.
const UNKNOWN_MAX: usize = 1024;

/// Jobs that somebody may call off while they run.
#[derive(Debug, Default)]
pub(super) struct Hurries(parking_lot::Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    jobs: Vec<(String, std::sync::Weak<Notify>)>,
    /// Called off, and not ours, or not yet: the word may be faster than the job.
    unknown: VecDeque<Vec<u8>>,
}

impl Hurries {
    pub(super) fn watch(&self, id: &str) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut watched = self.0.lock();
        watched.jobs.retain(|(_, notify)| notify.strong_count() > 0);
        watched.jobs.push((id.to_owned(), Arc::downgrade(&notify)));
        if watched.unknown.iter().any(|known| known == id.as_bytes()) {
            notify.notify_one();
        }
        notify
    }

    pub(super) fn hurry(&self, id: &[u8]) {
        let known = self.hurry_those(|known| known.as_bytes() == id);
        if known == 0 {
            let unknown = &mut self.0.lock().unknown;
            unknown.truncate(UNKNOWN_MAX - 1);
            unknown.push_front(id.to_vec());
        }
    }

    pub(super) fn hurry_all(&self) {
        self.hurry_those(|_| true);
    }

    fn hurry_those(&self, wanted: impl Fn(&str) -> bool) -> usize {
        let watched = self.0.lock();
        let those =
            watched.jobs.iter().filter(|(id, _)| wanted(id)).filter_map(|(_, notify)| notify.upgrade());
        those.inspect(|notify| notify.notify_one()).count()
    }
}

/// The phase of a worker, as its jobs see it.
pub(super) type PhaseWatch = watch::Receiver<Phase>;

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_hurried(notify: &Notify) -> bool {
        tokio::time::timeout(Duration::from_millis(1), notify.notified()).await.is_ok()
    }

    /// A test of the whole once failed, one time in five: the word that a job was called off had come before the job.
    #[tokio::test]
    async fn a_word_that_is_faster_than_its_job_is_heard() {
        let hurries = Hurries::default();
        let other = hurries.watch("q:1");
        hurries.hurry(b"q:2");
        assert!(!is_hurried(&other).await);
        let late = hurries.watch("q:2");
        assert!(is_hurried(&late).await);
        hurries.hurry(b"q:1");
        assert!(is_hurried(&other).await && !is_hurried(&late).await);
        hurries.hurry_all();
        assert!(is_hurried(&other).await && is_hurried(&late).await);
        for n in 0..5000 {
            hurries.hurry(format!("foreign:{n}").as_bytes());
        }
        assert_eq!(hurries.0.lock().unknown.len(), UNKNOWN_MAX);
    }
}
