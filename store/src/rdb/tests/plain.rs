//! Values as anybody would write them down, to compare with.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Setup;
use crate::keyspace::{Entry, Value, View};
use crate::table::Item;
use crate::thin::Thin;
use crate::txn::text_of;
use crate::types::Thresholds;
use crate::types::hash::Hash;
use crate::types::list::{End, List};
use crate::types::set::Set;
use crate::types::stream::{Group, Stream, StreamId};
use crate::types::zset::Zset;

pub(super) type Bytes = Vec<u8>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    Text(Bytes),
    List(Vec<Bytes>),
    Set(BTreeSet<Bytes>),
    Hash(BTreeMap<Bytes, Bytes>),
    Zset(BTreeMap<Bytes, f64>),
    Stream(PlainStream),
}

/// A stream: what is in it, and everything that it knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PlainStream {
    pub(super) entries: BTreeMap<(u64, u64), Vec<(Bytes, Bytes)>>,
    pub(super) deleted: BTreeSet<(u64, u64)>,
    pub(super) last: (u64, u64),
    pub(super) max_deleted: (u64, u64),
    pub(super) added: u64,
    pub(super) groups: BTreeMap<Bytes, PlainGroup>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PlainGroup {
    pub(super) last: (u64, u64),
    pub(super) read: Option<u64>,
    /// By consumer: when it was seen, and what it has not acknowledged, with time and number of deliveries.
    pub(super) consumers: BTreeMap<Bytes, (u64, Pending)>,
}

type Pending = BTreeMap<(u64, u64), (u64, u64)>;

fn id((ms, seq): (u64, u64)) -> StreamId {
    StreamId { ms, seq }
}

fn pair(id: StreamId) -> (u64, u64) {
    (id.ms, id.seq)
}

impl Plain {
    /// What a value comes to.
    pub(super) fn of(entry: &Entry) -> Self {
        match entry.view().view() {
            View::List(list) => Self::List(list.iter_from(0).map(|element| element.to_vec()).collect()),
            View::Set(set) => Self::Set(set.iter().map(|member| member.to_vec()).collect()),
            View::Hash(hash) => {
                Self::Hash(hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect())
            }
            View::Zset(zset) => {
                Self::Zset(zset.iter_from(0).map(|(member, score)| (member.to_vec(), score)).collect())
            }
            View::Stream(stream) => Self::Stream(PlainStream::of(stream)),
            text => Self::Text(text_of(text).map(|text| text.to_vec()).unwrap()),
        }
    }

    /// The value as the engine keeps it.
    pub(super) fn build(&self, setup: &Setup) -> Value {
        let (limits, key) = (&setup.thresholds, setup.hash_key);
        match self {
            Self::Text(text) => Value::Raw(Thin::new((), text)),
            Self::List(elements) => {
                let mut list = List::new();
                elements.iter().for_each(|element| list.push(End::Right, element));
                Value::List(Box::new(list))
            }
            Self::Set(members) => {
                let mut set = Set::new();
                for member in members {
                    set.insert(member, limits, key);
                }
                Value::Set(set)
            }
            Self::Hash(fields) => {
                let mut hash = Hash::new();
                for (field, value) in fields {
                    hash.set(field, value, limits, key);
                }
                Value::Hash(hash)
            }
            Self::Zset(members) => {
                let mut zset = Zset::new();
                for (member, score) in members {
                    zset.set(member, *score, limits, key);
                }
                Value::Zset(zset)
            }
            Self::Stream(stream) => Value::Stream(Box::new(stream.build(limits))),
        }
    }
}

impl PlainStream {
    fn of(stream: &Stream) -> Self {
        let entries = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| {
            let pairs = entry.pairs().map(|(name, value)| (name.to_vec(), value.to_vec()));
            (pair(entry.id), pairs.collect())
        });
        let groups = stream.groups().map(|(name, group)| (name.to_vec(), PlainGroup::of(group)));
        Self {
            entries: entries.collect(),
            deleted: BTreeSet::new(),
            last: pair(stream.last),
            max_deleted: pair(stream.max_deleted),
            added: stream.added,
            groups: groups.collect(),
        }
    }

    fn build(&self, limits: &Thresholds) -> Stream {
        let mut stream = Stream::default();
        for (at, pairs) in &self.entries {
            let pairs: Vec<&[u8]> = pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
            stream.append(id(*at), &pairs, limits);
        }
        for gone in &self.deleted {
            stream.delete(&[id(*gone)]);
        }
        stream.set_history(id(self.last), id(self.max_deleted), self.added);
        for (name, group) in &self.groups {
            stream.add_group(name, group.build());
        }
        stream
    }
}

