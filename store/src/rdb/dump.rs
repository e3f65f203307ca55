//! A value on its own: its type, its body, the version and the checksum of all that, each of the latter little-endian.

use super::decode::Decoder;
use super::{Cursor, Loaded, Output, RdbFault, Setup, VERSION, crc64, encode, is_readable};
use crate::keyspace::View;

/// Version and checksum.
const FOOTER: usize = 10;
/// Bytes of a dump that are not the body of its value.
pub(crate) const DUMP_FRAME: usize = 1 + FOOTER;

/// Why bytes are no dump.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DumpFault {
    /// Version or checksum are wrong.
    Footer,
    /// The value is damaged, or of no known kind.
    Value(RdbFault),
}

/// The dump of a value.
pub(crate) fn dump(view: View<'_>, out: &mut Output) -> Vec<u8> {
    out.raw(&[encode::type_of(view)]);
    encode::value(view, out);
    let mut payload = out.take().into_bytes();
    seal(&mut payload);
    payload
}

/// Adds version and checksum.
pub(crate) fn seal(payload: &mut Vec<u8>) {
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
}

/// What a dump consists of, without its checksum, and its version.
///
/// # Errors
/// Version or checksum are wrong; with `trusted`, the checksum may be.
pub(crate) fn open(payload: &[u8], trusted: bool) -> Result<(&[u8], u16), DumpFault> {
    let at = payload.len().checked_sub(FOOTER).ok_or(DumpFault::Footer)?;
    let (body, footer) = payload.split_at(at);
    let (version, checksum) = footer.split_at(2);
    let version = u16::from_le_bytes([version[0], version[1]]);
    let is_whole = || checksum == crc64(&payload[..at + 2]).to_le_bytes();
    if is_readable(version) && (trusted || is_whole()) { Ok((body, version)) } else { Err(DumpFault::Footer) }
}

/// The value of a dump.
///
/// # Errors
/// It is none, or has nothing in it.
pub(crate) fn read(body: &[u8], version: u16, setup: &Setup) -> Result<crate::keyspace::Value, DumpFault> {
    let mut cursor = Cursor::new(body);
    let mut read = || {
        let kind = cursor.byte()?;
        let loaded = Decoder::new(kind, version)?.read(&mut cursor, setup)?;
        match loaded {
            _ if !cursor.is_at_end() => Err(RdbFault::Damaged("something stands behind the value")),
            Loaded::Empty => Err(RdbFault::Damaged("an empty collection")),
            Loaded::Value(value) => Ok(value),
        }
    };
    read().map_err(DumpFault::Value)
}
