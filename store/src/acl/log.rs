//! ACL LOG: what was refused, to whom and why.

use std::collections::VecDeque;

/// Entries looked at for one that says the same.
const MERGE_WINDOW: usize = 10;
/// Entries that say the same within this time are counted as one, in milliseconds.
const MERGE_MS: u64 = 60_000;

/// Where a command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// Something that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) count: u64,
    /// `command`, `key`, `channel` or `auth`.
    pub(crate) reason: &'static str,
    pub(crate) context: Context,
    pub(crate) object: Box<[u8]>,
    pub(crate) user: Box<[u8]>,
    pub(crate) at_ms: u64,
    pub(crate) client: Vec<u8>,
}

/// The latest entries, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
}

impl Log {
    /// Adds an entry, or counts it with one that says the same.
    pub(crate) fn add(&mut self, mut entry: Entry, max: usize) {
        let same = self.entries.iter().take(MERGE_WINDOW).position(|known| {
            known.reason == entry.reason
                && known.context == entry.context
                && known.object == entry.object
                && known.user == entry.user
                && entry.at_ms.saturating_sub(known.at_ms) <= MERGE_MS
        });
        if let Some(known) = same.and_then(|at| self.entries.remove(at)) {
            entry.count += known.count;
        }
        self.entries.push_front(entry);
        self.entries.truncate(max);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }
}
