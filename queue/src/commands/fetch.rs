//! Fetching jobs: the beginning of every delivery.

use pbj_store::command::row::TimeoutReply;
use pbj_store::command::{Wait, WaitClass};

use super::prelude::*;
use crate::index::QueueNumber;
use crate::keys::{KeyName, is_name, job_id};
use crate::limits::{BATCH_MAX, FETCH_QUEUES_MAX};
use crate::model::{State, Token};
use crate::push::{check_queue, lease_ms};
use crate::record::Head;
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
}

/// A job on its way to a worker.
struct Delivery {
    job: Found,
    token: Token,
    until: u64,
}

fn fetch(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let request = Request::read(&mut args)?;
    let mut deliveries = Vec::new();
    for name in request.queues {
        let Some(queue) = queues.find_queue(txn.db(), name) else { continue };
        while deliveries.len() < request.count {
            let Some(delivery) = deliver_next(queues, txn, queue, &request)? else { break };
            deliveries.push(delivery);
        }
    }
    if !deliveries.is_empty() {
        reply.array(deliveries.len());
        return deliveries
            .iter()
            .try_for_each(|delivery| write(queues, txn, delivery, reply))
            .map(|()| Outcome::Done);
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

/// Leases the next job of a queue.
fn deliver_next(
    queues: &mut Queues,
    txn: &mut Txn<'_>,
    queue: QueueNumber,
    request: &Request<'_>,
) -> Result<Option<Delivery>, Fault> {
    let Some(number) = queues.queue(queue).index.ready.first() else { return Ok(None) };
    let key = queues.job_key(queue, number);
    let head = Head::read(txn, &key)?.ok_or(Fault::NoSuchKey)?;
    let token = queues.next_token(txn, queue)?;
    let now = queues.steady_ms(txn);
    let until = now + request.lease_ms.unwrap_or(head.lease_ms);
    let job = Found { queue, number, key, head };
    let fields = Fields::default()
        .state(State::Leased)
        .number(field::TOKEN, token.0)
        .text(field::WORKER, request.worker)
        .number(field::STARTED, now)
        .number(field::UNTIL, until)
        .number(field::ATTEMPT, u64::from(head.attempt) + 1);
    let its_now = if head.calendar { txn.now().wall_ms() } else { now };
    let waited = its_now.saturating_sub(head.ready_since());
    // From here on its times are durations: whatever somebody does to the wall clock, its date has come.
    let fields = match head.calendar {
        true => fields.without(field::CALENDAR).number(field::DUE, now - waited.min(now)),
        false => fields,
    };
    queues.move_job(txn, &job, &fields)?;
    let totals = &mut queues.queue_mut(queue).totals;
    totals.fetched += 1;
    totals.waits.record(waited);
    Ok(Some(Delivery { job, token, until }))
}

fn write(
    queues: &Queues,
    txn: &mut Txn<'_>,
    delivery: &Delivery,
    reply: &mut Reply<'_>,
) -> Result<(), Fault> {
    let Delivery { job, token, until } = delivery;
    let now = txn.now();
    let wanted = [field::ID, field::TYPE, field::PAYLOAD, field::SCHEDULE];
    let [chosen, kind, payload, schedule] = txn.hash_values(&job.key, wanted)?;
    let wall = |ms: u64| queues.steady.to_wall(ms, now) as i64;
    // A job of a schedule is told the time of the schedule, to the millisecond, at every attempt.
    let nominal = schedule.and_then(|_| nominal_ms(chosen.as_deref()?));
    let ready_since = job.head.ready_since();
    let own = || if job.head.calendar { ready_since as i64 } else { wall(ready_since) };
    reply.map(10);
    reply.bulk(b"id");
    match chosen {
        Some(id) => reply.bulk(&id),
        None => reply.bulk(&job_id(&queues.queue(job.queue).name, job.number)),
    }
    reply.bulk(b"token");
    reply.integer(token.0 as i64);
    reply.bulk(b"queue");
    reply.bulk(&queues.queue(job.queue).name);
    reply.bulk(b"type");
    reply.bulk_or_null(kind.as_deref());
    reply.bulk(b"attempt");
    reply.integer(i64::from(job.head.attempt) + 1);
    reply.bulk(b"lost");
    reply.integer(i64::from(job.head.lost));
    reply.bulk(b"deadline");
    reply.integer(wall(*until));
    reply.bulk(b"scheduled_at");
    reply.integer(nominal.map_or_else(own, |ms| ms as i64));
    reply.bulk(b"headers");
    reply.map(0);
    reply.bulk(b"payload");
    reply.bulk_or_null(payload.as_deref());
    Ok(())
}
