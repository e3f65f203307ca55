//! Sets: members, and what several sets have in common. Random members are in [`super::set_random`].

use super::prelude::*;
use super::scan::Walk;
use crate::hash::HashKey;
use crate::keyspace::Value;
use crate::txn::Expiry;
use crate::types::Thresholds;
use crate::types::set::Set;

pub(super) const ROWS: &[Command] = &[
    SADD,
    SREM,
    SMOVE,
    SCARD,
    SISMEMBER,
    SMISMEMBER,
    SMEMBERS,
    SSCAN,
    SINTER,
    SUNION,
    SDIFF,
    SINTERSTORE,
    SUNIONSTORE,
    SDIFFSTORE,
    SINTERCARD,
];

const SADD: Command = Command::data("sadd", Group::Set, sadd)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1) for each element added")
    .summary("Adds members to a set.")
    .syntax("key:k member:s...");

fn sadd(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (limits, hash_key) = txn.table_setup();
    let set = txn.set_or_new(key)?;
    let added = args.rest().iter().filter(|member| set.insert(member, &limits, hash_key)).count();
    if added > 0 {
        txn.changed(key, EventClass::Set, "sadd");
        txn.changed_more(added - 1);
    }
    reply.count(added);
    Ok(Outcome::Done)
}

const SREM: Command = Command::data("srem", Group::Set, srem)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the number of members to be removed.")
    .summary("Removes members of a set.")
    .syntax("key:k member:s...");

fn srem(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(set) = txn.set_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let removed = args.rest().iter().filter(|member| set.remove(member)).count();
    if removed > 0 {
        txn.changed(key, EventClass::Set, "srem");
        txn.changed_more(removed - 1);
        txn.drop_if_empty(key);
    }
    reply.count(removed);
    Ok(Outcome::Done)
}

const SMOVE: Command = Command::data("smove", Group::Set, smove)
    .arity(4)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::RW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Moves a member from one set to another.")
    .syntax("source:k destination:k#1 member:s");

fn smove(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (source, target, member) = (args.key()?, args.key()?, args.bytes()?);
    let (limits, hash_key) = txn.table_setup();
    if txn.set_mut(source)?.is_none() {
        // If its date has passed, it goes now: both keys were looked for.
        txn.entry(target);
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    txn.set_mut(target)?; // Only its type matters here.
    let Some(set) = txn.set_mut(source)? else { return Ok(Outcome::Done) };
    if source == target {
        reply.flag(set.contains(member));
        return Ok(Outcome::Done);
    }
    let moved = set.remove(member);
    if moved {
        txn.changed(source, EventClass::Set, "srem");
        txn.drop_if_empty(source);
        if txn.set_or_new(target)?.insert(member, &limits, hash_key) {
            txn.changed(target, EventClass::Set, "sadd");
        }
    }
    reply.flag(moved);
    Ok(Outcome::Done)
}

const SCARD: Command = Command::data("scard", Group::Set, scard)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns the number of members of a set.")
    .syntax("key:k");

fn scard(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.count(txn.set(key)?.map_or(0, Set::len));
    Ok(Outcome::Done)
}

const SISMEMBER: Command = Command::data("sismember", Group::Set, sismember)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Says whether a set has a member.")
    .syntax("key:k member:s");

fn sismember(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, member) = (args.key()?, args.bytes()?);
    reply.flag(txn.set(key)?.is_some_and(|set| set.contains(member)));
    Ok(Outcome::Done)
}

const SMISMEMBER: Command = Command::data("smismember", Group::Set, smismember)
    .arity(-3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N) where N is the number of elements being checked for membership")
    .summary("Says of each of several members whether a set has it.")
    .syntax("key:k member:s...");

fn smismember(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let set = txn.set(key)?;
    let members = args.rest();
    reply.array(members.len());
    members.iter().for_each(|member| reply.flag(set.is_some_and(|set| set.contains(member))));
    Ok(Outcome::Done)
}

const SMEMBERS: Command = Command::data("smembers", Group::Set, smembers)
    .arity(2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N) where N is the set cardinality.")
    .summary("Returns all members of a set.")
    .syntax("key:k")
    .tips(&["nondeterministic_output_order"]);

fn smembers(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(set) = txn.set(key)? else {
        reply.set(0);
        return Ok(Outcome::Done);
    };
    reply.set(set.len());
    set.iter().for_each(|member| reply.bulk(&member));
    Ok(Outcome::Done)
}

const SSCAN: Command = Command::data("sscan", Group::Set, sscan)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.0")
    .cost("O(1) for every call")
    .summary("Walks over the members of a set.")
    .syntax("key:k cursor:i [pattern:p/MATCH] [count:i/COUNT]")
    .tips(&["nondeterministic_output"]);

fn sscan(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let mut walk = Walk::cursor(&mut args)?;
    let Some(set) = txn.set(key)? else {
        Walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    walk.options(&mut args, false, None)?;
    let mut members = Vec::new();
    let cursor = walk.run(|position| {
        let mut seen = 0;
        let next = set.walk(position, |member| {
            seen += 1;
            if walk.accepts(&member) {
                members.push(member.to_vec());
            }
        });
        (next, seen)
    });
    Walk::reply(cursor, &members, reply);
    Ok(Outcome::Done)
}

/// How sets are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combination {
    Union,
    Intersection,
    Difference,
}

