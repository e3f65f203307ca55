//! Some consecutive entries of a stream, packed in one allocation.
//!
//! The names of the first entry's fields stand once, in front; entries with the same names say so and hold their values
//! only. IDs are differences to the entry before.
//! ```text
//! node  := name * fields, entry *
//! entry := head u8, [ms difference], [seq], [number of fields], name or value *
//! ```
//! Bits of the head: the names are those in front; deleted (nothing follows the ID then); a difference of milliseconds
//! follows (else it is 0); a sequence number follows (without it: 0 in a new millisecond, else one more than before).
//! An entry of two short values costs half of what it costs in a listpack.
//!
//! Law: where a node is full decides what approximate trimming removes, so each node knows what it would weigh as a
//! listpack of Redis ([`super::weight`]), deleted entries included. A deleted entry keeps its ID and loses its values.

use super::id::StreamId;
use super::weight;
use crate::thin::Thin;
use crate::types::pack::{Element, Encoded, read, skip};
use crate::types::text::Text;

const SAME_NAMES: u8 = 1;
const DELETED: u8 = 1 << 1;
const HAS_MS: u8 = 1 << 2;
const HAS_SEQ: u8 = 1 << 3;

/// Consecutive entries.
#[derive(Clone)]
pub(super) struct Node(Thin<Head>);

#[derive(Clone, Copy)]
struct Head {
    /// The ID of the last entry, deleted or not.
    last: StreamId,
    live: u32,
    deleted: u32,
    /// Bytes of the names and entries as a listpack.
    weight: u32,
    /// How many names stand in front.
    fields: u32,
    /// Where they end.
    names_end: u32,
}

/// A look at an entry.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Its ID.
    pub(crate) id: StreamId,
    /// The names in front of the node, if they are its own.
    names: Option<&'a [u8]>,
    /// Values, or names and values in turn.
    body: &'a [u8],
    fields: usize,
    /// Where all that stands.
    node: &'a Node,
}

/// A place in a node.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) id: StreamId,
    pub(super) deleted: bool,
    same_names: bool,
    /// Where the head stands.
    at: usize,
    /// Where the values begin.
    body_at: usize,
    fields: usize,
    /// Where the next entry begins.
    end: usize,
}

fn push_number(out: &mut Thin<Head>, mut number: u64) {
    let mut bytes = [0; 10];
    let mut len = 0;
    while number >= 0x80 {
        bytes[len] = number as u8 | 0x80;
        number >>= 7;
        len += 1;
    }
    bytes[len] = number as u8;
    out.extend(&bytes[..=len]);
}

fn number(data: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = data[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

impl<'a> Entry<'a> {
    /// How many fields it has.
    pub(crate) fn fields(self) -> usize {
        self.fields
    }

    /// Names and values.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (Text<'a>, Text<'a>)> {
        let Self { mut names, mut body, fields, node, .. } = self;
        (0..fields).map(move |_| {
            let from = names.as_mut().unwrap_or(&mut body);
            let (name, len) = read(from);
            *from = &from[len..];
            let (value, len) = read(body);
            body = &body[len..];
            (node.text(name), node.text(value))
        })
    }

    /// Whether its names are those in front of its node, and stand there only.
    pub(crate) fn shares_names(self) -> bool {
        self.names.is_some()
    }
}

/// A look at a node.
#[derive(Clone, Copy)]
pub(crate) struct NodeRef<'a> {
    /// Its ID: that of its first entry, deleted or not.
    pub(crate) master: StreamId,
    pub(super) node: &'a Node,
}

impl<'a> NodeRef<'a> {
    /// How many entries are not deleted.
    pub(crate) fn live(self) -> u64 {
        self.node.live()
    }

    /// How many names stand in front.
    pub(crate) fn fields(self) -> u32 {
        self.node.0.head().fields
    }

    /// The names in front.
    pub(crate) fn names(self) -> impl Iterator<Item = Text<'a>> {
        let node = self.node;
        let mut names = &node.0.bytes()[..node.0.head().names_end as usize];
        std::iter::from_fn(move || {
            let (name, len) = (!names.is_empty()).then(|| read(names))?;
            names = &names[len..];
            Some(node.text(name))
        })
    }

    /// The entries that are not deleted.
    pub(crate) fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        self.node.entries(self.master)
    }

    /// Bytes of its entries.
    pub(crate) fn bytes_len(self) -> usize {
        self.node.0.bytes().len()
    }
}

