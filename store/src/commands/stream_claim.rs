//! XCLAIM and XAUTOCLAIM: entries that one consumer has not acknowledged are handed to another.

use super::prelude::*;
use super::stream::{range_start, stream_id, stream_ids, write_entry, write_id};
use super::stream_read::{existing_group, no_group, state_claim, state_progress};
use crate::number::parse_i64;
use crate::types::stream::{ConsumerId, Pending, Stream, StreamId};

pub(super) const ROWS: &[Command] = &[XCLAIM, XAUTOCLAIM];

/// Entries that XAUTOCLAIM hands over unless told otherwise.
const AUTOCLAIM_COUNT: usize = 100;
/// Pending entries that XAUTOCLAIM looks at for each one it may hand over.
const AUTOCLAIM_ATTEMPTS: usize = 10;

const XCLAIM: Command = Command::data("xclaim", Group::Stream, xclaim)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("5.0.0")
    .cost("O(log N) with N being the number of messages in the PEL of the consumer group.")
    .summary("Hands pending entries to a consumer, as if they were delivered to it.")
    .syntax("key:k group:s consumer:s min-idle-time:s ID:s... [ms:i/IDLE] [unix-time-milliseconds:t/TIME] [count:i/RETRYCOUNT] [force/FORCE] [justid/JUSTID] [id:s/LASTID]")
    .tips(&["nondeterministic_output"]);

/// What a claim leaves at an entry.
#[derive(Default)]
struct Options {
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last: StreamId,
}

impl Options {
    fn read(args: &mut Args<'_>, now_ms: u64) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            let more = args.left() > 0;
            let mut number = |text: &'static str| -> Result<i64, Fault> {
                parse_i64(args.bytes()?).ok_or_else(|| Fault::other(text))
            };
            match () {
                () if is_word(word, "FORCE") => options.force = true,
                () if is_word(word, "JUSTID") => options.just_id = true,
                () if is_word(word, "IDLE") && more => {
                    let idle = number("Invalid IDLE option argument for XCLAIM")?;
                    options.delivered_ms = Some((now_ms as i64).wrapping_sub(idle));
                }
                () if is_word(word, "TIME") && more => {
                    options.delivered_ms = Some(number("Invalid TIME option argument for XCLAIM")?);
                }
                () if is_word(word, "RETRYCOUNT") && more => {
                    let count = number("Invalid RETRYCOUNT option argument for XCLAIM")?;
                    options.deliveries = u64::try_from(count).ok();
                }
                () if is_word(word, "LASTID") && more => options.last = stream_id(args.bytes()?, 0)?,
                () => {
                    return Err(Fault::Raw([b"Unrecognized XCLAIM option '", word, b"'"].concat()));
                }
            }
        }
        Ok(options)
    }

    /// When the entries count as delivered: a time that cannot be is now.
    fn delivered_at(&self, now_ms: u64) -> u64 {
        let given = self.delivered_ms.and_then(|ms| u64::try_from(ms).ok());
        given.filter(|&ms| ms <= now_ms).unwrap_or(now_ms)
    }
}

/// What a claim has done, to be stated.
#[derive(Default)]
struct Claimed {
    created: bool,
    consumer: Option<ConsumerId>,
    /// Entries with who has them, or had them before they turned out to be gone.
    entries: Vec<(StreamId, Box<[u8]>, Pending)>,
}

impl Claimed {
    /// The consumer, created when it is needed first.
    fn consumer(
        &mut self,
        stream: &mut Stream,
        group: &[u8],
        name: &[u8],
        now_ms: u64,
    ) -> Option<ConsumerId> {
        if self.consumer.is_none() {
            let group = stream.group_mut(group)?;
            let (consumer, created) = group.find_or_create(name, now_ms);
            if let Some(consumer) = group.consumer_mut(consumer) {
                consumer.seen_ms = now_ms;
                consumer.active_ms = Some(now_ms);
            }
            self.created = created;
            self.consumer = Some(consumer);
        }
        self.consumer
    }

    /// Takes an entry that is gone off the list.
    fn forget(&mut self, stream: &mut Stream, group: &[u8], id: StreamId) -> bool {
        let Some(group) = stream.group_mut(group) else { return false };
        let Some(pending) = group.pending(id) else { return false };
        self.entries.push((id, group.owner(pending).into(), pending));
        group.acknowledge(id)
    }

    /// Hands an entry over.
    fn hand_over(
        &mut self,
        stream: &mut Stream,
        group: &[u8],
        name: &[u8],
        id: StreamId,
        (delivered_ms, deliveries, now_ms): (u64, u64, u64),
    ) {
        let Some(consumer) = self.consumer(stream, group, name, now_ms) else { return };
        let Some(group) = stream.group_mut(group) else { return };
        group.assign(id, consumer, delivered_ms, deliveries);
        if let Some(pending) = group.pending(id) {
            self.entries.push((id, name.into(), pending));
        }
    }

    fn state(&self, txn: &mut Txn<'_>, key: &[u8], group: &[u8], name: &[u8], last: StreamId) {
        if self.created {
            txn.changed_quietly(key, EventClass::Stream, "xgroup-createconsumer");
            txn.effect(&[b"XGROUP", b"CREATECONSUMER", key, group, name]);
        }
        txn.changed_more(self.entries.len());
        if txn.effects_wanted() {
            for (id, owner, pending) in &self.entries {
                state_claim(txn, key, group, owner, (*id, *pending), last);
            }
        }
    }
}

