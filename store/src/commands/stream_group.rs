//! Consumer groups: XGROUP, XPENDING, and acknowledging: XACK, XACKDEL, XDELEX.

use super::help::wrong_form;
use super::prelude::*;
use super::stream::{id_or_end, range_end, range_start, stream_id, stream_ids, write_id};
use super::stream_read::no_group;
use crate::keyspace::Value;
use crate::number::parse_i64;
use crate::txn::Expiry;
use crate::types::stream::{Group as ConsumerGroup, Stream, StreamId};

pub(super) const ROWS: &[Command] = &[XGROUP, XPENDING, XACK, XACKDEL, XDELEX];

const XGROUP: Command = Command::container(
    "xgroup",
    Group::Stream,
    &[XGROUP_CREATE, XGROUP_SETID, XGROUP_DESTROY, XGROUP_CREATECONSUMER, XGROUP_DELCONSUMER],
)
.since("5.0.0")
.summary("A container for commands about consumer groups.");

const XGROUP_CREATE: Command = Command::data("create", Group::Stream, xgroup_create)
    .arity(-5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(2, Key::RW | Key::INSERT)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1)")
    .summary("Creates a consumer group.")
    .syntax("key:k groupname:s id=(ID:s|new_id/\"$\") [mkstream/MKSTREAM] [entries_read:i/ENTRIESREAD]");

/// The options of XGROUP CREATE and SETID: MKSTREAM, and how many entries were read.
fn group_options(mut args: Args<'_>, creating: bool) -> Result<(bool, Option<u64>), Fault> {
    let all = args.all();
    let (mut make, mut read) = (false, None);
    while args.left() > 0 {
        if creating && args.word("MKSTREAM") {
            make = true;
        } else if args.left() > 1 && args.word("ENTRIESREAD") {
            let count = parse_i64(args.bytes()?).ok_or(Fault::NotInteger)?;
            if count < -1 {
                return Err(Fault::other("value for ENTRIESREAD must be positive or -1"));
            }
            read = u64::try_from(count).ok();
        } else {
            return Err(wrong_form(all));
        }
    }
    Ok((make, read))
}

/// The stream that XGROUP works on.
fn stream_of<'t>(txn: &'t mut Txn<'_>, key: &[u8]) -> Result<&'t mut Stream, Fault> {
    txn.stream_mut(key)?.ok_or_else(|| {
        Fault::other(
            "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
             MKSTREAM option to create an empty stream automatically.",
        )
    })
}

/// The error for a group that is not there, in the words of XGROUP and XINFO.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> Fault {
    Fault::RawCoded([b"NOGROUP No such consumer group '", group, b"' for key name '", key, b"'"].concat())
}

fn group_of<'t>(txn: &'t mut Txn<'_>, key: &[u8], group: &[u8]) -> Result<&'t mut ConsumerGroup, Fault> {
    stream_of(txn, key)?.group_mut(group).ok_or_else(|| no_such_group(key, group))
}

fn xgroup_create(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name, id) = (args.key()?, args.bytes()?, args.bytes()?);
    let too_many = args.left() > 3;
    let (make, read) = group_options(args, true)?;
    if txn.stream_mut(key)?.is_none() && make {
        if too_many {
            return Err(wrong_form(args.all()));
        }
        if id != b"$" {
            stream_id(id, 0)?;
        }
        txn.put_value(key, Value::Stream(Box::default()), Expiry::Never);
        txn.signal(key);
    }
    let stream = stream_of(txn, key)?;
    if too_many {
        return Err(wrong_form(args.all()));
    }
    let id = if id == b"$" { stream.last } else { stream_id(id, 0)? };
    if !stream.add_group(name, ConsumerGroup::new(id, read)) {
        return Err(Fault::coded("BUSYGROUP Consumer Group name already exists"));
    }
    txn.changed_quietly(key, EventClass::Stream, "xgroup-create");
    reply.ok();
    Ok(Outcome::Done)
}

