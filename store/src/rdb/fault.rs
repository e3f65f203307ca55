//! Why bytes are no value, or no snapshot.

use std::fmt;

/// Why something cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdbFault {
    /// The bytes end before it does.
    Truncated,
    /// A number, a length or a text that cannot be.
    Damaged(&'static str),
    /// A compact form that contradicts itself.
    Integrity {
        /// Which one.
        form: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value of a type that is not known.
    UnknownType(u8),
    /// A value of a module.
    Module {
        /// Which type of which module: the nine characters it is known by.
        name: String,
    },
    /// A snapshot of a version that is not known; its first bytes.
    Version(String),
    /// The checksum is not that of the bytes before it.
    Checksum {
        /// What it is.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Keys of a database beyond `databases`.
    Database(u64),
    /// A key that is there already.
    DuplicateKey,
    /// A library of functions that cannot be loaded, and why.
    Library(String),
}

impl fmt::Display for RdbFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(out, "it ends too early"),
            Self::Damaged(reason) => out.write_str(reason),
            // In the words of Redis, by which people look for it.
            Self::Integrity { form, reason: DUPLICATE } => {
                write!(out, "{form} with dup elements, integrity check failed: {DUPLICATE}")
            }
            Self::Integrity { form, reason } => write!(out, "{form} integrity check failed: {reason}"),
            Self::UnknownType(number) => write!(out, "unknown type {number}"),
            Self::Module { name } => {
                write!(out, "a value of the module type '{name}', and there are no modules")
            }
            Self::Version(head) => write!(out, "a snapshot of the unknown version '{}'", head.escape_debug()),
            Self::Checksum { found, expected } => {
                write!(out, "wrong checksum (CRC error): {found:016x} instead of {expected:016x}")
            }
            Self::Database(number) => {
                write!(out, "database {number} is beyond those that the directive 'databases' allows")
            }
            Self::DuplicateKey => write!(out, "a key that is there already"),
            Self::Library(reason) => write!(out, "a library of functions cannot be loaded: {reason}"),
        }
    }
}

impl std::error::Error for RdbFault {}

/// Why a compact form is damaged; who reads it knows which form it is.
pub(super) type Flaw = &'static str;

/// The flaw of a form that holds something twice.
pub(super) const DUPLICATE: Flaw = "an element that is there already";

/// Names the form that has a flaw.
pub(super) fn of_form(form: &'static str) -> impl Fn(Flaw) -> RdbFault {
    move |reason| RdbFault::Integrity { form, reason }
}
