//! Reading streams; see [`super::encode_stream`] for their form.
//!
//! Law: what comes in is what a stream of ours may hold: IDs ascend over all nodes and do not exceed the last one
//! given, counts are those of what is there, an entry that is not acknowledged belongs to exactly one consumer.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::encode_stream::{DELETED, SAME_NAMES};
use super::fault::{Flaw, RdbFault, of_form};
use super::{listpack, types};
use crate::types::stream::{Group, Stream, StreamId};
use crate::types::text::{Scalar, Text};

/// A stream that is being read.
pub(super) struct StreamDecoder {
    kind: u8,
    step: Step,
    stream: Stream,
    /// The last entry so far, deleted or not.
    last: Option<StreamId>,
    group: GroupDraft,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Step {
    /// The number of nodes.
    Begin,
    /// So many nodes.
    Nodes(u64),
    /// What is known of the whole, and the number of groups.
    Whole,
    /// So many groups.
    Groups(u64),
    /// So many entries that are not acknowledged, then so many groups.
    Pending(u64, u64),
    /// So many consumers, then so many groups.
    Consumers(u64, u64),
    /// So many entries of a consumer, then so many consumers, then so many groups.
    Owned(u64, u64, u64),
    /// Nothing.
    End,
}

/// A group that is being read.
#[derive(Default)]
struct GroupDraft {
    name: Vec<u8>,
    last: StreamId,
    read: Option<u64>,
    /// Entries that were not acknowledged and whose consumer is not known yet: when they were delivered, and how often.
    pending: BTreeMap<StreamId, (u64, u64)>,
    consumers: Vec<ConsumerDraft>,
}

struct ConsumerDraft {
    name: Vec<u8>,
    seen_ms: u64,
    active_ms: Option<u64>,
    pending: Vec<(StreamId, (u64, u64))>,
}

impl StreamDecoder {
    pub(super) fn new(kind: u8) -> Self {
        Self { kind, step: Step::Begin, stream: Stream::default(), last: None, group: GroupDraft::default() }
    }

    /// Reads on.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Stream, RdbFault> {
        while !matches!(self.step, Step::End) {
            self.step = cursor.whole(|cursor| self.advance(cursor))?;
        }
        Ok(std::mem::take(&mut self.stream))
    }

    fn advance(&mut self, cursor: &mut Cursor<'_>) -> Result<Step, RdbFault> {
        Ok(match self.step {
            Step::Begin => Step::Nodes(cursor.length()?),
            Step::Nodes(0) => Step::Whole,
            Step::Nodes(left) => {
                self.node(cursor)?;
                Step::Nodes(left - 1)
            }
            Step::Whole => Step::Groups(self.whole(cursor)?),
            Step::Groups(0) | Step::End => Step::End,
            Step::Groups(left) => Step::Pending(self.begin_group(cursor)?, left - 1),
            Step::Pending(0, groups) => Step::Consumers(cursor.length()?, groups),
            Step::Pending(left, groups) => {
                let id = StreamId::from_bytes(cursor.array()?);
                let delivery = (cursor.time()?, cursor.length()?);
                if self.group.pending.insert(id, delivery).is_some() {
                    return Err(RdbFault::Damaged(
                        "Duplicated global PEL entry loading stream consumer group",
                    ));
                }
                Step::Pending(left - 1, groups)
            }
            Step::Consumers(0, groups) => {
                self.end_group()?;
                Step::Groups(groups)
            }
            Step::Consumers(left, groups) => Step::Owned(self.consumer(cursor)?, left - 1, groups),
            Step::Owned(0, consumers, groups) => Step::Consumers(consumers, groups),
            Step::Owned(left, consumers, groups) => {
                self.claim(StreamId::from_bytes(cursor.array()?))?;
                Step::Owned(left - 1, consumers, groups)
            }
        })
    }

