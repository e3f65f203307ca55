//! Writing values of very many elements, a part at a time.
//!
//! Law: the parts make up what was there when the value was begun. As long as it does not change, it is read from where
//! the last part ended. Before its first change ([`Parts::before_change`]) it begins to keep what was not written yet:
//! a table copies items before they change, a list elements that are taken out, a text pages that are written to
//! ([`Parts::before_edit`]), a stream nodes before they change, and its groups. No step and no change does more than
//! its share.
//!
//! The forms are those of which only the number of elements has to be known before: lists element by element, texts as
//! they are, without compression.
//! Not here: where the value is meanwhile (`keyspace/walk.rs`), and what the parts look like as commands
//! (`as_commands.rs`).

use std::collections::BTreeMap;
use std::ops::Range;

use super::encode_stream::{self, StreamSink, Tail};
use super::{Output, types};
use crate::keyspace::{EntryMut, EntryRef, View, ViewMut};
use crate::limits::{HUGE_ELEMENTS, HUGE_TEXT};
use crate::table::Keyed;
use crate::types::list::Place;
use crate::types::set::Set;
use crate::types::stream::StreamId;
use crate::types::text::Text;
use crate::types::zset::Zset;
use crate::waiting::{Leftover, Waiting};

/// Entries of a stream that a node has, about.
const ENTRIES_PER_NODE: usize = 100;
/// Bytes of a text that are written, and kept, at a time.
const PAGE: usize = 64 << 10;

/// A value that is written in parts, as it was when it was begun.
pub(crate) struct Parts {
    key: Box<[u8]>,
    date: Option<u64>,
    /// The smallest date of the fields of a hash.
    smallest: Option<u64>,
    progress: Progress,
}

/// How far a value is written.
enum Progress {
    Text(Pages),
    /// Elements of a list, and a place in front of the next one.
    List(usize, Place),
    /// The position of a walk over a set or a hash.
    Table(u64),
    /// Members of a sorted set that are left, the greatest of them next.
    Zset(usize),
    /// The ID from which nodes of a stream are left, and how far the rest is written.
    Stream(Option<StreamId>, Tail),
    /// It changed, and keeps itself what is left. Of a sorted set, the last member that was written before, and its
    /// score: it was written by rank, and is walked by hash from then on.
    Kept(Option<(f64, Box<[u8]>)>),
}

/// How far a text is written.
struct Pages {
    at: usize,
    len: usize,
    /// Pages that changed before they were written, as they were.
    kept: BTreeMap<usize, Box<[u8]>>,
    waiting: Waiting,
}