impl Node {
    /// A node for an entry with these names.
    pub(super) fn new(first: StreamId, pairs: &[&[u8]], capacity: usize) -> Self {
        let names = pairs.iter().step_by(2).map(|name| Encoded::text(name));
        let mut data = Thin::with_capacity(
            Head { last: first, live: 0, deleted: 0, weight: 0, fields: 0, names_end: 0 },
            capacity,
        );
        let mut weight = weight::integer((pairs.len() / 2) as i64) + weight::integer(0);
        for (name, text) in names.zip(pairs.iter().step_by(2)) {
            name.pieces().iter().for_each(|piece| data.extend(piece));
            weight += weight::text(text);
        }
        let names_end = data.len() as u32;
        let head = data.head();
        data.set_head(Head {
            // The first entry is one behind its predecessor.
            last: StreamId { seq: first.seq.wrapping_sub(1), ..first },
            weight: weight as u32,
            fields: (pairs.len() / 2) as u32,
            names_end,
            ..head
        });
        Self(data)
    }

    /// The ID of the last entry, deleted or not.
    pub(super) fn last(&self) -> StreamId {
        self.0.head().last
    }

    /// How many entries are not deleted.
    pub(super) fn live(&self) -> u64 {
        u64::from(self.0.head().live)
    }

    /// How many entries there are, the deleted ones included.
    pub(super) fn slots_len(&self) -> u64 {
        self.live() + u64::from(self.0.head().deleted)
    }

    /// Bytes it would take as a listpack of Redis.
    pub(super) fn weight(&self) -> usize {
        let Head { live, deleted, weight, .. } = self.0.head();
        weight::EMPTY
            + weight::integer(i64::from(live))
            + weight::integer(i64::from(deleted))
            + weight as usize
    }

    /// Bytes taken from the allocator.
    pub(super) fn footprint(&self) -> usize {
        self.0.footprint()
    }

    /// Gives back room that is not used.
    pub(super) fn shrink(&mut self) {
        self.0.shrink();
    }

    fn has_names_of(&self, pairs: &[&[u8]]) -> bool {
        let Head { fields, names_end, .. } = self.0.head();
        let mut names = &self.0.bytes()[..names_end as usize];
        fields as usize == pairs.len() / 2
            && pairs.iter().step_by(2).all(|name| {
                let name = Encoded::text(name);
                let same = name.begins(names);
                names = &names[if same { name.len() } else { 0 }..];
                same
            })
    }

    /// Appends an entry whose ID is above all others; `master` is the ID of the node.
    pub(super) fn append(&mut self, master: StreamId, id: StreamId, pairs: &[&[u8]]) {
        let before = self.0.head().last;
        let same_names = self.has_names_of(pairs);
        let ms = id.ms.wrapping_sub(before.ms);
        let expected_seq = if ms == 0 { before.seq.wrapping_add(1) } else { 0 };
        let seq = id.seq.wrapping_sub(expected_seq);
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        self.0.extend(&[bit(same_names, SAME_NAMES) | bit(ms > 0, HAS_MS) | bit(seq > 0, HAS_SEQ)]);
        for part in [ms, seq] {
            if part > 0 {
                push_number(&mut self.0, part);
            }
        }
        let fields = pairs.len() / 2;
        let mut added = weight::entry(master, id, fields, same_names);
        if !same_names {
            push_number(&mut self.0, fields as u64);
        }
        for pair in pairs.chunks_exact(2) {
            for text in &pair[usize::from(same_names)..] {
                Encoded::text(text).pieces().iter().for_each(|piece| self.0.extend(piece));
                added += weight::text(text);
            }
        }
        let head = self.0.head();
        self.0.set_head(Head { last: id, live: head.live + 1, weight: head.weight + added as u32, ..head });
    }

