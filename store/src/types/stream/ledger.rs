//! What is pending, by ID: a sorted map whose copy shares what it holds, so that one of millions is copied in a moment.
//!
//! Law: chunks stand in the order of their IDs, each beside a bound: no ID in it is below, none in the chunk before is
//! not. None is empty, none has more than [`CHUNK`] entries, and two small neighbours become one. A copy shares all
//! chunks; whoever changes one that is shared copies that one first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::id::StreamId;

/// Entries of a chunk, at most.
const CHUNK: usize = 128;
/// Neighbours that have so many together become one: few enough that the next entries do not divide it again.
const MERGED: usize = CHUNK / 2;

type Chunk<T> = Arc<Vec<(StreamId, T)>>;

/// A sorted map by ID.
#[derive(Clone)]
pub(super) struct Ledger<T> {
    chunks: VecDeque<(StreamId, Chunk<T>)>,
    len: usize,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T: Copy> Ledger<T> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunk that an ID belongs to, if it is not before all of them.
    fn chunk_of(&self, id: StreamId) -> Option<usize> {
        // Most are given in their order.
        match self.chunks.back() {
            Some((bound, _)) if *bound <= id => Some(self.chunks.len() - 1),
            _ => self.chunks.partition_point(|(bound, _)| *bound <= id).checked_sub(1),
        }
    }

    /// What is at an ID.
    pub(super) fn get(&self, id: StreamId) -> Option<T> {
        let (_, chunk) = &self.chunks[self.chunk_of(id)?];
        let at = chunk.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(chunk[at].1)
    }

    /// The first and the last ID.
    pub(super) fn ends(&self) -> Option<(StreamId, StreamId)> {
        let ((_, first), (_, last)) = (self.chunks.front()?, self.chunks.back()?);
        Some((first.first()?.0, last.last()?.0))
    }

