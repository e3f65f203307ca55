//! Tests of values: what is written is read back, whole or in pieces, from every form there ever was.

mod old_forms;
mod pieces;
mod plain;
mod round_trip;

use plain::Plain;

use super::{DumpFault, Loaded, Output, RdbFault, Setup, open_dump, read_dump, seal};
use crate::hash::HashKey;
use crate::keyspace::{Entry, Value};
use crate::table::Item;
use crate::types::Thresholds;

fn setup() -> Setup {
    Setup { thresholds: Thresholds::default(), hash_key: HashKey::new(3, 4) }
}

/// The dump of a value.
fn dump(value: &Entry, compress: bool) -> Vec<u8> {
    let mut output = Output::default();
    output.compress = compress;
    super::dump(value.view().view(), &mut output)
}

/// A value under a key, to look at it.
fn entry(value: Value) -> Entry {
    Entry::new(b"key", value, None)
}

/// The value in a dump of ours.
fn read(payload: &[u8]) -> Result<Entry, DumpFault> {
    let (body, version) = open_dump(payload, false)?;
    read_dump(body, version, &setup()).map(entry)
}

/// The value in a type byte and a body, as another server would have written them.
fn read_body(body: &[u8], version: u16) -> Result<Plain, RdbFault> {
    match read_dump(body, version, &setup()) {
        Ok(value) => Ok(Plain::of(&entry(value))),
        Err(DumpFault::Value(fault)) => Err(fault),
        Err(DumpFault::Footer) => panic!("there is no footer"),
    }
}