impl PlainGroup {
    fn of(group: &Group) -> Self {
        let consumers = group.consumers().map(|consumer| {
            let pending = group.pending_of(consumer, StreamId::MIN..=StreamId::MAX);
            let pending = pending.into_iter().map(|(at, p)| (pair(at), (p.delivered_ms, p.deliveries)));
            (consumer.name().to_vec(), (consumer.seen_ms, pending.collect()))
        });
        Self { last: pair(group.last), read: group.read, consumers: consumers.collect() }
    }

    fn build(&self) -> Group {
        let mut group = Group::new(id(self.last), self.read);
        for (name, (seen_ms, pending)) in &self.consumers {
            let (consumer, _) = group.find_or_create(name, *seen_ms);
            for (at, (delivered_ms, deliveries)) in pending {
                group.assign(id(*at), consumer, *delivered_ms, *deliveries);
            }
        }
        group
    }
}

/// Texts short and long, integers of every width, repetitions that compress well.
pub(super) fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..30),
        4 => (0..64_u32, any::<i64>()).prop_map(|(shift, value)| (value >> shift).to_string().into_bytes()),
        2 => (97..123_u8, 0..200_usize).prop_map(|(byte, count)| vec![byte; count]),
        1 => (any::<u8>(), prop_oneof![Just(4095), Just(4096), Just(9000), Just(70_000)])
            .prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>().prop_filter("no number", |score| !score.is_nan()),
        (0..64_u32, any::<bool>()).prop_map(|(bits, below)| {
            let power = (bits as f64).exp2();
            if below { 1.0 - power } else { power }
        }),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
    // A packed sorted set knows one zero only, as in Redis.
    .prop_map(|score| if score == 0.0 { 0.0 } else { score })
}

fn stream_id() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        8 => (0..40_u64, 0..6_u64),
        1 => (any::<u64>(), any::<u64>()),
    ]
    .prop_filter("0-0 is no entry", |id| *id != (0, 0))
}

fn entries() -> impl Strategy<Value = BTreeMap<(u64, u64), Vec<(Bytes, Bytes)>>> {
    let pairs = (0..4_usize, proptest::collection::vec(text(), 3)).prop_map(|(names, values)| {
        let names = [&["a"][..], &["a", "b"], &["7", "long-name-of-a-field", "a"], &["b"]][names];
        names.iter().zip(values).map(|(name, value)| (name.as_bytes().to_vec(), value)).collect()
    });
    proptest::collection::btree_map(stream_id(), pairs, 0..140)
}

fn group() -> impl Strategy<Value = PlainGroup> {
    let pending = proptest::collection::btree_map(stream_id(), (any::<u64>(), any::<u64>()), 0..12);
    let consumers = proptest::collection::btree_map(text(), (0..1_u64 << 62, pending), 0..5);
    (stream_id(), any::<Option<u64>>(), consumers).prop_map(|(last, read, mut consumers)| {
        // An entry belongs to one consumer; times are those of a signed clock, and counters are signed too.
        let mut owned = BTreeSet::new();
        for (_, pending) in consumers.values_mut() {
            pending.retain(|at, _| owned.insert(*at));
            pending.values_mut().for_each(|(delivered_ms, deliveries)| {
                *delivered_ms >>= 1;
                *deliveries >>= 1;
            });
        }
        PlainGroup { last, read: read.map(|read| read >> 1), consumers }
    })
}

fn stream() -> impl Strategy<Value = PlainStream> {
    let groups = proptest::collection::btree_map(text(), group(), 0..3);
    (entries(), proptest::collection::vec(any::<usize>(), 0..40), stream_id(), any::<u64>(), groups).prop_map(
        |(entries, gone, history, added, groups)| {
            let ids: Vec<(u64, u64)> = entries.keys().copied().collect();
            let deleted = gone.iter().filter_map(|nth| ids.get(nth % ids.len().max(1)).copied()).collect();
            let last = ids.last().copied().unwrap_or_default().max(history);
            PlainStream { entries, deleted, last, max_deleted: history, added: added >> 1, groups }
        },
    )
}

/// A value of any type.
pub(super) fn value() -> impl Strategy<Value = Plain> {
    let integers = any::<i32>().prop_map(|value| (value % 70_000).to_string().into_bytes());
    prop_oneof![
        text().prop_map(Plain::Text),
        proptest::collection::vec(text(), 1..300).prop_map(Plain::List),
        proptest::collection::btree_set(text(), 1..200).prop_map(Plain::Set),
        proptest::collection::btree_set(integers, 1..600).prop_map(Plain::Set),
        proptest::collection::btree_map(text(), text(), 1..200).prop_map(Plain::Hash),
        proptest::collection::btree_map(text(), score(), 1..200).prop_map(Plain::Zset),
        stream().prop_map(Plain::Stream),
    ]
}