const XGROUP_SETID: Command = Command::data("setid", Group::Stream, xgroup_setid)
    .arity(-5)
    .flags(WRITE)
    .keys(&[Key::at(2, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1)")
    .summary("Sets how far a consumer group has read.")
    .syntax("key:k groupname:s id=(ID:s|new_id/\"$\") [entries_read:i/ENTRIESREAD]");

fn xgroup_setid(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name, id) = (args.key()?, args.bytes()?, args.bytes()?);
    let too_many = args.left() > 2;
    let (_, read) = group_options(args, false)?;
    let stream = stream_of(txn, key)?;
    let last = stream.last;
    let group = stream.group_mut(name).ok_or_else(|| no_such_group(key, name))?;
    if too_many {
        return Err(wrong_form(args.all()));
    }
    group.last = if id == b"$" { last } else { id_or_end(id, 0)? };
    group.read = read;
    txn.changed_quietly(key, EventClass::Stream, "xgroup-setid");
    reply.ok();
    Ok(Outcome::Done)
}

const XGROUP_DESTROY: Command = Command::data("destroy", Group::Stream, xgroup_destroy)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(2, Key::RW | Key::DELETE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(N) where N is the number of entries in the group's pending entries list (PEL).")
    .summary("Destroys a consumer group.")
    .syntax("key:k groupname:s");

fn xgroup_destroy(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name) = (args.key()?, args.bytes()?);
    let removed = stream_of(txn, key)?.remove_group(name);
    if removed {
        txn.changed_quietly(key, EventClass::Stream, "xgroup-destroy");
        // Whoever waits for entries in this group waits in vain, and is told.
        txn.signal(key);
    }
    reply.flag(removed);
    Ok(Outcome::Done)
}

const XGROUP_CREATECONSUMER: Command = Command::data("createconsumer", Group::Stream, xgroup_createconsumer)
    .arity(5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(2, Key::RW | Key::INSERT)])
    .verbatim()
    .since("6.2.0")
    .cost("O(1)")
    .summary("Creates a consumer in a group.")
    .syntax("key:k groupname:s consumername:s");

fn xgroup_createconsumer(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name, consumer) = (args.key()?, args.bytes()?, args.bytes()?);
    let now_ms = txn.now().wall_ms();
    let (_, created) = group_of(txn, key, name)?.find_or_create(consumer, now_ms);
    if created {
        txn.changed_quietly(key, EventClass::Stream, "xgroup-createconsumer");
    }
    reply.flag(created);
    Ok(Outcome::Done)
}

const XGROUP_DELCONSUMER: Command = Command::data("delconsumer", Group::Stream, xgroup_delconsumer)
    .arity(5)
    .flags(WRITE)
    .keys(&[Key::at(2, Key::RW | Key::DELETE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1)")
    .summary("Removes a consumer from a group, with all that it has not acknowledged.")
    .syntax("key:k groupname:s consumername:s");

fn xgroup_delconsumer(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name, consumer) = (args.key()?, args.bytes()?, args.bytes()?);
    let removed = group_of(txn, key, name)?.remove_consumer(consumer);
    if removed.is_some() {
        txn.changed_quietly(key, EventClass::Stream, "xgroup-delconsumer");
    }
    reply.count(removed.unwrap_or(0));
    Ok(Outcome::Done)
}

const XPENDING: Command = Command::data("xpending", Group::Stream, xpending)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.")
    .summary("Returns the entries that consumers of a group got and have not acknowledged.")
    .syntax("key:k group:s [filters={[min-idle-time:i/IDLE@6.2.0] start:s end:s count:i [consumer:s]}]")
    .tips(&["nondeterministic_output"]);

/// Which pending entries are asked for.
struct Filter<'a> {
    min_idle_ms: u64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn read(args: &mut Args<'a>) -> Result<Option<Self>, Fault> {
        if args.left() == 0 {
            return Ok(None);
        }
        if !(3..=6).contains(&args.left()) {
            return Err(Fault::Syntax);
        }
        let mut min_idle_ms = 0;
        if args.word("IDLE") {
            min_idle_ms = u64::try_from(args.integer()?).unwrap_or(0);
            if args.left() < 3 {
                return Err(Fault::Syntax);
            }
        }
        let (start, end) = (args.bytes()?, args.bytes()?);
        let count = usize::try_from(args.integer()?).unwrap_or(0);
        let (start, end) = (range_start(start)?, range_end(end)?);
        let consumer = if args.left() > 0 { Some(args.bytes()?) } else { None };
        Ok(Some(Self { min_idle_ms, start, end, count, consumer }))
    }
}

