//! Replies on their way in: bytes of a server become values, for clients, tools and tests.
//!
//! Law: an incomplete value is normal; a malformed one is an error. Nothing is reserved because a peer said how much it
//! will send, and nesting is bounded.

use std::fmt;

use crate::limits::REPLY_DEPTH_MAX;
use crate::number::parse_i64;

/// A reply, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`.
    Simple(String),
    /// `-ERR text`, or the long form of RESP3.
    Error(String),
    /// `:42`.
    Integer(i64),
    /// `$2 OK`.
    Bulk(Vec<u8>),
    /// Nothing, in RESP3.
    Null,
    /// Nothing where a bulk could be, in RESP2.
    NullBulk,
    /// Nothing where an array could be, in RESP2.
    NullArray,
    /// `*1 :42`.
    Array(Vec<Value>),
    /// Pairs, in the order in which they came.
    Map(Vec<(Value, Value)>),
    /// `~1 :42`.
    Set(Vec<Value>),
    /// A message that answers nothing.
    Push(Vec<Value>),
    /// `,3.14`.
    Double(f64),
    /// `#t`.
    Boolean(bool),
    /// Text for people, with its format of three letters.
    Verbatim(String, Vec<u8>),
    /// An integer of any size, as text.
    BigNumber(String),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueFault(&'static str);

impl fmt::Display for ValueFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "no reply: {}", self.0)
    }
}

impl std::error::Error for ValueFault {}

impl Value {
    /// Reads the first value of `bytes`, and says how many bytes it took; `None` if it is incomplete. Attributes are
    /// skipped.
    ///
    /// # Errors
    /// The bytes are no reply.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, ValueFault> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.value(0) {
            Ok(value) => Ok(Some((value, reader.at))),
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Fault(reason)) => Err(ValueFault(reason)),
        }
    }

    /// Whether it is nothing, in any protocol.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    /// The error text, if it is one.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The bytes of a text of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            Self::Simple(text) | Self::BigNumber(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a text of any kind; what is no UTF-8 is replaced.
    pub fn text(&self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The elements of an array, a set or a push.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The value of a key: of a map, or of an array that lists pairs, as RESP2 has it.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let is = |key: &Self| key.bytes() == Some(name.as_bytes());
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| is(key)).map(|(_, value)| value),
            Self::Array(items) => items.chunks_exact(2).find(|pair| is(&pair[0])).map(|pair| &pair[1]),
            _ => None,
        }
    }
}

enum Stop {
    Incomplete,
    Fault(&'static str),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Stop::Incomplete)?;
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or(Stop::Fault("a line must end with CR and LF"))
    }

    fn text(&mut self) -> Result<String, Stop> {
        Ok(String::from_utf8_lossy(self.line()?).into_owned())
    }

    /// A length; `None` for -1.
    fn len(line: &[u8]) -> Result<Option<usize>, Stop> {
        match parse_i64(line) {
            Some(-1) => Ok(None),
            Some(len) => usize::try_from(len).map(Some).map_err(|_| Stop::Fault("a negative length")),
            None => Err(Stop::Fault("a length must be a number")),
        }
    }

