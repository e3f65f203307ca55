//! Consumer groups: how far a group has read, and which entries its consumers have not acknowledged.

use std::ops::RangeInclusive;

use super::COUNT_MAX;
use super::id::StreamId;
use super::ledger::Ledger;

/// A consumer group.
#[derive(Clone, Default)]
pub(crate) struct Group {
    /// The last entry that was delivered.
    pub(crate) last: StreamId,
    /// How many entries of the stream were delivered up to there, as far as known.
    pub(crate) read: Option<u64>,
    pending: Ledger<Pending>,
    consumers: Vec<Option<Consumer>>,
    /// Places in `consumers`, by name.
    by_name: Vec<u32>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// When it was delivered last, in Unix milliseconds.
    pub(crate) delivered_ms: u64,
    /// How often it was.
    pub(crate) deliveries: u64,
    consumer: u32,
}

/// A consumer of a group.
#[derive(Clone)]
pub(crate) struct Consumer {
    name: Box<[u8]>,
    /// When it was heard of last, in Unix milliseconds.
    pub(crate) seen_ms: u64,
    /// When it got entries last, if ever.
    pub(crate) active_ms: Option<u64>,
    pending: Ledger<()>,
}

/// Which consumer of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerId(u32);

impl Consumer {
    /// Its name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Which entries it has not acknowledged, from an ID on, ascending.
    pub(crate) fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(start, StreamId::MAX).map(|(id, ())| id)
    }
}

impl Group {
    /// A group that has read up to `last`.
    pub(crate) fn new(last: StreamId, read: Option<u64>) -> Self {
        Self { last, read: read.map(|read| read.min(COUNT_MAX)), ..Self::default() }
    }

    fn name_of(&self, place: u32) -> &[u8] {
        self.consumers[place as usize].as_ref().map_or(b"", |consumer| &consumer.name)
    }

    /// A consumer by name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        let found = self.by_name.binary_search_by(|&place| self.name_of(place).cmp(name)).ok()?;
        Some(ConsumerId(self.by_name[found]))
    }

    /// A consumer by name, created if there is none; says whether it was created.
    pub(crate) fn find_or_create(&mut self, name: &[u8], now_ms: u64) -> (ConsumerId, bool) {
        let index = match self.by_name.binary_search_by(|&place| self.name_of(place).cmp(name)) {
            Ok(found) => return (ConsumerId(self.by_name[found]), false),
            Err(index) => index,
        };
        let consumer =
            Consumer { name: name.into(), seen_ms: now_ms, active_ms: None, pending: Ledger::default() };
        let place = match self.consumers.iter().position(Option::is_none) {
            Some(free) if self.by_name.len() < self.consumers.len() => free,
            _ => {
                self.consumers.push(None);
                self.consumers.len() - 1
            }
        };
        self.consumers[place] = Some(consumer);
        self.by_name.insert(index, place as u32);
        (ConsumerId(place as u32), true)
    }

    /// Removes a consumer with all that it has not acknowledged; returns how many entries that were.
    pub(crate) fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let index = self.by_name.binary_search_by(|&place| self.name_of(place).cmp(name)).ok()?;
        let place = self.by_name.remove(index);
        let consumer = self.consumers[place as usize].take()?;
        consumer.pending_from(StreamId::MIN).for_each(|id| {
            self.pending.remove(id);
        });
        Some(consumer.pending.len())
    }

    /// The consumers, by name.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.by_name.iter().filter_map(|&place| self.consumers[place as usize].as_ref())
    }

    /// How many consumers there are.
    pub(crate) fn consumers_len(&self) -> usize {
        self.by_name.len()
    }

    /// A consumer, to note when it was heard of.
    pub(crate) fn consumer_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers[id.0 as usize].as_mut()
    }

    /// How many entries are pending.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The first and the last pending entry.
    pub(crate) fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        self.pending.ends()
    }

    /// A pending entry.
    pub(crate) fn pending(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(id)
    }

    /// The name of the consumer that has a pending entry.
    pub(crate) fn owner(&self, pending: Pending) -> &[u8] {
        self.name_of(pending.consumer)
    }

    /// Pending entries within a range.
    pub(crate) fn pending_in(
        &self,
        range: RangeInclusive<StreamId>,
    ) -> impl Iterator<Item = (StreamId, Pending)> + '_ {
        self.pending.range(*range.start(), *range.end())
    }

    /// Pending entries of a consumer within a range.
    pub(crate) fn pending_of(
        &self,
        consumer: &Consumer,
        range: RangeInclusive<StreamId>,
    ) -> Vec<(StreamId, Pending)> {
        let ids = consumer.pending.range(*range.start(), *range.end());
        ids.filter_map(|(id, ())| Some((id, self.pending(id)?))).collect()
    }

    /// The IDs of pending entries of a consumer from `start` on, at most `limit`.
    pub(crate) fn ids_of(&self, consumer: ConsumerId, start: StreamId, limit: usize) -> Vec<StreamId> {
        let consumer = self.consumers[consumer.0 as usize].as_ref();
        consumer.map(|consumer| consumer.pending_from(start).take(limit).collect()).unwrap_or_default()
    }

    /// A consumer by place, to look at.
    pub(crate) fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers[id.0 as usize].as_ref()
    }

    /// Gives an entry to a consumer, whoever had it before.
    pub(crate) fn assign(&mut self, id: StreamId, to: ConsumerId, delivered_ms: u64, deliveries: u64) {
        let pending = Pending { delivered_ms, deliveries: deliveries.min(COUNT_MAX), consumer: to.0 };
        let before = self.pending.insert(id, pending);
        if let Some(before) = before.filter(|before| before.consumer != to.0)
            && let Some(owner) = &mut self.consumers[before.consumer as usize]
        {
            owner.pending.remove(id);
        }
        if before.is_none_or(|before| before.consumer != to.0)
            && let Some(owner) = &mut self.consumers[to.0 as usize]
        {
            owner.pending.insert(id, ());
        }
    }

    /// Takes an entry off the list; says whether it was pending.
    pub(crate) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(id) else { return false };
        if let Some(owner) = &mut self.consumers[pending.consumer as usize] {
            owner.pending.remove(id);
        }
        true
    }

    /// Bytes taken from the allocator.
    pub(crate) fn footprint(&self) -> usize {
        let consumer = |consumer: &Consumer| consumer.name.len() + 4 + consumer.pending.footprint();
        size_of::<Self>()
            + self.consumers.len() * size_of::<Option<Consumer>>()
            + self.consumers().map(consumer).sum::<usize>()
            + self.pending.footprint()
    }
}
