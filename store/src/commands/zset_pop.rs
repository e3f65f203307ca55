//! Sorted sets: removing members with extreme scores, and waiting for some.

use super::prelude::*;
use crate::command::row::TimeoutReply;
use crate::command::{Wait, WaitClass};
use crate::types::zset::Zset;

pub(super) const ROWS: &[Command] = &[ZPOPMIN, ZPOPMAX, BZPOPMIN, BZPOPMAX, ZMPOP, BZMPOP];

/// Which scores.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Min,
    Max,
}

impl Extreme {
    fn verb(self) -> &'static [u8] {
        if self == Self::Min { b"ZPOPMIN" } else { b"ZPOPMAX" }
    }

    fn event(self) -> &'static str {
        if self == Self::Min { "zpopmin" } else { "zpopmax" }
    }
}

/// Removes up to `count` members with extreme scores and returns them, the most extreme first.
fn pop_many(zset: &mut Zset, which: Extreme, count: usize) -> Vec<(Vec<u8>, f64)> {
    let count = count.min(zset.len());
    if count == 0 {
        return Vec::new();
    }
    let members = if which == Extreme::Min { zset.iter_from(0) } else { zset.iter_back_from(zset.len() - 1) };
    let popped: Vec<_> = members.take(count).map(|(member, score)| (member.to_vec(), score)).collect();
    for (member, _) in &popped {
        zset.remove(member);
    }
    popped
}

fn popped_from(txn: &mut Txn<'_>, key: &[u8], which: Extreme, count: usize) {
    txn.changed(key, EventClass::Zset, which.event());
    txn.changed_more(count.saturating_sub(1));
    txn.drop_if_empty(key);
}

const ZPOPMIN: Command = Command::data("zpopmin", Group::SortedSet, zpopmin)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(log(N)*M)")
    .summary("Removes the members with the lowest scores and returns them.")
    .syntax("key:k [count:i]");

fn zpopmin(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop(txn, args, reply, Extreme::Min)
}

const ZPOPMAX: Command = Command::data("zpopmax", Group::SortedSet, zpopmax)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(log(N)*M)")
    .summary("Removes the members with the highest scores and returns them.")
    .syntax("key:k [count:i]");

fn zpopmax(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop(txn, args, reply, Extreme::Max)
}