    fn node(&mut self, cursor: &mut Cursor<'_>) -> Result<(), RdbFault> {
        let master = cursor.string()?.into_vec();
        let master = <[u8; 16]>::try_from(master)
            .map_err(|_| RdbFault::Damaged("Stream node key entry is not the size of a stream ID"))?;
        let listpack = cursor.string()?;
        let text = listpack.text();
        self.add_node(StreamId::from_bytes(master), &text).map_err(of_form("Stream listpack"))
    }

    fn add_node(&mut self, master: StreamId, listpack: &[u8]) -> Result<(), Flaw> {
        let mut node = NodeReader { elements: listpack::Elements::new(listpack)? };
        if self.last.is_some_and(|last| master <= last) {
            return Err("the ID of a node is not behind the node before");
        }
        let (live, deleted, fields) = (node.count()?, node.count()?, node.count()?);
        let names: Vec<Text<'_>> = (0..fields).map(|_| node.text()).collect::<Result<_, _>>()?;
        let names: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
        if node.integer()? != 0 {
            return Err("its names have no end");
        }
        if live > 0 {
            // Without entries it holds nothing, and is left out.
            self.stream.begin_node(master, &names);
        }
        let (mut live_left, mut deleted_left) = (live, deleted);
        while live_left > 0 || deleted_left > 0 {
            let entry = node.entry(master, names.len() as u64)?;
            if entry.id < master
                || entry.id == StreamId::MIN
                || self.last.is_some_and(|last| entry.id <= last)
            {
                return Err("an ID is not behind the one before");
            }
            self.last = Some(entry.id);
            let left = if entry.deleted { &mut deleted_left } else { &mut live_left };
            *left = left.checked_sub(1).ok_or("it has not as many deleted entries as it says")?;
            if !entry.deleted {
                self.stream.append_to_node(entry.id, &entry.pairs(&names));
            }
        }
        if node.elements.next().is_some() {
            return Err("something stands behind its entries");
        }
        self.stream.end_node();
        Ok(())
    }

    /// What is known of the whole; returns the number of groups.
    fn whole(&mut self, cursor: &mut Cursor<'_>) -> Result<u64, RdbFault> {
        let len = cursor.length()?;
        let last = id(cursor)?;
        let newer = if self.kind == types::STREAM {
            None
        } else {
            // The first entry is the first one that is there, whatever stands here.
            id(cursor)?;
            Some((id(cursor)?, cursor.length()?))
        };
        let groups = cursor.length()?;
        let stream = &mut self.stream;
        if len != stream.len() {
            return Err(RdbFault::Damaged("Stream length inconsistent with its nodes"));
        }
        if self.last.is_some_and(|entry| entry > last) {
            return Err(RdbFault::Damaged("a stream has an entry behind its last ID"));
        }
        let (max_deleted, added) = newer.unwrap_or((StreamId::MIN, len));
        stream.set_history(last, max_deleted, added);
        Ok(groups)
    }

    /// The beginning of a group; returns the number of entries that are not acknowledged.
    fn begin_group(&mut self, cursor: &mut Cursor<'_>) -> Result<u64, RdbFault> {
        let name = cursor.string()?.into_vec();
        let last = id(cursor)?;
        let read = if self.kind == types::STREAM {
            self.stream.added_up_to(last)
        } else {
            Some(cursor.length()?).filter(|&read| read != u64::MAX)
        };
        let pending = cursor.length()?;
        if self.stream.group(&name).is_some() {
            return Err(RdbFault::Damaged("Duplicated consumer group name"));
        }
        self.group = GroupDraft { name, last, read, ..GroupDraft::default() };
        Ok(pending)
    }

    /// A consumer; returns the number of its entries.
    fn consumer(&mut self, cursor: &mut Cursor<'_>) -> Result<u64, RdbFault> {
        let name = cursor.string()?.into_vec();
        let seen_ms = cursor.time()?;
        let active_ms = match self.kind {
            types::STREAM_3 => u64::try_from(cursor.signed_time()?).ok(),
            // The best estimate there is.
            _ => Some(seen_ms),
        };
        let pending = cursor.length()?;
        self.group.consumers.push(ConsumerDraft { name, seen_ms, active_ms, pending: Vec::new() });
        Ok(pending)
    }

