//! Lists: moving elements between them, popping from the first of several, and waiting for elements.

use super::list::{pop_event, pop_many, popped_from, push_event};
use super::prelude::*;
use crate::command::row::TimeoutReply;
use crate::command::{Wait, WaitClass};
use crate::types::list::End;

pub(super) const ROWS: &[Command] = &[LMOVE, RPOPLPUSH, BLMOVE, BRPOPLPUSH, BLPOP, BRPOP, LMPOP, BLMPOP];

fn end(word: &[u8]) -> Result<End, Fault> {
    match () {
        () if is_word(word, "LEFT") => Ok(End::Left),
        () if is_word(word, "RIGHT") => Ok(End::Right),
        () => Err(Fault::Syntax),
    }
}

/// Moves an element from an end of one list to an end of another; says whether there was one.
fn transfer(
    txn: &mut Txn<'_>,
    (source, from): (&[u8], End),
    (target, to): (&[u8], End),
    reply: &mut Reply<'_>,
) -> Result<bool, Fault> {
    let Some(list) = txn.list_mut(source)? else { return Ok(false) };
    let Some(element) = list.peek(from).map(|element| element.to_vec()) else { return Ok(false) };
    txn.list_mut(target)?; // Only its type matters here; it may be absent.
    if let Some(list) = txn.list_mut(source)? {
        list.drop_end(from);
    }
    txn.list_or_new(target)?.push(to, &element);
    txn.changed(target, EventClass::List, push_event(to));
    txn.signal(source);
    txn.event(source, EventClass::List, pop_event(from));
    txn.drop_if_empty(source);
    reply.bulk(&element);
    Ok(true)
}

const LMOVE: Command = Command::data("lmove", Group::List, lmove)
    .arity(5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::RW | Key::INSERT)])
    .verbatim()
    .since("6.2.0")
    .cost("O(1)")
    .summary("Moves an element from an end of one list to an end of another.")
    .syntax("source:k destination:k#1 wherefrom=(left/LEFT|right/RIGHT) whereto=(left/LEFT|right/RIGHT)");

fn lmove(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (end(args.bytes()?)?, end(args.bytes()?)?);
    if !transfer(txn, (source, from), (target, to), reply)? {
        reply.null();
    }
    Ok(Outcome::Done)
}

const RPOPLPUSH: Command = Command::data("rpoplpush", Group::List, rpoplpush)
    .arity(3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::RW | Key::INSERT)])
    .verbatim()
    .since("1.2.0")
    .cost("O(1)")
    .summary("Moves the last element of a list to the front of another.")
    .syntax("source:k destination:k#1");

fn rpoplpush(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (source, target) = (args.key()?, args.key()?);
    if !transfer(txn, (source, End::Right), (target, End::Left), reply)? {
        reply.null();
    }
    Ok(Outcome::Done)
}

/// Waits for an element of one of these lists.
fn wait_for(txn: &Txn<'_>, keys: &[&[u8]], timeout: Option<u64>, on_timeout: TimeoutReply) -> Run {
    Ok(Outcome::Wait(Box::new(Wait {
        keys: keys.iter().map(|&key| key.into()).collect(),
        until: timeout.map(|ms| txn.now().mono_ms.saturating_add(ms)),
        on_timeout,
        class: WaitClass::List,
        request: None,
    })))
}

const BLMOVE: Command = Command::data("blmove", Group::List, blmove)
    .arity(6)
    .flags(WRITE | DENYOOM | NOSCRIPT | BLOCKING)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::RW | Key::INSERT)])
    .since("6.2.0")
    .cost("O(1)")
    .summary("Moves an element from one list to another; waits for one if there is none.")
    .syntax("source:k destination:k#1 wherefrom=(left/LEFT|right/RIGHT) whereto=(left/LEFT|right/RIGHT) timeout:d");

fn blmove(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (args.bytes()?, args.bytes()?);
    let (from_end, to_end) = (end(from)?, end(to)?);
    let timeout = args.timeout_seconds()?;
    if txn.holds_another_type(source, ValueType::List)
        || !transfer(txn, (source, from_end), (target, to_end), reply)?
    {
        return wait_for(txn, &[source], timeout, TimeoutReply::NullArrayOrNull);
    }
    txn.effect(&[b"LMOVE", source, target, from, to]);
    Ok(Outcome::Done)
}

const BRPOPLPUSH: Command = Command::data("brpoplpush", Group::List, brpoplpush)
    .arity(4)
    .flags(WRITE | DENYOOM | NOSCRIPT | BLOCKING)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::RW | Key::INSERT)])
    .since("2.2.0")
    .cost("O(1)")
    .summary("Moves the last element of a list to the front of another; waits for one if there is none.")
    .syntax("source:k destination:k#1 timeout:d");

