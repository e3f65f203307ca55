//! Lists: pushing, popping, reading, editing. Moving between lists and waiting is in [`super::list_wait`].

use super::prelude::*;
use super::ranges::index_range;
use crate::types::list::{End, List};

pub(super) const ROWS: &[Command] =
    &[LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LLEN, LINDEX, LSET, LINSERT, LRANGE, LTRIM, LREM, LPOS];

/// The events of an end.
pub(super) fn push_event(end: End) -> &'static str {
    if end == End::Left { "lpush" } else { "rpush" }
}

/// The events of an end.
pub(super) fn pop_event(end: End) -> &'static str {
    if end == End::Left { "lpop" } else { "rpop" }
}

const LPUSH: Command = Command::data("lpush", Group::List, lpush)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1) for each element added")
    .summary("Adds elements at the front of a list.")
    .syntax("key:k element:s...");

fn lpush(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    push(txn, args, reply, End::Left, false)
}

const RPUSH: Command = Command::data("rpush", Group::List, rpush)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1) for each element added")
    .summary("Adds elements at the end of a list.")
    .syntax("key:k element:s...");

fn rpush(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    push(txn, args, reply, End::Right, false)
}

const LPUSHX: Command = Command::data("lpushx", Group::List, lpushx)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("2.2.0")
    .cost("O(1) for each element added")
    .summary("Adds elements at the front of a list, if it exists.")
    .syntax("key:k element:s...");

fn lpushx(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    push(txn, args, reply, End::Left, true)
}

const RPUSHX: Command = Command::data("rpushx", Group::List, rpushx)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("2.2.0")
    .cost("O(1) for each element added")
    .summary("Adds elements at the end of a list, if it exists.")
    .syntax("key:k element:s...");

fn rpushx(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    push(txn, args, reply, End::Right, true)
}

fn push(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, end: End, only_old: bool) -> Run {
    let key = args.key()?;
    if only_old && txn.list_mut(key)?.is_none() {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    let list = txn.list_or_new(key)?;
    let elements = args.rest();
    elements.iter().for_each(|element| list.push(end, element));
    let len = list.len();
    txn.changed(key, EventClass::List, push_event(end));
    txn.changed_more(elements.len() - 1);
    reply.count(len);
    Ok(Outcome::Done)
}

const LPOP: Command = Command::data("lpop", Group::List, lpop)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the number of elements returned")
    .summary("Removes elements from the front of a list and returns them.")
    .syntax("key:k [count:i@6.2.0]");

fn lpop(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop(txn, args, reply, End::Left, "lpop")
}

const RPOP: Command = Command::data("rpop", Group::List, rpop)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the number of elements returned")
    .summary("Removes elements from the end of a list and returns them.")
    .syntax("key:k [count:i@6.2.0]");

fn rpop(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    pop(txn, args, reply, End::Right, "rpop")
}

fn pop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, end: End, command: &'static str) -> Run {
    let key = args.key()?;
    if args.left() > 1 {
        return Err(Fault::Arity(command.into()));
    }
    let count = if args.left() == 1 { Some(args.positive()? as usize) } else { None };
    match (txn.list_mut(key)?, count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.null_array(),
        (Some(_), Some(0)) => reply.array(0),
        (Some(list), Some(count)) => {
            let popped = pop_many(list, end, count, reply);
            popped_from(txn, key, end, popped);
        }
        (Some(list), None) => {
            if let Some(element) = list.peek(end) {
                reply.bulk(&element);
            }
            list.drop_end(end);
            popped_from(txn, key, end, 1);
        }
    }
    Ok(Outcome::Done)
}

/// Replies with up to `count` elements of an end and removes them; returns how many that were.
pub(super) fn pop_many(list: &mut List, end: End, count: usize, reply: &mut Reply<'_>) -> usize {
    let count = count.min(list.len());
    reply.array(count);
    match end {
        End::Left => {
            list.iter_from(0).take(count).for_each(|element| reply.bulk(&element));
            list.remove_range(0, count);
        }
        End::Right => {
            list.iter_reversed().take(count).for_each(|element| reply.bulk(&element));
            list.remove_range(list.len() - count, count);
        }
    }
    count
}

