//! What elements of compact forms consist of: a head byte, and behind it an integer or a text.

use super::fault::Flaw;
use crate::types::text::Scalar;

pub(super) const OUTSIDE: Flaw = "an element ends outside";

/// The `count` bytes behind the head byte.
pub(super) fn behind_head(bytes: &[u8], count: usize) -> Result<&[u8], Flaw> {
    bytes.get(1..1 + count).ok_or(OUTSIDE)
}

/// The text of `len` bytes behind a head of `head` bytes, and the length of both.
pub(super) fn text(bytes: &[u8], head: usize, len: usize) -> Result<(Scalar<'_>, usize), Flaw> {
    let text = bytes.get(head..).and_then(|rest| rest.get(..len)).ok_or(OUTSIDE)?;
    Ok((Scalar::Bytes(text), head + len))
}

/// The integer of `width` bytes, little-endian with sign, behind the head byte, and the length of both.
pub(super) fn integer(bytes: &[u8], width: usize) -> Result<(Scalar<'_>, usize), Flaw> {
    Ok((Scalar::Integer(sign_extended(behind_head(bytes, width)?)), 1 + width))
}

/// An integer of one to eight bytes, little-endian with sign.
pub(super) fn sign_extended(bytes: &[u8]) -> i64 {
    let mut eight = [0; 8];
    eight[8 - bytes.len()..].copy_from_slice(bytes);
    // Shifting down again copies the sign.
    i64::from_le_bytes(eight) >> (64 - 8 * bytes.len())
}