    fn claim(&mut self, id: StreamId) -> Result<(), RdbFault> {
        let Some(delivery) = self.group.pending.remove(&id) else {
            return Err(RdbFault::Damaged(
                "Stream consumer PEL entry already has a consumer assigned, or is not in the PEL of the group",
            ));
        };
        if let Some(consumer) = self.group.consumers.last_mut() {
            consumer.pending.push((id, delivery));
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), RdbFault> {
        let GroupDraft { name, last, read, pending, mut consumers } = std::mem::take(&mut self.group);
        if !pending.is_empty() {
            return Err(RdbFault::Damaged("Stream CG PEL entry without consumer"));
        }
        // In order, so that each is added at the end.
        consumers.sort_by(|a, b| a.name.cmp(&b.name));
        let mut group = Group::new(last, read);
        for ConsumerDraft { name, seen_ms, active_ms, pending } in consumers {
            let (id, new) = group.find_or_create(&name, seen_ms);
            if !new {
                return Err(RdbFault::Damaged("Duplicate stream consumer detected"));
            }
            if let Some(consumer) = group.consumer_mut(id) {
                consumer.active_ms = active_ms;
            }
            for (entry, (delivered_ms, deliveries)) in pending {
                group.assign(entry, id, delivered_ms, deliveries);
            }
        }
        self.stream.add_group(&name, group);
        Ok(())
    }
}

/// Reads the elements of a node.
struct NodeReader<'a> {
    elements: listpack::Elements<'a>,
}

impl<'a> NodeReader<'a> {
    fn scalar(&mut self) -> Result<Scalar<'a>, Flaw> {
        self.elements.next().unwrap_or(Err("it ends too early"))
    }

    fn text(&mut self) -> Result<Text<'a>, Flaw> {
        self.scalar().map(Scalar::text)
    }

    fn integer(&mut self) -> Result<i64, Flaw> {
        self.scalar()?.as_integer().ok_or("a number that is none")
    }

    fn count(&mut self) -> Result<u64, Flaw> {
        u64::try_from(self.integer()?).map_err(|_| "a negative count")
    }

    /// The next entry of a node with so many names.
    fn entry(&mut self, master: StreamId, names: u64) -> Result<EntryDraft<'a>, Flaw> {
        let flags = self.integer()?;
        let (ms, seq) = (self.integer()?, self.integer()?);
        let id = StreamId { ms: master.ms.wrapping_add(ms as u64), seq: master.seq.wrapping_add(seq as u64) };
        let same_names = flags & SAME_NAMES != 0;
        let (texts, extra) = match same_names {
            true => (Some(names), 3),
            false => (self.count()?.checked_mul(2), 4),
        };
        let count = texts.filter(|&count| count > 0).ok_or("an entry without fields")?;
        let texts = (0..count).map(|_| self.text()).collect::<Result<_, _>>()?;
        if self.count()? != count.saturating_add(extra) {
            return Err("an entry has not as many elements as it says");
        }
        Ok(EntryDraft { id, deleted: flags & DELETED != 0, same_names, texts })
    }
}

/// An entry that was read.
struct EntryDraft<'a> {
    id: StreamId,
    deleted: bool,
    /// Its names are those of the node.
    same_names: bool,
    /// Values, or names and values in turn.
    texts: Vec<Text<'a>>,
}

impl EntryDraft<'_> {
    /// Names and values in turn.
    fn pairs<'a>(&'a self, names: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let texts = self.texts.iter().map(|text| &**text);
        if self.same_names {
            names.iter().copied().zip(texts).flat_map(|(name, value)| [name, value]).collect()
        } else {
            texts.collect()
        }
    }
}

fn id(cursor: &mut Cursor<'_>) -> Result<StreamId, RdbFault> {
    Ok(StreamId { ms: cursor.length()?, seq: cursor.length()? })
}