    /// Entries from one ID to another, both included, ascending.
    pub(super) fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = (StreamId, T)> + '_ {
        let first = self.chunk_of(start).unwrap_or(0);
        let entries = self.chunks.range(first..).flat_map(move |(_, chunk)| {
            // Only the first one has any before.
            chunk[chunk.partition_point(|entry| entry.0 < start)..].iter().copied()
        });
        entries.take_while(move |entry| entry.0 <= end)
    }

    /// Puts something at an ID; returns what was there.
    pub(super) fn insert(&mut self, id: StreamId, value: T) -> Option<T> {
        let Some(at) = self.chunk_of(id).or_else(|| (!self.chunks.is_empty()).then_some(0)) else {
            self.chunks.push_back((id, Arc::new(vec![(id, value)])));
            self.len = 1;
            return None;
        };
        let (bound, chunk) = &mut self.chunks[at];
        *bound = id.min(*bound);
        let chunk = Arc::make_mut(chunk);
        let place = match chunk.binary_search_by_key(&id, |entry| entry.0) {
            Ok(found) => return Some(std::mem::replace(&mut chunk[found].1, value)),
            Err(place) => place,
        };
        self.len += 1;
        if chunk.len() < CHUNK {
            chunk.insert(place, (id, value));
            return None;
        }
        if place == CHUNK {
            // Behind a full one a new one begins: those that come in their order leave full ones behind.
            self.chunks.insert(at + 1, (id, Arc::new(vec![(id, value)])));
            return None;
        }
        let mut upper = chunk.split_off(CHUNK / 2);
        match place.checked_sub(CHUNK / 2) {
            Some(place) if place > 0 => upper.insert(place, (id, value)),
            _ => chunk.insert(place, (id, value)),
        }
        self.chunks.insert(at + 1, (upper[0].0, Arc::new(upper)));
        None
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<T> {
        let at = self.chunk_of(id)?;
        let (_, chunk) = &mut self.chunks[at];
        let place = chunk.binary_search_by_key(&id, |entry| entry.0).ok()?;
        self.len -= 1;
        if chunk.len() == 1 {
            let (_, value) = chunk[0];
            self.chunks.remove(at);
            return Some(value);
        }
        let chunk = Arc::make_mut(chunk);
        let (_, value) = chunk.remove(place);
        let len = chunk.len();
        let len_of = |at: usize| self.chunks.get(at).map_or(CHUNK, |(_, chunk)| chunk.len());
        if len + len_of(at + 1) <= MERGED {
            self.merge(at);
        } else if at > 0 && len_of(at - 1) + len <= MERGED {
            self.merge(at - 1);
        }
        Some(value)
    }

    /// Bytes taken from the allocator, shared with copies or not.
    pub(super) fn footprint(&self) -> usize {
        let entries: usize = self.chunks.iter().map(|(_, chunk)| chunk.capacity()).sum();
        let chunk = size_of::<Vec<(StreamId, T)>>() + 2 * size_of::<usize>();
        entries * size_of::<(StreamId, T)>()
            + self.chunks.len() * chunk
            + self.chunks.capacity() * size_of::<(StreamId, Chunk<T>)>()
    }

    /// Appends a chunk's successor to it.
    fn merge(&mut self, at: usize) {
        if let Some((_, upper)) = self.chunks.remove(at + 1) {
            let lower = Arc::make_mut(&mut self.chunks[at].1);
            lower.extend_from_slice(&upper);
            lower.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 3 }
    }

    fn assert_same(ledger: &Ledger<u64>, model: &BTreeMap<StreamId, u64>) {
        let all: Vec<_> = ledger.range(StreamId::MIN, StreamId::MAX).collect();
        assert_eq!(all, model.iter().map(|(&id, &value)| (id, value)).collect::<Vec<_>>());
        assert_eq!(ledger.len(), model.len());
        let ends = model.first_key_value().zip(model.last_key_value());
        assert_eq!(ledger.ends(), ends.map(|((first, _), (last, _))| (*first, *last)));
        let lens: Vec<usize> = ledger.chunks.iter().map(|(_, chunk)| chunk.len()).collect();
        assert!(lens.iter().all(|&len| 0 < len && len <= CHUNK));
    }

    #[test]
    fn it_is_a_sorted_map_and_its_copies_stay_as_they_were() {
        for seed in 0..20 {
            let mut rng = Rng::with_seed(seed);
            let (mut ledger, mut model) = (Ledger::default(), BTreeMap::new());
            let mut copies = Vec::new();
            let ids = rng.u64(100..4000);
            for step in 0..20_000 {
                let at = id(if rng.bool() { rng.u64(..ids) } else { step % ids });
                // It grows, and shrinks again.
                if rng.u64(..20_000) > step {
                    assert_eq!(ledger.insert(at, step), model.insert(at, step));
                } else {
                    assert_eq!(ledger.remove(at), model.remove(&at));
                }
                assert_eq!(ledger.get(at), model.get(&at).copied());
                if step % 1000 == 0 {
                    assert_same(&ledger, &model);
                    copies.push((ledger.clone(), model.clone()));
                    let (start, end) = (id(rng.u64(..ids)), id(rng.u64(..ids)));
                    let some = model.iter().filter(|(id, _)| (start..=end).contains(*id));
                    assert!(ledger.range(start, end).eq(some.map(|(&id, &value)| (id, value))));
                }
            }
            copies.iter().for_each(|(ledger, model)| assert_same(ledger, model));
        }
    }

    #[test]
    fn chunks_are_full_if_ids_come_in_order_and_few_if_most_are_gone() {
        let mut ledger = Ledger::default();
        for ms in 0..12_800 {
            ledger.insert(id(ms), ());
        }
        assert_eq!(ledger.chunks.len(), 100);
        for ms in (0..12_800).filter(|ms| ms % 100 != 0) {
            ledger.remove(id(ms));
        }
        assert_eq!(ledger.len(), 128);
        assert!(ledger.chunks.len() <= 8, "{} chunks", ledger.chunks.len());
    }

    #[test]
    fn a_copy_shares_all_but_what_changed() {
        let mut ledger = Ledger::default();
        for ms in 0..1280 {
            ledger.insert(id(ms), ms);
        }
        let copy = ledger.clone();
        ledger.insert(id(500), 0);
        ledger.remove(id(501));
        let pairs = ledger.chunks.iter().zip(&copy.chunks);
        assert_eq!(pairs.filter(|((_, one), (_, other))| !Arc::ptr_eq(one, other)).count(), 1);
        assert_eq!((copy.get(id(500)), copy.get(id(501))), (Some(500), Some(501)));
    }
}
