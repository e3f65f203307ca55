//! XREAD and XREADGROUP: reading several streams at once, and waiting for entries.
//!
//! A client that waits runs its command again when a key changes; an ID of `$` is replaced by what it meant when the
//! client began to wait.

use super::prelude::*;
use super::stream::{stream_id, write_entries, write_entry, write_id};
use crate::command::row::TimeoutReply;
use crate::command::{Wait, WaitClass};
use crate::types::stream::{Group as ConsumerGroup, Stream, StreamId};

pub(super) const ROWS: &[Command] = &[XREAD, XREADGROUP];

/// Entries that a client gets at most when it has waited and named no number.
const WAITED_LIMIT: usize = 1000;

const fn behind_streams(from: i32) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        flags: Key::RO | Key::ACCESS,
    }
}

const XREAD: Command = Command::data("xread", Group::Stream, xread)
    .arity(-4)
    .flags(READONLY | BLOCKING)
    .keys(&[behind_streams(1)])
    .since("5.0.0")
    .cost("For each stream mentioned: O(N) with N being the number of elements being returned, it means that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will pay O(M) time in order to serve the M clients blocked on the stream getting new data.")
    .summary("Returns the entries of several streams behind an ID each; may wait for some.")
    .syntax("[count:i/COUNT] [milliseconds:i/BLOCK] streams={key:k... ID:s...}/STREAMS");

fn xread(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    read(txn, args, false, reply)
}

const XREADGROUP: Command = Command::data("xreadgroup", Group::Stream, xreadgroup)
    .arity(-7)
    .flags(WRITE | BLOCKING)
    .keys(&[behind_streams(4)])
    .since("5.0.0")
    .cost("For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.")
    .summary("Returns entries of several streams to a consumer of a group: new ones, or those it has not acknowledged; may wait for some.")
    .syntax("group_consumer={group:s consumer:s}/GROUP [count:i/COUNT] [milliseconds:i/BLOCK] [noack/NOACK] streams={key:k... ID:s...}/STREAMS");

fn xreadgroup(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    read(txn, args, true, reply)
}

/// Who reads, in a group.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// Entries count as acknowledged when they are delivered.
    noack: bool,
}

/// The arguments.
struct Request<'a> {
    count: Option<usize>,
    /// Whether to wait, and how long at most.
    block: Option<Option<u64>>,
    reader: Option<Reader<'a>>,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
}

/// What is read of a stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// Entries behind an ID; for a group, those that the consumer has not acknowledged.
    Behind(StreamId),
    /// Entries the group has not read.
    New,
}