fn write_claimed(stream: &Stream, id: StreamId, just_id: bool, reply: &mut Reply<'_>) {
    match stream.get(id) {
        Some(entry) if !just_id => write_entry(entry, reply),
        _ => write_id(id, reply),
    }
}

fn xclaim(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, group_name, consumer, min_idle) = (args.key()?, args.bytes()?, args.bytes()?, args.bytes()?);
    let now_ms = txn.now().wall_ms();
    let stream = txn.stream_mut(key)?.filter(|stream| stream.group(group_name).is_some());
    let stream = stream.ok_or_else(|| no_group(key, group_name))?;
    let min_idle =
        parse_i64(min_idle).ok_or_else(|| Fault::other("Invalid min-idle-time argument for XCLAIM"))?;
    let min_idle = u64::try_from(min_idle).unwrap_or(0);
    // The IDs end where something else begins: the options.
    let mut behind = args;
    let texts = behind.rest();
    let ids_len = texts.iter().take_while(|text| StreamId::parse(text, 0).is_some()).count();
    let ids = stream_ids(args.take(ids_len)?)?;
    let options = Options::read(&mut args, now_ms)?;
    let group = existing_group(Some(&mut *stream), key, group_name)?;
    let advanced = options.last > group.last;
    group.last = group.last.max(options.last);
    let (last, read) = (group.last, group.read);
    let delivered_ms = options.delivered_at(now_ms);
    let mut claimed = Claimed::default();
    reply.counted_array(|reply| {
        let mut written = 0;
        for id in ids {
            let pending = stream.group(group_name).and_then(|group| group.pending(id));
            if stream.get(id).is_none() {
                claimed.forget(stream, group_name, id);
                continue;
            }
            let waits = pending.is_some_and(|pending| now_ms.saturating_sub(pending.delivered_ms) < min_idle);
            if waits || (pending.is_none() && !options.force) {
                continue;
            }
            let before = pending.map_or(1, |pending| pending.deliveries);
            let again = before.wrapping_add(u64::from(!options.just_id));
            let deliveries = options.deliveries.unwrap_or(again);
            claimed.hand_over(stream, group_name, consumer, id, (delivered_ms, deliveries, now_ms));
            write_claimed(stream, id, options.just_id, reply);
            written += 1;
        }
        written
    });
    claimed.state(txn, key, group_name, consumer, last);
    if advanced && claimed.entries.is_empty() {
        txn.changed_more(1);
        state_progress(txn, key, group_name, last, read);
    }
    Ok(Outcome::Done)
}

const XAUTOCLAIM: Command = Command::data("xautoclaim", Group::Stream, xautoclaim)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .since("6.2.0")
    .cost("O(1) if COUNT is small.")
    .summary("Hands entries that were pending for long to a consumer, as if they were delivered to it.")
    .syntax("key:k group:s consumer:s min-idle-time:s start:s [count:i/COUNT] [justid/JUSTID]")
    .tips(&["nondeterministic_output"]);

fn xautoclaim(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, group_name, consumer) = (args.key()?, args.bytes()?, args.bytes()?);
    let min_idle = parse_i64(args.bytes()?)
        .ok_or_else(|| Fault::other("Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let min_idle = u64::try_from(min_idle).unwrap_or(0);
    let start = range_start(args.bytes()?)?;
    let (mut count, mut just_id) = (AUTOCLAIM_COUNT, false);
    while args.left() > 0 {
        if args.left() > 1 && args.word("COUNT") {
            count = args.integer_in(1..=i64::MAX / 16, "COUNT must be > 0")? as usize;
        } else if args.word("JUSTID") {
            just_id = true;
        } else {
            return Err(Fault::Syntax);
        }
    }
    let now_ms = txn.now().wall_ms();
    let stream = txn.stream_mut(key)?.filter(|stream| stream.group(group_name).is_some());
    let stream = stream.ok_or_else(|| no_group(key, group_name))?;
    let mut claimed = Claimed::default();
    let (mut handed, mut gone, mut left) = (Vec::new(), Vec::new(), count);
    let mut attempts = count.saturating_mul(AUTOCLAIM_ATTEMPTS);
    let mut cursor = Some(start);
    while attempts > 0 && left > 0 {
        let next = cursor.and_then(|from| next_pending(stream, group_name, from));
        let Some((id, pending)) = next else { break };
        attempts -= 1;
        cursor = id.next();
        if stream.get(id).is_none() {
            claimed.forget(stream, group_name, id);
            gone.push(id);
            left -= 1;
        } else if now_ms.saturating_sub(pending.delivered_ms) >= min_idle {
            let deliveries = pending.deliveries.wrapping_add(u64::from(!just_id));
            claimed.hand_over(stream, group_name, consumer, id, (now_ms, deliveries, now_ms));
            handed.push(id);
            left -= 1;
        }
    }
    let next = cursor.and_then(|from| next_pending(stream, group_name, from));
    reply.array(3);
    write_id(next.map_or(StreamId::MIN, |(id, _)| id), reply);
    reply.array(handed.len());
    handed.iter().for_each(|&id| write_claimed(stream, id, just_id, reply));
    reply.array(gone.len());
    gone.iter().for_each(|&id| write_id(id, reply));
    let last = stream.group(group_name).map_or(StreamId::MIN, |group| group.last);
    claimed.state(txn, key, group_name, consumer, last);
    Ok(Outcome::Done)
}

fn next_pending(stream: &Stream, group: &[u8], from: StreamId) -> Option<(StreamId, Pending)> {
    stream.group(group)?.pending_in(from..=StreamId::MAX).next()
}
