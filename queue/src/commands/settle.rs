//! The end of a delivery: what only the holder of its token may say.

use super::prelude::*;
use crate::keys::split_job_id;
use crate::limits::{DELAY_MAX_MS, ERROR_BYTES_MAX, RESULT_KEPT_MS};
use crate::model::{State, Token};
use crate::push::lease_ms;
use crate::record::backoff;

/// The job that a worker holds, if its token says so.
///
/// # Errors
/// STALE, with what became of the job; counted.
fn held(queues: &mut Queues, txn: &mut Txn<'_>, id: &[u8], token: &[u8]) -> Result<Found, Fault> {
    let token = pbj_store::number::parse_u64(token).ok_or_else(|| invalid("a token is a number"))?;
    let found = queues.find_job(txn, id)?;
    let state = match &found {
        Some(job) if job.head.recorded == Some(State::Leased) && job.head.token == Token(token) => None,
        Some(job) => {
            let now = if job.head.calendar { txn.now().wall_ms() } else { queues.steady_ms(txn) };
            Some(job.head.state(now).name())
        }
        None => Some("unknown"),
    };
    match (found, state) {
        (Some(job), None) => Ok(job),
        (found, state) => {
            let queue = found.map(|job| job.queue);
            let named = || split_job_id(id).and_then(|(name, _)| queues.find_queue(txn.db(), name));
            if let Some(queue) = queue.or_else(named) {
                queues.queue_mut(queue).totals.stale += 1;
            }
            let id = String::from_utf8_lossy(&id[..id.len().min(crate::limits::NAME_BYTES_MAX)]);
            Err(Fault::Stale(format!("{id} {}", state.unwrap_or("unknown"))))
        }
    }
}

pub(super) const ACK: Verb = Verb {
    row: row("job.ack", Group::Job)
        .arity(-3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Says that a job is done.")
        .syntax("id:s token:i [result:s/RESULT]"),
    run: ack,
};

fn ack(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (id, token) = (args.bytes()?, args.bytes()?);
    let result = if args.word("RESULT") { Some(args.bytes()?) } else { None };
    args.end()?;
    let job = held(queues, txn, id, token)?;
    finish(queues, txn, &job, result)?;
    reply.ok();
    Ok(Outcome::Done)
}

/// Ends a job that was done, or called off meanwhile.
fn finish(queues: &mut Queues, txn: &mut Txn<'_>, job: &Found, result: Option<&[u8]>) -> Result<(), Fault> {
    let state = if job.head.cancelling { State::Cancelled } else { State::Done };
    note_run(queues, txn, job);
    let totals = &mut queues.queue_mut(job.queue).totals;
    if state == State::Done {
        totals.done += 1;
    } else {
        totals.cancelled += 1;
    }
    let keep_ms = job.head.keep_ms.or_else(|| result.map(|_| RESULT_KEPT_MS));
    let mut change = Change::of(&job.head);
    change.state(state).ended(queues.steady_ms(txn));
    if let Some(result) = result {
        change.text(field::RESULT, result);
    }
    end(queues, txn, job, &change, keep_ms)
}

/// Counts how long the delivery took that ends.
fn note_run(queues: &mut Queues, txn: &Txn<'_>, job: &Found) {
    let took = queues.steady_ms(txn).saturating_sub(job.head.started);
    queues.queue_mut(job.queue).totals.runs.record(took);
}

/// Moves a job to a state in which it is over, and gives it a date if it is kept for a time; for no time, it is gone.
pub(super) fn end(
    queues: &mut Queues,
    txn: &mut Txn<'_>,
    job: &Found,
    change: &Change<'_>,
    keep_ms: Option<u64>,
) -> Result<(), Fault> {
    if keep_ms == Some(0) {
        return queues.forget_job(txn, job);
    }
    let date = keep_ms.map(|keep| txn.now().wall_ms() + keep);
    queues.end_job(txn, job, change, date)
}

pub(super) const MACK: Verb = Verb {
    row: row("job.mack", Group::Job)
        .arity(-3)
        .flags(WRITE)
        .since("0.1.0")
        .cost("O(M*log(N)) for M jobs.")
        .summary("Says that several jobs are done; answers for each of them.")
        .syntax("job={id:s token:i}..."),
    run: mack,
};

fn mack(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let pairs = args.rest();
    if !pairs.len().is_multiple_of(2) {
        return Err(Fault::Arity("job.mack".into()));
    }
    reply.array(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        match held(queues, txn, pair[0], pair[1]).and_then(|job| finish(queues, txn, &job, None)) {
            Ok(()) => reply.ok(),
            Err(fault) => reply.error(&fault.to_bytes()),
        }
    }
    Ok(Outcome::Done)
}

pub(super) const FAIL: Verb = Verb {
    row: row("job.fail", Group::Job)
        .arity(-3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Says that an attempt failed; the job is tried again later, or is dead.")
        .syntax("id:s token:i [kind:s/KIND] [message:s/MSG] [again=(delay:s/RETRY|noretry/NORETRY)]"),
    run: fail,
};

/// What a worker says about a failure.
#[derive(Default)]
struct Failure<'a> {
    kind: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    retry_ms: Option<u64>,
    final_one: bool,
}

impl<'a> Failure<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Fault> {
        let mut failure = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "KIND") => failure.kind = Some(args.bytes()?),
                () if is_word(word, "MSG") => failure.message = Some(args.bytes()?),
                () if is_word(word, "RETRY") && !failure.final_one => {
                    let ms = crate::duration::parse_ms(args.bytes()?).map_err(invalid)?;
                    failure.retry_ms = Some(ms.min(DELAY_MAX_MS));
                }
                () if is_word(word, "NORETRY") && failure.retry_ms.is_none() => failure.final_one = true,
                () => return Err(Fault::Syntax),
            }
        }
        Ok(failure)
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(ERROR_BYTES_MAX)]
}