    /// What stands at `at`, behind an entry with the ID `before`.
    fn slot(&self, at: usize, before: StreamId) -> Slot {
        let data = self.0.bytes();
        let head = data[at];
        let mut cursor = at + 1;
        let ms = if head & HAS_MS != 0 { number(data, &mut cursor) } else { 0 };
        let seq = if head & HAS_SEQ != 0 { number(data, &mut cursor) } else { 0 };
        let expected_seq = if ms == 0 { before.seq.wrapping_add(1) } else { 0 };
        let id = StreamId { ms: before.ms.wrapping_add(ms), seq: expected_seq.wrapping_add(seq) };
        let (same_names, deleted) = (head & SAME_NAMES != 0, head & DELETED != 0);
        let fields = match () {
            () if deleted => 0,
            () if same_names => self.0.head().fields as usize,
            () => number(data, &mut cursor) as usize,
        };
        let texts = if same_names { fields } else { 2 * fields };
        let end = (0..texts).fold(cursor, |at, _| at + skip(&data[at..]));
        Slot { id, deleted, same_names, at, body_at: cursor, fields, end }
    }

    /// All places, the deleted ones included.
    pub(super) fn slots(&self, master: StreamId) -> impl Iterator<Item = Slot> + '_ {
        let mut at = self.0.head().names_end as usize;
        let mut before = StreamId { seq: master.seq.wrapping_sub(1), ..master };
        std::iter::from_fn(move || {
            if at >= self.0.len() {
                return None;
            }
            let slot = self.slot(at, before);
            at = slot.end;
            before = slot.id;
            Some(slot)
        })
    }

    /// The entry at a place that is not deleted.
    pub(super) fn entry(&self, slot: Slot) -> Entry<'_> {
        let data = self.0.bytes();
        let names = slot.same_names.then(|| &data[..self.0.head().names_end as usize]);
        Entry { id: slot.id, names, body: &data[slot.body_at..slot.end], fields: slot.fields, node: self }
    }

    /// The text of one of its elements.
    fn text<'a>(&'a self, element: Element<'a>) -> Text<'a> {
        element.text().of(self.0.look())
    }

    /// All entries that are not deleted.
    pub(super) fn entries(&self, master: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.slots(master).filter(|slot| !slot.deleted).map(|slot| self.entry(slot))
    }

    /// All entries that are not deleted, the last one first.
    pub(super) fn entries_back(&self, master: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let slots: Vec<Slot> = self.slots(master).filter(|slot| !slot.deleted).collect();
        slots.into_iter().rev().map(|slot| self.entry(slot))
    }

    /// Deletes the entry at a place that is not deleted; places behind it move.
    pub(super) fn delete(&mut self, slot: Slot) {
        // First, so that of a long entry which others own, too, only the rest is copied.
        self.0.splice(slot.body_at.min(slot.end), slot.end - slot.body_at, &[]);
        self.0.bytes_mut()[slot.at] |= DELETED;
        if !slot.same_names {
            // The number of fields stood between the ID and the body.
            let mut id_end = slot.at + 1;
            let head = self.0.bytes()[slot.at];
            for bit in [HAS_MS, HAS_SEQ] {
                if head & bit != 0 {
                    number(self.0.bytes(), &mut id_end);
                }
            }
            self.0.splice(id_end, slot.body_at - id_end, &[]);
        }
        let head = self.0.head();
        self.0.set_head(Head { live: head.live - 1, deleted: head.deleted + 1, ..head });
    }

    /// Deletes entries from the front, one after the other, as long as `wanted`; returns how many.
    pub(super) fn delete_front(
        &mut self,
        master: StreamId,
        mut wanted: impl FnMut(StreamId, u64) -> bool,
    ) -> u64 {
        let mut deleted = 0;
        let mut at = self.0.head().names_end as usize;
        let mut before = StreamId { seq: master.seq.wrapping_sub(1), ..master };
        while at < self.0.len() {
            let slot = self.slot(at, before);
            if !wanted(slot.id, deleted) {
                break;
            }
            if !slot.deleted {
                self.delete(slot);
                deleted += 1;
            }
            at = self.slot(at, before).end;
            before = slot.id;
        }
        self.0.shrink();
        deleted
    }
}
