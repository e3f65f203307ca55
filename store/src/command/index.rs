//! Commands by name.

use hashbrown::HashTable;

use super::row::Command;

/// Longest name that is looked up.
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
    by_name: HashTable<u16>,
    all: Vec<Callable>,
    /// First subcommand of each container in `all`, by the id of the container.
    children: Vec<u16>,
    /// What clients have to say instead of some names, in small letters: the other name, or that there is none.
    renamed: Vec<(Vec<u8>, Option<u16>)>,
}

/// A hash of a name in small letters. Clients choose which names they ask for, but not which are in the table, so a
/// secret would protect nothing.
#[inline]
fn name_hash(lower: &[u8]) -> u64 {
    // The multiplier of Knuth's multiplicative hashing, of 64 bits.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (words, rest) = lower.as_chunks::<8>();
    let hash = words.iter().fold(lower.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(hash, u64::from_le_bytes(last)), 0)
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
        let all = &self.all;
        let hash = |id: &u16| name_hash(all[*id as usize].row.name.as_bytes());
        self.by_name.insert_unique(hash(&id), id, hash);
    }

    /// The command with this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Callable> {
        let mut lower = [0; NAME_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let id = self
            .by_name
            .find(name_hash(lower), |&id| self.all[id as usize].row.name.as_bytes() == &*lower)?;
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