/// Says that elements were removed, and removes the key with the last one.
pub(super) fn popped_from(txn: &mut Txn<'_>, key: &[u8], end: End, count: usize) {
    txn.changed(key, EventClass::List, pop_event(end));
    txn.changed_more(count.saturating_sub(1));
    txn.drop_if_empty(key);
}

const LLEN: Command = Command::data("llen", Group::List, llen)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns the length of a list.")
    .syntax("key:k");

fn llen(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.count(txn.list(key)?.map_or(0, List::len));
    Ok(Outcome::Done)
}

/// The index that a client means: negative ones count from the end.
fn resolve(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok()
}

const LINDEX: Command = Command::data("lindex", Group::List, lindex)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N)")
    .summary("Returns the element at an index of a list.")
    .syntax("key:k index:i");

fn lindex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(list) = txn.list(key)? else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let element = resolve(args.integer()?, list.len()).and_then(|index| list.get(index));
    reply.bulk_or_null(element.as_deref());
    Ok(Outcome::Done)
}

const LSET: Command = Command::data("lset", Group::List, lset)
    .arity(4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N)")
    .summary("Replaces the element at an index of a list.")
    .syntax("key:k index:i element:s");

fn lset(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let list = txn.list_mut(key)?.ok_or(Fault::NoSuchKey)?;
    let (index, element) = (args.integer()?, args.bytes()?);
    let index = resolve(index, list.len()).ok_or(Fault::IndexOutOfRange)?;
    if !list.set(index, element) {
        return Err(Fault::IndexOutOfRange);
    }
    txn.changed(key, EventClass::List, "lset");
    reply.ok();
    Ok(Outcome::Done)
}

const LINSERT: Command = Command::data("linsert", Group::List, linsert)
    .arity(5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("2.2.0")
    .cost("O(N)")
    .summary("Inserts an element before or after another one.")
    .syntax("key:k where=(before/BEFORE|after/AFTER) pivot:s element:s");

fn linsert(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, place, pivot, element) = (args.key()?, args.bytes()?, args.bytes()?, args.bytes()?);
    let behind = match () {
        () if is_word(place, "AFTER") => 1,
        () if is_word(place, "BEFORE") => 0,
        () => return Err(Fault::Syntax),
    };
    let Some(list) = txn.list_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let Some(index) = list.iter_from(0).position(|other| *other == *pivot) else {
        reply.integer(-1);
        return Ok(Outcome::Done);
    };
    list.insert(index + behind, element);
    let len = list.len();
    txn.changed(key, EventClass::List, "linsert");
    reply.count(len);
    Ok(Outcome::Done)
}