/// Takes the elements of a value, one after the other.
pub(super) trait Sink {
    /// A part of a text, and where it begins.
    fn text(&mut self, at: usize, part: &[u8]);
    /// An element of a list.
    fn element(&mut self, element: &Text<'_>);
    /// A member of a set.
    fn member(&mut self, member: &Text<'_>);
    /// A field of a hash, with its value and its date.
    fn field(&mut self, field: &Text<'_>, value: &Text<'_>, date: Option<u64>);
    /// A member of a sorted set.
    fn scored(&mut self, member: &Text<'_>, score: f64);
    /// What takes a stream.
    fn stream(&mut self) -> &mut impl StreamSink;
}

/// Elements as they stand in a snapshot.
pub(super) struct InSnapshot<'a> {
    pub(super) out: &'a mut Output,
    /// The smallest date of the fields, if any of them has one.
    pub(super) smallest: Option<u64>,
}

impl Sink for InSnapshot<'_> {
    fn text(&mut self, _at: usize, part: &[u8]) {
        self.out.raw(part);
    }

    fn element(&mut self, element: &Text<'_>) {
        self.out.text(element);
    }

    fn member(&mut self, member: &Text<'_>) {
        self.out.text(member);
    }

    fn field(&mut self, field: &Text<'_>, value: &Text<'_>, date: Option<u64>) {
        if let Some(smallest) = self.smallest {
            self.out.length(date.map_or(0, |date| date.saturating_sub(smallest) + 1));
        }
        self.out.text(field);
        self.out.text(value);
    }

    fn scored(&mut self, member: &Text<'_>, score: f64) {
        self.out.text(member);
        self.out.raw(&score.to_le_bytes());
    }

    fn stream(&mut self) -> &mut impl StreamSink {
        &mut *self.out
    }
}

/// Whether a value is to be written a part at a time.
pub(crate) fn is_huge(view: View<'_>) -> bool {
    match view {
        View::Raw(text) => text.len() > HUGE_TEXT,
        View::List(list) => list.len() > HUGE_ELEMENTS,
        View::Set(set @ Set::Table(_)) => set.len() > HUGE_ELEMENTS,
        View::Hash(hash) => hash.len() > HUGE_ELEMENTS && hash.is_table(),
        View::Zset(zset @ Zset::Large(_)) => zset.len() > HUGE_ELEMENTS,
        View::Stream(stream) => {
            let pending: usize = stream.groups().map(|(_, group)| group.pending_len()).sum();
            stream.len() as usize + pending > HUGE_ELEMENTS
        }
        _ => false,
    }
}

/// What the byte before a huge value says.
pub(super) fn type_of(view: View<'_>) -> u8 {
    match view {
        View::List(_) => types::LIST,
        other => super::encode::type_of(other),
    }
}

/// Writes what stands before the elements of a huge value in a snapshot.
pub(super) fn write_head(view: View<'_>, out: &mut Output) {
    if let View::Hash(hash) = view
        && let Some(smallest) = hash.next_date()
    {
        out.time(smallest);
    }
    out.count(match view {
        View::Raw(text) => text.len(),
        View::List(list) => list.len(),
        View::Set(set) => set.len(),
        View::Hash(hash) => hash.len(),
        View::Zset(zset) => zset.len(),
        View::Stream(stream) => stream.nodes_len(),
        View::Inline(_) | View::Integer(_) => 0,
    });
}

/// All elements of a value that is not written in parts.
pub(super) fn all(view: View<'_>, sink: &mut impl Sink) {
    match view {
        View::List(list) => list.iter_from(0).for_each(|element| sink.element(&element)),
        View::Set(set) => set.iter().for_each(|member| sink.member(&member)),
        View::Hash(hash) => {
            hash.iter_dated().for_each(|(field, value, date)| sink.field(&field, &value, date));
        }
        View::Zset(zset) => zset.iter_from(0).for_each(|(member, score)| sink.scored(&member, score)),
        View::Raw(text) => sink.text(0, text.bytes()),
        View::Stream(stream) => encode_stream::all(stream, sink.stream()),
        View::Inline(_) | View::Integer(_) => {}
    }
}

impl Parts {
    /// Begins with a huge value.
    pub(super) fn new(entry: EntryRef<'_>, waiting: &Waiting) -> Self {
        let progress = match entry.view() {
            View::List(_) => Progress::List(0, Place::default()),
            View::Zset(zset) => Progress::Zset(zset.len()),
            View::Set(_) | View::Hash(_) => Progress::Table(0),
            View::Raw(text) => Progress::Text(Pages::new(text.len(), waiting)),
            View::Stream(_) => Progress::Stream(Some(StreamId::MIN), Tail::default()),
            View::Inline(_) | View::Integer(_) => Progress::Text(Pages::new(0, waiting)),
        };
        let smallest = if let View::Hash(hash) = entry.view() { hash.next_date() } else { None };
        Self { key: entry.key().into(), date: entry.expires_at(), smallest, progress }
    }

    /// Its key at the instant.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its date at the instant.
    pub(super) fn date(&self) -> Option<u64> {
        self.date
    }

    /// The smallest date of its fields at the instant.
    pub(super) fn smallest(&self) -> Option<u64> {
        self.smallest
    }

    /// The value is about to change: from now on it keeps what is left.
    pub(crate) fn before_change(&mut self, value: ViewMut<'_>, waiting: &Waiting) {
        let mut written = None;
        match (value, &self.progress) {
            (ViewMut::List(list), &Progress::List(at, _)) => list.keep_from(at, waiting),
            (ViewMut::Set(set), &Progress::Table(position)) => set.keep_from(position, waiting),
            (ViewMut::Hash(hash), &Progress::Table(position)) => hash.keep_from(position, waiting),
            (ViewMut::Zset(zset), &Progress::Zset(left)) => {
                let last = zset.iter_from(left).next();
                written = last.map(|(member, score)| (score, (&*member).into()));
                zset.keep(waiting);
            }
            (ViewMut::Stream(stream), &Progress::Stream(nodes, _)) => {
                if !stream.is_kept() {
                    stream.keep_from(nodes, waiting);
                }
                return;
            }
            // Pages are kept when they change. And what is kept already goes on.
            _ => return,
        }
        self.progress = Progress::Kept(written);
    }

    /// A text is about to change between these bytes, or grow.
    pub(crate) fn before_edit(&mut self, text: &[u8], changes: Range<usize>) {
        if let Progress::Text(pages) = &mut self.progress {
            pages.before_edit(text, changes);
        }
    }

    /// Nobody wants the rest: the value keeps nothing for it any longer.
    pub(crate) fn let_go(&self, value: ViewMut<'_>) -> Option<Leftover> {
        match value {
            ViewMut::List(list) => list.let_go(),
            ViewMut::Set(set) => set.let_go(),
            ViewMut::Hash(hash) => hash.let_go(),
            ViewMut::Zset(zset) => zset.let_go(),
            ViewMut::Stream(stream) => stream.let_go(),
            ViewMut::Text => None,
        }
    }