fn xpending(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name) = (args.key()?, args.bytes()?);
    let filter = Filter::read(&mut args)?;
    let now_ms = txn.now().wall_ms();
    let stream = txn.stream(key)?;
    let group = stream.and_then(|stream| stream.group(name)).ok_or_else(|| no_group(key, name))?;
    let Some(filter) = filter else {
        summary(group, reply);
        return Ok(Outcome::Done);
    };
    let consumer = match filter.consumer.map(|name| group.find(name)) {
        Some(None) => {
            reply.array(0);
            return Ok(Outcome::Done);
        }
        Some(Some(id)) => group.consumer(id),
        None => None,
    };
    let range = filter.start..=filter.end;
    let entries: Box<dyn Iterator<Item = _>> = match consumer {
        Some(consumer) => Box::new(group.pending_of(consumer, range).into_iter()),
        None => Box::new(group.pending_in(range)),
    };
    let idle_ms = |delivered_ms: u64| now_ms.saturating_sub(delivered_ms);
    let entries = entries.filter(|(_, pending)| idle_ms(pending.delivered_ms) >= filter.min_idle_ms);
    reply.counted_array(|reply| {
        let entries = entries.take(filter.count).inspect(|(id, pending)| {
            reply.array(4);
            write_id(*id, reply);
            reply.bulk(group.owner(*pending));
            reply.integer(idle_ms(pending.delivered_ms) as i64);
            reply.integer(pending.deliveries as i64);
        });
        entries.count()
    });
    Ok(Outcome::Done)
}

fn summary(group: &ConsumerGroup, reply: &mut Reply<'_>) {
    reply.array(4);
    reply.count(group.pending_len());
    let Some((first, last)) = group.pending_ends() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(first, reply);
    write_id(last, reply);
    let owners = group.consumers().filter(|consumer| consumer.pending_len() > 0);
    reply.counted_array(|reply| {
        let owners = owners.inspect(|consumer| {
            reply.array(2);
            reply.bulk(consumer.name());
            reply.bulk_integer(consumer.pending_len() as i64);
        });
        owners.count()
    });
}

const XACK: Command = Command::data("xack", Group::Stream, xack)
    .arity(-4)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1) for each message ID processed.")
    .summary("Acknowledges entries; returns how many were pending.")
    .syntax("key:k group:s ID:s...");

fn xack(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name, ids) = (args.key()?, args.bytes()?, args.rest());
    let Some(group) = txn.stream_mut(key)?.and_then(|stream| stream.group_mut(name)) else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let ids = stream_ids(ids)?;
    let acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
    txn.changed_more(acknowledged);
    reply.count(acknowledged);
    Ok(Outcome::Done)
}

/// What deleting an entry does to the groups that still refer to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum References {
    /// They keep referring to it.
    Keep,
    /// They forget it.
    Delete,
    /// Only what all groups have read and acknowledged is deleted.
    Acknowledged,
}

impl References {
    /// Reads the policy, the word IDS, and the IDs.
    fn read(args: &mut Args<'_>) -> Result<(Self, Vec<StreamId>), Fault> {
        let words = [("KEEPREF", Self::Keep), ("DELREF", Self::Delete), ("ACKED", Self::Acknowledged)];
        let found = words.into_iter().find(|(word, _)| args.word(word));
        let policy = found.map_or(Self::Keep, |(_, policy)| policy);
        if !args.word("IDS") {
            return Err(Fault::Syntax);
        }
        let count = args.integer_in(1..=i64::MAX, "Number of IDs must be a positive integer")?;
        if usize::try_from(count) != Ok(args.left()) {
            return Err(Fault::other("The `numids` parameter must match the number of arguments"));
        }
        Ok((policy, stream_ids(args.rest())?))
    }

