//! Writing streams: nodes as listpacks, then what is known of the whole, then groups with what their consumers have not
//! acknowledged.
//!
//! ```text
//! node  := entries, deleted, number of fields, name *, 0, entry *
//! entry := flags, ms - ms of the node, seq - seq of the node,
//!          value * | number of fields, (name, value) *, number of elements of this entry
//! ```
//! Flags: 1 deleted, 2 the names are those of the node. Entries that were deleted are left out: of those, only the ID
//! is left here.

use super::Output;
use super::listpack::Builder;
use crate::types::stream::{Consumer, Entry, Group, NodeRef, Pending, Stream, StreamId};

/// The entry was deleted.
pub(super) const DELETED: i64 = 1;
/// The names of its fields are those of the node.
pub(super) const SAME_NAMES: i64 = 2;

/// Takes a stream part by part, in this order.
pub(super) trait StreamSink {
    /// A node, of all nodes.
    fn node(&mut self, node: NodeRef<'_>);
    /// Behind the nodes: what is known of the whole, of which only that is asked.
    fn history(&mut self, stream: &Stream);
    /// A group.
    fn group(&mut self, name: &[u8], group: &Group);
    /// Behind a group: an entry that is pending in it, of all of them.
    fn pending(&mut self, id: StreamId, pending: Pending);
    /// Behind those: how many consumers the group has.
    fn consumers(&mut self, count: usize);
    /// A consumer.
    fn consumer(&mut self, group: &[u8], consumer: &Consumer);
    /// Behind a consumer: an entry that it has not acknowledged, of all of them; as it is pending in the group.
    fn unacknowledged(&mut self, group: &[u8], consumer: &Consumer, id: StreamId, pending: Pending);
}

/// As it stands in a snapshot.
impl StreamSink for Output {
    fn node(&mut self, node: NodeRef<'_>) {
        self.string(&node.master.to_bytes());
        self.listpack(node.bytes_len(), |listpack| {
            listpack.integer(node.live() as i64);
            listpack.integer(0);
            listpack.integer(node.fields() as i64);
            node.names().for_each(|name| listpack.text(&name));
            listpack.integer(0);
            node.entries().for_each(|entry| write_entry(listpack, node.master, entry));
        });
    }

    fn history(&mut self, stream: &Stream) {
        self.length(stream.len());
        write_id(stream.last, self);
        write_id(stream.first, self);
        write_id(stream.max_deleted, self);
        self.length(stream.added);
        self.count(stream.groups().len());
    }

    fn group(&mut self, name: &[u8], group: &Group) {
        self.string(name);
        write_id(group.last, self);
        // What is not known is -1 there.
        self.length(group.read.unwrap_or(u64::MAX));
        self.count(group.pending_len());
    }

    fn pending(&mut self, id: StreamId, pending: Pending) {
        self.raw(&id.to_bytes());
        self.time(pending.delivered_ms);
        self.length(pending.deliveries);
    }

    fn consumers(&mut self, count: usize) {
        self.count(count);
    }

    fn consumer(&mut self, _group: &[u8], consumer: &Consumer) {
        self.string(consumer.name());
        self.time(consumer.seen_ms);
        self.count(consumer.pending_len());
    }

    fn unacknowledged(&mut self, _group: &[u8], _consumer: &Consumer, id: StreamId, _pending: Pending) {
        self.raw(&id.to_bytes());
    }
}

pub(super) fn write(stream: &Stream, out: &mut Output) {
    out.count(stream.nodes_len());
    all(stream, out);
}

/// All of a stream that is not written in parts.
pub(super) fn all(stream: &Stream, sink: &mut impl StreamSink) {
    stream.nodes().for_each(|node| sink.node(node));
    let mut tail = Tail::default();
    while tail.go_on(stream, usize::MAX, sink) {}
}

/// How far what follows the nodes is written.
#[derive(Clone, Copy, Default)]
pub(super) enum Tail {
    /// Nothing of it.
    #[default]
    Head,
    /// The group with this number is next.
    Group(usize),
    /// Pending entries of a group, from an ID on, if any is left.
    Pending(usize, Option<StreamId>),
    /// A consumer of a group is next.
    Consumer(usize, usize),
    /// What a consumer has not acknowledged, from an ID on, if any is left.
    Unacknowledged(usize, usize, Option<StreamId>),
}

impl Tail {
    /// Writes about so many pending entries, and what stands between them; says whether anything is left.
    pub(super) fn go_on(&mut self, stream: &Stream, elements: usize, sink: &mut impl StreamSink) -> bool {
        let mut left = elements;
        while left > 0 {
            let Some(next) = self.step(stream, &mut left, sink) else { return false };
            *self = next;
            left = left.saturating_sub(1);
        }
        true
    }

    fn step(self, stream: &Stream, left: &mut usize, sink: &mut impl StreamSink) -> Option<Self> {
        let group = |at: usize| stream.groups().nth(at);
        Some(match self {
            Self::Head => {
                sink.history(stream);
                Self::Group(0)
            }
            Self::Group(at) => {
                let (name, group) = group(at)?;
                sink.group(name, group);
                Self::Pending(at, Some(StreamId::MIN))
            }
            Self::Pending(at, Some(from)) => {
                let (_, group) = group(at)?;
                let mut last = None;
                for (id, pending) in group.pending_in(from..=StreamId::MAX).take(*left) {
                    sink.pending(id, pending);
                    last = Some(id);
                    *left -= 1;
                }
                Self::Pending(at, last.and_then(StreamId::next))
            }
            Self::Pending(at, None) => {
                sink.consumers(group(at)?.1.consumers_len());
                Self::Consumer(at, 0)
            }
            Self::Consumer(at, nth) => {
                let (name, group) = group(at)?;
                let Some(consumer) = group.consumers().nth(nth) else {
                    return Some(Self::Group(at + 1));
                };
                sink.consumer(name, consumer);
                Self::Unacknowledged(at, nth, Some(StreamId::MIN))
            }
            Self::Unacknowledged(at, nth, Some(from)) => {
                let (name, group) = group(at)?;
                let consumer = group.consumers().nth(nth)?;
                let mut last = None;
                for id in consumer.pending_from(from).take(*left) {
                    sink.unacknowledged(name, consumer, id, group.pending(id)?);
                    last = Some(id);
                    *left -= 1;
                }
                Self::Unacknowledged(at, nth, last.and_then(StreamId::next))
            }
            Self::Unacknowledged(at, nth, None) => Self::Consumer(at, nth + 1),
        })
    }
}

fn write_id(id: StreamId, out: &mut Output) {
    out.length(id.ms);
    out.length(id.seq);
}

fn write_entry(listpack: &mut Builder<'_>, master: StreamId, entry: Entry<'_>) {
    let fields = entry.fields() as i64;
    let same_names = entry.shares_names();
    listpack.integer(if same_names { SAME_NAMES } else { 0 });
    listpack.integer(entry.id.ms.wrapping_sub(master.ms) as i64);
    listpack.integer(entry.id.seq.wrapping_sub(master.seq) as i64);
    if !same_names {
        listpack.integer(fields);
    }
    for (name, value) in entry.pairs() {
        if !same_names {
            listpack.text(&name);
        }
        listpack.text(&value);
    }
    listpack.integer(if same_names { fields + 3 } else { 2 * fields + 4 });
}
