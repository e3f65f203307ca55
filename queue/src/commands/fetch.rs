//! Fetching jobs: the beginning of every delivery.

use pbj_store::command::row::TimeoutReply;
use pbj_store::command::{Wait, WaitClass};

use super::prelude::*;
use crate::index::QueueNumber;
use crate::keys::{KeyName, is_name, write_job_id};
use crate::limits::{BATCH_MAX, FETCH_QUEUES_MAX};
use crate::model::{State, Token};
use crate::push::{check_queue, lease_ms};
use crate::record::Record;
use crate::schedule::nominal_ms;

/// Who waits for jobs.
const WAITS_FOR_JOBS: WaitClass = WaitClass::Extension(0);

pub(super) const FETCH: Verb = Verb {
    row: row("job.fetch", Group::Job)
        .arity(-4)
        .flags(WRITE | BLOCKING)
        .since("0.1.0")
        .cost("O(M*log(N)) for M jobs.")
        .summary("Leases jobs of the first queues that have any; waits for one if asked to.")
        .syntax("worker:s [count:i/COUNT] [block:s/BLOCK] [lease:s/LEASE] [order=(strict/STRICT)] queue:s/QUEUES..."),
    run: fetch,
};

/// What a worker asks for.
struct Request<'a> {
    worker: &'a [u8],
    count: usize,
    /// How long to wait, in milliseconds; 0 for ever.
    block_ms: Option<u64>,
    lease_ms: Option<u64>,
    queues: &'a [&'a [u8]],
}

impl<'a> Request<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Fault> {
        let worker = args.bytes()?;
        if !is_name(worker) {
            return Err(invalid("a worker name has 1 to 128 bytes without spaces and control characters"));
        }
        let mut request = Self { worker, count: 1, block_ms: None, lease_ms: None, queues: &[] };
        while !args.word("QUEUES") {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "COUNT") => {
                    request.count =
                        args.integer_in(1..=BATCH_MAX, "COUNT must be between 1 and 10000")? as usize;
                }
                () if is_word(word, "BLOCK") => {
                    let block = crate::duration::parse_ms(args.bytes()?).map_err(invalid)?;
                    request.block_ms = Some(block);
                }
                () if is_word(word, "LEASE") => request.lease_ms = Some(lease_ms(args.bytes()?)?),
                () if is_word(word, "STRICT") => {} // The only order there is: as the queues are named.
                () => return Err(Fault::Syntax),
            }
        }
        request.queues = args.rest();
        if !(1..=FETCH_QUEUES_MAX).contains(&request.queues.len()) {
            return Err(invalid("QUEUES names 1 to 256 queues"));
        }
        request.queues.iter().try_for_each(|queue| check_queue(queue))?;
        Ok(request)
    }

    /// How many jobs come from which queue.
    fn plan(&self, queues: &Queues, db: usize) -> Vec<(QueueNumber, usize)> {
        let (mut plan, mut wanted) = (Vec::new(), self.count);
        for queue in self.queues.iter().filter_map(|name| queues.find_queue(db, name)) {
            let count = queues.queue(queue).index.ready.len().min(wanted);
            // A queue that is named twice has nothing more the second time.
            if count > 0 && !plan.iter().any(|&(planned, _)| planned == queue) {
                plan.push((queue, count));
                wanted -= count;
            }
        }
        plan
    }
}

fn fetch(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let request = Request::read(&mut args)?;
    let plan = request.plan(queues, txn.db());
    if !plan.is_empty() {
        reply.array(plan.iter().map(|&(_, count)| count).sum());
        for (queue, count) in plan {
            for _ in 0..count {
                deliver_next(queues, txn, queue, &request, reply)?;
            }
        }
        return Ok(Outcome::Done);
    }
    let Some(block_ms) = request.block_ms else {
        reply.null_array();
        return Ok(Outcome::Done);
    };
    Ok(Outcome::Wait(Box::new(Wait {
        keys: request.queues.iter().map(|queue| KeyName::Queue(queue).to_key().into()).collect(),
        until: (block_ms > 0).then(|| txn.now().mono_ms.saturating_add(block_ms)),
        on_timeout: TimeoutReply::NullArray,
        class: WAITS_FOR_JOBS,
        request: None,
    })))
}

/// Leases the next job of a queue, and tells the worker about it.
fn deliver_next(
    queues: &mut Queues,
    txn: &mut Txn<'_>,
    queue: QueueNumber,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Fault> {
    let number = queues.queue(queue).index.ready.first().ok_or(Fault::NoSuchKey)?;
    let token = queues.next_token(txn, queue)?;
    let (clock, now) = (txn.now(), queues.steady_ms(txn));
    let key = queues.job_key(queue, number);
    txn.focus(&key);
    let record = Record::read(txn, &key)?.ok_or(Fault::NoSuchKey)?;
    let head = record.head;
    let until = now + request.lease_ms.unwrap_or(head.lease_ms);
    let delivery = Delivery { queue: &queues.queue(queue).name, number, token, until };
    delivery.write(&record, |ms| queues.steady.to_wall(ms, clock), reply);
    let mut change = Change::of(&head);
    change
        .state(State::Leased)
        .token(token)
        .text(field::WORKER, request.worker)
        .started(now)
        .until(until)
        .attempt(head.attempt.saturating_add(1));
    let its_now = if head.calendar { clock.wall_ms() } else { now };
    let waited = its_now.saturating_sub(head.ready_since());
    // From here on its times are durations: whatever somebody does to the wall clock, its date has come.
    if head.calendar {
        change.calendar(false).due(now - waited.min(now));
    }
    queues.move_job(txn, &Found { queue, number, key, head }, &change)?;
    let totals = &mut queues.queue_mut(queue).totals;
    totals.fetched += 1;
    totals.waits.record(waited);
    Ok(())
}

/// What a delivery adds to a job.
struct Delivery<'a> {
    queue: &'a [u8],
    number: u64,
    token: Token,
    until: u64,
}

impl Delivery<'_> {
    /// Replies with a job as it is before it is delivered.
    fn write(&self, job: &Record<'_>, to_wall: impl Fn(u64) -> u64, reply: &mut Reply<'_>) {
        let head = &job.head;
        let ready_since = head.ready_since();
        // A job of a schedule is told the time of the schedule, to the millisecond, at every attempt.
        let nominal = job.id.filter(|_| job.scheduled).and_then(|id| nominal_ms(&id.text()));
        let scheduled_at =
            nominal.unwrap_or_else(|| if head.calendar { ready_since } else { to_wall(ready_since) });
        reply.map(10);
        reply.name("id");
        match job.id {
            Some(id) => reply.bulk_scalar(id),
            None => write_job_id(self.queue, self.number, reply),
        }
        reply.name("token");
        reply.integer(self.token.0 as i64);
        reply.name("queue");
        reply.bulk(self.queue);
        reply.name("type");
        reply.scalar_or_null(job.kind);
        reply.name("attempt");
        reply.integer(i64::from(head.attempt) + 1);
        reply.name("lost");
        reply.integer(i64::from(head.lost));
        reply.name("deadline");
        reply.integer(to_wall(self.until) as i64);
        reply.name("scheduled_at");
        reply.integer(scheduled_at as i64);
        reply.name("headers");
        reply.map(0);
        reply.name("payload");
        reply.scalar_or_null(job.payload);
    }
}