    fn blob(&mut self, len: usize) -> Result<Vec<u8>, Stop> {
        let rest = &self.bytes[self.at..];
        let whole = len.checked_add(2).ok_or(Stop::Fault("a length is too large"))?;
        if rest.len() < whole {
            return Err(Stop::Incomplete);
        }
        if &rest[len..whole] != b"\r\n" {
            return Err(Stop::Fault("a text must end with CR and LF"));
        }
        self.at += whole;
        Ok(rest[..len].to_vec())
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, Stop> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn pairs(&mut self, count: usize, depth: usize) -> Result<Vec<(Value, Value)>, Stop> {
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(pairs)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > REPLY_DEPTH_MAX {
            return Err(Stop::Fault("nested too deeply"));
        }
        let kind = *self.bytes.get(self.at).ok_or(Stop::Incomplete)?;
        self.at += 1;
        match kind {
            b'+' => Ok(Value::Simple(self.text()?)),
            b'-' => Ok(Value::Error(self.text()?)),
            b'(' => Ok(Value::BigNumber(self.text()?)),
            b':' => parse_i64(self.line()?).map(Value::Integer).ok_or(Stop::Fault("no integer")),
            b'_' => self.line().map(|_| Value::Null),
            b'#' => match self.line()? {
                b"t" => Ok(Value::Boolean(true)),
                b"f" => Ok(Value::Boolean(false)),
                _ => Err(Stop::Fault("no boolean")),
            },
            b',' => {
                self.text()?.parse().map(Value::Double).map_err(|_| Stop::Fault("a double must be a number"))
            }
            b'$' | b'=' | b'!' => self.long_text(kind),
            b'*' | b'~' | b'>' | b'%' | b'|' => self.collection(kind, depth),
            _ => Err(Stop::Fault("an unknown type")),
        }
    }

    fn long_text(&mut self, kind: u8) -> Result<Value, Stop> {
        let Some(len) = Self::len(self.line()?)? else { return Ok(Value::NullBulk) };
        let text = self.blob(len)?;
        match kind {
            b'!' => Ok(Value::Error(String::from_utf8_lossy(&text).into_owned())),
            b'=' => match text.split_at_checked(4) {
                Some((format, text)) if format[3] == b':' => {
                    Ok(Value::Verbatim(String::from_utf8_lossy(&format[..3]).into_owned(), text.to_vec()))
                }
                _ => Err(Stop::Fault("a verbatim text must begin with its format")),
            },
            _ => Ok(Value::Bulk(text)),
        }
    }

    fn collection(&mut self, kind: u8, depth: usize) -> Result<Value, Stop> {
        let Some(count) = Self::len(self.line()?)? else { return Ok(Value::NullArray) };
        match kind {
            b'*' => Ok(Value::Array(self.items(count, depth)?)),
            b'~' => Ok(Value::Set(self.items(count, depth)?)),
            b'>' => Ok(Value::Push(self.items(count, depth)?)),
            b'%' => Ok(Value::Map(self.pairs(count, depth)?)),
            _ => {
                self.pairs(count, depth)?;
                self.value(depth + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn every_type_is_read_and_every_beginning_of_it_is_incomplete() {
        for (bytes, value) in [
            ("+OK\r\n", Value::Simple("OK".to_owned())),
            ("-ERR no\r\n", Value::Error("ERR no".to_owned())),
            (":-42\r\n", Value::Integer(-42)),
            ("$3\r\na\r\n\r\n", bulk("a\r\n")),
            ("$-1\r\n", Value::NullBulk),
            ("*-1\r\n", Value::NullArray),
            ("_\r\n", Value::Null),
            ("*2\r\n:1\r\n*0\r\n", Value::Array(vec![Value::Integer(1), Value::Array(Vec::new())])),
            ("%1\r\n$1\r\na\r\n#t\r\n", Value::Map(vec![(bulk("a"), Value::Boolean(true))])),
            ("~1\r\n#f\r\n", Value::Set(vec![Value::Boolean(false)])),
            (">1\r\n,1.5\r\n", Value::Push(vec![Value::Double(1.5)])),
            ("=5\r\ntxt:x\r\n", Value::Verbatim("txt".to_owned(), b"x".to_vec())),
            ("!5\r\nERR x\r\n", Value::Error("ERR x".to_owned())),
            ("(123\r\n", Value::BigNumber("123".to_owned())),
            ("|1\r\n+a\r\n+b\r\n:7\r\n", Value::Integer(7)),
        ] {
            let more = [bytes.as_bytes(), b"+more\r\n"].concat();
            assert_eq!(Value::read(&more), Ok(Some((value, bytes.len()))), "{bytes:?}");
            for end in 0..bytes.len() {
                assert_eq!(Value::read(&bytes.as_bytes()[..end]), Ok(None), "{bytes:?} up to {end}");
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_and_nothing_is_reserved_for_it() {
        let deep = "*1\r\n".repeat(REPLY_DEPTH_MAX + 2);
        for bad in ["x\r\n", ":x\r\n", "$x\r\n", "$-2\r\n", "$1\r\nabc", "+a\n", "#x\r\n", ",x\r\n", &deep] {
            assert!(Value::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(Value::read(b"*9223372036854775807\r\n"), Ok(None));
        assert!(Value::read(b"$9223372036854775807\r\n").is_ok());
    }

    #[test]
    fn fields_are_found_in_maps_and_in_lists_of_pairs() {
        for bytes in ["%1\r\n$2\r\nid\r\n:7\r\n", "*2\r\n$2\r\nid\r\n:7\r\n"] {
            let (value, _) = Value::read(bytes.as_bytes()).unwrap().unwrap();
            assert_eq!(value.field("id").and_then(Value::integer), Some(7));
            assert_eq!(value.field("no"), None);
        }
    }
}
