//! Commands by name.

use hashbrown::HashTable;

use super::row::Command;

/// A name has fewer bytes than that.
const NAME_MAX: usize = 32;

/// A command that can be called: a row, its container if it has one, and its place in the statistics.
#[derive(Clone, Copy)]
pub struct Callable {
    /// The row.
    pub row: &'static Command,
    /// The row that contains it.
    pub container: Option<&'static Command>,
    /// Its number among all that can be called.
    pub id: u16,
}

impl Callable {
    /// The full name: `get`, or `config|get`.
    pub fn full_name(&self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.row.name),
            None => self.row.name.to_owned(),
        }
    }

    /// How many words of a request are its name.
    pub fn words(&self) -> usize {
        1 + usize::from(self.container.is_some())
    }
}

/// All commands.
pub struct Index {
    by_name: HashTable<(Name, u16)>,
    all: Vec<Callable>,
    /// First subcommand of each container in `all`, by the id of the container.
    children: Vec<u16>,
    /// What clients have to say instead of some names, in small letters: the other name, or that there is none.
    renamed: Vec<(Vec<u8>, Option<u16>)>,
}

/// A name in small letters, held in words so that it is folded, hashed and compared without a loop over its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    words: [u64; NAME_MAX / 8],
    len: usize,
}

impl Name {
    /// A name in any case; `None` if it is longer than any that is known.
    #[inline]
    fn new(name: &[u8]) -> Option<Self> {
        let mut words = [0; NAME_MAX / 8];
        let (whole, rest) = name.as_chunks::<8>();
        let last = words.get_mut(whole.len())?;
        *last = lower(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        words.iter_mut().zip(whole).for_each(|(word, bytes)| *word = lower(u64::from_le_bytes(*bytes)));
        Some(Self { words, len: name.len() })
    }

    /// Clients choose which names they ask for, but not which are in the table, so a secret would protect nothing.
    #[inline]
    fn hash(&self) -> u64 {
        // The multiplier of Knuth's multiplicative hashing, of 64 bits.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mix = |hash: u64, &word: &u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
        self.words.iter().fold(self.len as u64, mix)
    }
}

/// Eight bytes with their capital letters made small.
#[inline]
fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    let bytes = word & !TOPS;
    // The top bit of each byte says whether the byte is at least 'A', and whether it is above 'Z'.
    let from_a = bytes + ONES * (0x80 - b'A' as u64);
    let above_z = bytes + ONES * (0x7f - b'Z' as u64);
    let capital = from_a & !above_z & !word & TOPS;
    word | capital >> 2
}

impl Index {
    /// An index of these rows.
    pub fn new(rows: impl IntoIterator<Item = &'static Command>) -> Self {
        let mut index =
            Self { by_name: HashTable::new(), all: Vec::new(), children: Vec::new(), renamed: Vec::new() };
        for row in rows {
            index.add(row);
        }
        index
    }

    fn add(&mut self, row: &'static Command) {
        let id = self.all.len() as u16;
        self.all.push(Callable { row, container: None, id });
        self.children.push(id + 1);
        let help = crate::commands::help_of(row);
        for child in row.subcommands.iter().chain(help) {
            let id = self.all.len() as u16;
            self.all.push(Callable { row: child, container: Some(row), id });
            self.children.push(0);
        }
        // A longer name could not be called; a test looks every name up.
        if let Some(name) = Name::new(row.name.as_bytes()) {
            self.by_name.insert_unique(name.hash(), (name, id), |(name, _)| name.hash());
        }
    }

