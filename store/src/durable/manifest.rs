//! The manifest: which files make up the log, in which order.
//!
//! Format of Redis 7 (aof.c): one line a file, `file NAME seq N type T`, with T `b` for the base, `i` for an increment
//! and `h` for history that is about to be removed; `#` begins a comment; names with blanks stand in double quotes.

use std::fmt;

use crate::resp::request::split_words;

/// What is wrong, in the words of Redis.
const FORMAT: &str =
    "Invalid AOF manifest file format: pairs of name and value are wanted, file, seq and type among them";
const EMPTY: &str = "Found an empty AOF manifest";

/// Longest line, as in Redis.
const LINE_MAX: usize = 1024;
/// Longest manifest that is read, in bytes.
pub(super) const MANIFEST_MAX: usize = 1 << 20;

/// What a file of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Everything up to the first increment.
    Base,
    /// What came after.
    Increment,
    /// Replaced by a newer base.
    History,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name within the folder.
    pub name: String,
    /// Its number among its kind.
    pub sequence: u64,
    /// What it is.
    pub kind: FileKind,
}

/// The files of a log, in the order of loading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All files.
    pub files: Vec<ManifestFile>,
}

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFault {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ManifestFault {}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// A line that is none, more than one base, or increments out of order.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestFault> {
        let mut manifest = Self::default();
        let mut last_increment = 0;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return Err(ManifestFault { line: 1, reason: EMPTY });
        }
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let fault = |reason| ManifestFault { line: number + 1, reason };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > LINE_MAX {
                return Err(fault("The AOF manifest file contains too long line (more than 1024 bytes)"));
            }
            let file = parse_line(line).map_err(fault)?;
            if file.kind == FileKind::Base && manifest.base().is_some() {
                return Err(fault("Found duplicate base file information"));
            }
            if file.kind == FileKind::Increment {
                if file.sequence <= last_increment {
                    return Err(fault("Found a non-monotonic sequence number"));
                }
                last_increment = file.sequence;
            }
            manifest.files.push(file);
        }
        if manifest.files.is_empty() {
            return Err(ManifestFault { line: 1, reason: EMPTY });
        }
        Ok(manifest)
    }

    /// The text of the manifest.
    pub fn to_text(&self) -> String {
        let line = |file: &ManifestFile| {
            let kind = match file.kind {
                FileKind::Base => 'b',
                FileKind::Increment => 'i',
                FileKind::History => 'h',
            };
            let plain =
                file.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'');
            let name = if plain { file.name.clone() } else { format!("{:?}", file.name) };
            format!("file {name} seq {} type {kind}\n", file.sequence)
        };
        self.files.iter().map(line).collect()
    }

    /// The base.
    pub fn base(&self) -> Option<&ManifestFile> {
        self.files.iter().find(|file| file.kind == FileKind::Base)
    }

    /// The increments, in order.
    pub fn increments(&self) -> impl Iterator<Item = &ManifestFile> {
        self.files.iter().filter(|file| file.kind == FileKind::Increment)
    }

    /// The number of the newest increment; 0 if there is none.
    pub fn last_increment(&self) -> u64 {
        self.increments().map(|file| file.sequence).max().unwrap_or(0)
    }

    /// The first number from this one on whose file is not in the folder as far as the manifest knows, and its name:
    /// history has names too.
    pub(super) fn unused(&self, first: u64, name: impl Fn(u64) -> String) -> (u64, String) {
        let (mut sequence, mut wanted) = (first, name(first));
        while self.files.iter().any(|file| file.name == wanted) {
            sequence += 1;
            wanted = name(sequence);
        }
        (sequence, wanted)
    }

    /// What a manifest becomes when a base takes the place of everything before this increment. What was replaced last
    /// comes first in the history.
    pub(super) fn with_base(base: ManifestFile, first: u64, before: &Self) -> Self {
        let history = |file: &ManifestFile| ManifestFile { kind: FileKind::History, ..file.clone() };
        let (new, replaced): (Vec<_>, Vec<_>) =
            before.increments().cloned().partition(|file| file.sequence >= first);
        let older = before.files.iter().filter(|file| file.kind == FileKind::History);
        let files = std::iter::once(base)
            .chain(replaced.iter().map(history))
            .chain(before.base().map(history))
            .chain(older.cloned())
            .chain(new);
        Self { files: files.collect() }
    }
}

fn parse_line(line: &[u8]) -> Result<ManifestFile, &'static str> {
    let words = split_words(line).map_err(|_| FORMAT)?;
    if words.is_empty() || words.len() % 2 != 0 {
        return Err(FORMAT);
    }
    let (mut name, mut sequence, mut kind) = (None, None, None);
    for pair in words.chunks_exact(2) {
        match &*pair[0].to_ascii_lowercase() {
            b"file" => {
                let text = String::from_utf8(pair[1].clone()).map_err(|_| "a file name that is no UTF-8")?;
                if text.contains('/') || text.is_empty() {
                    return Err("a file name must not lead out of the folder");
                }
                name = Some(text);
            }
            b"seq" => sequence = crate::number::parse_u64(&pair[1]),
            b"type" => {
                kind = match &*pair[1] {
                    b"b" => Some(FileKind::Base),
                    b"i" => Some(FileKind::Increment),
                    b"h" => Some(FileKind::History),
                    _ => return Err("Unknown AOF file type"),
                }
            }
            _ => {} // Newer versions may say more.
        }
    }
    match (name, sequence, kind) {
        (Some(name), Some(sequence @ 1..), Some(kind)) => Ok(ManifestFile { name, sequence, kind }),
        _ => Err(FORMAT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_redis_writes_and_writes_it_back() {
        let text =
            "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.to_text(), text);
        assert_eq!(manifest.base().map(|file| file.sequence), Some(2));
        assert_eq!(manifest.last_increment(), 2);
        let spaced = Manifest::parse(b"# a comment\nfile \"my log.1.incr.aof\" seq 1 type i\n").unwrap();
        assert_eq!(spaced.to_text(), "file \"my log.1.incr.aof\" seq 1 type i\n");
    }

    #[test]
    fn refuses_what_cannot_be_trusted() {
        for (text, reason) in [
            ("", EMPTY),
            ("# nothing\n", EMPTY),
            ("file a seq 1\n", FORMAT),
            ("file a seq 1 type i\n\nfile b seq 2 type i\n", FORMAT),
            ("file a seq 1 type i more\n", FORMAT),
            ("file a seq 1 type x\n", "Unknown AOF file type"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information"),
            ("file a seq 2 type i\nfile b seq 1 type i\n", "Found a non-monotonic sequence number"),
            ("file ../a seq 1 type i\n", "a file name must not lead out of the folder"),
            ("file a seq 0 type i\n", FORMAT),
            ("nonsense\n", FORMAT),
        ] {
            assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().reason, reason, "{text}");
        }
    }
}
