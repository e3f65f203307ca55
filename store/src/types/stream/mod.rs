//! Streams: entries of fields with values, in the order of their IDs; consumer groups.
//!
//! A queue of [`node::Node`]s, each of about a hundred packed entries. Entries are appended at the end, removed mostly
//! at
//! the front, and found by a binary search over nodes and a walk within one.

mod group;
mod id;
mod kept;
mod ledger;
mod node;
pub(crate) mod weight;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use group::{Consumer, ConsumerId, Group, Pending};
pub(crate) use id::StreamId;
use kept::Kept;
use node::Node;
pub(crate) use node::{Entry, NodeRef};

use crate::types::Thresholds;

/// Bytes of names and values of one entry, and of one node.
pub(crate) const ENTRY_BYTES_MAX: usize = 1 << 30;
/// Room that a new node begins with.
const NODE_CAPACITY: usize = 256;

/// Where counters stop that clients, dumps and the log give as signed numbers: one that went on would be stated as a
/// negative one, which nobody accepts, and the log could not be read again.
pub(crate) const COUNT_MAX: u64 = i64::MAX as u64;

/// A stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// Nodes with the ID of their first entry, deleted or not.
    nodes: VecDeque<(StreamId, Node)>,
    len: u64,
    /// The last ID that was given, even if its entry is gone.
    pub(crate) last: StreamId,
    /// The ID of the first entry; 0-0 if there is none.
    pub(crate) first: StreamId,
    /// The highest ID that was deleted on its own, not by trimming.
    pub(crate) max_deleted: StreamId,
    /// How many entries were ever added.
    pub(crate) added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// What it was at the instant of a snapshot that is being written, if it changed since.
    kept: Option<Box<Kept>>,
}

