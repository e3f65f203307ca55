//! Keys as commands: the base of a log for readers that want no snapshot (`aof-use-rdb-preamble no`).
//!
//! Law: the commands are those of Redis 7, each of at most [`ELEMENTS_PER_COMMAND`] elements, so that any part of a
//! value ends behind a whole command. A stream is one RESTORE: its groups and what their consumers hold have no shorter
//! form.

use super::encode_huge::{self, Sink};
use super::{Output, dump};
use crate::keyspace::{EntryRef, View};
use crate::number::{Digits, format_score};
use crate::resp::reply::write_command;
use crate::table::Keyed;

/// Elements of one command, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;

/// Says which database the commands that follow belong to.
pub(super) fn select(number: usize, out: &mut Output) {
    write_command(&mut out.bytes, &[b"SELECT", Digits::of(number as i64).as_bytes()]);
}

/// A key with its value and its date.
pub(super) fn entry(entry: EntryRef<'_>, out: &mut Output) {
    let key = entry.key();
    match entry.view() {
        View::Inline(text) => write_command(&mut out.bytes, &[b"SET", key, text]),
        View::Integer(value) => {
            write_command(&mut out.bytes, &[b"SET", key, Digits::of(value).as_bytes()]);
        }
        view @ View::Stream(_) => {
            let mut scratch = Output::default();
            scratch.compress = out.compress;
            let payload = dump(view, &mut scratch);
            write_command(&mut out.bytes, &[b"RESTORE", key, b"0", &payload]);
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
        write_command(&mut out.bytes, &[b"PEXPIREAT", key, date.to_string().as_bytes()]);
    }
}

/// Commands that add elements to one key.
pub(super) struct Batch<'a> {
    key: &'a [u8],
    out: &'a mut Output,
    verb: &'static [u8],
    words: Vec<Vec<u8>>,
    elements: usize,
    /// Fields with dates, which are said behind the fields.
    dates: Vec<(Vec<u8>, u64)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(key: &'a [u8], out: &'a mut Output) -> Self {
        Self { key, out, verb: b"", words: Vec::new(), elements: 0, dates: Vec::new() }
    }

    fn add(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        self.verb = verb;
        self.words.extend(words.iter().map(|word| word.to_vec()));
        self.elements += 1;
        if self.elements == ELEMENTS_PER_COMMAND {
            self.end();
        }
    }

    /// Writes what was added since the last command.
    pub(super) fn end(&mut self) {
        if self.elements > 0 {
            let head = [self.verb, self.key];
            let words: Vec<&[u8]> = head.into_iter().chain(self.words.iter().map(|word| &**word)).collect();
            write_command(&mut self.out.bytes, &words);
            self.words.clear();
            self.elements = 0;
        }
        for (field, date) in self.dates.drain(..) {
            let date = date.to_string();
            let words: [&[u8]; 6] = [b"HPEXPIREAT", self.key, date.as_bytes(), b"FIELDS", b"1", &field];
            write_command(&mut self.out.bytes, &words);
        }
    }
}

impl Sink for Batch<'_> {
    fn text(&mut self, at: usize, part: &[u8]) {
        let verb: &[u8] = if at == 0 { b"SET" } else { b"APPEND" };
        write_command(&mut self.out.bytes, &[verb, self.key, part]);
    }

    fn element(&mut self, element: &[u8]) {
        self.add(b"RPUSH", &[element]);
    }

    fn member(&mut self, member: &[u8]) {
        self.add(b"SADD", &[member]);
    }

    fn field(&mut self, field: &[u8], value: &[u8], date: Option<u64>) {
        self.dates.extend(date.map(|date| (field.to_vec(), date)));
        self.add(b"HSET", &[field, value]);
    }

    fn scored(&mut self, member: &[u8], score: f64) {
        self.add(b"ZADD", &[&format_score(score), member]);
    }
}
