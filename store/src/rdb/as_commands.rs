//! Keys as commands: the base of a log for readers that want no snapshot (`aof-use-rdb-preamble no`).
//!
//! Law: the commands are those of Redis 7, each of at most [`ELEMENTS_PER_COMMAND`] elements, so that any part of a
//! value ends behind a whole command. A stream is one RESTORE: its groups and what their consumers hold have no shorter
//! form.

use super::encode_huge::Progress;
use super::{Output, dump};
use crate::keyspace::{EntryRef, View};
use crate::number::{Digits, format_score};
use crate::resp::reply::write_command;
use crate::table::Keyed;

/// Elements of one command, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;
/// Bytes of a text that are one step, see [`go_on`].
const TEXT_PER_ELEMENT: usize = 512;

/// Says which database the commands that follow belong to.
pub(super) fn select(number: usize, out: &mut Output) {
    write_command(&mut out.bytes, &[b"SELECT", Digits::of(number as i64).as_bytes()]);
}

/// A key with its value and its date.
pub(super) fn entry(entry: EntryRef<'_>, out: &mut Output) {
    let mut left = Some(begin(entry.view()));
    while let Some(progress) = left {
        left = go_on(entry, progress, ELEMENTS_PER_COMMAND, out);
    }
}

/// Where the parts of a value begin.
pub(super) fn begin(view: View<'_>) -> Progress {
    match view {
        View::Inline(_) | View::Integer(_) | View::Raw(_) | View::Stream(_) => Progress::Text(0),
        View::List(_) => Progress::List(0),
        View::Set(_) => Progress::Set(0),
        View::Hash(_) => Progress::Hash(0, None),
        View::Zset(zset) => Progress::Zset(zset.len()),
    }
}

/// Writes about so many elements, or a part of a text; behind the last ones the date of the key.
pub(super) fn go_on(
    entry: EntryRef<'_>,
    progress: Progress,
    elements: usize,
    out: &mut Output,
) -> Option<Progress> {
    let left = value(entry, progress, elements, out);
    if left.is_none()
        && let Some(date) = entry.expires_at()
    {
        write_command(&mut out.bytes, &[b"PEXPIREAT", entry.key(), date.to_string().as_bytes()]);
    }
    left
}

fn value(entry: EntryRef<'_>, progress: Progress, elements: usize, out: &mut Output) -> Option<Progress> {
    let key = entry.key();
    match (entry.view(), progress) {
        (View::Inline(text), _) => write_command(&mut out.bytes, &[b"SET", key, text]),
        (View::Integer(value), _) => {
            write_command(&mut out.bytes, &[b"SET", key, Digits::of(value).as_bytes()]);
        }
        (View::Raw(text), Progress::Text(at)) => {
            let end = at.saturating_add(elements.saturating_mul(TEXT_PER_ELEMENT)).min(text.len());
            let verb: &[u8] = if at == 0 { b"SET" } else { b"APPEND" };
            write_command(&mut out.bytes, &[verb, key, &text.bytes()[at..end]]);
            return (end < text.len()).then_some(Progress::Text(end));
        }
        (View::List(list), Progress::List(at)) => {
            let mut batch = Batch::new(b"RPUSH", key);
            list.iter_from(at).take(elements).for_each(|element| batch.add(&[&element], out));
            batch.end(out);
            let end = at.saturating_add(elements);
            return (end < list.len()).then_some(Progress::List(end));
        }
        (View::Set(set), Progress::Set(position)) => {
            let mut batch = Batch::new(b"SADD", key);
            let left = super::encode_huge::walk(position, elements, |position, seen| {
                set.walk(position, |member| {
                    batch.add(&[&member], out);
                    *seen += 1;
                })
            });
            batch.end(out);
            return left.map(Progress::Set);
        }
        (View::Hash(hash), Progress::Hash(position, _)) => {
            let (mut batch, mut dates) = (Batch::new(b"HSET", key), Vec::new());
            let left = super::encode_huge::walk(position, elements, |position, seen| {
                hash.walk(position, |(field, value, date)| {
                    batch.add(&[&field, &value], out);
                    dates.extend(date.map(|date| (field.to_vec(), date.to_string())));
                    *seen += 1;
                })
            });
            batch.end(out);
            for (field, date) in dates {
                let words: [&[u8]; 6] = [b"HPEXPIREAT", key, date.as_bytes(), b"FIELDS", b"1", &field];
                write_command(&mut out.bytes, &words);
            }
            return left.map(|position| Progress::Hash(position, None));
        }
        (View::Zset(zset), Progress::Zset(left)) => {
            let mut batch = Batch::new(b"ZADD", key);
            if let Some(last) = left.checked_sub(1) {
                let some = zset.iter_back_from(last).take(elements);
                some.for_each(|(member, score)| batch.add(&[&format_score(score), &member], out));
            }
            batch.end(out);
            let left = left.saturating_sub(elements);
            return (left > 0).then_some(Progress::Zset(left));
        }
        (view @ View::Stream(_), _) => {
            let mut scratch = Output::default();
            scratch.compress = out.compress;
            let payload = dump(view, &mut scratch);
            write_command(&mut out.bytes, &[b"RESTORE", key, b"0", &payload]);
        }
        // A value has one type as long as nobody changes it.
        _ => {}
    }
    None
}

/// A command that grows until it has elements enough.
struct Batch<'a> {
    verb: &'static [u8],
    key: &'a [u8],
    words: Vec<Vec<u8>>,
    elements: usize,
}

impl<'a> Batch<'a> {
    fn new(verb: &'static [u8], key: &'a [u8]) -> Self {
        Self { verb, key, words: Vec::new(), elements: 0 }
    }

    fn add(&mut self, words: &[&[u8]], out: &mut Output) {
        self.words.extend(words.iter().map(|word| word.to_vec()));
        self.elements += 1;
        if self.elements == ELEMENTS_PER_COMMAND {
            self.end(out);
        }
    }

    fn end(&mut self, out: &mut Output) {
        if self.elements > 0 {
            let head = [self.verb, self.key];
            let words: Vec<&[u8]> = head.into_iter().chain(self.words.iter().map(|word| &**word)).collect();
            write_command(&mut out.bytes, &words);
            self.words.clear();
            self.elements = 0;
        }
    }
}
