//! Keys, whatever they hold: existence, names, copies, walks.

use super::prelude::*;
use super::scan::Walk;
use crate::glob;
use crate::keyspace::Value;
use crate::number::parse_i64;
use crate::table::Keyed;
use crate::txn::Expiry;

pub(super) const ROWS: &[Command] = &[
    DEL, UNLINK, EXISTS, TOUCH, TYPE, KEYS, SCAN, RANDOMKEY, RENAME, RENAMENX, MOVE, COPY, DBSIZE, FLUSHDB,
    FLUSHALL, SWAPDB,
];

/// Random draws before RANDOMKEY gives up finding a key that is not past its date.
const RANDOM_TRIES: usize = 100;

const DEL: Command = Command::data("del", Group::Generic, del)
    .arity(-2)
    .flags(WRITE)
    .keys(&[Key::range(1, -1, 1, Key::RM | Key::DELETE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(N)")
    .summary("Deletes keys.")
    .syntax("key:k...")
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]);

fn del(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let deleted = args.rest().iter().filter(|key| delete(txn, key)).count();
    if !txn.data.limits.frees_deleted_aside {
        txn.data.keyspace.free_now();
    }
    reply.count(deleted);
    Ok(Outcome::Done)
}

const UNLINK: Command = Command::data("unlink", Group::Generic, unlink)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::range(1, -1, 1, Key::RM | Key::DELETE)])
    .verbatim()
    .since("4.0.0")
    .cost("O(1) for each key removed regardless of its size")
    .summary("Deletes keys; their memory is freed later if that takes long.")
    .syntax("key:k...")
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]);

fn unlink(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let deleted = args.rest().iter().filter(|key| delete(txn, key)).count();
    reply.count(deleted);
    Ok(Outcome::Done)
}

fn delete(txn: &mut Txn<'_>, key: &[u8]) -> bool {
    let found = txn.exists(key);
    if found {
        txn.discard(key);
        txn.changed(key, EventClass::Generic, "del");
    }
    found
}

const EXISTS: Command = Command::data("exists", Group::Generic, exists)
    .arity(-2)
    .flags(READONLY | FAST)
    .keys(&[Key::range(1, -1, 1, Key::RO)])
    .since("1.0.0")
    .cost("O(N) where N is the number of keys to check.")
    .summary("Counts how many of several keys exist.")
    .syntax("key:k...")
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]);

fn exists(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(args.rest().iter().filter(|key| txn.entry_for_looking(key).is_some()).count());
    Ok(Outcome::Done)
}

const TOUCH: Command = Command::data("touch", Group::Generic, touch)
    .arity(-2)
    .flags(READONLY | FAST)
    .keys(&[Key::range(1, -1, 1, Key::RO)])
    .since("3.2.1")
    .cost("O(N) where N is the number of keys that will be touched.")
    .summary("Counts how many of several keys exist, and marks them as used.")
    .syntax("key:k...")
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]);

fn touch(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(args.rest().iter().filter(|key| txn.entry_for_reading(key).is_some()).count());
    Ok(Outcome::Done)
}

const TYPE: Command = Command::data("type", Group::Generic, type_of)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns the type of the value of a key.")
    .syntax("key:k");

fn type_of(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let found = txn.entry_for_looking(key).map(|entry| ValueType::of(entry.view()));
    reply.status(found.map_or("none", ValueType::name));
    Ok(Outcome::Done)
}

const KEYS: Command = Command::data("keys", Group::Generic, keys)
    .arity(2)
    .flags(READONLY)
    .categories(DANGEROUS)
    .since("1.0.0")
    .cost("O(N)")
    .summary("Returns all keys that match a pattern.")
    .syntax("pattern:p")
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"]);

fn keys(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let pattern = args.bytes()?;
    let now_ms = txn.now().wall_ms();
    let entries = txn.database().iter().filter(|entry| entry.expires_at().is_none_or(|date| date > now_ms));
    let matching = entries.map(Keyed::key).filter(|key| pattern == b"*" || glob::matches(pattern, key));
    reply.counted_array(|reply| matching.inspect(|key| reply.bulk(key)).count());
    Ok(Outcome::Done)
}

const SCAN: Command = Command::data("scan", Group::Generic, scan)
    .arity(-2)
    .flags(READONLY | TOUCHES_ARBITRARY_KEYS)
    .since("2.8.0")
    .cost("O(1) for every call")
    .summary("Walks over the keys of the database.")
    .syntax("cursor:i [pattern:p/MATCH] [count:i/COUNT] [type:s/TYPE@6.0.0]")
    .tips(&["nondeterministic_output", "request_policy:special"]);

