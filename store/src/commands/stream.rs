//! Streams: adding entries, removing them, ranges. Reading and waiting, consumer groups, claims and acknowledgements
//! have
//! files of their own.

use super::prelude::*;
use crate::keyspace::Value;
use crate::number::parse_i64;
use crate::txn::{Expiry, Origin};
use crate::types::Thresholds;
use crate::types::stream::{ENTRY_BYTES_MAX, Entry, Keep, Stream, StreamId, Trim};

pub(super) const ROWS: &[Command] = &[XADD, XTRIM, XDEL, XLEN, XRANGE, XREVRANGE, XSETID];

/// Nodes that an approximate trim removes at once, unless told otherwise.
const TRIM_NODES: u64 = 100;
/// Entries that an approximate trim removes at once where nodes have no bound, and where they are huge.
const TRIM_ENTRIES: (u64, u64) = (10_000, 1_000_000);

fn invalid_id() -> Fault {
    Fault::other("Invalid stream ID specified as stream command argument")
}

/// An ID; `missing_seq` stands for a sequence number that is left out.
pub(super) fn stream_id(text: &[u8], missing_seq: u64) -> Result<StreamId, Fault> {
    StreamId::parse(text, missing_seq).ok_or_else(invalid_id)
}

/// An ID, or `-` and `+` for the first and the last possible one.
pub(super) fn id_or_end(text: &[u8], missing_seq: u64) -> Result<StreamId, Fault> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => stream_id(text, missing_seq),
    }
}

/// IDs, all of them checked.
pub(super) fn stream_ids(texts: &[&[u8]]) -> Result<Vec<StreamId>, Fault> {
    texts.iter().map(|text| stream_id(text, 0)).collect()
}

/// The first ID of a range; behind `(`, the one behind it.
pub(super) fn range_start(text: &[u8]) -> Result<StreamId, Fault> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            stream_id(rest, 0)?.next().ok_or_else(|| Fault::other("invalid start ID for the interval"))
        }
        _ => id_or_end(text, 0),
    }
}

/// The last ID of a range; behind `(`, the one before it.
pub(super) fn range_end(text: &[u8]) -> Result<StreamId, Fault> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => stream_id(rest, u64::MAX)?
            .previous()
            .ok_or_else(|| Fault::other("invalid end ID for the interval")),
        _ => id_or_end(text, u64::MAX),
    }
}

/// Writes an ID.
pub(super) fn write_id(id: StreamId, reply: &mut Reply<'_>) {
    reply.bulk(id.text().as_bytes());
}

/// Writes an entry: its ID, and names and values in turn.
pub(super) fn write_entry(entry: Entry<'_>, reply: &mut Reply<'_>) {
    reply.array(2);
    write_id(entry.id, reply);
    reply.array(2 * entry.fields());
    for (name, value) in entry.pairs() {
        reply.bulk(&name);
        reply.bulk(&value);
    }
}

/// Writes entries, at most `limit`.
pub(super) fn write_entries<'s>(
    entries: impl Iterator<Item = Entry<'s>>,
    limit: usize,
    reply: &mut Reply<'_>,
) {
    reply.counted_array(|reply| entries.take(limit).inspect(|entry| write_entry(*entry, reply)).count());
}

/// The ID that XADD asks for.
#[derive(Clone, Copy)]
enum WantedId {
    Any,
    AnyIn(u64),
    This(StreamId),
}

impl WantedId {
    fn read(text: &[u8]) -> Result<Self, Fault> {
        match text {
            b"*" => Ok(Self::Any),
            [ms @ .., b'-', b'*'] => match StreamId::parse(ms, 0) {
                Some(id) if !ms.contains(&b'-') => Ok(Self::AnyIn(id.ms)),
                _ => Err(invalid_id()),
            },
            _ => Ok(Self::This(stream_id(text, 0)?)),
        }
    }

    /// The ID behind `last` that is meant, if there is one.
    fn behind(self, last: StreamId, now_ms: u64) -> Option<StreamId> {
        let id = match self {
            Self::This(id) => id,
            Self::Any if now_ms > last.ms => StreamId { ms: now_ms, seq: 0 },
            Self::Any => last.next()?,
            Self::AnyIn(ms) if ms == last.ms => StreamId { ms, seq: last.seq.checked_add(1)? },
            Self::AnyIn(ms) => StreamId { ms, seq: 0 },
        };
        (id > last).then_some(id)
    }
}