fn brpoplpush(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (source, target) = (args.key()?, args.key()?);
    let timeout = args.timeout_seconds()?;
    if txn.holds_another_type(source, ValueType::List)
        || !transfer(txn, (source, End::Right), (target, End::Left), reply)?
    {
        return wait_for(txn, &[source], timeout, TimeoutReply::NullArrayOrNull);
    }
    txn.effect(&[b"RPOPLPUSH", source, target]);
    Ok(Outcome::Done)
}

const BLPOP: Command = Command::data("blpop", Group::List, blpop)
    .arity(-3)
    .flags(WRITE | NOSCRIPT | BLOCKING)
    .keys(&[Key::range(1, -2, 1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("2.0.0")
    .cost("O(N) where N is the number of provided keys.")
    .summary("Removes the first element of the first list that has any; waits for one if none has.")
    .syntax("key:k... timeout:d");

fn blpop(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop_first(txn, args, reply, End::Left)
}

const BRPOP: Command = Command::data("brpop", Group::List, brpop)
    .arity(-3)
    .flags(WRITE | NOSCRIPT | BLOCKING)
    .keys(&[Key::range(1, -2, 1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("2.0.0")
    .cost("O(N) where N is the number of provided keys.")
    .summary("Removes the last element of the first list that has any; waits for one if none has.")
    .syntax("key:k... timeout:d");

fn brpop(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop_first(txn, args, reply, End::Right)
}

fn pop_first(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, end: End) -> Run {
    let keys = args.take(args.left() - 1)?;
    let timeout = args.timeout_seconds()?;
    for key in keys {
        if !txn.considers(key, ValueType::List) {
            continue;
        }
        let Some(list) = txn.list_mut(key)? else { continue };
        reply.array(2);
        reply.bulk(key);
        if let Some(element) = list.peek(end) {
            reply.bulk(&element);
        }
        list.drop_end(end);
        popped_from(txn, key, end, 1);
        txn.effect(&[if end == End::Left { b"LPOP" } else { b"RPOP" }, key]);
        return Ok(Outcome::Done);
    }
    wait_for(txn, keys, timeout, TimeoutReply::NullArray)
}

/// The keys, the end and the count of LMPOP and BLMPOP.
fn multi_pop_args<'a>(args: &mut Args<'a>) -> Result<(&'a [&'a [u8]], End, usize), Fault> {
    let numkeys = args.integer_in(1..=i64::MAX, "numkeys should be greater than 0")?;
    let keys = args.take(usize::try_from(numkeys).map_err(|_| Fault::Syntax)?)?;
    let end = end(args.bytes()?)?;
    let mut count = None;
    while args.left() > 0 {
        if count.is_some() || !args.word("COUNT") {
            return Err(Fault::Syntax);
        }
        count = Some(args.integer_in(1..=i64::MAX, "count should be greater than 0")? as usize);
    }
    Ok((keys, end, count.unwrap_or(1)))
}

/// Pops from the first of these lists that has elements; says whether one has.
fn pop_from_first(
    txn: &mut Txn<'_>,
    keys: &[&[u8]],
    end: End,
    count: usize,
    reply: &mut Reply<'_>,
) -> Result<bool, Fault> {
    for key in keys {
        if !txn.considers(key, ValueType::List) {
            continue;
        }
        let Some(list) = txn.list_mut(key)? else { continue };
        reply.array(2);
        reply.bulk(key);
        let popped = pop_many(list, end, count, reply);
        popped_from(txn, key, end, popped);
        let verb: &[u8] = if end == End::Left { b"LPOP" } else { b"RPOP" };
        txn.effect(&[verb, key, Digits::of(popped as i64).as_bytes()]);
        return Ok(true);
    }
    Ok(false)
}

const LMPOP: Command = Command::data("lmpop", Group::List, lmpop)
    .arity(-4)
    .flags(WRITE)
    .keys(&[Key::counted(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("7.0.0")
    .cost("O(N+M)")
    .summary("Removes elements from the first list that has any.")
    .syntax("numkeys:i key:k... where=(left/LEFT|right/RIGHT) [count:i/COUNT]");

fn lmpop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (keys, end, count) = multi_pop_args(&mut args)?;
    if !pop_from_first(txn, keys, end, count, reply)? {
        reply.null_array();
    }
    Ok(Outcome::Done)
}

const BLMPOP: Command = Command::data("blmpop", Group::List, blmpop)
    .arity(-5)
    .flags(WRITE | BLOCKING)
    .keys(&[Key::counted(2, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("7.0.0")
    .cost("O(N+M)")
    .summary("Removes elements from the first list that has any; waits for one if none has.")
    .syntax("timeout:d numkeys:i key:k... where=(left/LEFT|right/RIGHT) [count:i/COUNT]");

fn blmpop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    // The time-out stands first and is checked last.
    let mut at_timeout = args;
    args.bytes()?;
    let (keys, end, count) = multi_pop_args(&mut args)?;
    let timeout = at_timeout.timeout_seconds()?;
    if pop_from_first(txn, keys, end, count, reply)? {
        return Ok(Outcome::Done);
    }
    wait_for(txn, keys, timeout, TimeoutReply::NullArray)
}