    /// Deletes an entry if the policy allows it; says what became of it.
    fn apply(self, stream: &mut Stream, id: StreamId) -> Fate {
        if stream.get(id).is_none() {
            return Fate::Absent;
        }
        let referred = |group: &ConsumerGroup| group.last < id || group.pending(id).is_some();
        if self == Self::Acknowledged && stream.groups().any(|(_, group)| referred(group)) {
            return Fate::Kept;
        }
        if self == Self::Delete {
            stream.groups_mut().for_each(|group| {
                group.acknowledge(id);
            });
        }
        stream.delete(&[id]);
        Fate::Deleted
    }
}

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Absent,
    Deleted,
    Kept,
}

impl Fate {
    fn number(self) -> i64 {
        match self {
            Self::Absent => -1,
            Self::Deleted => 1,
            Self::Kept => 2,
        }
    }
}

const XACKDEL: Command = Command::data("xackdel", Group::Stream, xackdel)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("8.2.0")
    .cost("O(1) for each entry ID processed.")
    .summary("Acknowledges entries in a group and deletes them, as far as other groups allow it.")
    .syntax(
        "key:k group:s [condition=(keepref/KEEPREF|delref/DELREF|acked/ACKED)] ids={numids:i ID:s...}/IDS",
    );

fn xackdel(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name) = (args.key()?, args.bytes()?);
    let (policy, ids) = References::read(&mut args)?;
    let stream = txn.stream_mut(key)?;
    reply.array(ids.len());
    let Some(stream) = stream.filter(|stream| stream.group(name).is_some()) else {
        ids.iter().for_each(|_| reply.integer(Fate::Absent.number()));
        return Ok(Outcome::Done);
    };
    let (mut acknowledged, mut deleted) = (0, 0);
    for id in ids {
        if !stream.group_mut(name).is_some_and(|group| group.acknowledge(id)) {
            reply.integer(Fate::Absent.number());
            continue;
        }
        acknowledged += 1;
        // What is gone already counts as deleted: nothing is left to do for the caller.
        let fate = match policy.apply(stream, id) {
            Fate::Kept => Fate::Kept,
            Fate::Deleted | Fate::Absent => Fate::Deleted,
        };
        deleted += usize::from(fate == Fate::Deleted);
        reply.integer(fate.number());
    }
    txn.changed_more(acknowledged);
    if deleted > 0 {
        txn.changed(key, EventClass::Stream, "xdel");
    }
    Ok(Outcome::Done)
}

const XDELEX: Command = Command::data("xdelex", Group::Stream, xdelex)
    .arity(-5)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("8.2.0")
    .cost("O(1) for each entry ID processed.")
    .summary("Deletes entries from a stream, as far as consumer groups allow it.")
    .syntax("key:k [condition=(keepref/KEEPREF|delref/DELREF|acked/ACKED)] ids={numids:i ID:s...}/IDS");

fn xdelex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (policy, ids) = References::read(&mut args)?;
    let stream = txn.stream_mut(key)?;
    reply.array(ids.len());
    let Some(stream) = stream else {
        ids.iter().for_each(|_| reply.integer(Fate::Absent.number()));
        return Ok(Outcome::Done);
    };
    let fates: Vec<Fate> = ids.iter().map(|id| policy.apply(stream, *id)).collect();
    fates.iter().for_each(|fate| reply.integer(fate.number()));
    let deleted = fates.iter().filter(|fate| **fate == Fate::Deleted).count();
    if deleted > 0 {
        txn.changed(key, EventClass::Stream, "xdel");
        txn.changed_more(deleted - 1);
    }
    Ok(Outcome::Done)
}
