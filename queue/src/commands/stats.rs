//! Queues seen from outside.

use super::prelude::*;
use crate::model::State;
use crate::push::check_queue;

pub(super) const LIST: Verb = Verb {
    row: row("queue.list", Group::Job)
        .arity(1)
        .flags(READONLY)
        .since("0.1.0")
        .cost("O(N) for N queues.")
        .summary("Lists the queues of the database."),
    run: list,
};

fn list(queues: &mut Queues, txn: &mut Txn<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut names: Vec<&[u8]> =
        queues.all.iter().filter(|queue| queue.db == txn.db()).map(|queue| &*queue.name).collect();
    names.sort_unstable();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(Outcome::Done)
}

pub(super) const STATS: Verb = Verb {
    row: row("queue.stats", Group::Job)
        .arity(2)
        .flags(READONLY | FAST)
        .since("0.1.0")
        .cost("O(1)")
        .summary("Returns the numbers of a queue: jobs by state, and what happened since the daemon started.")
        .syntax("queue:s"),
    run: stats,
};

fn stats(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let name = args.bytes()?;
    check_queue(name)?;
    let Some(number) = queues.find_queue(txn.db(), name) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let queue = queues.queue(number);
    let (counts, totals) = (queue.index.counts, queue.totals);
    let oldest = queue.index.ready.oldest_ms();
    let age = oldest.map_or(0, |since| queues.steady_ms(txn).saturating_sub(since));
    let totals = [
        ("pushed", totals.pushed),
        ("scheduled", totals.scheduled),
        ("fetched", totals.fetched),
        ("acked", totals.done),
        ("failed", totals.failed),
        ("retried", totals.retried),
        ("died", totals.dead),
        ("called_off", totals.cancelled),
        ("released", totals.released),
        ("lost", totals.lost),
        ("extended", totals.extended),
        ("stale", totals.stale),
    ];
    reply.map(2 + State::ALL.len() + totals.len());
    reply.bulk(b"queue");
    reply.bulk(name);
    for state in State::ALL {
        reply.bulk(state.name().as_bytes());
        reply.count(counts.of(state));
    }
    reply.bulk(b"oldest_ready_ms");
    reply.integer(age as i64);
    for (name, count) in totals {
        reply.bulk(name.as_bytes());
        reply.integer(count as i64);
    }
    Ok(Outcome::Done)
}