/// What a trim leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So many entries, the last ones.
    Last(u64),
    /// Entries from this ID on.
    From(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trim {
    /// What it leaves.
    pub(crate) keep: Keep,
    /// Remove whole nodes only.
    pub(crate) approximate: bool,
    /// Most entries to remove; 0 for any number.
    pub(crate) limit: u64,
}

impl Stream {
    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many nodes and groups it consists of.
    pub(crate) fn pieces(&self) -> usize {
        self.nodes.len() + self.groups.len()
    }

    /// How many nodes there are.
    pub(crate) fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// The last entry's ID, or 0-0.
    pub(crate) fn last_live(&self) -> StreamId {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id)
    }

    /// Appends an entry, given as names and values in turn, whose ID is above `last`.
    pub(crate) fn append(&mut self, id: StreamId, pairs: &[&[u8]], limits: &Thresholds) {
        let bytes: usize = pairs.iter().map(|text| text.len()).sum();
        let max = match limits.stream_node_bytes {
            0 => ENTRY_BYTES_MAX,
            max => max.min(ENTRY_BYTES_MAX),
        };
        let full = |node: &Node| {
            node.weight() + bytes >= max
                || (limits.stream_node_entries > 0 && node.slots_len() >= limits.stream_node_entries as u64)
        };
        self.append_unless(id, pairs, full);
    }

    /// As [`Self::append`], in a new node if the last one is full.
    fn append_unless(&mut self, id: StreamId, pairs: &[&[u8]], full: impl FnOnce(&Node) -> bool) {
        if let Some((_, node)) = self.nodes.back_mut()
            && full(node)
        {
            node.shrink();
            self.before_coming(id);
            self.nodes.push_back((id, Node::new(id, pairs, NODE_CAPACITY)));
        } else if self.nodes.is_empty() {
            self.before_coming(id);
            self.nodes.push_back((id, Node::new(id, pairs, 0)));
        }
        self.before_change_at(self.nodes.len() - 1);
        if let Some((master, node)) = self.nodes.back_mut() {
            node.append(*master, id, pairs);
        }
        self.len += 1;
        self.added = (self.added + 1).min(COUNT_MAX);
        self.last = id;
        if self.len == 1 {
            self.first = id;
        }
    }

    /// Begins a node that was read from somewhere, with the names in front of it. Entries follow, at least one.
    pub(crate) fn begin_node(&mut self, master: StreamId, names: &[&[u8]]) {
        let pairs: Vec<&[u8]> = names.iter().flat_map(|name| [*name, b""]).collect();
        self.nodes.push_back((master, Node::new(master, &pairs, NODE_CAPACITY)));
    }

    /// Adds an entry to the node that was begun, behind all that are there. Counts nothing but entries.
    pub(crate) fn append_to_node(&mut self, id: StreamId, pairs: &[&[u8]]) {
        if let Some((master, node)) = self.nodes.back_mut() {
            node.append(*master, id, pairs);
            self.len += 1;
        }
    }

    /// Ends the node that was begun.
    pub(crate) fn end_node(&mut self) {
        if let Some((_, node)) = self.nodes.back_mut() {
            node.shrink();
        }
    }

    /// Notes what happened before the entries that were read.
    pub(crate) fn set_history(&mut self, last: StreamId, max_deleted: StreamId, added: u64) {
        self.last = last;
        self.max_deleted = max_deleted;
        self.added = added.min(COUNT_MAX);
        self.find_first();
    }

    /// The place of the node that may hold `id`.
    fn node_of(&self, id: StreamId) -> usize {
        self.nodes.partition_point(|(master, _)| *master <= id).saturating_sub(1)
    }

    /// The entries from `start` to `end`, both included.
    pub(crate) fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.nodes
            .range(self.node_of(start).min(self.nodes.len())..)
            .flat_map(|(master, node)| node.entries(*master))
            .skip_while(move |entry| entry.id < start)
            .take_while(move |entry| entry.id <= end)
    }

    /// The entries from `end` back to `start`, both included.
    pub(crate) fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let nodes = (self.node_of(end) + 1).min(self.nodes.len());
        self.nodes
            .range(..nodes)
            .rev()
            .flat_map(|(master, node)| node.entries_back(*master))
            .skip_while(move |entry| entry.id > end)
            .take_while(move |entry| entry.id >= start)
    }

    /// The nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.nodes.iter().map(|(master, node)| NodeRef { master: *master, node })
    }

    /// An entry.
    pub(crate) fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let (master, node) = self.nodes.get(self.node_of(id))?;
        let slot = node.slots(*master).find(|slot| slot.id >= id)?;
        (slot.id == id && !slot.deleted).then(|| node.entry(slot))
    }

    /// Deletes entries; returns how many there were.
    pub(crate) fn delete(&mut self, ids: &[StreamId]) -> usize {
        let (mut deleted, mut first_gone) = (0, false);
        for &id in ids {
            if self.delete_one(id) {
                first_gone |= id == self.first;
                self.max_deleted = self.max_deleted.max(id);
                deleted += 1;
            }
        }
        if self.len == 0 || first_gone {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: StreamId) -> bool {
        let at = self.node_of(id);
        self.before_change_at(at);
        let Some((master, node)) = self.nodes.get_mut(at) else { return false };
        let slot = node.slots(*master).find(|slot| slot.id >= id);
        let Some(slot) = slot.filter(|slot| slot.id == id && !slot.deleted) else { return false };
        if node.live() == 1 {
            self.nodes.remove(at);
        } else {
            node.delete(slot);
        }
        self.len -= 1;
        true
    }

    /// Notes the ID of the first entry, after it may have changed.
    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first = first.unwrap_or(StreamId::MIN);
    }

    /// Removes entries from the front; returns how many.
    pub(crate) fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        loop {
            if matches!(trim.keep, Keep::Last(count) if self.len <= count) {
                break;
            }
            self.before_change_at(0);
            let Some((master, node)) = self.nodes.front_mut() else { break };
            let live = node.live();
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            let whole = match trim.keep {
                Keep::Last(count) => self.len - live >= count,
                Keep::From(id) => node.last() < id,
            };
            if whole {
                self.nodes.pop_front();
                self.len -= live;
                removed += live;
                continue;
            }
            if !trim.approximate {
                let len = self.len;
                let gone = node.delete_front(*master, |id, gone| match trim.keep {
                    Keep::Last(count) => len - gone > count,
                    Keep::From(start) => id < start,
                });
                self.len -= gone;
                removed += gone;
            }
            break;
        }
        if removed > 0 {
            self.find_first();
        }
        removed
    }

    /// A consumer group.
    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A consumer group, to be changed.
    pub(crate) fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// Adds a group; says whether the name was free.
    pub(crate) fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let free = !self.groups.contains_key(name);
        if free {
            self.groups.insert(name.into(), group);
        }
        free
    }

    /// Removes a group; says whether it was there.
    pub(crate) fn remove_group(&mut self, name: &[u8]) -> bool {
        self.groups.remove(name).is_some()
    }

    /// The groups, by name.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The groups, to be changed.
    pub(crate) fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.values_mut()
    }

    /// Whether an entry at or behind `start` was deleted on its own.
    fn has_gap_behind(&self, start: StreamId) -> bool {
        self.len > 0
            && self.max_deleted != StreamId::MIN
            && self.first <= self.max_deleted
            && start <= self.max_deleted
    }

    /// How many entries were ever added up to `id`, if that can be told.
    pub(crate) fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if (self.len == 0 && id <= self.last) || id == self.last {
            return Some(self.added);
        }
        let no_gap = self.max_deleted == StreamId::MIN || self.max_deleted < self.first;
        if id > self.last || !no_gap || id > self.first {
            return None;
        }
        let before = self.added.saturating_sub(self.len);
        Some(if id == self.first { before + 1 } else { before })
    }

    /// How many entries a group has not read yet, if that can be told.
    pub(crate) fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = match group.read {
            Some(read) if !self.has_gap_behind(group.last) => Some(read),
            _ => self.added_up_to(group.last),
        };
        read.map(|read| self.added as i64 - read as i64)
    }

    /// How many entries a group has read when `id` is delivered to it next.
    pub(crate) fn read_after(&self, read: Option<u64>, id: StreamId) -> Option<u64> {
        match read {
            Some(read) if !self.has_gap_behind(id) => Some((read + 1).min(COUNT_MAX)),
            _ if self.added > 0 => self.added_up_to(id),
            read => read,
        }
    }

    /// Bytes taken from the allocator; nodes are measured on `samples` of them (0: on all) and extrapolated.
    pub(crate) fn footprint(&self, samples: usize) -> usize {
        let sizes = self.nodes.iter().map(|(_, node)| node.footprint());
        let groups: usize = self.groups().map(|(name, group)| name.len() + group.footprint()).sum();
        size_of::<Self>()
            + self.nodes.capacity() * size_of::<(StreamId, Node)>()
            + super::extrapolate(sizes, samples, self.nodes.len())
            + groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<StreamId, Vec<Vec<u8>>>;

    #[derive(Clone, Debug)]
    enum Step {
        Append { ms: u64, seq: u64, names: usize, value: Vec<u8> },
        Delete(usize),
        Trim { keep: usize, by_id: bool, approximate: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        let value = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..30),
            any::<i32>().prop_map(|number| number.to_string().into_bytes()),
        ];
        prop_oneof![
            8 => (0..3_u64, 0..4_u64, 0..3_usize, value)
                .prop_map(|(ms, seq, names, value)| Step::Append { ms, seq, names, value }),
            2 => any::<usize>().prop_map(Step::Delete),
            1 => (any::<usize>(), any::<bool>(), any::<bool>())
                .prop_map(|(keep, by_id, approximate)| Step::Trim { keep, by_id, approximate }),
        ]
    }

    fn contents(stream: &Stream) -> Model {
        let texts = |entry: Entry<'_>| {
            entry.pairs().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
        };
        stream.range(StreamId::MIN, StreamId::MAX).map(|entry| (entry.id, texts(entry))).collect()
    }

    fn apply(stream: &mut Stream, model: &mut Model, step: Step, limits: &Thresholds) {
        match step {
            Step::Append { ms, seq, names, value } => {
                let seq = if ms == 0 { stream.last.seq + 1 + seq } else { seq };
                let id = StreamId { ms: stream.last.ms + ms, seq };
                let names = [&["a"][..], &["a", "b"], &["long-name-of-a-field", "b", "7"]][names];
                let pairs: Vec<&[u8]> = names.iter().flat_map(|name| [name.as_bytes(), &value]).collect();
                stream.append(id, &pairs, limits);
                model.insert(id, pairs.iter().map(|text| text.to_vec()).collect());
            }
            Step::Delete(nth) => {
                let id = model.keys().nth(nth % model.len().max(1)).copied().unwrap_or_default();
                assert_eq!(stream.delete(&[id]), usize::from(model.remove(&id).is_some()));
            }
            Step::Trim { keep, by_id, approximate } => {
                let nth = keep % (model.len() + 1);
                let start = model.keys().nth(nth).copied().unwrap_or(StreamId::MAX);
                let keep = if by_id { Keep::From(start) } else { Keep::Last((model.len() - nth) as u64) };
                let removed = stream.trim(Trim { keep, approximate, limit: 0 });
                assert!(removed as usize <= nth && (approximate || removed as usize == nth));
                (0..removed).for_each(|_| {
                    model.pop_first();
                });
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 96 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// A stream is a sorted map from IDs to texts, whatever its nodes look like.
        #[test]
        fn behaves_as_a_sorted_map(
            steps in proptest::collection::vec(step(), 1..if cfg!(miri) { 60 } else { 400 }),
            entries in 0..20_usize,
            bytes in prop_oneof![Just(0_usize), 50..600_usize],
        ) {
            let limits =
                Thresholds { stream_node_entries: entries, stream_node_bytes: bytes, ..Thresholds::default() };
            let (mut stream, mut model) = (Stream::default(), Model::new());
            for step in steps {
                apply(&mut stream, &mut model, step, &limits);
                prop_assert_eq!(stream.len() as usize, model.len());
                prop_assert_eq!(stream.first, model.keys().next().copied().unwrap_or_default());
                prop_assert_eq!(stream.last_live(), model.keys().last().copied().unwrap_or_default());
            }
            prop_assert_eq!(contents(&stream), model.clone());
            for (&id, texts) in &model {
                let found: Vec<_> = stream.get(id).unwrap().pairs().map(|(_, value)| value.to_vec()).collect();
                prop_assert_eq!(found, texts.iter().skip(1).step_by(2).cloned().collect::<Vec<_>>());
                let below = id.previous().unwrap();
                prop_assert!(stream.get(below).is_some() == model.contains_key(&below));
                let forward: Vec<_> = stream.range(id, StreamId::MAX).map(|entry| entry.id).collect();
                prop_assert_eq!(forward, model.range(id..).map(|(&id, _)| id).collect::<Vec<_>>());
                let back: Vec<_> = stream.range_back(StreamId::MIN, id).map(|entry| entry.id).collect();
                prop_assert_eq!(back, model.range(..=id).rev().map(|(&id, _)| id).collect::<Vec<_>>());
            }
        }
    }

    /// Memory of a typical entry: Redis 7.0.15 takes 25.8 bytes for each of these (MEMORY USAGE SAMPLES 0).
    #[test]
    fn a_typical_entry_is_small() {
        let (mut stream, limits) = (Stream::default(), Thresholds::default());
        for n in 0..10_000_u64 {
            let (id, number) = (StreamId { ms: 1_700_000_000_000 + n / 3, seq: n % 3 }, n.to_string());
            stream.append(id, &[b"sensor", number.as_bytes(), b"temperature", b"21.5"], &limits);
        }
        let each = stream.footprint(0) as f64 / 10_000.0;
        assert!(each < 15.0, "{each} bytes");
    }
}
