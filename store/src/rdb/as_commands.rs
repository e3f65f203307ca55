//! Keys as commands: the base of a log for readers that want no snapshot (`aof-use-rdb-preamble no`).
//!
//! Law: the commands are those of Redis 7, each of at most [`ELEMENTS_PER_COMMAND`] elements, so that any part of a
//! value ends behind a whole command. A stream is one RESTORE, as commands cannot say all of it; only one of very many
//! entries or with a long one, which would hold up everybody, is commands. As in Redis, they leave out what is pending
//! of entries that are gone, and when consumers were seen last.

use super::encode_huge::{self, Sink};
use super::encode_stream::StreamSink;
use super::{Output, dump};
use crate::keyspace::{EntryRef, View};
use crate::limits::HUGE_TEXT;
use crate::number::{Digits, format_score};
use crate::resp::reply::{Protocol, Reply, write_command};
use crate::table::Keyed;
use crate::types::stream::{Consumer, Group, NodeRef, Pending, Stream, StreamId};
use crate::types::text::{KeptText, Text};

/// Elements of one command, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;

/// Writes a command of short words.
fn say(out: &mut Output, words: &[&[u8]]) {
    write_command(out.rope.end_mut(), words);
}

/// Writes a command of words that may be long texts, which are not copied now.
fn say_texts(out: &mut Output, words: &[Text<'_>]) {
    let rope = &mut out.rope;
    Reply::new(rope.end_mut(), Protocol::V2).array(words.len());
    for word in words {
        match word {
            Text::Long(long) => {
                rope.extend(format!("${}\r\n", long.bytes().len()).as_bytes());
                rope.text(word);
                rope.extend(b"\r\n");
            }
            Text::Bytes(_) | Text::Digits(_) => Reply::new(rope.end_mut(), Protocol::V2).bulk(word),
        }
    }
}

/// Whether an entry of a stream is a long one.
fn has_long_entry(stream: &Stream) -> bool {
    stream.nodes().any(|node| node.bytes_len() > HUGE_TEXT)
}

/// Says which database the commands that follow belong to.
pub(super) fn select(number: usize, out: &mut Output) {
    say(out, &[b"SELECT", Digits::of(number as i64).as_bytes()]);
}

/// A key with its value and its date.
pub(super) fn entry(entry: EntryRef<'_>, out: &mut Output) {
    let key = entry.key();
    match entry.view() {
        View::Inline(text) => say(out, &[b"SET", key, text]),
        View::Integer(value) => say(out, &[b"SET", key, Digits::of(value).as_bytes()]),
        view @ View::Stream(stream) if !has_long_entry(stream) => {
            let mut scratch = Output::default();
            scratch.compress = out.compress;
            let payload = dump(view, &mut scratch);
            say(out, &[b"RESTORE", key, b"0", &payload]);
        }
        view => {
            let mut batch = Batch::new(key, out);
            encode_huge::all(view, &mut batch);
            batch.end();
        }
    }
    date(key, entry.expires_at(), out);
}

/// The date of a key, behind all elements of its value.
pub(super) fn date(key: &[u8], date: Option<u64>, out: &mut Output) {
    if let Some(date) = date {
        say(out, &[b"PEXPIREAT", key, date.to_string().as_bytes()]);
    }
}

/// Commands that add elements to one key.
pub(super) struct Batch<'a> {
    key: &'a [u8],
    out: &'a mut Output,
    verb: &'static [u8],
    words: Vec<KeptText>,
    elements: usize,
    /// Fields with dates, which are said behind the fields.
    dates: Vec<(KeptText, u64)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(key: &'a [u8], out: &'a mut Output) -> Self {
        Self { key, out, verb: b"", words: Vec::new(), elements: 0, dates: Vec::new() }
    }

    fn add(&mut self, verb: &'static [u8], words: &[&Text<'_>]) {
        self.verb = verb;
        self.words.extend(words.iter().map(|word| word.keep()));
        self.elements += 1;
        if self.elements == ELEMENTS_PER_COMMAND {
            self.end();
        }
    }

    fn say(&mut self, words: &[&[u8]]) {
        say(self.out, words);
    }

    /// Writes what was added since the last command.
    pub(super) fn end(&mut self) {
        if self.elements > 0 {
            let head = [self.verb, self.key].map(Text::Bytes);
            let words: Vec<_> = head.into_iter().chain(self.words.iter().map(KeptText::text)).collect();
            say_texts(self.out, &words);
            self.words.clear();
            self.elements = 0;
        }
        for (field, date) in self.dates.drain(..) {
            let (date, field) = (date.to_string(), field.text());
            let [verb, fields, one]: [&[u8]; 3] = [b"HPEXPIREAT", b"FIELDS", b"1"];
            let [a, b, c, d, e] = [verb, self.key, date.as_bytes(), fields, one].map(Text::Bytes);
            say_texts(self.out, &[a, b, c, d, e, field]);
        }
    }
}