    /// Writes about so many elements, a page of a text, some nodes of a stream, or about so many of what is pending in
    /// its groups. Says whether anything may be left.
    pub(super) fn go_on(&mut self, entry: EntryMut<'_>, elements: usize, sink: &mut impl Sink) -> bool {
        match &mut self.progress {
            Progress::Stream(nodes, tail) => {
                go_on_in_stream(entry.into_view(), nodes, tail, elements, sink.stream())
            }
            Progress::Kept(written) => go_on_kept(entry.into_view(), written.as_ref(), elements, sink),
            progress => progress.go_on(entry.view(), elements, sink),
        }
    }
}

impl Progress {
    /// Goes on in a value that did not change.
    fn go_on(&mut self, view: View<'_>, elements: usize, sink: &mut impl Sink) -> bool {
        match (view, self) {
            (View::Raw(text), Self::Text(pages)) => pages.go_on(text.bytes(), sink),
            (View::List(list), Self::List(at, place)) => {
                list.walk(place, *at, elements, |element| sink.element(&element));
                *at += elements;
                *at < list.len()
            }
            (View::Set(set), Self::Table(position)) => walk(position, elements, |position, seen| {
                set.walk(position, |member| {
                    sink.member(&member);
                    *seen += 1;
                })
            }),
            (View::Hash(hash), Self::Table(position)) => walk(position, elements, |position, seen| {
                hash.walk(position, |(field, value, date)| {
                    sink.field(&field, &value, date);
                    *seen += 1;
                })
            }),
            (View::Zset(zset), Self::Zset(left)) => {
                if let Some(last) = left.checked_sub(1) {
                    let some = zset.iter_back_from(last).take(elements);
                    some.for_each(|(member, score)| sink.scored(&member, score));
                }
                *left = left.saturating_sub(elements);
                *left > 0
            }
            // A value has one type as long as nobody replaces it.
            _ => false,
        }
    }
}

/// Takes steps of a walk over a table until enough was seen; says whether it goes on.
fn walk(position: &mut u64, elements: usize, mut step: impl FnMut(u64, &mut usize) -> Option<u64>) -> bool {
    let mut seen = 0;
    while seen < elements {
        let Some(next) = step(*position, &mut seen) else { return false };
        *position = next;
        // A bucket with nothing in it costs time, too.
        seen += 1;
    }
    true
}

/// Goes on in a stream, whether it changed or not: first its nodes, then what is known of the whole.
fn go_on_in_stream(
    value: ViewMut<'_>,
    nodes: &mut Option<StreamId>,
    tail: &mut Tail,
    elements: usize,
    sink: &mut impl StreamSink,
) -> bool {
    let ViewMut::Stream(stream) = value else { return false };
    if let Some(position) = *nodes {
        let count = elements.div_ceil(ENTRIES_PER_NODE);
        *nodes = stream.walk_nodes(position, count, |node| sink.node(node));
        return true;
    }
    let is_left = tail.go_on(stream.rest(), elements, sink);
    if !is_left {
        stream.let_go();
    }
    is_left
}

/// Goes on in a value that keeps itself what is left.
fn go_on_kept(
    value: ViewMut<'_>,
    written: Option<&(f64, Box<[u8]>)>,
    elements: usize,
    sink: &mut impl Sink,
) -> bool {
    match value {
        ViewMut::List(list) => list.walk_kept(elements, |element| sink.element(&element)),
        ViewMut::Set(set) => set.walk_kept(elements, |member| sink.member(&member)),
        ViewMut::Hash(hash) => {
            hash.walk_kept(elements, |(field, value, date)| sink.field(&field, &value, date))
        }
        ViewMut::Zset(zset) => zset.walk_kept(elements, |member, score| {
            let is_left = |(bound, last): &(f64, Box<[u8]>)| (score, &*member) < (*bound, &**last);
            if written.is_none_or(is_left) {
                sink.scored(&member, score);
            }
        }),
        ViewMut::Text | ViewMut::Stream(_) => false,
    }
}

impl Pages {
    fn new(len: usize, waiting: &Waiting) -> Self {
        Self { at: 0, len, kept: BTreeMap::new(), waiting: waiting.another() }
    }

    /// The bytes of a page.
    fn range(&self, page: usize) -> Range<usize> {
        page * PAGE..((page + 1) * PAGE).min(self.len)
    }

    fn before_edit(&mut self, text: &[u8], changes: Range<usize>) {
        let (from, to) = (changes.start.max(self.at), changes.end.min(self.len));
        if from >= to {
            return;
        }
        for page in from / PAGE..=(to - 1) / PAGE {
            let range = self.range(page);
            if let std::collections::btree_map::Entry::Vacant(place) = self.kept.entry(page) {
                self.waiting.add(range.len());
                place.insert(text[range].into());
            }
        }
    }

    /// Writes the next page; says whether there are more.
    fn go_on(&mut self, text: &[u8], sink: &mut impl Sink) -> bool {
        let range = self.range(self.at / PAGE);
        match self.kept.remove(&(self.at / PAGE)) {
            Some(kept) => {
                self.waiting.subtract(kept.len());
                sink.text(self.at, &kept);
            }
            None => sink.text(self.at, &text[range.clone()]),
        }
        self.at = range.end;
        self.at < self.len
    }
}
