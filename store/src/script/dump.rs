//! Libraries as bytes: FUNCTION DUMP and RESTORE, in the form of snapshots.

use super::library::{Libraries, RestorePolicy};
use crate::command::Fault;
use crate::rdb::{Cursor, Output, open_dump, read_library, seal, write_library};

/// All libraries as bytes.
pub(crate) fn write(libraries: &Libraries, out: &mut Output) -> Vec<u8> {
    for library in libraries.iter() {
        write_library(&library.code, out);
    }
    let mut payload = out.take().into_bytes();
    seal(&mut payload);
    payload
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
    let (body, _) =
        open_dump(payload, false).map_err(|_| Fault::other("DUMP payload version or checksum are wrong"))?;
    let mut cursor = Cursor::new(body);
    let mut codes = Vec::new();
    while !cursor.is_at_end() {
        let library = cursor.byte().ok().and_then(|opcode| read_library(opcode, &mut cursor));
        let code = library.ok_or_else(|| Fault::other("given type is not a function"))?;
        codes.push(code.map_err(|(what, _)| Fault::other(format!("Failed loading {what}")))?);
    }
    Ok(codes)
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
            let mut payload = body.to_vec();
            seal(&mut payload);
            assert!(read(&payload).is_err(), "{body:x?}");
        }
    }
}
