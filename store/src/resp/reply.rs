//! Replies on their way out: typed calls in, RESP2 or RESP3 bytes behind what is there already.
//!
//! Law: handlers say what they mean (a map, a double, nothing) and the protocol of the client decides how it looks.
//! Whoever opens an aggregate of n elements writes n of them, unless the reply is longer than its reader may get.

use crate::number::format_g17;
use crate::types::text::Scalar;

/// The version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, what every client starts with.
    #[default]
    V2,
    /// RESP3, after `HELLO 3`.
    V3,
}

/// A writer of replies.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
    /// Bytes beyond which nobody will get the reply.
    stop_at: Option<usize>,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol, stop_at: None }
    }

    /// The same for a client that is cut off when more than `max` bytes wait for it.
    pub fn limited(self, max: Option<usize>) -> Self {
        let stop_at = max.map(|max| self.out.len().saturating_add(max));
        Self { stop_at, ..self }
    }

    /// Whether there is a limit to what the client may get.
    pub fn is_limited(&self) -> bool {
        self.stop_at.is_some()
    }

    /// Whether the client will be cut off instead of getting the reply, so that the rest of it is not worth writing.
    pub fn is_lost(&self) -> bool {
        self.stop_at.is_some_and(|stop_at| self.out.len() > stop_at)
    }

    /// The protocol of the client.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol for what is written from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// A writer to the same place, for a call that takes one by value.
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply { out: self.out, protocol: self.protocol, stop_at: self.stop_at }
    }

    /// How many bytes there are, to come back to with [`Self::truncate`].
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Forgets what was written behind `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// What was written behind `position`.
    pub fn written_since(&self, position: usize) -> &[u8] {
        &self.out[position..]
    }

    /// Appends bytes that are protocol already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn line(&mut self, kind: u8, number: i64) {
        self.line_at_once(kind, number);
    }

    /// The same, where it is worth not to call a function for four bytes.
    #[inline(always)]
    fn line_at_once(&mut self, kind: u8, number: i64) {
        // Few digits are the common case: lengths, counts, flags.
        match number {
            0..10 => self.out.extend_from_slice(&[kind, b'0' + number as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (number as u8 / 10, number as u8 % 10);
                self.out.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            _ => {
                let mut digits = itoa::Buffer::new();
                self.out.push(kind);
                self.out.extend_from_slice(digits.format(number).as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string, made of text of ours.
    pub fn status(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A simple string of foreign text; line ends inside become spaces.
    pub fn status_bytes(&mut self, text: &[u8]) {
        self.one_line(b'+', text);
    }

    fn one_line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend(text.iter().map(|&byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    /// An error; line ends inside become spaces, because the text may hold a client's words.
    pub fn error(&mut self, text: &[u8]) {
        self.one_line(b'-', text);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.line(b':', value);
    }

    /// A count as an integer.
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// 1 or 0.
    pub fn flag(&mut self, value: bool) {
        self.integer(i64::from(value));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.line_at_once(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A short bulk string that is known when this is compiled: the name of a field, most often.
    #[inline(always)]
    pub fn name(&mut self, name: &'static str) {
        match name.len() {
            len @ 0..10 => {
                self.out.extend_from_slice(&[b'$', b'0' + len as u8, b'\r', b'\n']);
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
            _ => self.bulk(name.as_bytes()),
        }
    }

    /// A bulk string made of pieces.
    pub fn bulk_of<const N: usize>(&mut self, pieces: [&[u8]; N]) {
        self.line(b'$', pieces.iter().map(|piece| piece.len()).sum::<usize>() as i64);
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
        self.out.extend_from_slice(b"\r\n");
    }

    /// A value as a bulk string.
    pub fn bulk_scalar(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Bytes(bytes) => self.bulk(bytes),
            Scalar::Integer(value) => self.bulk_integer(value),
        }
    }

    /// A value as a bulk string, or null.
    pub fn scalar_or_null(&mut self, value: Option<Scalar<'_>>) {
        match value {
            Some(value) => self.bulk_scalar(value),
            None => self.null(),
        }
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Text for a human: a verbatim string in RESP3.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::V2 => self.bulk(text),
            Protocol::V3 => {
                self.line(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Text in a format of three letters: a verbatim string in RESP3. A shorter name of the format is filled with
    /// spaces.
    pub fn verbatim_of(&mut self, format: &[u8], text: &[u8]) {
        match self.protocol {
            Protocol::V2 => self.bulk(text),
            Protocol::V3 => {
                self.line(b'=', text.len() as i64 + 4);
                let letters = format.iter().copied().chain(std::iter::repeat(b' '));
                self.out.extend(letters.take(3));
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, in decimal digits; line ends inside become spaces.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::V2 => {
                let start = self.out.len();
                self.bulk(digits);
                let end = self.out.len() - 2;
                let text = &mut self.out[start..end];
                let begin = text.len() - digits.len();
                text[begin..]
                    .iter_mut()
                    .filter(|byte| **byte == b'\r' || **byte == b'\n')
                    .for_each(|byte| *byte = b' ');
            }
            Protocol::V3 => self.one_line(b'(', digits),
        }
    }

    /// Nothing, where a single value is expected.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::V2 => b"$-1\r\n",
            Protocol::V3 => b"_\r\n",
        });
    }

    /// Nothing, where an array is expected.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::V2 => b"*-1\r\n",
            Protocol::V3 => b"_\r\n",
        });
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::with_capacity(24);
        format_g17(value, &mut text);
        match self.protocol {
            Protocol::V2 => self.bulk(&text),
            Protocol::V3 => {
                self.out.push(b',');
                self.out.extend_from_slice(&text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// True or false: an integer in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::V2 => self.flag(value),
            Protocol::V3 => self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Opens an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.line(b'*', len as i64);
    }

    /// Opens a map of `len` pairs.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.line(b'*', 2 * len as i64),
            Protocol::V3 => self.line(b'%', len as i64),
        }
    }

    /// Opens a set of `len` members.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.line(b'*', len as i64),
            Protocol::V3 => self.line(b'~', len as i64),
        }
    }

    /// Opens an out-of-band message of `len` elements.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.line(b'*', len as i64),
            Protocol::V3 => self.line(b'>', len as i64),
        }
    }

    /// Opens attributes of the next reply, `len` pairs; RESP3 only.
    pub fn attribute(&mut self, len: usize) {
        self.line(b'|', len as i64);
    }

    /// Elements whose number is known only after they are written.
    pub fn counted(
        &mut self,
        write: impl FnOnce(&mut Reply<'_>) -> usize,
        open: impl FnOnce(&mut Reply<'_>, usize),
    ) {
        let start = self.out.len();
        let len = write(self);
        let body = self.out.split_off(start);
        open(self, len);
        self.out.extend_from_slice(&body);
    }

    /// An array whose length is known only after its elements are written.
    pub fn counted_array(&mut self, write: impl FnOnce(&mut Reply<'_>) -> usize) {
        self.counted(write, |reply, len| reply.array(len));
    }
}

/// Appends a command as a client would send it.
pub fn write_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    let mut reply = Reply::new(out, Protocol::V2);
    reply.array(args.len());
    for arg in args {
        reply.bulk(arg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_protocol_has_its_own_look() {
        let everything = |reply: &mut Reply<'_>| {
            reply.null();
            reply.null_array();
            reply.double(0.5);
            reply.map(1);
            reply.set(1);
            reply.boolean(true);
            reply.verbatim(b"hi");
        };
        assert_eq!(
            written(Protocol::V2, everything),
            "$-1\r\n*-1\r\n$3\r\n0.5\r\n*2\r\n*1\r\n:1\r\n$2\r\nhi\r\n"
        );
        assert_eq!(written(Protocol::V3, everything), "_\r\n_\r\n,0.5\r\n%1\r\n~1\r\n#t\r\n=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn an_error_is_one_line() {
        let text = written(Protocol::V2, |reply| reply.error(b"ERR unknown command 'a\r\n+OK'"));
        assert_eq!(text, "-ERR unknown command 'a  +OK'\r\n");
    }

    #[test]
    fn lengths_can_come_last() {
        let text = written(Protocol::V2, |reply| {
            reply.counted_array(|reply| {
                reply.integer(7);
                reply.integer(12);
                2
            });
        });
        assert_eq!(text, "*2\r\n:7\r\n:12\r\n");
    }
}