impl<'a> Request<'a> {
    fn read(args: &mut Args<'a>, in_group: bool) -> Result<Self, Fault> {
        let (mut count, mut block, mut group, mut noack) = (None, None, None, false);
        loop {
            let word = args.bytes()?;
            let left = args.left();
            match () {
                () if is_word(word, "BLOCK") && left >= 1 => block = Some(args.timeout_ms()?),
                () if is_word(word, "COUNT") && left >= 1 => {
                    count = usize::try_from(args.integer()?).ok().filter(|&count| count > 0);
                }
                () if is_word(word, "STREAMS") && left >= 1 => break,
                () if is_word(word, "GROUP") && left >= 2 => {
                    if !in_group {
                        return Err(Fault::other(
                            "The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                        ));
                    }
                    group = Some((args.bytes()?, args.bytes()?));
                }
                () if is_word(word, "NOACK") => {
                    if !in_group {
                        return Err(Fault::other(
                            "The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                        ));
                    }
                    noack = true;
                }
                () => return Err(Fault::Syntax),
            }
        }
        if !args.left().is_multiple_of(2) {
            return Err(Fault::other(
                "Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        if in_group && group.is_none() {
            return Err(Fault::other("Missing GROUP option for XREADGROUP"));
        }
        let keys = args.take(args.left() / 2)?;
        let reader = group.map(|(group, consumer)| Reader { group, consumer, noack });
        Ok(Self { count, block, reader, keys, ids: args.rest() })
    }

    /// What is read of each stream; nothing of those that a client which runs again does not look at.
    fn resolve(&self, txn: &mut Txn<'_>) -> Result<Vec<Option<Wanted>>, Fault> {
        let pairs = self.keys.iter().zip(self.ids);
        pairs.map(|(key, id)| self.resolve_one(txn, key, id)).collect()
    }

    fn resolve_one(&self, txn: &mut Txn<'_>, key: &[u8], id: &[u8]) -> Result<Option<Wanted>, Fault> {
        if txn.waking.is_some_and(|waking| waking != key) {
            return Ok(None);
        }
        if txn.holds_another_type(key, ValueType::Stream) {
            return if self.reader.is_some() { Err(no_longer_there()) } else { Ok(None) };
        }
        let woken = txn.waking.is_some();
        let stream = txn.stream(key)?;
        if let Some(reader) = self.reader {
            let group = stream.and_then(|stream| stream.group(reader.group));
            if group.is_none() {
                return Err(match (woken, stream) {
                    (true, None) => no_longer_there(),
                    (true, Some(_)) => {
                        Fault::coded("NOGROUP the consumer group this client was blocked on no longer exists")
                    }
                    (false, _) => Fault::RawCoded(
                        [&no_group(key, reader.group).to_bytes(), &b" in XREADGROUP with GROUP option"[..]]
                            .concat(),
                    ),
                });
            }
        }
        match (id, self.reader.is_some()) {
            (b"$", true) => Err(Fault::other(
                "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                 consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
                 return an empty result set.",
            )),
            (b"$", false) => Ok(Some(Wanted::Behind(stream.map_or(StreamId::MIN, |stream| stream.last)))),
            (b">", true) => Ok(Some(Wanted::New)),
            (b">", false) => Err(Fault::other(
                "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            )),
            _ => {
                let id = stream_id(id, 0)?;
                // The highest possible ID means the same as `>`, as in Redis.
                let new = id == StreamId::MAX && self.reader.is_some();
                Ok(Some(if new { Wanted::New } else { Wanted::Behind(id) }))
            }
        }
    }

    /// The request with every `$` replaced, if there is one.
    fn rewritten(&self, args: &[&[u8]], wanted: &[Option<Wanted>]) -> Option<Vec<Box<[u8]>>> {
        if !self.ids.contains(&&b"$"[..]) {
            return None;
        }
        let mut request: Vec<Box<[u8]>> = args.iter().map(|&arg| arg.into()).collect();
        let first = request.len() - wanted.len();
        for (arg, wanted) in request[first..].iter_mut().zip(wanted) {
            if let Some(Wanted::Behind(id)) = wanted {
                *arg = id.text().as_bytes().into();
            }
        }
        Some(request)
    }
}

fn no_longer_there() -> Fault {
    Fault::coded("UNBLOCKED the stream key no longer exists")
}

fn read(txn: &mut Txn<'_>, mut args: Args<'_>, in_group: bool, reply: &mut Reply<'_>) -> Run {
    let request = Request::read(&mut args, in_group)?;
    let wanted = request.resolve(txn)?;
    let woken = txn.waking.is_some();
    let limit = request.count.unwrap_or(if woken { WAITED_LIMIT } else { usize::MAX });
    let start = reply.position();
    let (mut served, mut failed) = (0, None);
    let write = |reply: &mut Reply<'_>| {
        for (key, wanted) in request.keys.iter().zip(&wanted) {
            let Some(wanted) = wanted else { continue };
            let there = match request.reader {
                Some(reader) => read_in_group(txn, key, reader, *wanted, limit, reply),
                None => read_plainly(txn, key, *wanted, limit, reply),
            };
            match there {
                Ok(there) => served += usize::from(there),
                Err(fault) => failed = Some(fault),
            }
        }
        served
    };
    reply.counted(write, |reply, len| match reply.protocol() {
        Protocol::V2 => reply.array(len),
        Protocol::V3 => reply.map(len),
    });
    if let Some(fault) = failed {
        return Err(fault);
    }
    if served > 0 {
        return Ok(Outcome::Done);
    }
    reply.truncate(start);
    let Some(timeout) = request.block else {
        reply.null_array();
        return Ok(Outcome::Done);
    };
    Ok(Outcome::Wait(Box::new(Wait {
        keys: request.keys.iter().map(|&key| key.into()).collect(),
        until: timeout.map(|ms| txn.now().mono_ms.saturating_add(ms)),
        on_timeout: TimeoutReply::NullArray,
        class: WaitClass::Own,
        request: request.rewritten(args.all(), &wanted),
    })))
}

/// The last entry that a reader can get. To one that was woken, what is gone again counts as well.
fn last_of(stream: &Stream, woken: bool) -> StreamId {
    if woken { stream.last } else { stream.last_live() }
}

fn open(key: &[u8], reply: &mut Reply<'_>) {
    if reply.protocol() == Protocol::V2 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// Writes the entries of a stream behind an ID; says whether there are any.
fn read_plainly(
    txn: &mut Txn<'_>,
    key: &[u8],
    wanted: Wanted,
    limit: usize,
    reply: &mut Reply<'_>,
) -> Result<bool, Fault> {
    let woken = txn.waking.is_some();
    let (Wanted::Behind(id), Some(stream)) = (wanted, txn.stream(key)?) else { return Ok(false) };
    let Some(start) = id.next().filter(|_| (stream.len() > 0 || woken) && last_of(stream, woken) > id) else {
        return Ok(false);
    };
    open(key, reply);
    write_entries(stream.range(start, StreamId::MAX), limit, reply);
    Ok(true)
}

/// Writes the entries that a consumer gets, and notes that it got them; says whether there is anything to write.
fn read_in_group(
    txn: &mut Txn<'_>,
    key: &[u8],
    reader: Reader<'_>,
    wanted: Wanted,
    limit: usize,
    reply: &mut Reply<'_>,
) -> Result<bool, Fault> {
    let (now_ms, woken) = (txn.now().wall_ms(), txn.waking.is_some());
    let Some(stream) = txn.stream_mut(key)? else { return Ok(false) };
    if matches!(wanted, Wanted::New) {
        let last = if stream.len() > 0 || woken { last_of(stream, woken) } else { StreamId::MIN };
        if stream.group(reader.group).is_none_or(|group| last <= group.last) {
            return Ok(false);
        }
    }
    let Some(group) = stream.group_mut(reader.group) else { return Ok(false) };
    let (consumer, created) = group.find_or_create(reader.consumer, now_ms);
    if let Some(consumer) = group.consumer_mut(consumer) {
        consumer.seen_ms = now_ms;
    }
    open(key, reply);
    let delivered = match wanted {
        Wanted::Behind(id) => history(stream, reader, id, limit, now_ms, reply),
        Wanted::New => deliver(stream, reader, limit, now_ms, reply),
    };
    if created {
        txn.changed_quietly(key, EventClass::Stream, "xgroup-createconsumer");
    }
    txn.changed_more(1);
    if txn.effects_wanted() {
        state(txn, key, reader, created, matches!(wanted, Wanted::New), &delivered);
    }
    Ok(true)
}

/// Writes what a consumer has not acknowledged behind an ID.
fn history(
    stream: &mut Stream,
    reader: Reader<'_>,
    id: StreamId,
    limit: usize,
    now_ms: u64,
    reply: &mut Reply<'_>,
) -> Vec<StreamId> {
    let found = stream.group(reader.group).and_then(|group| {
        let consumer = group.find(reader.consumer)?;
        Some((consumer, group.ids_of(consumer, id.next()?, limit)))
    });
    let Some((consumer, ids)) = found else {
        reply.array(0);
        return Vec::new();
    };
    let mut delivered = Vec::new();
    reply.array(ids.len());
    for id in ids {
        match stream.get(id) {
            Some(entry) => {
                write_entry(entry, reply);
                delivered.push(id);
            }
            None => {
                // Deleted since: the consumer learns that it has to acknowledge it.
                reply.array(2);
                write_id(id, reply);
                reply.null_array();
            }
        }
    }
    if let Some(group) = stream.group_mut(reader.group) {
        for &id in &delivered {
            let deliveries = group.pending(id).map_or(0, |pending| pending.deliveries);
            group.assign(id, consumer, now_ms, deliveries.wrapping_add(1));
        }
    }
    delivered
}

/// Writes what the group has not read, and hands it to the consumer.
fn deliver(
    stream: &mut Stream,
    reader: Reader<'_>,
    limit: usize,
    now_ms: u64,
    reply: &mut Reply<'_>,
) -> Vec<StreamId> {
    let Some(group) = stream.group(reader.group) else { return Vec::new() };
    let (mut last, mut read) = (group.last, group.read);
    let start = last.next().unwrap_or(StreamId::MAX);
    let mut delivered = Vec::new();
    let entries = stream.range(start, StreamId::MAX).inspect(|entry| {
        delivered.push(entry.id);
    });
    write_entries(entries, limit, reply);
    for &id in &delivered {
        read = stream.read_after(read, id);
        last = id;
    }
    let Some(group) = stream.group_mut(reader.group) else { return delivered };
    (group.last, group.read) = (last, read);
    let consumer = group.find(reader.consumer);
    if let Some(consumer) = consumer {
        if !reader.noack {
            delivered.iter().for_each(|&id| group.assign(id, consumer, now_ms, 1));
        }
        if let Some(consumer) = group.consumer_mut(consumer)
            && !delivered.is_empty()
        {
            consumer.active_ms = Some(now_ms);
        }
    }
    delivered
}

/// States what a read has done: who is there, who has which entries, how far the group is.
fn state(
    txn: &mut Txn<'_>,
    key: &[u8],
    reader: Reader<'_>,
    created: bool,
    new: bool,
    delivered: &[StreamId],
) {
    // Who claims an entry is known from then on; who does not has to be named.
    if created && (reader.noack || delivered.is_empty()) {
        txn.effect(&[b"XGROUP", b"CREATECONSUMER", key, reader.group, reader.consumer]);
    }
    let Ok(Some(group)) =
        txn.stream_mut(key).map(|stream| stream.and_then(|stream| stream.group_mut(reader.group)))
    else {
        return;
    };
    let (last, read) = (group.last, group.read);
    let claimed: Vec<_> = delivered.iter().filter_map(|&id| Some((id, group.pending(id)?))).collect();
    // What is read again was pending before, whatever is said about acknowledging.
    let is_pending = !(new && reader.noack);
    debug_assert!(!is_pending || claimed.len() == delivered.len(), "what is delivered is pending");
    if is_pending {
        for (id, pending) in claimed {
            state_claim(txn, key, reader.group, reader.consumer, (id, pending), last);
        }
    }
    if new && !delivered.is_empty() {
        state_progress(txn, key, reader.group, last, read);
    }
}

/// States who has a pending entry, as a stock Redis understands it.
pub(super) fn state_claim(
    txn: &mut Txn<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    (id, pending): (StreamId, crate::types::stream::Pending),
    last: StreamId,
) {
    txn.effect(&[
        b"XCLAIM",
        key,
        group,
        consumer,
        b"0",
        id.text().as_bytes(),
        b"TIME",
        Digits::of(pending.delivered_ms as i64).as_bytes(),
        b"RETRYCOUNT",
        Digits::of(pending.deliveries as i64).as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        last.text().as_bytes(),
    ]);
}

/// States how far a group has read.
pub(super) fn state_progress(txn: &mut Txn<'_>, key: &[u8], group: &[u8], last: StreamId, read: Option<u64>) {
    let read = Digits::of(read.map_or(-1, |read| read as i64));
    txn.effect(&[b"XGROUP", b"SETID", key, group, last.text().as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
}

/// The error for a key or group that is not there.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> Fault {
    Fault::RawCoded([b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"].concat())
}

/// The group of a stream that must be there.
pub(super) fn existing_group<'s>(
    stream: Option<&'s mut Stream>,
    key: &[u8],
    group: &[u8],
) -> Result<&'s mut ConsumerGroup, Fault> {
    stream.and_then(|stream| stream.group_mut(group)).ok_or_else(|| no_group(key, group))
}