fn pop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, which: Extreme) -> Run {
    let key = args.key()?;
    if args.left() > 1 {
        return Err(Fault::Syntax);
    }
    let count = if args.left() == 1 { Some(args.positive()? as usize) } else { None };
    let Some(zset) = txn.zset_mut(key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let popped = pop_many(zset, which, count.unwrap_or(1));
    if !popped.is_empty() {
        popped_from(txn, key, which, popped.len());
    }
    if count.is_some() {
        super::open_scored(reply, popped.len(), true);
        popped.iter().for_each(|(member, score)| super::write_scored(reply, member, *score, true));
    } else {
        reply.array(2);
        for (member, score) in &popped {
            reply.bulk(member);
            reply.double(*score);
        }
    }
    Ok(Outcome::Done)
}

fn wait_for(txn: &Txn<'_>, keys: &[&[u8]], timeout: Option<u64>) -> Run {
    Ok(Outcome::Wait(Box::new(Wait {
        keys: keys.iter().map(|&key| key.into()).collect(),
        until: timeout.map(|ms| txn.now().mono_ms.saturating_add(ms)),
        on_timeout: TimeoutReply::NullArray,
        class: WaitClass::Zset,
        request: None,
    })))
}

const BZPOPMIN: Command = Command::data("bzpopmin", Group::SortedSet, bzpopmin)
    .arity(-3)
    .flags(WRITE | NOSCRIPT | FAST | BLOCKING)
    .keys(&[Key::range(1, -2, 1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("5.0.0")
    .cost("O(log(N)) with N being the number of elements in the sorted set.")
    .summary("Removes the member with the lowest score from the first sorted set that has any; waits for one if none has.")
    .syntax("key:k... timeout:d");

fn bzpopmin(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop_first(txn, args, reply, Extreme::Min)
}

const BZPOPMAX: Command = Command::data("bzpopmax", Group::SortedSet, bzpopmax)
    .arity(-3)
    .flags(WRITE | NOSCRIPT | FAST | BLOCKING)
    .keys(&[Key::range(1, -2, 1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("5.0.0")
    .cost("O(log(N)) with N being the number of elements in the sorted set.")
    .summary("Removes the member with the highest score from the first sorted set that has any; waits for one if none has.")
    .syntax("key:k... timeout:d");

fn bzpopmax(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop_first(txn, args, reply, Extreme::Max)
}

fn pop_first(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, which: Extreme) -> Run {
    let keys = args.take(args.left() - 1)?;
    let timeout = args.timeout_seconds()?;
    for key in keys {
        if !txn.considers(key, ValueType::Zset) {
            continue;
        }
        let Some(zset) = txn.zset_mut(key)? else { continue };
        for (member, score) in pop_many(zset, which, 1) {
            popped_from(txn, key, which, 1);
            txn.effect(&[which.verb(), key]);
            reply.array(3);
            reply.bulk(key);
            reply.bulk(&member);
            reply.double(score);
        }
        return Ok(Outcome::Done);
    }
    wait_for(txn, keys, timeout)
}

/// The keys, the extreme and the count of ZMPOP and BZMPOP.
fn multi_pop_args<'a>(args: &mut Args<'a>) -> Result<(&'a [&'a [u8]], Extreme, usize), Fault> {
    let numkeys = args.integer_in(1..=i64::MAX, "numkeys should be greater than 0")?;
    let keys = args.take(usize::try_from(numkeys).map_err(|_| Fault::Syntax)?)?;
    let word = args.bytes()?;
    let which = match () {
        () if is_word(word, "MIN") => Extreme::Min,
        () if is_word(word, "MAX") => Extreme::Max,
        () => return Err(Fault::Syntax),
    };
    let mut count = None;
    while args.left() > 0 {
        if count.is_some() || !args.word("COUNT") {
            return Err(Fault::Syntax);
        }
        count = Some(args.integer_in(1..=i64::MAX, "count should be greater than 0")? as usize);
    }
    Ok((keys, which, count.unwrap_or(1)))
}

/// Pops from the first of these sorted sets that has members; says whether one has.
fn pop_from_first(
    txn: &mut Txn<'_>,
    keys: &[&[u8]],
    which: Extreme,
    count: usize,
    reply: &mut Reply<'_>,
) -> Result<bool, Fault> {
    for key in keys {
        if !txn.considers(key, ValueType::Zset) {
            continue;
        }
        let Some(zset) = txn.zset_mut(key)? else { continue };
        let popped = pop_many(zset, which, count);
        popped_from(txn, key, which, popped.len());
        txn.effect(&[which.verb(), key, Digits::of(popped.len() as i64).as_bytes()]);
        reply.array(2);
        reply.bulk(key);
        reply.array(popped.len());
        for (member, score) in &popped {
            reply.array(2);
            reply.bulk(member);
            reply.double(*score);
        }
        return Ok(true);
    }
    Ok(false)
}

const ZMPOP: Command = Command::data("zmpop", Group::SortedSet, zmpop)
    .arity(-4)
    .flags(WRITE)
    .keys(&[Key::counted(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("7.0.0")
    .cost("O(K) + O(M*log(N))")
    .summary("Removes members with extreme scores from the first sorted set that has any.")
    .syntax("numkeys:i key:k... where=(min/MIN|max/MAX) [count:i/COUNT]");

fn zmpop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (keys, which, count) = multi_pop_args(&mut args)?;
    if !pop_from_first(txn, keys, which, count, reply)? {
        reply.null_array();
    }
    Ok(Outcome::Done)
}

const BZMPOP: Command = Command::data("bzmpop", Group::SortedSet, bzmpop)
    .arity(-5)
    .flags(WRITE | BLOCKING)
    .keys(&[Key::counted(2, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("7.0.0")
    .cost("O(K) + O(M*log(N))")
    .summary("Removes members with extreme scores from the first sorted set that has any; waits for one if none has.")
    .syntax("timeout:d numkeys:i key:k... where=(min/MIN|max/MAX) [count:i/COUNT]");

fn bzmpop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    // The time-out stands first and is checked last.
    let mut at_timeout = args;
    args.bytes()?;
    let (keys, which, count) = multi_pop_args(&mut args)?;
    let timeout = at_timeout.timeout_seconds()?;
    if pop_from_first(txn, keys, which, count, reply)? {
        return Ok(Outcome::Done);
    }
    wait_for(txn, keys, timeout)
}