    /// The command with this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Callable> {
        let name = Name::new(name)?;
        let (_, id) = self.by_name.find(name.hash(), |(known, _)| *known == name)?;
        Some(self.all[*id as usize])
    }

    /// The subcommand of a container with this name, in any case.
    pub fn find_sub(&self, container: Callable, name: &[u8]) -> Option<Callable> {
        let first = self.children[container.id as usize] as usize;
        // The help stands behind the subcommands of the row.
        let children = &self.all[first..=first + container.row.subcommands.len()];
        children.iter().find(|child| name.eq_ignore_ascii_case(child.row.name.as_bytes())).copied()
    }

    /// The subcommands of a command, its help included; nothing if it has none.
    pub fn subcommands(&self, container: Callable) -> impl Iterator<Item = Callable> + '_ {
        let first = self.children[container.id as usize] as usize;
        let children = match container.row.subcommands.len() {
            0 => &[],
            count => &self.all[first..=first + count],
        };
        children.iter().copied()
    }

    /// The command by full name, `config|get` for a subcommand.
    pub fn find_full(&self, name: &[u8]) -> Option<Callable> {
        match name.iter().position(|&byte| byte == b'|') {
            Some(at) => self.find_sub(self.find(&name[..at])?, &name[at + 1..]),
            None => self.find(name),
        }
    }

    /// Gives a command another name, or takes it away from clients; whether that can be.
    pub fn rename(&mut self, name: &str, other: &str) -> bool {
        let Some(command) = self.find(name.as_bytes()) else { return false };
        let other = other.to_ascii_lowercase().into_bytes();
        if self.find(&other).is_some() || self.renamed.iter().any(|(known, _)| *known == other) {
            return false;
        }
        self.renamed.push((command.row.name.into(), None));
        if !other.is_empty() {
            self.renamed.push((other, Some(command.id)));
        }
        true
    }

    /// Whether clients have to say other names.
    pub fn has_renamed(&self) -> bool {
        !self.renamed.is_empty()
    }

    /// The command that a client means by this name.
    #[inline]
    fn find_called(&self, name: &[u8]) -> Option<Callable> {
        let renamed = self.renamed.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match renamed {
            None => self.find(name),
            Some((_, id)) => id.map(|id| self.all[id as usize]),
        }
    }

    /// The command that a request of a client calls, its subcommand if it has any.
    #[inline]
    pub fn resolve(&self, args: &[&[u8]]) -> Option<Callable> {
        self.with_sub(self.find_called(args.first()?)?, args)
    }

    /// The command that a line of the log calls: it knows only the names that all servers know.
    #[inline]
    pub fn resolve_own(&self, args: &[&[u8]]) -> Option<Callable> {
        self.with_sub(self.find(args.first()?)?, args)
    }

    #[inline]
    fn with_sub(&self, found: Callable, args: &[&[u8]]) -> Option<Callable> {
        if found.row.subcommands.is_empty() {
            return Some(found);
        }
        args.get(1).and_then(|name| self.find_sub(found, name)).or(Some(found))
    }

    /// Everything that can be called, subcommands behind their containers.
    pub fn all(&self) -> &[Callable] {
        &self.all
    }

    /// The commands that are not subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = Callable> + '_ {
        self.all.iter().copied().filter(|callable| callable.container.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        let index = Index::new(crate::commands::all());
        for command in index.top_level() {
            let name = command.row.name;
            for spelt in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(index.find(spelt.as_bytes()).map(|found| found.id), Some(command.id), "{spelt}");
            }
        }
    }

    #[test]
    fn what_only_resembles_a_name_is_not_found() {
        let index = Index::new(crate::commands::all());
        let long = "get".repeat(20);
        for name in ["", "ge", "gett", "get\0", "\0get", "g\u{0}t", "GE\u{14}", "expireaT ", &long] {
            assert!(index.find(name.as_bytes()).is_none(), "{name:?}");
        }
    }

    #[test]
    fn only_letters_are_folded() {
        for byte in 0..=u8::MAX {
            let word = u64::from_le_bytes([byte, b'Q', byte, 0, 0xff, byte, b'z', byte]);
            let folded = u64::from_le_bytes(word.to_le_bytes().map(|byte| byte.to_ascii_lowercase()));
            assert_eq!(lower(word), folded, "{byte:#x}");
        }
    }
}
