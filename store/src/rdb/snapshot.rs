//! The form of a snapshot: what the writer and the reader of it agree on.
//!
//! ```text
//! snapshot := "REDIS" version (four digits), record *, 255, checksum u64 little-endian (since version 5; 0: none)
//! record   := 250 name value                      something about the snapshot
//!           | 245 text                            a library of functions
//!           | 254 number                          the database of the keys that follow
//!           | 251 keys, keys with a date          how large that database is
//!           | [252 date i64] [248 seconds | 249 u8] type key value
//! ```
//! Numbers are lengths as [`super::output`] writes them. Also read: 253, a date in seconds; 247, something of a module,
//! in parts that say what they are; 246, a library of the release candidates of Redis 7.0; 244 and 243, what a cluster
//! notes about slots.

use super::{VERSION, crc64};

/// What a snapshot begins with, and a version of four digits behind it.
pub(super) const MAGIC: &[u8] = b"REDIS";
/// The same of Valkey 9, with three digits.
pub(super) const MAGIC_OF_VALKEY: &[u8] = b"VALKEY";
/// Bytes of either, with its version.
pub(super) const HEAD: usize = 9;
/// The first version with a checksum.
pub(super) const FIRST_WITH_CHECKSUM: u16 = 5;

/// A snapshot of nothing, for the base of a log that begins.
pub(crate) fn empty_base() -> Vec<u8> {
    let mut bytes = [MAGIC, format!("{VERSION:04}").as_bytes()].concat();
    bytes.extend_from_slice(&[opcodes::AUX, 8]);
    bytes.extend_from_slice(b"aof-base");
    // The integer 1.
    bytes.extend_from_slice(&[0xC0, 1, opcodes::END]);
    let checksum = crc64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The field that holds a script of EVAL, as Redis 4 to 6 wrote it. Redis 7 passes over it.
pub(super) const SCRIPT_FIELD: &str = "lua";

/// What kind of record follows, if it is no key.
pub(super) mod opcodes {
    /// Which slots a cluster is about to import (Valkey 9).
    pub(crate) const SLOT_IMPORT: u8 = 243;
    /// How large a slot is (Redis 7.4).
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(crate) const LIBRARY: u8 = 245;
    /// A library of the release candidates of Redis 7.0.
    pub(crate) const OLD_LIBRARY: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    /// Seconds for which the next key was not used.
    pub(crate) const IDLE: u8 = 248;
    /// How often the next key is used.
    pub(crate) const FREQUENCY: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const SIZES: u8 = 251;
    /// The date of the next key in milliseconds.
    pub(crate) const DATE_MS: u8 = 252;
    /// The date of the next key in seconds, of 32 bits.
    pub(crate) const DATE: u8 = 253;
    pub(crate) const DATABASE: u8 = 254;
    pub(crate) const END: u8 = 255;
}
