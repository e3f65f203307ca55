//! Libraries of functions in dumps and snapshots.

use super::snapshot::opcodes;
use super::{Cursor, Output, RdbFault};

/// Writes a library: its opcode and its text.
pub(crate) fn write_library(code: &[u8], out: &mut Output) {
    out.raw(&[opcodes::LIBRARY]);
    out.string(code);
}

/// The text of a library behind its opcode; nothing if that is the opcode of something else.
///
/// # Errors
/// What could not be read.
pub(crate) fn read_library(
    opcode: u8,
    cursor: &mut Cursor<'_>,
) -> Option<Result<Vec<u8>, (&'static str, RdbFault)>> {
    match opcode {
        opcodes::LIBRARY => Some(text(cursor, "library payload")),
        opcodes::OLD_LIBRARY => Some(old_library(cursor)),
        _ => None,
    }
}

fn text(cursor: &mut Cursor<'_>, what: &'static str) -> Result<Vec<u8>, (&'static str, RdbFault)> {
    cursor.string().map(|written| written.into_vec()).map_err(|fault| (what, fault))
}

/// A library in the form of the release candidates of 7.0: name, engine, description and text.
fn old_library(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, (&'static str, RdbFault)> {
    let name = text(cursor, "library name")?;
    let engine = text(cursor, "engine name")?;
    if cursor.length().map_err(|fault| ("library description indicator", fault))? != 0 {
        text(cursor, "library description")?;
    }
    let blob = text(cursor, "library blob")?;
    Ok([b"#!", &*engine, b" name=", &*name, b"\n", &*blob].concat())
}