fn fail(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (id, token) = (args.bytes()?, args.bytes()?);
    let failure = Failure::read(&mut args)?;
    let job = held(queues, txn, id, token)?;
    let now = queues.steady_ms(txn);
    let mut change = Change::of(&job.head);
    change
        .text(field::ERROR, cut(failure.message.unwrap_or_default()))
        .text(field::ERROR_KIND, cut(failure.kind.unwrap_or_default()));
    note_run(queues, txn, &job);
    queues.queue_mut(job.queue).totals.failed += 1;
    let exhausted = job.head.failures_with_this() >= job.head.attempts;
    if job.head.cancelling || failure.final_one || exhausted {
        let state = if job.head.cancelling { State::Cancelled } else { State::Dead };
        let totals = &mut queues.queue_mut(job.queue).totals;
        if state == State::Dead {
            totals.dead += 1;
        } else {
            totals.cancelled += 1;
        }
        change.state(state).ended(now);
        end(queues, txn, &job, &change, job.head.keep_ms.filter(|_| state == State::Cancelled))?;
        reply.bulk(state.name().as_bytes());
        return Ok(Outcome::Done);
    }
    let wait = match failure.retry_ms {
        Some(ms) => ms,
        None => {
            let chance = txn.rng().f64();
            backoff(txn, &job.key)?.wait_ms(job.head.failures_with_this(), chance)
        }
    };
    queues.queue_mut(job.queue).totals.retried += 1;
    queues.move_job(txn, &job, change.state(State::Delayed).due(now + wait))?;
    reply.integer(queues.steady.to_wall(now + wait, txn.now()) as i64);
    Ok(Outcome::Done)
}

pub(super) const RELEASE: Verb = Verb {
    row: row("job.release", Group::Job)
        .arity(3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Gives a job back to its place in the queue, as if it had not been fetched.")
        .syntax("id:s token:i"),
    run: release,
};

fn release(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (id, token) = (args.bytes()?, args.bytes()?);
    args.end()?;
    let job = held(queues, txn, id, token)?;
    if job.head.cancelling {
        finish(queues, txn, &job, None)?;
    } else {
        let attempt = job.head.attempt.saturating_sub(1);
        let mut change = Change::of(&job.head);
        change.state(State::Ready).attempt(attempt);
        queues.queue_mut(job.queue).totals.released += 1;
        queues.move_job(txn, &job, &change)?;
    }
    reply.ok();
    Ok(Outcome::Done)
}

pub(super) const EXTEND: Verb = Verb {
    row: row("job.extend", Group::Job)
        .arity(-3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Lets a lease last longer, and tells whether the job was called off.")
        .syntax("id:s token:i [lease:s/LEASE]"),
    run: extend,
};

fn extend(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (id, token) = (args.bytes()?, args.bytes()?);
    let lease = if args.word("LEASE") { Some(lease_ms(args.bytes()?)?) } else { None };
    args.end()?;
    let job = held(queues, txn, id, token)?;
    let until = queues.steady_ms(txn) + lease.unwrap_or(job.head.lease_ms);
    queues.queue_mut(job.queue).totals.extended += 1;
    queues.move_job(txn, &job, Change::of(&job.head).until(until))?;
    reply.map(2);
    reply.bulk(b"deadline");
    reply.integer(queues.steady.to_wall(until, txn.now()) as i64);
    reply.bulk(b"cancel");
    reply.flag(job.head.cancelling);
    Ok(Outcome::Done)
}