fn scan(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut walk = Walk::cursor(&mut args)?;
    walk.options(&mut args, true, None)?;
    let now_ms = txn.now().wall_ms();
    let (mut found, mut expired) = (Vec::new(), Vec::new());
    let cursor = walk.run(|position| {
        let mut seen = 0;
        let next = txn.database().walk(position, |entry| {
            seen += 1;
            let key = entry.key();
            if !walk.accepts(key) {
                return;
            }
            let type_matches = walk.kind.is_none_or(|kind| is_word(kind, ValueType::of(entry.view()).name()));
            if entry.expires_at().is_some_and(|date| date <= now_ms) {
                expired.push(key.to_vec());
            } else if type_matches {
                found.push(key.to_vec());
            }
        });
        (next, seen)
    });
    expired.iter().for_each(|key| {
        txn.entry(key);
    });
    Walk::reply(cursor, &found, reply);
    Ok(Outcome::Done)
}

const RANDOMKEY: Command = Command::data("randomkey", Group::Generic, randomkey)
    .arity(1)
    .flags(READONLY | TOUCHES_ARBITRARY_KEYS)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns a random key.")
    .tips(&["request_policy:all_shards", "nondeterministic_output"]);

fn randomkey(txn: &mut Txn<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut rng = txn.rng().fork();
    for _ in 0..RANDOM_TRIES {
        let Some(key) = txn.database().sample(&mut rng).map(|entry| entry.key().to_vec()) else { break };
        if txn.exists(&key) {
            reply.bulk(&key);
            return Ok(Outcome::Done);
        }
    }
    reply.null();
    Ok(Outcome::Done)
}

const RENAME: Command = Command::data("rename", Group::Generic, rename)
    .arity(3)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::OW | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Renames a key; a key with the new name is replaced.")
    .syntax("key:k newkey:k#1");

fn rename(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (from, to) = (args.key()?, args.key()?);
    if !txn.exists(from) {
        return Err(Fault::NoSuchKey);
    }
    if from != to {
        txn.entry(to);
        move_key(txn, from, to);
    }
    reply.ok();
    Ok(Outcome::Done)
}

const RENAMENX: Command = Command::data("renamenx", Group::Generic, renamenx)
    .arity(3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE), Key::at(2, Key::OW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Renames a key if no key has the new name.")
    .syntax("key:k newkey:k#1");

fn renamenx(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (from, to) = (args.key()?, args.key()?);
    if !txn.exists(from) {
        return Err(Fault::NoSuchKey);
    }
    let free = from != to && !txn.exists(to);
    if free {
        move_key(txn, from, to);
    }
    reply.flag(free);
    Ok(Outcome::Done)
}

fn move_key(txn: &mut Txn<'_>, from: &[u8], to: &[u8]) {
    // What had the name is gone, and the key is new there.
    txn.discard(to);
    txn.move_value(from, txn.db(), to);
    txn.changed(from, EventClass::Generic, "rename_from");
    txn.signal(to);
    txn.event(to, EventClass::Generic, "rename_to");
}

fn db_index(txn: &Txn<'_>, text: &[u8], outside: &'static str) -> Result<usize, Fault> {
    let index = parse_i64(text).filter(|index| i32::try_from(*index).is_ok());
    let index = index.ok_or_else(|| {
        if parse_i64(text).is_some() {
            Fault::other("value is out of range, value must between -2147483648 and 2147483647")
        } else {
            Fault::NotInteger
        }
    })?;
    usize::try_from(index).ok().filter(|&index| index < txn.db_count()).ok_or_else(|| Fault::other(outside))
}

const MOVE: Command = Command::data("move", Group::Generic, move_to_db)
    .arity(3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Moves a key to another database.")
    .syntax("key:k db:i");

fn move_to_db(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, target) = (args.key()?, args.bytes()?);
    let target = db_index(txn, target, "DB index is out of range")?;
    if target == txn.db() {
        return Err(Fault::SameObject);
    }
    if txn.expires_at(key).is_none() || txn.in_db(target).exists(key) {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    txn.move_value(key, target, key);
    txn.changed(key, EventClass::Generic, "move_from");
    txn.in_db(target).signal(key);
    txn.in_db(target).event(key, EventClass::Generic, "move_to");
    reply.integer(1);
    Ok(Outcome::Done)
}

const COPY: Command = Command::data("copy", Group::Generic, copy)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS), Key::at(2, Key::OW | Key::UPDATE)])
    .verbatim()
    .since("6.2.0")
    .cost("O(N) worst case for collections")
    .summary("Copies a key with its value and expiry.")
    .syntax("source:k destination:k#1 [destination-db:i/DB] [replace/REPLACE]");

