//! Sets: distinct members without order.

use crate::hash::HashKey;
use crate::number::parse_i64;
use crate::table::{Keyed, Table};
use crate::thin::{Thin, ThinRef};
use crate::types::Thresholds;
use crate::types::intset::IntSet;
use crate::types::pack::{Element, Encoded, Pack};
use crate::types::text::Text;
use crate::waiting::{Leftover, Waiting};

/// Members of a packed set; Redis 7.0 has no such form and reports a hashtable, so this bound is ours.
const PACKED_ENTRIES: usize = 128;
/// Bytes of a member of a packed set.
const PACKED_VALUE: usize = 64;

/// A set: sorted integers, or packed while it is small, or a table.
pub(crate) enum Set {
    /// Nothing but integers.
    Integers(IntSet),
    /// A few short members.
    Packed(Pack),
    /// Indexed.
    Table(Box<Table<Member>>),
}

/// A member in its own allocation.
pub(crate) struct Member(Thin<()>);

/// A look at a member.
#[derive(Clone, Copy)]
pub(crate) struct MemberRef<'a>(ThinRef<'a, ()>);

impl<'a> MemberRef<'a> {
    fn text(self) -> Text<'a> {
        Text::within(self.0, self.0.bytes())
    }
}

impl<'a> Keyed<'a> for MemberRef<'a> {
    fn key(self) -> &'a [u8] {
        self.0.bytes()
    }
}

crate::table::thin_item!(Member(Thin<()>), MemberRef);

