//! `pbj worker`: fetches jobs of type `exec` and runs their commands.
//!
//! ```text
//! fetch ──► delivery ──► process (through a keeper)      one delivery for each job that runs
//!   ▲          │ keeps the lease, says how it ended
//!   └──────────┘ a place is free again
//! ```
//! Phases: `Run`; `Drain` after the first signal: nothing is fetched, what runs may finish; `Now` after the grace, or
//! the second signal: what runs is ended and released; `Gone`: last words are over.
//!
//! Law: a worker never gives up a daemon that does not answer, and never drops a job.

mod capture;
mod delivery;
pub(crate) mod keeper;
pub(crate) mod outcome;
pub(crate) mod payload;
pub(crate) mod process;
mod processes;

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use self::delivery::{Delivery, Hurries, PhaseWatch, deliver, settle};
use self::outcome::Verdict;
use self::process::Setting;
use super::address::Address;
use super::fault::{Fault, Kind};
use super::jobs::CANCEL_CHANNEL;
use super::link::Link;
use super::reply::{self, Record};
use super::times::duration;

/// How long one JOB.FETCH waits; after that it is sent again, so that a dead connection is noticed.
const FETCH_BLOCK: Duration = Duration::from_secs(60);
/// How long its answer may take beyond that.
const FETCH_SLACK: Duration = Duration::from_secs(15);
/// How long a fetch that was called off may take to say so.
const UNBLOCK_MAX: Duration = Duration::from_secs(2);
/// First and longest pause between attempts to reach the daemon.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);

/// `pbj worker`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// The queues, the first one first: --queue mail,default
    #[arg(long = "queue", value_name = "QUEUE", value_delimiter = ',', default_value = "default")]
    pub(crate) queues: Vec<String>,
    /// Jobs at the same time [default: the processors of this machine]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) concurrency: Option<usize>,
    /// Its name in jobs and logs [default: HOST:PID]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How long jobs are held without a sign of life, instead of what they say themselves
    #[arg(long, value_name = "DURATION")]
    pub(crate) lease: Option<String>,
    /// End jobs after so much time that say nothing themselves
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// How long running jobs may finish after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) grace: String,
    /// From asking a process to end (SIGTERM) to killing it (SIGKILL)
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(crate) kill_grace: String,
    /// Bytes kept of what a job writes, of each stream: half from the beginning, half from the end
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    pub(crate) output_max: usize,
    /// A variable of the worker that jobs see; can be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) pass_env: Vec<String>,
    /// End when the queues are empty
    #[arg(long)]
    pub(crate) burst: bool,
}

/// What a worker needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    queues: Vec<String>,
    concurrency: usize,
    name: String,
    lease: Option<String>,
    timeout_ms: Option<u64>,
    grace: Duration,
    setting: Setting,
    burst: bool,
}

fn parse_duration(text: &str, what: &str) -> Result<Duration, Fault> {
    let ms = pbj_queue::duration::parse_ms(text.as_bytes());
    ms.map(Duration::from_millis).map_err(|fault| Fault::usage(format!("{what} {text}: {fault}")))
}

impl Default for WorkerArgs {
    fn default() -> Self {
        Self {
            queues: vec!["default".to_owned()],
            concurrency: None,
            name: None,
            lease: None,
            timeout: None,
            grace: "30s".to_owned(),
            kill_grace: "5s".to_owned(),
            output_max: 64 << 10,
            pass_env: Vec::new(),
            burst: false,
        }
    }
}

impl WorkerArgs {
    /// Checks everything that can be checked before there is a daemon.
    ///
    /// # Errors
    /// Something makes no sense.
    pub(crate) fn options(&self) -> Result<Options, Fault> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = self.concurrency.unwrap_or_else(cores);
        if !(1..=10_000).contains(&concurrency) {
            return Err(Fault::usage("--concurrency must be between 1 and 10000"));
        }
        if let Some(lease) = &self.lease {
            parse_duration(lease, "--lease")?;
        }
        let timeout = self.timeout.as_deref().map(|text| parse_duration(text, "--timeout")).transpose()?;
        Ok(Options {
            queues: self.queues.clone(),
            concurrency,
            name: self.name.clone().unwrap_or_else(default_name),
            lease: self.lease.clone(),
            timeout_ms: timeout.map(|timeout| timeout.as_millis() as u64),
            grace: parse_duration(&self.grace, "--grace")?,
            setting: Setting {
                kill_grace: parse_duration(&self.kill_grace, "--kill-grace")?,
                output_max: self.output_max,
                pass_env: self.pass_env.clone(),
            },
            burst: self.burst,
        })
    }
}

impl Options {
    /// What a worker is, in one line.
    pub(crate) fn describe(&self) -> String {
        format!("{} on {}, {} at a time", self.name, self.queues.join(", "), self.concurrency)
    }
}

