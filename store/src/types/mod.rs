//! The values a key can hold.
//!
//! Law: a type knows its own memory shape and nothing of keys, clients or time. Each has a compact form for few small
//! elements and an indexed form for the rest; the change goes one way, and the name that OBJECT ENCODING reports
//! follows the same thresholds as in Redis 7.0.

pub(crate) mod bits;
pub(crate) mod hash;
pub(crate) mod hyperloglog;
pub(crate) mod intset;
pub(crate) mod list;
pub(crate) mod pack;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod text;
mod word;
pub(crate) mod zset;

/// Up to where a collection stays compact.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Fields of a compact hash.
    pub hash_entries: usize,
    /// Bytes of a field or value of a compact hash.
    pub hash_value: usize,
    /// Integers of a compact set.
    pub intset_entries: usize,
    /// Members of a compact sorted set.
    pub zset_entries: usize,
    /// Bytes of a member of a compact sorted set.
    pub zset_value: usize,
    /// Bytes of a sparse HyperLogLog.
    pub hll_sparse_bytes: usize,
    /// Bytes of a node of a stream; 0 for any number.
    pub stream_node_bytes: usize,
    /// Entries of a node of a stream; 0 for any number.
    pub stream_node_entries: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            hash_entries: 512,
            hash_value: 64,
            intset_entries: 512,
            zset_entries: 128,
            zset_value: 64,
            hll_sparse_bytes: 3000,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
        }
    }
}

/// The sum of `sizes`, measured on the first `samples` of `count` (0: on all) and extrapolated.
fn extrapolate(sizes: impl Iterator<Item = usize>, samples: usize, count: usize) -> usize {
    if samples == 0 || samples >= count {
        return sizes.sum();
    }
    sizes.take(samples).sum::<usize>().saturating_mul(count) / samples
}
