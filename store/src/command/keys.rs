//! Where the keys of a command are among its arguments.
//!
//! The model is that of Redis 7 ("key specifications"): where to begin, and how to go on from there. ACL checks,
//! COMMAND GETKEYS, prefetching and cluster clients all read it.

use crate::number::{number_at_start, parse_i64};

/// A run of keys among the arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where the run begins.
    pub begin: Begin,
    /// How it goes on.
    pub find: Find,
    /// What happens to these keys; see the constants of [`Key`].
    pub flags: u16,
}

/// Where a run of keys begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this argument.
    Index(usize),
    /// Behind this word, searched from an argument on (backwards from the end if negative).
    Keyword(&'static str, i32),
    /// Only the command itself knows.
    Unknown,
}

/// How a run of keys goes on.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// Up to `last` behind the beginning (or before the end of all arguments if negative), each `step`-th; the last
    /// `limit`-th part of them if that is above 1.
    Range {
        /// Last key, relative to the first; -1 is the last argument.
        last: i32,
        /// Distance of keys.
        step: usize,
        /// Which fraction of the rest are keys.
        limit: usize,
    },
    /// A number says how many keys follow.
    Count {
        /// Where the number stands, relative to the beginning.
        count: usize,
        /// Where the first key stands, relative to the beginning.
        first: usize,
        /// Distance of keys.
        step: usize,
    },
    /// Only the command itself knows.
    Unknown,
    /// The same, and this is how it finds the one key.
    Custom(fn(&[&[u8]]) -> Option<usize>),
}

/// A builder of key specifications.
#[derive(Clone, Copy, Debug)]
pub struct Key;

impl Key {
    /// The key is read.
    pub const RO: u16 = 1;
    /// The key is read and written.
    pub const RW: u16 = 1 << 1;
    /// The key is overwritten without being read.
    pub const OW: u16 = 1 << 2;
    /// The key is removed.
    pub const RM: u16 = 1 << 3;
    /// The value is returned, copied or compared.
    pub const ACCESS: u16 = 1 << 4;
    /// The value is changed in a way that depends on it.
    pub const UPDATE: u16 = 1 << 5;
    /// Something is added that does not depend on the value.
    pub const INSERT: u16 = 1 << 6;
    /// Something is removed.
    pub const DELETE: u16 = 1 << 7;
    /// The argument is treated as a key but is none.
    pub const NOT_KEY: u16 = 1 << 8;
    /// Some keys may not be found this way.
    pub const INCOMPLETE: u16 = 1 << 9;
    /// The flags depend on other arguments.
    pub const VARIABLE: u16 = 1 << 10;

    /// Names on the wire.
    pub const NAMES: &'static [(u16, &'static str)] = &[
        (Self::RO, "RO"),
        (Self::RW, "RW"),
        (Self::OW, "OW"),
        (Self::RM, "RM"),
        (Self::ACCESS, "access"),
        (Self::UPDATE, "update"),
        (Self::INSERT, "insert"),
        (Self::DELETE, "delete"),
        (Self::NOT_KEY, "not_key"),
        (Self::INCOMPLETE, "incomplete"),
        (Self::VARIABLE, "variable_flags"),
    ];

    /// One key at this argument.
    pub const fn at(index: usize, flags: u16) -> KeySpec {
        Self::range(index, 0, 1, flags)
    }

    /// Keys from this argument up to `last` (relative; -1 is the last argument), each `step`-th.
    pub const fn range(index: usize, last: i32, step: usize, flags: u16) -> KeySpec {
        KeySpec { begin: Begin::Index(index), find: Find::Range { last, step, limit: 0 }, flags }
    }

    /// As many keys as the argument at `index` says, behind it.
    pub const fn counted(index: usize, flags: u16) -> KeySpec {
        KeySpec { begin: Begin::Index(index), find: Find::Count { count: 0, first: 1, step: 1 }, flags }
    }
}

impl KeySpec {
    /// The arguments that are keys of this run, by index; nothing at all if the arguments make no sense.
    pub fn indices(&self, args: &[&[u8]]) -> Option<Vec<usize>> {
        if let Find::Custom(find) = self.find {
            return Some(find(args).into_iter().collect());
        }
        let Some(begin) = self.begin_index(args) else { return Some(Vec::new()) };
        let end = args.len();
        let (first, last, step) = match self.find {
            Find::Unknown | Find::Custom(_) => return Some(Vec::new()),
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    begin + last as usize
                } else if limit > 1 {
                    // The keys are the first of `limit` equal parts of what follows: streams before their IDs.
                    begin + (end.saturating_sub(begin) / limit).checked_sub(1)?
                } else {
                    end.saturating_sub(last.unsigned_abs() as usize)
                };
                (begin, last, step)
            }
            Find::Count { count, first, step } => {
                let text = args.get(begin + count)?;
                let first = begin + first;
                let last = |number: i64| {
                    let number = usize::try_from(number).ok().filter(|&number| number > 0)?;
                    let last = first.saturating_add((number - 1).saturating_mul(step));
                    (last < end).then_some(last)
                };
                let last = parse_i64(text).and_then(last).or_else(|| last(number_at_start(text).into()))?;
                (first, last, step)
            }
        };
        (last < end && first <= last).then(|| (first..=last).step_by(step).collect())
    }

    /// What a request does to the keys of this run. Flags vary for SET, which without GET never looks at what was
    /// there,
    /// and for BITFIELD, which may only read.
    pub fn flags_in(&self, args: &[&[u8]]) -> u16 {
        if self.flags & Key::VARIABLE == 0 {
            return self.flags;
        }
        if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"BITFIELD")) {
            let reads = bitfield_reads(args.get(2..).unwrap_or_default());
            return if reads { Key::RO | Key::ACCESS } else { Key::RW | Key::ACCESS | Key::UPDATE };
        }
        let gets = args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET"));
        if gets { Key::RW | Key::ACCESS | Key::UPDATE } else { Key::OW | Key::UPDATE }
    }

    /// Whether the number of keys is none that the command would take. Redis then reads it as C does, up to the first
    /// byte that is no digit, and names the keys in another order.
    pub(super) fn counts_loosely(&self, args: &[&[u8]]) -> bool {
        let Find::Count { count, .. } = self.find else { return false };
        let number = self.begin_index(args).and_then(|begin| args.get(begin + count));
        number.is_some_and(|text| parse_i64(text).is_none_or(|number| number < 1))
    }

    fn begin_index(&self, args: &[&[u8]]) -> Option<usize> {
        match self.begin {
            Begin::Unknown => None,
            Begin::Index(index) => Some(index),
            Begin::Keyword(word, from) => {
                let is_word = |index: &usize| args[*index].eq_ignore_ascii_case(word.as_bytes());
                let found = if from >= 0 {
                    (from as usize..args.len()).find(is_word)
                } else {
                    let last = args.len().checked_sub(from.unsigned_abs() as usize)?;
                    (1..=last).rev().find(is_word)
                };
                found.map(|index| index + 1)
            }
        }
    }
}

/// Whether the operations of a BITFIELD read only, as far as their words say.
fn bitfield_reads(mut words: &[&[u8]]) -> bool {
    while let [word, rest @ ..] = words {
        let operands = match () {
            () if word.eq_ignore_ascii_case(b"GET") => 2,
            () if word.eq_ignore_ascii_case(b"OVERFLOW") => 1,
            () => return false,
        };
        let Some(left) = rest.get(operands..) else { return false };
        words = left;
    }
    true
}