const LRANGE: Command = Command::data("lrange", Group::List, lrange)
    .arity(4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(S+N)")
    .summary("Returns the elements of a list between two indices.")
    .syntax("key:k start:i stop:i");

fn lrange(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    let Some(list) = txn.list(key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let range = index_range(start, stop, list.len());
    reply.array(range.len());
    list.iter_from(range.start).take(range.len()).for_each(|element| reply.bulk(&element));
    Ok(Outcome::Done)
}

const LTRIM: Command = Command::data("ltrim", Group::List, ltrim)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the number of elements to be removed by the operation.")
    .summary("Keeps the elements of a list between two indices and removes the others.")
    .syntax("key:k start:i stop:i");

fn ltrim(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    let Some(list) = txn.list_mut(key)? else {
        reply.ok();
        return Ok(Outcome::Done);
    };
    let len = list.len();
    let kept = index_range(start, stop, len);
    list.remove_range(kept.end, len - kept.end);
    list.remove_range(0, kept.start);
    if kept.is_empty() {
        let left = list.len();
        list.remove_range(0, left);
    }
    let removed = len - kept.len();
    if removed > 0 {
        txn.changed(key, EventClass::List, "ltrim");
        txn.changed_more(removed - 1);
    } else {
        txn.signal(key);
        txn.event(key, EventClass::List, "ltrim");
    }
    txn.drop_if_empty(key);
    reply.ok();
    Ok(Outcome::Done)
}

const LREM: Command = Command::data("lrem", Group::List, lrem)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N+M) where N is the length of the list and M is the number of elements removed.")
    .summary("Removes elements of a list by value.")
    .syntax("key:k count:i element:s");

fn lrem(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, count, element) = (args.key()?, args.integer()?, args.bytes()?);
    let Some(list) = txn.list_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let mut found: Vec<usize> = list
        .iter_from(0)
        .enumerate()
        .filter(|(_, other)| **other == *element)
        .map(|(index, _)| index)
        .collect();
    let surplus = found.len().saturating_sub(limit);
    if count < 0 {
        found.drain(..surplus);
    } else {
        found.truncate(limit);
    }
    // From the end, so that the indices before stay right.
    found.iter().rev().for_each(|&index| list.remove_range(index, 1));
    if !found.is_empty() {
        txn.changed(key, EventClass::List, "lrem");
        txn.changed_more(found.len() - 1);
        txn.drop_if_empty(key);
    }
    reply.count(found.len());
    Ok(Outcome::Done)
}

/// The options of LPOS.
struct Search {
    rank: i64,
    /// How many matches are wanted; 0 for all.
    count: Option<usize>,
    /// How many elements are looked at; 0 for all.
    maxlen: usize,
}

impl Search {
    fn read(args: &mut Args<'_>) -> Result<Self, Fault> {
        let mut search = Self { rank: 1, count: None, maxlen: 0 };
        while args.left() > 0 {
            let word = args.bytes()?;
            if args.left() == 0 {
                return Err(Fault::Syntax);
            }
            if is_word(word, "RANK") {
                search.rank = args.integer()?;
                if search.rank == i64::MIN {
                    return Err(Fault::OutOfRange);
                }
                if search.rank == 0 {
                    return Err(Fault::other(
                        "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list",
                    ));
                }
            } else if is_word(word, "COUNT") {
                search.count = Some(args.integer_in(0..=i64::MAX, "COUNT can't be negative")? as usize);
            } else if is_word(word, "MAXLEN") {
                search.maxlen = args.integer_in(0..=i64::MAX, "MAXLEN can't be negative")? as usize;
            } else {
                return Err(Fault::Syntax);
            }
        }
        Ok(search)
    }

    fn run(&self, list: &List, element: &[u8]) -> Vec<usize> {
        let limit = if self.maxlen == 0 { usize::MAX } else { self.maxlen };
        let wanted = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let skipped = self.rank.unsigned_abs() as usize - 1;
        let len = list.len();
        if self.rank > 0 {
            let all = list.iter_from(0).take(limit).enumerate();
            all.filter(|(_, other)| **other == *element).map(|(i, _)| i).skip(skipped).take(wanted).collect()
        } else {
            let all = list.iter_reversed().take(limit).enumerate();
            let found = all.filter(|(_, other)| **other == *element).map(|(i, _)| len - 1 - i);
            found.skip(skipped).take(wanted).collect()
        }
    }
}

const LPOS: Command = Command::data("lpos", Group::List, lpos)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.0.6")
    .cost("O(N)")
    .summary("Returns where an element stands in a list.")
    .syntax("key:k element:s [rank:i/RANK] [num-matches:i/COUNT] [len:i/MAXLEN]");

fn lpos(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, element) = (args.key()?, args.bytes()?);
    let search = Search::read(&mut args)?;
    let found = txn.list(key)?.map(|list| search.run(list, element)).unwrap_or_default();
    match (search.count, found.first()) {
        (Some(_), _) => {
            reply.array(found.len());
            found.iter().for_each(|&index| reply.count(index));
        }
        (None, Some(&index)) => reply.count(index),
        (None, None) => reply.null(),
    }
    Ok(Outcome::Done)
}
