//! Libraries as bytes: FUNCTION DUMP and RESTORE, in the form of snapshots.

use super::crc64::crc64;
use super::library::{Libraries, RestorePolicy};
use super::lzf;
use crate::command::Fault;

/// The version of the form, that of Redis 7.0.
const VERSION: u16 = 10;
/// What comes before a library; the newer form is its text alone.
const FUNCTION: u8 = 246;
const FUNCTION_TEXT: u8 = 245;
/// Version and checksum.
const FOOTER: usize = 10;

/// All libraries as bytes.
pub(crate) fn write(libraries: &Libraries) -> Vec<u8> {
    let mut out = Vec::new();
    for library in libraries.iter() {
        out.push(FUNCTION_TEXT);
        write_len(library.code.len(), &mut out);
        out.extend_from_slice(&library.code);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn write_len(len: usize, out: &mut Vec<u8>) {
    match len {
        0..64 => out.push(len as u8),
        64..16384 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.push(0x80);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        },
    }
}

/// The policy that a word names.
///
/// # Errors
/// It names none.
pub(crate) fn policy(word: Option<&[u8]>) -> Result<RestorePolicy, Fault> {
    match word.map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some(b"append") => Ok(RestorePolicy::Append),
        Some(b"replace") => Ok(RestorePolicy::Replace),
        Some(b"flush") => Ok(RestorePolicy::Flush),
        Some(_) => {
            Err(Fault::other("Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."))
        }
    }
}

/// The texts of the libraries in a dump.
///
/// # Errors
/// It is none.
pub(crate) fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let broken = || Fault::other("DUMP payload version or checksum are wrong");
    let at = payload.len().checked_sub(FOOTER).ok_or_else(broken)?;
    let (mut rest, footer) = payload.split_at(at);
    let (version, checksum) = footer.split_at(2);
    let is_newer = u16::from_le_bytes([version[0], version[1]]) > VERSION;
    if is_newer || checksum != crc64(&payload[..at + 2]).to_le_bytes() {
        return Err(broken());
    }
    let mut codes = Vec::new();
    while let Some((&kind, more)) = rest.split_first() {
        rest = more;
        codes.push(match kind {
            FUNCTION_TEXT => text(&mut rest).ok_or_else(|| Fault::other("Failed loading library payload"))?,
            FUNCTION => old_library(&mut rest)?,
            _ => return Err(Fault::other("given type is not a function")),
        });
    }
    Ok(codes)
}

/// A library in the form of the release candidates of 7.0: name, engine, description and text.
fn old_library(rest: &mut &[u8]) -> Result<Vec<u8>, Fault> {
    let mut part = |fault: &'static str| text(rest).ok_or_else(|| Fault::other(fault));
    let name = part("Failed loading library name")?;
    let engine = part("Failed loading engine name")?;
    let described =
        length(rest).ok_or_else(|| Fault::other("Failed loading library description indicator"))?;
    let mut part = |fault: &'static str| text(rest).ok_or_else(|| Fault::other(fault));
    if described != 0 {
        part("Failed loading library description")?;
    }
    let blob = part("Failed loading library blob")?;
    Ok([b"#!", &*engine, b" name=", &*name, b"\n", &*blob].concat())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, more) = rest.split_at_checked(count)?;
    *rest = more;
    Some(taken)
}

/// A length that is none of the special forms.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let first = *take(rest, 1)?.first()?;
    match first >> 6 {
        0 => Some(usize::from(first & 63)),
        1 => Some(usize::from(first & 63) << 8 | usize::from(*take(rest, 1)?.first()?)),
        2 if first == 0x80 => {
            let bytes: [u8; 4] = take(rest, 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        }
        2 if first == 0x81 => {
            let bytes: [u8; 8] = take(rest, 8)?.try_into().ok()?;
            usize::try_from(u64::from_be_bytes(bytes)).ok()
        }
        _ => None,
    }
}

/// A text: plain, compressed, or an integer.
fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    match rest.first()? {
        0xC0 => Some((*take(rest, 2)?.get(1)? as i8).to_string().into_bytes()),
        0xC1 => {
            let bytes: [u8; 2] = take(rest, 3)?.get(1..)?.try_into().ok()?;
            Some(i16::from_le_bytes(bytes).to_string().into_bytes())
        }
        0xC2 => {
            let bytes: [u8; 4] = take(rest, 5)?.get(1..)?.try_into().ok()?;
            Some(i32::from_le_bytes(bytes).to_string().into_bytes())
        }
        0xC3 => {
            take(rest, 1)?;
            let compressed = length(rest)?;
            let len = length(rest)?;
            lzf::decompress(take(rest, compressed)?, len)
        }
        _ => {
            let len = length(rest)?;
            take(rest, len).map(<[u8]>::to_vec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &[u8] =
        b"#!lua name=lib\nredis.register_function('answer', function(keys, args) return {42, args[1], \
                          args[1], args[1], args[1]} end)";

    /// What redis-server 7.0.15 returned for the library above; it compresses texts.
    const OF_REDIS: &[u8] = b"\xf5\xc3@]@z\x1f#!lua name=lib\nredis.register_fu\x10nction('answer', \xe0\x00\x12\x15\
                              keys, args) return {42\x80\x11\x02[1]\xe0\x12\x08\x05} end)\n\x00gS\x05\xca\xd2i\x08\x81";

    #[test]
    fn a_dump_of_redis_is_read() {
        assert_eq!(read(OF_REDIS).unwrap(), [CODE]);
    }

    /// Nothing that is damaged is taken for a library, whichever bit it is.
    #[test]
    fn every_damage_is_seen() {
        for at in 0..OF_REDIS.len() {
            for bit in 0..8 {
                let mut damaged = OF_REDIS.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(read(&OF_REDIS[..at]).is_err(), "cut at {at}");
        }
    }

    /// A dump whose checksum is right and whose lengths are not.
    #[test]
    fn lengths_are_not_believed() {
        for body in [
            &b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\xf5\x80\xff\xff\xff\xffx",
            b"\xf5\xc3\x05\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00x",
            b"\xf5\xc3\x02\x40\xff\xe0\x00",
            b"\xf5\x7f",
            b"\xf5\xc2\x00",
            b"\xf5",
            b"\xf6\x01",
            b"\x00",
        ] {
            let mut payload = [body, &VERSION.to_le_bytes()].concat();
            payload.extend_from_slice(&crc64(&payload).to_le_bytes());
            assert!(read(&payload).is_err(), "{body:x?}");
        }
    }

    #[test]
    fn lengths_of_all_sizes_come_back() {
        for len in [0, 1, 63, 64, 16383, 16384, 100_000] {
            let mut bytes = Vec::new();
            write_len(len, &mut bytes);
            assert_eq!(length(&mut &*bytes), Some(len));
        }
    }
}