impl Set {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self::Integers(IntSet::new())
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integers(integers) => integers.len(),
            Self::Packed(pack) => pack.len(),
            Self::Table(table) => table.len(),
        }
    }

    /// The name OBJECT ENCODING reports.
    pub(crate) fn encoding(&self) -> &'static str {
        match self {
            Self::Integers(_) => "intset",
            Self::Packed(_) | Self::Table(_) => "hashtable",
        }
    }

    /// Whether `member` is in the set.
    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        match self {
            Self::Integers(integers) => parse_i64(member).is_some_and(|value| integers.contains(value)),
            Self::Packed(pack) => pack.find(&Encoded::text(member), 1).is_some(),
            Self::Table(table) => table.find(table.hash(member), member).is_some(),
        }
    }

    /// Adds `member`; says whether it was new.
    pub(crate) fn insert(&mut self, member: &[u8], limits: &Thresholds, key: HashKey) -> bool {
        match self {
            Self::Integers(integers) => match parse_i64(member) {
                Some(value) if integers.len() < limits.intset_entries => integers.insert(value),
                Some(value) if integers.contains(value) => false,
                integer => {
                    self.leave_integers(integer.is_some(), key);
                    self.insert(member, limits, key)
                }
            },
            Self::Packed(pack) => {
                let encoded = Encoded::text(member);
                if pack.find(&encoded, 1).is_some() {
                    return false;
                }
                if pack.len() >= PACKED_ENTRIES || member.len() > PACKED_VALUE {
                    self.index(key);
                    return self.insert(member, limits, key);
                }
                let end = pack.end();
                pack.insert(end, &[&encoded]);
                true
            }
            Self::Table(table) => {
                let hash = table.hash(member);
                let new = table.find(hash, member).is_none();
                if new {
                    table.insert_new(hash, Member(Thin::new((), member)));
                }
                new
            }
        }
    }

    /// Removes `member`; says whether it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Self::Integers(integers) => parse_i64(member).is_some_and(|value| integers.remove(value)),
            Self::Packed(pack) => {
                let found = pack.find(&Encoded::text(member), 1);
                if let Some(at) = found {
                    pack.remove(at, 1);
                }
                found.is_some()
            }
            Self::Table(table) => table.remove(table.hash(member), member).is_some(),
        }
    }

    fn leave_integers(&mut self, too_many: bool, key: HashKey) {
        if too_many || self.len() >= PACKED_ENTRIES {
            self.index(key);
            return;
        }
        let mut pack = Pack::new();
        for member in self.iter() {
            let end = pack.end();
            pack.insert(end, &[&Encoded::text(&member)]);
        }
        *self = Self::Packed(pack);
    }

    fn index(&mut self, key: HashKey) {
        let mut table = Table::new(key);
        for member in self.iter() {
            let hash = table.hash(&member);
            table.insert_new(hash, Member(Thin::new((), &member)));
        }
        *self = Self::Table(Box::new(table));
    }

    /// All members.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Text<'_>> + '_> {
        match self {
            Self::Integers(integers) => Box::new(integers.iter().map(Text::integer)),
            Self::Packed(pack) => Box::new(pack.iter().map(Element::text)),
            Self::Table(table) => Box::new(table.iter().map(MemberRef::text)),
        }
    }

    /// Visits the members at `position` of a walk and says where it goes on; see [`Table::walk`]. A compact set is
    /// visited at once.
    pub(crate) fn walk<'a>(&'a self, position: u64, mut visit: impl FnMut(Text<'a>)) -> Option<u64> {
        match self {
            Self::Table(table) => table.walk(position, |member: MemberRef<'a>| visit(member.text())),
            _ => {
                self.iter().for_each(visit);
                None
            }
        }
    }

    /// Keeps the members of a table as they are from a position of a walk on; see [`Table::keep_from`].
    pub(crate) fn keep_from(&mut self, position: u64, waiting: &Waiting) {
        if let Self::Table(table) = self {
            let copy = |member: MemberRef<'_>| Member(member.0.to_owned());
            table.keep_from(position, copy, |member| member.footprint(), waiting);
        }
    }

    /// Visits some of the members that are kept; says whether any may be left.
    pub(crate) fn walk_kept(&mut self, count: usize, mut visit: impl FnMut(Text<'_>)) -> bool {
        match self {
            Self::Table(table) => table.walk_kept(count, |member| visit(member.text())),
            Self::Integers(_) | Self::Packed(_) => false,
        }
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover> {
        if let Self::Table(table) = self { table.let_go() } else { None }
    }

    /// A member chosen with equal chances for all; `None` if the set is empty.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<Text<'_>> {
        if self.len() == 0 {
            return None;
        }
        match self {
            Self::Integers(integers) => Some(Text::integer(integers.at(rng.usize(..integers.len())))),
            Self::Packed(pack) => {
                let [member] = pack.read_at(pack.offset_of(rng.usize(..pack.len())));
                Some(member.text())
            }
            Self::Table(table) => table.sample(rng).map(MemberRef::text),
        }
    }

    /// Bytes taken from the allocator; a table is measured on `samples` members (0: on all) and extrapolated.
    pub(crate) fn footprint(&self, samples: usize) -> usize {
        match self {
            Self::Integers(integers) => integers.footprint(),
            Self::Packed(pack) => pack.footprint(),
            Self::Table(table) => {
                table.footprint()
                    + super::extrapolate(table.iter().map(|m| m.footprint()), samples, table.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_holds_the_same_members() {
        let limits = Thresholds::default();
        let key = HashKey::new(1, 2);
        let mut set = Set::new();
        let mut encodings = Vec::new();
        for n in 0..700 {
            let member = if n == 100 { "word".to_owned() } else { n.to_string() };
            assert!(set.insert(member.as_bytes(), &limits, key));
            assert!(!set.insert(member.as_bytes(), &limits, key));
            encodings.push(set.encoding());
        }
        encodings.dedup();
        assert_eq!(encodings, ["intset", "hashtable"]);
        assert!(set.contains(b"word") && set.contains(b"699") && !set.contains(b"100"));
        assert!(set.remove(b"word") && !set.remove(b"word"));
        assert_eq!((set.len(), set.iter().count()), (699, 699));
    }

    #[test]
    fn too_many_integers_become_a_table() {
        let limits = Thresholds { intset_entries: 8, ..Thresholds::default() };
        let mut set = Set::new();
        for n in 0..9 {
            set.insert(n.to_string().as_bytes(), &limits, HashKey::default());
        }
        assert!(matches!(set, Set::Table(_)));
    }
}
