//! XINFO: what is known about streams, their groups and consumers.

use super::help::wrong_form;
use super::prelude::*;
use super::stream::{write_entries, write_entry, write_id};
use super::stream_group::no_such_group;
use crate::types::stream::{Consumer, Group as ConsumerGroup, Stream, StreamId};

pub(super) const ROWS: &[Command] = &[XINFO];

/// Entries and pending entries shown by XINFO STREAM FULL, unless told otherwise.
const SHOWN: usize = 10;

const XINFO: Command =
    Command::container("xinfo", Group::Stream, &[XINFO_CONSUMERS, XINFO_GROUPS, XINFO_STREAM])
        .since("5.0.0")
        .summary("A container for commands that look into streams.");

const XINFO_CONSUMERS: Command = Command::data("consumers", Group::Stream, xinfo_consumers)
    .arity(4)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(1)")
    .summary("Lists the consumers of a group.")
    .syntax("key:k groupname:s")
    .tips(&["nondeterministic_output"]);

fn xinfo_consumers(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, name) = (args.key()?, args.bytes()?);
    let now_ms = txn.now().wall_ms();
    let stream = txn.stream(key)?.ok_or(Fault::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| no_such_group(key, name))?;
    reply.array(group.consumers_len());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.count(consumer.pending_len());
        reply.bulk(b"idle");
        reply.integer(now_ms.saturating_sub(consumer.seen_ms) as i64);
        reply.bulk(b"inactive");
        reply.integer(consumer.active_ms.map_or(-1, |active_ms| now_ms.saturating_sub(active_ms) as i64));
    }
    Ok(Outcome::Done)
}

const XINFO_GROUPS: Command = Command::data("groups", Group::Stream, xinfo_groups)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(1)")
    .summary("Lists the consumer groups of a stream.")
    .syntax("key:k");

fn xinfo_groups(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let stream = txn.stream(key)?.ok_or(Fault::NoSuchKey)?;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.count(group.consumers_len());
        reply.bulk(b"pending");
        reply.count(group.pending_len());
        write_progress(stream, group, reply);
    }
    Ok(Outcome::Done)
}

/// How far a group is: three pairs.
fn write_progress(stream: &Stream, group: &ConsumerGroup, reply: &mut Reply<'_>) {
    reply.bulk(b"last-delivered-id");
    write_id(group.last, reply);
    for (name, number) in [("entries-read", group.read.map(|read| read as i64)), ("lag", stream.lag(group))] {
        reply.bulk(name.as_bytes());
        match number {
            Some(number) => reply.integer(number),
            None => reply.null(),
        }
    }
}

const XINFO_STREAM: Command = Command::data("stream", Group::Stream, xinfo_stream)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(1)")
    .summary("Describes a stream; FULL also shows entries, groups and consumers.")
    .syntax("key:k [full={[count:i/COUNT]}/FULL]");

fn xinfo_stream(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let stream = txn.stream(key)?.ok_or(Fault::NoSuchKey)?;
    let shown = match args.left() {
        0 => None,
        1 | 3 if args.word("FULL") => {
            let mut shown = SHOWN;
            if args.left() > 0 {
                if !args.word("COUNT") {
                    return Err(wrong_form(args.all()));
                }
                shown = usize::try_from(args.integer()?).unwrap_or(SHOWN);
            }
            Some(if shown == 0 { usize::MAX } else { shown })
        }
        _ => return Err(wrong_form(args.all())),
    };
    reply.map(if shown.is_some() { 9 } else { 10 });
    write_stream(stream, reply);
    match shown {
        Some(shown) => write_full(stream, shown, reply),
        None => write_ends(stream, reply),
    }
    Ok(Outcome::Done)
}

/// What both forms tell: seven pairs.
fn write_stream(stream: &Stream, reply: &mut Reply<'_>) {
    reply.bulk(b"length");
    reply.integer(stream.len() as i64);
    reply.bulk(b"radix-tree-keys");
    reply.count(stream.nodes_len());
    // There is no such tree here: one node for each key, and the root.
    reply.bulk(b"radix-tree-nodes");
    reply.count(stream.nodes_len() + 1);
    for (name, id) in [
        ("last-generated-id", Some(stream.last)),
        ("max-deleted-entry-id", Some(stream.max_deleted)),
        ("entries-added", None),
        ("recorded-first-entry-id", Some(stream.first)),
    ] {
        reply.bulk(name.as_bytes());
        match id {
            Some(id) => write_id(id, reply),
            None => reply.integer(stream.added as i64),
        }
    }
}

fn write_ends(stream: &Stream, reply: &mut Reply<'_>) {
    reply.bulk(b"groups");
    reply.count(stream.groups().len());
    let first = stream.range(StreamId::MIN, StreamId::MAX).next();
    let last = stream.range_back(StreamId::MIN, StreamId::MAX).next();
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => write_entry(entry, reply),
            None => reply.null(),
        }
    }
}

fn write_full(stream: &Stream, shown: usize, reply: &mut Reply<'_>) {
    reply.bulk(b"entries");
    write_entries(stream.range(StreamId::MIN, StreamId::MAX), shown, reply);
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        write_progress(stream, group, reply);
        reply.bulk(b"pel-count");
        reply.count(group.pending_len());
        reply.bulk(b"pending");
        let pending = group.pending_in(StreamId::MIN..=StreamId::MAX).take(shown);
        reply.array(group.pending_len().min(shown));
        for (id, pending) in pending {
            reply.array(4);
            write_id(id, reply);
            reply.bulk(group.owner(pending));
            reply.integer(pending.delivered_ms as i64);
            reply.integer(pending.deliveries as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers_len());
        group.consumers().for_each(|consumer| write_consumer(group, consumer, shown, reply));
    }
}

fn write_consumer(group: &ConsumerGroup, consumer: &Consumer, shown: usize, reply: &mut Reply<'_>) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen_ms as i64);
    reply.bulk(b"active-time");
    reply.integer(consumer.active_ms.map_or(-1, |active_ms| active_ms as i64));
    reply.bulk(b"pel-count");
    reply.count(consumer.pending_len());
    reply.bulk(b"pending");
    let pending = group.pending_of(consumer, StreamId::MIN..=StreamId::MAX);
    reply.array(pending.len().min(shown));
    for (id, pending) in pending.into_iter().take(shown) {
        reply.array(3);
        write_id(id, reply);
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.deliveries as i64);
    }
}
