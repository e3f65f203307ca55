//! Times in the log: annotations that say when what follows was written, so that a log can be cut back to an instant.
//!
//! Law: a stamp is a line `#TS:<Unix seconds>`, as Redis 7 writes it (`aof-timestamp-enabled`). It stands between
//! units, never within one, before the first unit of its second. Stamps of one process rise, whatever its clock does;
//! each increment begins with one. Not here: cutting a log back (`truncate.rs`).

use crate::number::parse_u64;

/// How a stamp begins.
const BEGIN: &[u8] = b"#TS:";

/// What was said about time so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    last: Option<u64>,
}

impl Stamps {
    /// The stamp that belongs before units of this second, unless one like it is there.
    pub fn due(&mut self, unix_seconds: u64) -> Option<String> {
        if self.last.is_some_and(|last| last >= unix_seconds) {
            return None;
        }
        self.last = Some(unix_seconds);
        Some(stamp(unix_seconds))
    }

    /// Another file begins, which has no stamp yet.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

/// The stamp of a second, as a line.
pub(crate) fn stamp(unix_seconds: u64) -> String {
    format!("#TS:{unix_seconds}\r\n")
}

/// The second that a line says, without its end; nothing if it is no stamp.
pub(super) fn read(line: &[u8]) -> Option<u64> {
    parse_u64(line.strip_prefix(BEGIN)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_said_once_and_no_earlier_one_after_it() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.due(1_628_217_470).as_deref(), Some("#TS:1628217470\r\n"));
        assert_eq!(stamps.due(1_628_217_470), None);
        assert_eq!(stamps.due(1_628_217_469), None, "the clock was set back");
        assert!(stamps.due(1_628_217_472).is_some());
        stamps.forget();
        assert!(stamps.due(1_628_217_472).is_some(), "a file begins with one");
    }

    #[test]
    fn other_lines_are_none() {
        assert_eq!(read(b"#TS:1628217470"), Some(1_628_217_470));
        for line in [&b"#TS:"[..], b"#TS:-1", b"#TS:soon", b"#SUM:cbf43926:9", b"#"] {
            assert_eq!(read(line), None);
        }
    }
}
