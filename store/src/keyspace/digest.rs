//! The fingerprint of a dataset: DEBUG DIGEST, bit for bit as redis-server 7.0 computes it.
//!
//! Source: `computeDatasetDigest` in debug.c of Redis 7.0. Two digests are equal if and only if the datasets are:
//! independent of encodings and of the order of keys, fields and members, dependent on list order and on whether keys
//! have dates. That a field has a date counts as in Redis 7.4, which brought them; Valkey 9 leaves it out.

use sha1::{Digest as _, Sha1};

use super::{Database, EntryRef, Keyspace, View};
use crate::number::format_score;
use crate::table::Keyed;
use crate::types::stream::StreamId;
use crate::types::text::Text;

/// Twenty bytes that mean a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetDigest([u8; 20]);

impl DatasetDigest {
    /// Forty hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adds something whose place does not matter.
    fn xor(&mut self, data: &[u8]) {
        let hash = Sha1::digest(data);
        self.0.iter_mut().zip(hash).for_each(|(mine, other)| *mine ^= other);
    }

    /// Adds something whose place matters.
    fn mix(&mut self, data: &[u8]) {
        self.xor(data);
        self.0 = Sha1::digest(self.0).into();
    }
}

/// The digest of all databases.
pub(crate) fn dataset(keyspace: &Keyspace) -> DatasetDigest {
    let mut digest = DatasetDigest::default();
    for index in 0..keyspace.count() {
        let database = keyspace.db(index);
        if database.len() > 0 {
            add_database(&mut digest, index as u32, database);
        }
    }
    digest
}

fn add_database(digest: &mut DatasetDigest, index: u32, database: &Database) {
    digest.mix(&index.to_be_bytes());
    for entry in database.iter() {
        let mut own = DatasetDigest::default();
        own.mix(entry.key());
        add_value(&mut own, entry);
        digest.xor(&own.0);
    }
}

/// The digest of the value of one key, as DEBUG DIGEST-VALUE reports it.
pub(crate) fn value(entry: EntryRef<'_>) -> DatasetDigest {
    let mut digest = DatasetDigest::default();
    add_value(&mut digest, entry);
    digest
}

fn add_value(digest: &mut DatasetDigest, entry: EntryRef<'_>) {
    let view = entry.view();
    let type_code: u32 = match view {
        View::Inline(_) | View::Integer(_) | View::Raw(_) => 0,
        View::List(_) => 1,
        View::Set(_) => 2,
        View::Zset(_) => 3,
        View::Hash(_) => 4,
        View::Stream(_) => 6,
    };
    digest.mix(&type_code.to_be_bytes());
    match view {
        View::Inline(text) => digest.mix(text),
        View::Integer(value) => digest.mix(&Text::integer(value)),
        View::Raw(text) => digest.mix(text.bytes()),
        View::List(list) => list.iter_from(0).for_each(|element| digest.mix(&element)),
        View::Set(set) => set.iter().for_each(|member| digest.xor(&member)),
        View::Zset(zset) => zset.iter_from(0).for_each(|(member, score)| {
            let mut own = DatasetDigest::default();
            own.mix(&member);
            own.mix(&format_score(score));
            digest.xor(&own.0);
        }),
        View::Hash(hash) => hash.iter_dated().for_each(|(field, value, date)| {
            let mut own = DatasetDigest::default();
            own.mix(&field);
            own.mix(&value);
            if date.is_some() {
                own.xor(b"!!hexpire!!");
            }
            digest.xor(&own.0);
        }),
        View::Stream(stream) => stream.range(StreamId::MIN, StreamId::MAX).for_each(|entry| {
            digest.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (name, value) in entry.pairs() {
                digest.mix(&name);
                digest.mix(&value);
            }
        }),
    }
    if entry.expires_at().is_some() {
        digest.xor(b"!!expire!!");
    }
}