fn copy(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (from, to) = (args.key()?, args.key()?);
    let (mut target, mut replace) = (txn.db(), false);
    while args.left() > 0 {
        let word = args.bytes()?;
        if is_word(word, "REPLACE") {
            replace = true;
        } else if is_word(word, "DB") && args.left() > 0 {
            target = db_index(txn, args.bytes()?, "DB index is out of range")?;
        } else {
            return Err(Fault::Syntax);
        }
    }
    if target == txn.db() && from == to {
        return Err(Fault::SameObject);
    }
    let (limits, hash_key) = txn.table_setup();
    let Some(entry) = txn.entry_for_reading(from) else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let expiry = entry.expires_at().map_or(Expiry::Never, Expiry::At);
    let value = Value::duplicate(entry.view(), &limits, hash_key);
    let mut there = txn.in_db(target);
    if there.exists(to) && !replace {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    there.discard(to);
    there.put_value(to, value, expiry);
    there.changed(to, EventClass::Generic, "copy_to");
    reply.integer(1);
    Ok(Outcome::Done)
}

const DBSIZE: Command = Command::data("dbsize", Group::Server, dbsize)
    .arity(1)
    .flags(READONLY | FAST)
    .categories(KEYSPACE)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns the number of keys of the database.")
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"]);

fn dbsize(txn: &mut Txn<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(txn.database().len());
    Ok(Outcome::Done)
}

/// Reads the only option of FLUSHDB and FLUSHALL, which says whether memory may be freed later.
fn flush_option(txn: &Txn<'_>, args: &mut Args<'_>) -> Result<bool, Fault> {
    let aside = args.word("ASYNC") || !args.word("SYNC") && txn.data.limits.frees_flushed_aside;
    args.end()?;
    Ok(aside)
}

const FLUSHDB: Command = Command::data("flushdb", Group::Server, flushdb)
    .arity(-1)
    .flags(WRITE)
    .categories(KEYSPACE | DANGEROUS)
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the number of keys in the selected database")
    .summary("Deletes the keys of the database.")
    .syntax("[async=(async/ASYNC@4.0.0|sync/SYNC@6.2.0)]")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn flushdb(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let aside = flush_option(txn, &mut args)?;
    let removed = txn.flush(txn.db());
    if !aside {
        txn.data.keyspace.free_now();
    }
    // Counted as a change even if there was nothing: replicas may have something.
    txn.changed_more(removed.max(1));
    reply.ok();
    Ok(Outcome::Done)
}

const FLUSHALL: Command = Command::data("flushall", Group::Server, flushall)
    .arity(-1)
    .flags(WRITE)
    .categories(KEYSPACE | DANGEROUS)
    .verbatim()
    .since("1.0.0")
    .cost("O(N) where N is the total number of keys in all databases")
    .summary("Deletes the keys of all databases.")
    .syntax("[async=(async/ASYNC@4.0.0|sync/SYNC@6.2.0)]")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn flushall(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let aside = flush_option(txn, &mut args)?;
    let removed: usize = (0..txn.db_count()).map(|db| txn.flush(db)).sum();
    if !aside {
        txn.data.keyspace.free_now();
    }
    txn.changed_more(removed.max(1));
    txn.all_is_emptied();
    reply.ok();
    Ok(Outcome::Done)
}

const SWAPDB: Command = Command::data("swapdb", Group::Server, swapdb)
    .arity(3)
    .flags(WRITE | FAST)
    .categories(KEYSPACE | DANGEROUS)
    .verbatim()
    .since("4.0.0")
    .cost("O(N) where N is the count of clients watching or blocking on keys from both databases.")
    .summary("Exchanges two databases.")
    .syntax("index1:i index2:i");

fn swapdb(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut index = |text: &'static str| {
        let value = parse_i64(args.bytes()?).filter(|value| i32::try_from(*value).is_ok());
        value.ok_or_else(|| Fault::other(text))
    };
    let (a, b) = (index("invalid first DB index")?, index("invalid second DB index")?);
    let known = |index: i64| usize::try_from(index).ok().filter(|&index| index < txn.db_count());
    let (a, b) = (known(a).ok_or(Fault::DbIndex)?, known(b).ok_or(Fault::DbIndex)?);
    txn.swap(a, b);
    txn.changed_more(1);
    reply.ok();
    Ok(Outcome::Done)
}
