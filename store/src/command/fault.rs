//! Why a command failed: a closed list, with each text in one place.
//!
//! The texts are those of redis-server 7.0.15; clients match on their first word and often on the whole.

use std::borrow::Cow;
use std::fmt;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The key holds another type.
    WrongType,
    /// The arguments do not follow the grammar.
    Syntax,
    /// Too few or too many arguments for this command (`config|get` for a subcommand).
    Arity(Cow<'static, str>),
    /// The argument is no 64-bit integer.
    NotInteger,
    /// The argument is no float.
    NotFloat,
    /// The argument is no positive integer.
    NotPositive,
    /// The argument is outside of its range.
    OutOfRange,
    /// The key must exist.
    NoSuchKey,
    /// The index does not exist.
    IndexOutOfRange,
    /// An increment beyond 64 bits.
    IncrementOverflow,
    /// An increment beyond the largest float.
    IncrementNotFinite,
    /// The field holds no integer.
    HashNotInteger,
    /// The field holds no float.
    HashNotFloat,
    /// The score would be NaN.
    ScoreNan,
    /// A range of scores with an end that is no float.
    RangeNotFloat,
    /// A range of members with an end that is none.
    RangeNotLex,
    /// A string beyond `proto-max-bulk-len`.
    StringTooLong,
    /// An expiry that cannot be (named after the command).
    InvalidExpire(Cow<'static, str>),
    /// A cursor that is no number.
    InvalidCursor,
    /// A database number beyond `databases`.
    DbIndex,
    /// Source and destination are the same.
    SameObject,
    /// A time-out below zero.
    TimeoutNegative,
    /// A time-out that is no number or too large.
    TimeoutRange,
    /// Writing would exceed `maxmemory`.
    OutOfMemory,
    /// A failing disk forbids writes.
    Misconfigured(Cow<'static, str>),
    /// Too few replicas would have the write.
    NoReplicas,
    /// Only the master may write.
    ReadOnlyReplica,
    /// The master is not heard, and old data is not to be shown.
    MasterDown,
    /// The server is loading its data.
    Loading,
    /// The client has to authenticate first.
    NoAuth,
    /// Name or password is wrong.
    WrongPass,
    /// A transaction that must not run.
    ExecAbort,
    /// HELLO with a version that does not exist.
    NoProto,
    /// A worker verb with an old token, or for a job that is over.
    Stale(String),
    /// A script of EVAL runs, and has run for long.
    BusyScript,
    /// A function runs, and has run for long.
    BusyFunction,
    /// No script has this digest.
    NoScript,
    /// Any other error of the class ERR; the text goes out behind `ERR `.
    Other(Cow<'static, str>),
    /// An error with a class of its own, complete.
    Coded(Cow<'static, str>),
    /// An error of the class ERR that repeats bytes of a client; they go out as they came, but for line ends: those at
    /// the end are left out, others become blanks.
    Raw(Vec<u8>),
    /// The same with a class of its own.
    RawCoded(Vec<u8>),
}

impl Fault {
    /// An error of the class ERR.
    pub fn other(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Other(text.into())
    }

    /// An error whose text begins with its class.
    pub fn coded(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Coded(text.into())
    }

    /// The text on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(text) => [b"ERR ", without_line_ends(text)].concat(),
            Self::RawCoded(text) => without_line_ends(text).to_vec(),
            other => other.to_string().into_bytes(),
        }
    }

    /// The text without its class.
    pub fn message(&self) -> String {
        let text = self.to_string();
        text.split_once(' ').map_or_else(|| text.clone(), |(_, message)| message.to_owned())
    }
}

/// A text without line ends at its end, as Redis trims it.
fn without_line_ends(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &text[..end.map_or(0, |last| last + 1)]
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::Arity(name) => return write!(out, "ERR wrong number of arguments for '{name}' command"),
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::NotPositive => "ERR value is out of range, must be positive",
            Self::OutOfRange => "ERR value is out of range",
            Self::NoSuchKey => "ERR no such key",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::IncrementOverflow => "ERR increment or decrement would overflow",
            Self::IncrementNotFinite => "ERR increment would produce NaN or Infinity",
            Self::HashNotInteger => "ERR hash value is not an integer",
            Self::HashNotFloat => "ERR hash value is not a float",
            Self::ScoreNan => "ERR resulting score is not a number (NaN)",
            Self::RangeNotFloat => "ERR min or max is not a float",
            Self::RangeNotLex => "ERR min or max not valid string range item",
            Self::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::InvalidExpire(name) => return write!(out, "ERR invalid expire time in '{name}' command"),
            Self::InvalidCursor => "ERR invalid cursor",
            Self::DbIndex => "ERR DB index is out of range",
            Self::SameObject => "ERR source and destination objects are the same",
            Self::TimeoutNegative => "ERR timeout is negative",
            Self::TimeoutRange => "ERR timeout is not a float or out of range",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::Misconfigured(reason) => return write!(out, "MISCONF {reason}"),
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Self::ReadOnlyReplica => "READONLY You can't write against a read only replica.",
            Self::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
            }
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::NoAuth => "NOAUTH Authentication required.",
            Self::WrongPass => "WRONGPASS invalid username-password pair or user is disabled.",
            Self::ExecAbort => "EXECABORT Transaction discarded because of previous errors.",
            Self::BusyScript => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Self::BusyFunction => {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }
            Self::NoScript => "NOSCRIPT No matching script. Please use EVAL.",
            Self::NoProto => "NOPROTO unsupported protocol version",
            Self::Stale(text) => return write!(out, "STALE {text}"),
            Self::Other(text) => return write!(out, "ERR {text}"),
            Self::Coded(text) => text,
            Self::Raw(text) => return write!(out, "ERR {}", String::from_utf8_lossy(text)),
            Self::RawCoded(text) => return out.write_str(&String::from_utf8_lossy(text)),
        };
        out.write_str(text)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_repeated_without_the_line_ends_at_its_end() {
        let repeated = |text: &[u8]| Fault::Raw(text.to_vec()).to_bytes();
        assert_eq!(repeated(b"option 1\r\n\n"), b"ERR option 1");
        assert_eq!(repeated(b"option a\nb "), b"ERR option a\nb ");
        assert_eq!(repeated(b"\n"), b"ERR ");
        assert_eq!(Fault::RawCoded(b"NOGROUP g\n".to_vec()).to_bytes(), b"NOGROUP g");
    }
}
