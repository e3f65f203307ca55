//! The keyed hash under every table of client-chosen bytes.
//!
//! Law: the key is secret and an argument (chosen once per process by the daemon, fixed by the simulator), so that
//! nobody can send keys that collide on purpose, and a seed replays to the same tables.

use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// Secret of the keyed hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKey {
    first: u64,
    second: u64,
}

impl HashKey {
    /// A key made of two words of the caller's entropy.
    pub const fn new(first: u64, second: u64) -> Self {
        Self { first, second }
    }

    /// SipHash-1-3 of `bytes`: fast on short keys, and not to be guessed without the secret.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.first, self.second);
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.first, self.second)
    }
}

/// A map from client-chosen bytes (channel names, watched keys), safe against chosen collisions.
pub type ByteMap<V> = hashbrown::HashMap<Box<[u8]>, V, HashKey>;