/// The options of XADD and XTRIM.
#[derive(Default)]
struct Options {
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<u64>,
    only_old: bool,
    id: Option<WantedId>,
}

impl Options {
    fn read(txn: &Txn<'_>, args: &mut Args<'_>, adding: bool) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            let more = args.left() > 0;
            match () {
                () if adding && word == b"*" => {}
                () if is_word(word, "MAXLEN") && more => {
                    options.read_operator(args)?;
                    let count = args.integer()?;
                    let count = u64::try_from(count);
                    let count = count.map_err(|_| Fault::other("The MAXLEN argument must be >= 0."))?;
                    options.keep = Some(Keep::Last(count));
                    continue;
                }
                () if is_word(word, "MINID") && more => {
                    options.read_operator(args)?;
                    options.keep = Some(Keep::From(stream_id(args.bytes()?, 0)?));
                    continue;
                }
                () if is_word(word, "LIMIT") && more => {
                    let limit = u64::try_from(args.integer()?);
                    options.limit =
                        Some(limit.map_err(|_| Fault::other("The LIMIT argument must be >= 0."))?);
                    continue;
                }
                () if adding && is_word(word, "NOMKSTREAM") => {
                    options.only_old = true;
                    continue;
                }
                () if adding => {}
                () => return Err(Fault::Syntax),
            }
            options.id = Some(WantedId::read(word)?);
            break;
        }
        options.check(txn, adding)?;
        Ok(options)
    }

    /// The sign behind MAXLEN and MINID.
    fn read_operator(&mut self, args: &mut Args<'_>) -> Result<(), Fault> {
        if self.keep.is_some() {
            return Err(Fault::other(
                "syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let sign = args.peek().filter(|_| args.left() >= 2);
        self.approximate = sign == Some(b"~");
        if matches!(sign, Some(b"~" | b"=")) {
            args.bytes()?;
        }
        Ok(())
    }

    fn check(&self, txn: &Txn<'_>, adding: bool) -> Result<(), Fault> {
        if self.keep.is_none() {
            return match self.limit {
                Some(limit) if limit > 0 => Err(Fault::other(
                    "syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ if adding => Ok(()),
                _ => Err(Fault::other("syntax error, XTRIM must be called with a trimming strategy")),
            };
        }
        if self.limit.is_some() && !self.approximate && txn.origin() == Origin::Client {
            return Err(Fault::other("syntax error, LIMIT cannot be used without the special ~ option"));
        }
        Ok(())
    }

    fn trim(&self, txn: &Txn<'_>) -> Option<Trim> {
        let limit = match self.limit {
            _ if !self.approximate || txn.origin() == Origin::Replay => 0,
            Some(limit) => limit,
            None => match TRIM_NODES.saturating_mul(txn.limits().thresholds.stream_node_entries as u64) {
                0 => TRIM_ENTRIES.0,
                limit => limit.min(TRIM_ENTRIES.1),
            },
        };
        self.keep.map(|keep| Trim { keep, approximate: self.approximate, limit })
    }
}

/// How a trim is stated: what an approximate one has left, exactly.
fn stated(trim: Trim, stream: &Stream) -> [Vec<u8>; 3] {
    let keep = match trim.keep {
        keep if !trim.approximate => keep,
        Keep::Last(_) => Keep::Last(stream.len()),
        Keep::From(_) if stream.len() == 0 => Keep::From(StreamId::MAX),
        Keep::From(_) => Keep::From(stream.first),
    };
    match keep {
        Keep::Last(count) => [b"MAXLEN".to_vec(), b"=".to_vec(), count.to_string().into_bytes()],
        Keep::From(id) => [b"MINID".to_vec(), b"=".to_vec(), id.text().as_bytes().to_vec()],
    }
}

const XADD: Command = Command::data("xadd", Group::Stream, xadd)
    .arity(-5)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("5.0.0")
    .cost("O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.")
    .summary("Appends an entry to a stream, and may trim it.")
    .syntax("key:k [nomkstream/NOMKSTREAM@6.2.0] [trim={strategy=(maxlen/MAXLEN|minid/MINID@6.2.0) [operator=(equal/\"=\"|approximately/\"~\")] threshold:s [count:i/LIMIT@6.2.0]}] id_or_auto=(auto_id/\"*\"|ID:s) field_value={field:s value:s}...")
    .tips(&["nondeterministic_output"]);

/// What was added, and what came of trimming.
struct Added {
    id: StreamId,
    trimmed: u64,
    stated: Option<[Vec<u8>; 3]>,
}

fn add(
    stream: &mut Stream,
    wanted: WantedId,
    now_ms: u64,
    pairs: &[&[u8]],
    trim: Option<Trim>,
    limits: &Thresholds,
) -> Result<Added, Fault> {
    if stream.last == StreamId::MAX {
        return Err(Fault::other("The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = wanted.behind(stream.last, now_ms).ok_or_else(|| {
        Fault::other("The ID specified in XADD is equal or smaller than the target stream top item")
    })?;
    if pairs.iter().map(|text| text.len()).sum::<usize>() > ENTRY_BYTES_MAX {
        return Err(Fault::other("Elements are too large to be stored"));
    }
    stream.append(id, pairs, limits);
    let trimmed = trim.map_or(0, |trim| stream.trim(trim));
    Ok(Added { id, trimmed, stated: trim.map(|trim| stated(trim, stream)) })
}

fn xadd(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let options = Options::read(txn, &mut args, true)?;
    let pairs = args.rest();
    let Some(wanted) = options.id.filter(|_| !pairs.is_empty() && pairs.len().is_multiple_of(2)) else {
        return Err(Fault::Arity("xadd".into()));
    };
    if matches!(wanted, WantedId::This(StreamId::MIN)) {
        return Err(Fault::other("The ID specified in XADD must be greater than 0-0"));
    }
    let (now_ms, trim, limits) = (txn.now().wall_ms(), options.trim(txn), txn.limits().thresholds);
    let added = match txn.stream_mut(key)? {
        Some(stream) => add(stream, wanted, now_ms, pairs, trim, &limits)?,
        None if options.only_old => {
            reply.null();
            return Ok(Outcome::Done);
        }
        None => {
            let mut stream = Stream::default();
            let added = add(&mut stream, wanted, now_ms, pairs, trim, &limits)?;
            txn.put_value(key, Value::Stream(Box::new(stream)), Expiry::Never);
            added
        }
    };
    write_id(added.id, reply);
    txn.changed(key, EventClass::Stream, "xadd");
    if added.trimmed > 0 {
        txn.event(key, EventClass::Stream, "xtrim");
    }
    if txn.effects_wanted() {
        let id = added.id.text();
        let mut effect: Vec<&[u8]> = vec![b"XADD", key];
        effect.extend(added.stated.iter().flatten().map(Vec::as_slice));
        effect.push(id.as_bytes());
        effect.extend(pairs);
        txn.effect(&effect);
    }
    Ok(Outcome::Done)
}

const XTRIM: Command = Command::data("xtrim", Group::Stream, xtrim)
    .arity(-4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .since("5.0.0")
    .cost("O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.")
    .summary("Removes entries from the front of a stream.")
    .syntax("key:k trim={strategy=(maxlen/MAXLEN|minid/MINID@6.2.0) [operator=(equal/\"=\"|approximately/\"~\")] threshold:s [count:i/LIMIT@6.2.0]}")
    .tips(&["nondeterministic_output"]);

fn xtrim(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let options = Options::read(txn, &mut args, false)?;
    let trim = options.trim(txn).ok_or(Fault::Syntax)?;
    let Some(stream) = txn.stream_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let trimmed = stream.trim(trim);
    if trimmed > 0 {
        let stated = stated(trim, stream);
        txn.changed(key, EventClass::Stream, "xtrim");
        txn.changed_more(trimmed as usize - 1);
        let mut effect: Vec<&[u8]> = vec![b"XTRIM", key];
        effect.extend(stated.iter().map(Vec::as_slice));
        txn.effect(&effect);
    }
    reply.integer(trimmed as i64);
    Ok(Outcome::Done)
}

const XDEL: Command = Command::data("xdel", Group::Stream, xdel)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1) for each single item to delete in the stream, regardless of the stream size.")
    .summary("Deletes entries from a stream; returns how many there were.")
    .syntax("key:k ID:s...");

fn xdel(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, ids) = (args.key()?, args.rest());
    let Some(stream) = txn.stream_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let deleted = stream.delete(&stream_ids(ids)?);
    if deleted > 0 {
        txn.changed(key, EventClass::Stream, "xdel");
        txn.changed_more(deleted - 1);
    }
    reply.count(deleted);
    Ok(Outcome::Done)
}

const XLEN: Command = Command::data("xlen", Group::Stream, xlen)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("5.0.0")
    .cost("O(1)")
    .summary("Returns the number of entries of a stream.")
    .syntax("key:k");

fn xlen(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.integer(txn.stream(key)?.map_or(0, Stream::len) as i64);
    Ok(Outcome::Done)
}

const XRANGE: Command = Command::data("xrange", Group::Stream, xrange)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).")
    .summary("Returns the entries between two IDs.")
    .syntax("key:k start:s end:s [count:i/COUNT]");

fn xrange(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (start, end) = (range_start(args.bytes()?)?, range_end(args.bytes()?)?);
    range(txn, key, (start, end), args, false, reply)
}

const XREVRANGE: Command = Command::data("xrevrange", Group::Stream, xrevrange)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("5.0.0")
    .cost("O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).")
    .summary("Returns the entries between two IDs, the last one first.")
    .syntax("key:k end:s start:s [count:i/COUNT]");

fn xrevrange(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, end, start) = (args.key()?, args.bytes()?, args.bytes()?);
    let (start, end) = (range_start(start)?, range_end(end)?);
    range(txn, key, (start, end), args, true, reply)
}

fn range(
    txn: &mut Txn<'_>,
    key: &[u8],
    (start, end): (StreamId, StreamId),
    mut args: Args<'_>,
    backwards: bool,
    reply: &mut Reply<'_>,
) -> Run {
    let mut limit = usize::MAX;
    while args.left() > 0 {
        if !args.word("COUNT") || args.left() == 0 {
            return Err(Fault::Syntax);
        }
        limit = usize::try_from(args.integer()?).unwrap_or(0);
    }
    let Some(stream) = txn.stream(key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    match (limit, backwards) {
        (0, _) => reply.null_array(),
        (_, false) => write_entries(stream.range(start, end), limit, reply),
        (_, true) => write_entries(stream.range_back(start, end), limit, reply),
    }
    Ok(Outcome::Done)
}

const XSETID: Command = Command::data("xsetid", Group::Stream, xsetid)
    .arity(-3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("5.0.0")
    .cost("O(1)")
    .summary("Sets what a stream remembers of its past: last ID, entries added, highest deleted ID.")
    .syntax(
        "key:k last-id:s [entries_added:i/ENTRIESADDED@7.0.0] [max_deleted_entry_id:s/MAXDELETEDID@7.0.0]",
    );

fn xsetid(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, id) = (args.key()?, stream_id(args.bytes()?, 0)?);
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    while args.left() > 0 {
        if args.left() > 1 && args.word("ENTRIESADDED") {
            let count = parse_i64(args.bytes()?).ok_or(Fault::NotInteger)?;
            added = Some(u64::try_from(count).map_err(|_| Fault::other("entries_added must be positive"))?);
        } else if args.left() > 1 && args.word("MAXDELETEDID") {
            max_deleted = stream_id(args.bytes()?, 0)?;
            if id < max_deleted {
                return Err(Fault::other(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Fault::Syntax);
        }
    }
    let stream = txn.stream_mut(key)?.ok_or(Fault::NoSuchKey)?;
    if stream.len() > 0 {
        if id < stream.last_live() {
            return Err(Fault::other(
                "The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len()) {
            return Err(Fault::other(
                "The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    stream.last = id;
    stream.added = added.unwrap_or(stream.added);
    if max_deleted != StreamId::MIN {
        stream.max_deleted = max_deleted;
    }
    txn.changed_quietly(key, EventClass::Stream, "xsetid");
    reply.ok();
    Ok(Outcome::Done)
}
