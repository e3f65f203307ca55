//! Values and snapshots as Redis writes them: the format of DUMP, of `.rdb` files and of full syncs.
//!
//! Law: pure code over bytes. What is written is version 10 with the encodings that redis-server 7.0.15 chooses, byte
//! for byte where it has a choice that can be known. What is read are the versions of Redis and that of Valkey, every
//! encoding of them; nothing of it is believed: each length, count, order and duplicate is checked, and memory is taken
//! only for what is there.
//!
//! Source of the format: rdb.c, listpack.c, ziplist.c, zipmap.c, intset.c and t_stream.c of Redis 7.0; rdb.c of Redis
//! 8.0 for dates of fields, of Valkey 9.1 for version 80.
//!
//! - `output` and `cursor` write and read lengths and strings; `lzf` compresses them, `crc64` checks them, and `rope`
//!   holds long ones where they are.
//! - `encode` writes a value, `encode_huge` one of very many elements in parts, `decode` reads one; `listpack` does
//!   both for the compact form of today, `ziplist`, `zipmap` and `intset` read those of old.
//! - `dump` is a value on its own, with version and checksum.
//! - `snapshot` is a whole dataset: `writer` and `reader` deal with records, `save` and `load` with an engine.
//! - `as_commands` writes keys as commands, for the base of a log.
//! - `walk` writes one of an engine that goes on serving: one instant of it, in pieces.
//!
//! Not here: files and sockets (the host's).

mod as_commands;
mod content;
mod crc64;
mod cursor;
mod decode;
mod decode_stream;
mod dump;
mod encode;
mod encode_huge;
mod encode_stream;
mod fault;
mod intset;
mod library;
mod listpack;
mod load;
mod lzf;
mod output;
mod reader;
mod rope;
mod save;
mod snapshot;
#[cfg(test)]
mod tests;
mod walk;
mod writer;
mod ziplist;
mod zipmap;

pub(crate) use crc64::crc64;
pub(crate) use cursor::Cursor;
pub(crate) use decode::{Loaded, Setup};
pub(crate) use dump::{DUMP_FRAME, DumpFault, dump, open as open_dump, read as read_dump, seal};
pub(crate) use encode_huge::{Parts, is_huge};
pub use fault::RdbFault;
pub(crate) use library::{read_library, write_library};
pub(crate) use load::state;
pub use load::{LoadOptions, LoadedSnapshot, SnapshotFault, SnapshotLoader};
pub(crate) use output::Output;
pub(crate) use reader::time_of_snapshot;
pub(crate) use rope::Rope;

pub use save::SnapshotHead;
pub(crate) use snapshot::empty_base;
pub(crate) use walk::Walk;
pub use walk::{WalkBusy, WalkId, WalkPiece};
pub(crate) use writer::{Records, Writer};

/// The version that is written.
pub(crate) const VERSION: u16 = 10;
/// The version of Valkey 9; it gives other meanings to some numbers.
const VALKEY: u16 = 80;

/// Whether values of this version are read. Versions between those of Redis that are known and that of Valkey have new
/// types, which are refused as such, and old ones, which have not changed.
fn is_readable(version: u16) -> bool {
    version <= VALKEY
}

/// What kind of value follows, and in which encoding.
mod types {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    /// Scores as text.
    pub(super) const ZSET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    /// Scores as doubles.
    pub(super) const ZSET_2: u8 = 5;
    /// A value of a module, in the form of the release candidates of Redis 4.
    pub(super) const MODULE: u8 = 6;
    /// A value of a module, in parts that say what they are.
    pub(super) const MODULE_2: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    /// Nodes that are ziplists.
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    /// Nodes that are listpacks, or long elements on their own.
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    /// With its first entry, its greatest deleted one and how many there ever were.
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    /// With the time when a consumer was active.
    pub(super) const STREAM_3: u8 = 21;
    /// Valkey: fields with dates.
    pub(super) const HASH_2: u8 = 22;
    /// Redis 7.4: the smallest date, and dates of fields relative to it.
    pub(super) const HASH_METADATA: u8 = 24;
    /// Redis 7.4: the smallest date, and triples of field, value and date.
    pub(super) const HASH_LISTPACK_EX: u8 = 25;
}
