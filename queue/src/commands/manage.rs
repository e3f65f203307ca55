//! Jobs seen from outside: looking at them, calling them off, trying them again.

use pbj_store::number::{Digits, parse_u64};

use super::prelude::*;
use super::settle::end;
use crate::keys::{KeyName, job_id};
use crate::model::State;
use crate::record::{Head, backoff};

pub(super) const GET: Verb = Verb {
    row: row("job.get", Group::Job)
        .arity(2)
        .flags(READONLY | FAST)
        .since("0.1.0")
        .cost("O(1)")
        .summary("Returns everything about a job, or null if there is none.")
        .syntax("id:s"),
    run: get,
};

/// Text fields of a job, with their names in the reply.
const TEXTS: [(&str, &[u8]); 7] = [
    ("type", field::TYPE),
    ("worker", field::WORKER),
    ("error", field::ERROR),
    ("error_kind", field::ERROR_KIND),
    ("result", field::RESULT),
    ("schedule", field::SCHEDULE),
    ("payload", field::PAYLOAD),
];

fn get(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let Some(job) = queues.find_job(txn, args.bytes()?)? else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let head = job.head;
    let now = txn.now();
    let state = current_state(queues, txn, &head);
    let wall = |ms: u64| queues.steady.to_wall(ms, now);
    let due = head.due.map(|due| if head.calendar { due } else { wall(due) });
    let id = queues.id_of(txn, job.queue, job.number)?;
    let backoff = backoff(txn, &job.key)?.to_string();
    let held = state == State::Leased;
    reply.map(16 + TEXTS.len());
    for (name, text) in
        [("id", &*id), ("queue", &queues.queue(job.queue).name), ("state", state.name().as_bytes())]
    {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
    let numbers = [
        ("prio", Some(i64::from(head.prio))),
        ("attempt", Some(i64::from(head.attempt))),
        ("attempts", Some(i64::from(head.attempts))),
        ("lost", Some(i64::from(head.lost))),
        ("lease", Some(head.lease_ms as i64)),
        ("token", (head.token.0 > 0).then_some(head.token.0 as i64)),
        ("pushed_at", Some(wall(head.pushed) as i64)),
        ("due_at", due.map(|due| due as i64)),
        ("started_at", (head.started > 0).then(|| wall(head.started) as i64)),
        ("deadline", held.then(|| wall(head.until) as i64)),
        ("ended_at", (head.ended > 0).then(|| wall(head.ended) as i64)),
    ];
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        match number {
            Some(number) => reply.integer(number),
            None => reply.null(),
        }
    }
    reply.bulk(b"cancelling");
    reply.flag(head.cancelling && !state.is_terminal());
    reply.bulk(b"backoff");
    reply.bulk(backoff.as_bytes());
    for (name, field) in TEXTS {
        reply.bulk(name.as_bytes());
        reply.bulk_or_null(txn.hash_field(&job.key, field)?.as_deref());
    }
    Ok(Outcome::Done)
}

fn current_state(queues: &Queues, txn: &Txn<'_>, head: &Head) -> State {
    head.state(if head.calendar { txn.now().wall_ms() } else { queues.steady_ms(txn) })
}

/// Replies with the states before and after.
fn reply_states(before: State, after: State, reply: &mut Reply<'_>) -> Run {
    reply.array(2);
    reply.bulk(before.name().as_bytes());
    reply.bulk(after.name().as_bytes());
    Ok(Outcome::Done)
}

pub(super) const CANCEL: Verb = Verb {
    row: row("job.cancel", Group::Job)
        .arity(-2)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Calls a job off. A leased one is over when its worker hears of it, or its lease ends.")
        .syntax("id:s [reason:s/REASON]"),
    run: cancel,
};

fn cancel(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let id = args.bytes()?;
    let reason = if args.word("REASON") { args.bytes()? } else { b"" };
    args.end()?;
    let Some(job) = queues.find_job(txn, id)? else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let before = current_state(queues, txn, &job.head);
    let mut change = Change::of(&job.head);
    change.cancelling(reason);
    match before {
        State::Leased => {
            queues.move_job(txn, &job, &change)?;
            return reply_states(before, State::Leased, reply);
        }
        State::Ready | State::Delayed => {
            change.state(State::Cancelled).ended(queues.steady_ms(txn));
            queues.queue_mut(job.queue).totals.cancelled += 1;
            end(queues, txn, &job, &change, job.head.keep_ms)?;
        }
        State::Done | State::Dead | State::Cancelled => return reply_states(before, before, reply),
    }
    reply_states(before, State::Cancelled, reply)
}