fn default_name() -> String {
    let host = nix::sys::utsname::uname()
        .map(|name| name.nodename().to_string_lossy().into_owned())
        .unwrap_or_default();
    let host = host.split('.').next().filter(|host| !host.is_empty()).unwrap_or("worker").to_owned();
    format!("{host}:{}", std::process::id())
}

/// How far the end of a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// There is none in sight.
    Run,
    /// Nothing is fetched; what runs may finish.
    Drain,
    /// What runs is ended and released.
    Now,
    /// What could not be said is not said.
    Gone,
}

/// Waits until the end has come so far; for ever if nobody can bring it nearer.
pub(crate) async fn reached(mut phase: watch::Receiver<Phase>, at_least: Phase) {
    if phase.wait_for(|phase| *phase >= at_least).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What all deliveries of a worker share.
pub(crate) struct Worker {
    options: Options,
    /// For everything but fetching.
    link: Link,
    phase: PhaseWatch,
    hurries: Hurries,
}

impl Worker {
    fn watch_for_cancel(&self, id: &str) -> Arc<tokio::sync::Notify> {
        self.hurries.watch(id)
    }
}

/// Runs a worker until `stop` says otherwise.
///
/// # Errors
/// The daemon refuses what the worker wants.
pub(crate) async fn run(address: Address, options: Options, stop: watch::Sender<Phase>) -> Result<(), Fault> {
    let (messages, inbox) = mpsc::unbounded_channel();
    let worker = Arc::new(Worker {
        link: Link::new(address.clone()).listening(CANCEL_CHANNEL, messages),
        phase: stop.subscribe(),
        hurries: Hurries::default(),
        options,
    });
    let listening = tokio::spawn(listen(Arc::clone(&worker), inbox));
    let mut running = JoinSet::new();
    let fetched = fetch_all(&worker, address, &mut running).await;
    finish(&worker, &stop, &mut running).await;
    listening.abort();
    fetched
}

/// Hears who was called off, and keeps up the connection on which that is heard.
async fn listen(worker: Arc<Worker>, mut inbox: mpsc::UnboundedReceiver<PushInfo>) {
    loop {
        while worker.link.call(&cmd("PING")).await.is_err() {
            tokio::time::sleep(PAUSE_LAST).await;
        }
        // What was said meanwhile was not heard.
        worker.hurries.hurry_all();
        loop {
            let Some(message) = inbox.recv().await else { return };
            match (message.kind, message.data.last()) {
                (PushKind::Message, Some(Value::BulkString(id))) => worker.hurries.hurry(id),
                (PushKind::Disconnection, _) => break,
                _ => {}
            }
        }
    }
}

/// Lets what runs finish, and ends what does not.
async fn finish(worker: &Worker, stop: &watch::Sender<Phase>, running: &mut JoinSet<()>) {
    while running.try_join_next().is_some() {} // What is over already.
    if !running.is_empty() && *worker.phase.borrow() < Phase::Now {
        let grace = duration(worker.options.grace.as_millis() as u64);
        tracing::info!("{} running; up to {grace} to finish", super::print::count(running.len(), "job"));
    }
    let all = async { while running.join_next().await.is_some() {} };
    tokio::pin!(all);
    tokio::select! {
        () = &mut all => return,
        () = tokio::time::sleep(worker.options.grace) => {}
        () = reached(worker.phase.clone(), Phase::Now) => {}
    }
    stop.send_if_modified(|phase| std::mem::replace(phase, (*phase).max(Phase::Now)) < Phase::Now);
    // The keepers kill what does not end by itself after the kill grace.
    let patience = worker.options.setting.kill_grace + delivery::last_words();
    if tokio::time::timeout(patience, &mut all).await.is_err() {
        stop.send_replace(Phase::Gone);
        let _ = tokio::time::timeout(delivery::last_words(), all).await;
    }
}

/// Fetches jobs and lets them run, until it is to stop.
async fn fetch_all(worker: &Arc<Worker>, address: Address, running: &mut JoinSet<()>) -> Result<(), Fault> {
    let link = Link::new(address).patient(FETCH_BLOCK + FETCH_SLACK);
    let places = Arc::new(Semaphore::new(worker.options.concurrency));
    let phase = &worker.phase;
    let mut trouble = Trouble::default();
    loop {
        while running.try_join_next().is_some() {}
        let mut permits = tokio::select! {
            permits = free_places(&places) => permits,
            () = reached(phase.clone(), Phase::Drain) => return Ok(()),
        };
        let (fetched, stopping) = fetch_or_stop(worker, &link, permits.len(), phase).await;
        match fetched {
            Ok(jobs) => {
                trouble.is_over(&link);
                if jobs.is_empty() && worker.options.burst && running.is_empty() {
                    return Ok(());
                }
                let idle = jobs.is_empty();
                for job in jobs {
                    let worker = Arc::clone(worker);
                    let permit = permits.pop();
                    if stopping {
                        running.spawn(async move { settle(&worker, &job, Verdict::Released).await });
                        continue;
                    }
                    running.spawn(async move {
                        deliver(worker, job).await;
                        drop(permit);
                    });
                }
                if idle && worker.options.burst {
                    let _ = running.join_next().await;
                }
            }
            Err(fault) if stopping || fault.may_pass() => {
                let pause = trouble.note(&fault);
                if !stopping {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = reached(phase.clone(), Phase::Drain) => {}
                    }
                }
            }
            Err(fault) => return Err(fault),
        }
        if stopping {
            return Ok(());
        }
    }
}