impl Sink for Batch<'_> {
    fn text(&mut self, at: usize, part: &[u8]) {
        let verb: &[u8] = if at == 0 { b"SET" } else { b"APPEND" };
        self.say(&[verb, self.key, part]);
    }

    fn element(&mut self, element: &Text<'_>) {
        self.add(b"RPUSH", &[element]);
    }

    fn member(&mut self, member: &Text<'_>) {
        self.add(b"SADD", &[member]);
    }

    fn field(&mut self, field: &Text<'_>, value: &Text<'_>, date: Option<u64>) {
        self.dates.extend(date.map(|date| (field.keep(), date)));
        self.add(b"HSET", &[field, value]);
    }

    fn scored(&mut self, member: &Text<'_>, score: f64) {
        self.add(b"ZADD", &[&Text::Bytes(&format_score(score)), member]);
    }

    fn stream(&mut self) -> &mut impl StreamSink {
        self
    }
}

impl StreamSink for Batch<'_> {
    fn node(&mut self, node: NodeRef<'_>) {
        for entry in node.entries() {
            let id = entry.id.text();
            let head: [&[u8]; 3] = [b"XADD", self.key, id.as_bytes()];
            let pairs = entry.pairs().flat_map(|(name, value)| [name, value]);
            let words: Vec<_> = head.map(Text::Bytes).into_iter().chain(pairs).collect();
            say_texts(self.out, &words);
        }
    }

    fn history(&mut self, stream: &Stream) {
        if stream.len() == 0 {
            // An entry that goes at once leaves the stream.
            self.say(&[b"XADD", self.key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
        }
        let (last, added, deleted) =
            (stream.last.text(), stream.added.to_string(), stream.max_deleted.text());
        let head: [&[u8]; 3] = [b"XSETID", self.key, last.as_bytes()];
        let rest = [b"ENTRIESADDED".as_slice(), added.as_bytes(), b"MAXDELETEDID", deleted.as_bytes()];
        self.say(&[&head[..], &rest].concat());
    }

    fn group(&mut self, name: &[u8], group: &Group) {
        // -1 is what is not known.
        let read = group.read.map_or("-1".to_owned(), |read| read.to_string());
        let last = group.last.text();
        self.say(&[b"XGROUP", b"CREATE", self.key, name, last.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
    }

    fn pending(&mut self, _id: StreamId, _pending: Pending) {}

    fn consumers(&mut self, _count: usize) {}

    fn consumer(&mut self, group: &[u8], consumer: &Consumer) {
        self.say(&[b"XGROUP", b"CREATECONSUMER", self.key, group, consumer.name()]);
    }

    fn unacknowledged(&mut self, group: &[u8], consumer: &Consumer, id: StreamId, pending: Pending) {
        let (delivered, deliveries) = (pending.delivered_ms.to_string(), pending.deliveries.to_string());
        let id = id.text();
        let claim: [&[u8]; 6] = [b"XCLAIM", self.key, group, consumer.name(), b"0", id.as_bytes()];
        let times: [&[u8]; 6] =
            [b"TIME", delivered.as_bytes(), b"RETRYCOUNT", deliveries.as_bytes(), b"JUSTID", b"FORCE"];
        self.say(&[claim, times].concat());
    }
}