pub(super) const RETRY: Verb = Verb {
    row: row("job.retry", Group::Job)
        .arity(2)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Lets a job that is over begin again, with all its attempts.")
        .syntax("id:s"),
    run: retry,
};

fn retry(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let id = args.bytes()?;
    args.end()?;
    let Some(job) = queues.find_job(txn, id)? else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let before = current_state(queues, txn, &job.head);
    if !before.is_terminal() {
        return reply_states(before, before, reply);
    }
    let mut change = Change::of(&job.head);
    change.state(State::Ready).due(queues.steady_ms(txn)).attempt(0).lost(0);
    queues.begin_again(txn, &job, &change)?;
    reply_states(before, State::Ready, reply)
}

pub(super) const SCAN: Verb = Verb {
    row: row("job.scan", Group::Job)
        .arity(-2)
        .flags(READONLY)
        .since("0.1.0")
        .cost("O(1) for every call. O(N) for all keys of the database.")
        .summary("Walks over the ids of jobs.")
        .syntax("cursor:i [queue:s/QUEUE] [state:s/STATE] [type:s/TYPE] [age:s/OLDER] [count:i/COUNT]"),
    run: scan,
};

/// Which jobs a walk is about.
#[derive(Default)]
struct Filter<'a> {
    queue: Option<&'a [u8]>,
    state: Option<State>,
    kind: Option<&'a [u8]>,
    older_ms: Option<u64>,
    count: usize,
}

impl<'a> Filter<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Fault> {
        let mut filter = Self { count: 10, ..Self::default() };
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "QUEUE") => filter.queue = Some(args.bytes()?),
                () if is_word(word, "STATE") => {
                    let state = State::named(args.bytes()?);
                    filter.state = Some(state.ok_or_else(|| {
                        invalid("STATE is one of ready, delayed, leased, done, dead, cancelled")
                    })?);
                }
                () if is_word(word, "TYPE") => filter.kind = Some(args.bytes()?),
                () if is_word(word, "OLDER") => {
                    filter.older_ms = Some(crate::duration::parse_ms(args.bytes()?).map_err(invalid)?);
                }
                () if is_word(word, "COUNT") => {
                    filter.count =
                        args.integer_in(1..=1_000_000, "COUNT must be between 1 and 1000000")? as usize;
                }
                () => return Err(Fault::Syntax),
            }
        }
        Ok(filter)
    }

    fn accepts(&self, queues: &Queues, txn: &mut Txn<'_>, key: &[u8]) -> Result<bool, Fault> {
        let Some(head) = Head::read(txn, key)? else { return Ok(false) };
        let old_enough =
            self.older_ms.is_none_or(|age| head.pushed.saturating_add(age) <= queues.steady_ms(txn));
        let right_state = self.state.is_none_or(|state| current_state(queues, txn, &head) == state);
        let right_kind = match self.kind {
            Some(kind) => txn.hash_field(key, field::TYPE)?.is_some_and(|text| *text == *kind),
            None => true,
        };
        Ok(old_enough && right_state && right_kind)
    }
}

fn scan(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let cursor = parse_u64(args.bytes()?).ok_or(Fault::InvalidCursor)?;
    let filter = Filter::read(&mut args)?;
    let mut keys = Vec::new();
    let next = txn.walk_keys(cursor, filter.count, crate::keys::PREFIX, |key| keys.push(key.to_vec()));
    let mut ids = Vec::new();
    for key in &keys {
        let Some(KeyName::Job(queue, number)) = KeyName::parse(key) else { continue };
        if filter.queue.is_none_or(|wanted| wanted == queue) && filter.accepts(queues, txn, key)? {
            let chosen = txn.hash_field(key, field::ID)?.map(|id| id.to_vec());
            ids.push(chosen.unwrap_or_else(|| job_id(queue, number)));
        }
    }
    reply.array(2);
    reply.bulk(Digits::of(next as i64).as_bytes());
    reply.array(ids.len());
    ids.iter().for_each(|id| reply.bulk(id));
    Ok(Outcome::Done)
}