/// Waits for a free place, and takes all that are free.
async fn free_places(places: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut permits: Vec<_> = Arc::clone(places).acquire_owned().await.into_iter().collect();
    while let Ok(permit) = Arc::clone(places).try_acquire_owned() {
        permits.push(permit);
    }
    permits
}

/// Fetches; if it is to stop meanwhile, calls the fetch off, so that no job is on its way to nobody. Also says
/// whether it is to stop.
async fn fetch_or_stop(
    worker: &Worker,
    link: &Link,
    count: usize,
    phase: &PhaseWatch,
) -> (Result<Vec<Delivery>, Fault>, bool) {
    let client = match link.id().await {
        Ok(client) => client,
        Err(fault) => return (Err(fault), *phase.borrow() > Phase::Run),
    };
    let fetching = fetch(worker, link, count);
    tokio::pin!(fetching);
    tokio::select! {
        fetched = &mut fetching => return (fetched, *phase.borrow() > Phase::Run),
        () = reached(phase.clone(), Phase::Drain) => {}
    }
    // If this does not arrive, the fetch is over with its connection.
    let unblock = cmd("CLIENT").arg("UNBLOCK").arg(client).clone();
    let _ = tokio::time::timeout(UNBLOCK_MAX, worker.link.call(&unblock)).await;
    match tokio::time::timeout(UNBLOCK_MAX, fetching).await {
        Ok(fetched) => (fetched, true),
        Err(_) => (Ok(Vec::new()), true),
    }
}

async fn fetch(worker: &Worker, link: &Link, count: usize) -> Result<Vec<Delivery>, Fault> {
    let options = &worker.options;
    let mut command = cmd("JOB.FETCH");
    command.arg(&options.name).arg("COUNT").arg(count);
    if !options.burst {
        command.arg("BLOCK").arg(FETCH_BLOCK.as_millis() as u64);
    }
    if let Some(lease) = &options.lease {
        command.arg("LEASE").arg(lease);
    }
    command.arg("QUEUES").arg(&options.queues);
    // The time tells how long the leases are, whatever our own clock says.
    let mut both = redis::pipe();
    both.add_command(command).cmd("TIME");
    let mut answers = link.call_all(&both).await?.into_iter();
    let (jobs, time) = (answers.next().unwrap_or(Value::Nil), answers.next().unwrap_or(Value::Nil));
    let time: Vec<u64> =
        reply::items(time).iter().filter_map(|part| reply::text(part).parse().ok()).collect();
    let now_ms = match *time {
        [seconds, us] => seconds * 1000 + us / 1000,
        _ => super::times::now_ms(),
    };
    let jobs = reply::items(jobs).into_iter().filter_map(Record::of);
    Ok(jobs.filter_map(|job| Delivery::of(&job, now_ms)).collect())
}

/// What is said about a daemon that cannot be reached: once, and when it is back.
#[derive(Default)]
struct Trouble {
    tries: u32,
}

impl Trouble {
    /// Says it if it is new; returns how long to wait before the next attempt.
    fn note(&mut self, fault: &Fault) -> Duration {
        self.tries += 1;
        if self.tries == 1 {
            tracing::warn!("{fault}; trying again until it answers");
        }
        let pause = PAUSE_FIRST * 2_u32.saturating_pow((self.tries - 1).min(10));
        // Workers that lost the same daemon should not come back in step.
        pause.min(PAUSE_LAST).mul_f64(0.75 + 0.5 * fastrand::f64())
    }

    fn is_over(&mut self, link: &Link) {
        if std::mem::take(&mut self.tries) > 0 {
            tracing::info!("connected to {} again", link.address.shown);
        }
    }
}

/// Whether a daemon lets a worker work at all: what would not pass is said at once.
///
/// # Errors
/// It refuses.
pub(crate) async fn try_out(link: &Link) -> Result<(), Fault> {
    match link.call(&cmd("PING")).await {
        Err(fault) if fault.kind == Kind::Denied => Err(fault),
        _ => Ok(()),
    }
}