impl Combination {
    fn event(self) -> &'static str {
        match self {
            Self::Union => "sunionstore",
            Self::Intersection => "sinterstore",
            Self::Difference => "sdiffstore",
        }
    }

    /// The combination of these sets, stopping at `limit` members.
    fn of(self, sets: &[Option<&Set>], limit: usize, (limits, key): (Thresholds, HashKey)) -> Set {
        let mut result = Set::new();
        let mut add = |member: &[u8]| {
            result.insert(member, &limits, key);
            result.len() < limit
        };
        match self {
            Self::Union => {
                sets.iter().flatten().for_each(|set| {
                    set.iter().for_each(|member| {
                        add(&member);
                    });
                });
            }
            Self::Intersection => {
                let smallest =
                    sets.iter().map(|set| set.map_or(0, Set::len)).enumerate().min_by_key(|&(_, len)| len);
                if let Some((at, _)) = smallest
                    && let Some(set) = sets[at]
                {
                    let in_all = |member: &[u8]| {
                        sets.iter()
                            .enumerate()
                            .all(|(n, set)| n == at || set.is_some_and(|set| set.contains(member)))
                    };
                    set.iter().filter(|member| in_all(member)).all(|member| add(&member));
                }
            }
            Self::Difference => {
                if let Some((Some(first), others)) = sets.split_first() {
                    let in_others = |member: &[u8]| others.iter().flatten().any(|set| set.contains(member));
                    first.iter().filter(|member| !in_others(member)).all(|member| add(&member));
                }
            }
        }
        result
    }
}

/// Combines the sets at these keys.
fn combine(txn: &mut Txn<'_>, how: Combination, keys: &[&[u8]], limit: usize) -> Result<Set, Fault> {
    for key in keys {
        txn.set(key)?;
    }
    let setup = txn.table_setup();
    let sets: Vec<Option<&Set>> = keys.iter().map(|key| txn.peek_set(key)).collect();
    Ok(how.of(&sets, limit, setup))
}

fn reply_combined(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, how: Combination) -> Run {
    let result = combine(txn, how, args.rest(), usize::MAX)?;
    reply.set(result.len());
    result.iter().for_each(|member| reply.bulk(&member));
    Ok(Outcome::Done)
}

fn store_combined(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, how: Combination) -> Run {
    let target = args.key()?;
    let result = combine(txn, how, args.rest(), usize::MAX)?;
    let len = result.len();
    if len > 0 {
        txn.entry(target);
        txn.put_value(target, Value::Set(result), Expiry::Never);
        txn.changed(target, EventClass::Set, how.event());
    } else if txn.exists(target) {
        txn.discard(target);
        txn.changed(target, EventClass::Generic, "del");
    }
    reply.count(len);
    Ok(Outcome::Done)
}

const SINTER: Command = Command::data("sinter", Group::Set, sinter)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::range(1, -1, 1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N*M) worst case")
    .summary("Returns the members that all sets have.")
    .syntax("key:k...")
    .tips(&["nondeterministic_output_order"]);

fn sinter(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Intersection)
}

const SUNION: Command = Command::data("sunion", Group::Set, sunion)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::range(1, -1, 1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N) where N is the total number of elements in all given sets.")
    .summary("Returns the members that any of the sets has.")
    .syntax("key:k...")
    .tips(&["nondeterministic_output_order"]);

fn sunion(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Union)
}

const SDIFF: Command = Command::data("sdiff", Group::Set, sdiff)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::range(1, -1, 1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N) where N is the total number of elements in all given sets.")
    .summary("Returns the members of the first set that are in none of the others.")
    .syntax("key:k...")
    .tips(&["nondeterministic_output_order"]);

fn sdiff(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Difference)
}

const SINTERSTORE: Command = Command::data("sinterstore", Group::Set, sinterstore)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE), Key::range(2, -1, 1, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N*M) worst case")
    .summary("Stores the members that all sets have.")
    .syntax("destination:k key:k...#1");

fn sinterstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Intersection)
}

const SUNIONSTORE: Command = Command::data("sunionstore", Group::Set, sunionstore)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::range(2, -1, 1, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the total number of elements in all given sets.")
    .summary("Stores the members that any of the sets has.")
    .syntax("destination:k key:k...#1");

fn sunionstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Union)
}

const SDIFFSTORE: Command = Command::data("sdiffstore", Group::Set, sdiffstore)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::range(2, -1, 1, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the total number of elements in all given sets.")
    .summary("Stores the members of the first set that are in none of the others.")
    .syntax("destination:k key:k...#1");

fn sdiffstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Difference)
}

const SINTERCARD: Command = Command::data("sintercard", Group::Set, sintercard)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::counted(1, Key::RO | Key::ACCESS)])
    .since("7.0.0")
    .cost("O(N*M) worst case")
    .summary("Returns how many members all sets have.")
    .syntax("numkeys:i key:k... [limit:i/LIMIT]");

fn sintercard(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let numkeys = args.integer_in(1..=i64::MAX, "numkeys should be greater than 0")?;
    if numkeys > args.left() as i64 {
        return Err(Fault::other("Number of keys can't be greater than number of args"));
    }
    let keys = args.take(numkeys as usize)?;
    let limit = intersection_limit(&mut args)?;
    reply.count(combine(txn, Combination::Intersection, keys, limit)?.len());
    Ok(Outcome::Done)
}

/// The only option of SINTERCARD and ZINTERCARD.
pub(super) fn intersection_limit(args: &mut Args<'_>) -> Result<usize, Fault> {
    let mut limit = 0;
    while args.left() > 0 {
        if !args.word("LIMIT") || args.left() == 0 {
            return Err(Fault::Syntax);
        }
        limit = args.integer_in(0..=i64::MAX, "LIMIT can't be negative")?;
    }
    Ok(if limit == 0 { usize::MAX } else { limit as usize })
}
