//! Hashes: fields with values, and dates on which fields are gone.
//!
//! Most hashes have no such dates, and pay nothing for the possibility: a hash takes another form with its first date.
//! Law: a field past its date is there until somebody removes it. [`Hash`] knows no time and shows everything;
//! [`LiveHash`] shows what clients may see.

mod dated;
mod dates;
mod field;
mod live;

pub(crate) use dated::{Dated, DatedPair};
pub(crate) use field::{Field, FieldRef};
pub(crate) use live::LiveHash;

use crate::hash::HashKey;
use crate::table::Table;
use crate::types::Thresholds;
use crate::types::pack::{
    ELEMENTS_MAX, Element, Elements, Encoded, NamedScalar, PAIRS_MAX, Pack, is_plain_name,
};
use crate::types::text::{Scalar, Text};
use crate::waiting::{Leftover, Waiting};

/// A hash: packed while it is small, a table from then on.
pub(crate) enum Hash {
    /// Field, value, field, value.
    Packed(Pack),
    /// Indexed by field.
    Table(Box<Table<Field>>),
    /// Fields of it have dates, or had some.
    Dated(Box<Dated>),
}

/// A field and its value.
pub(crate) type TextPair<'a> = (Text<'a>, Text<'a>);

fn look(field: FieldRef<'_>) -> TextPair<'_> {
    (field.name(), field.text())
}

/// A table of fields without dates.
fn indexed<'a>(pairs: impl Iterator<Item = TextPair<'a>>, key: HashKey) -> Table<Field> {
    let mut table = Table::new(key);
    for (field, value) in pairs {
        let hash = table.hash(&field);
        table.insert_new(hash, Field::new(&field, &value, None));
    }
    table
}

/// Sets a field, whose date stays; says whether it is new.
fn set_in_table(table: &mut Table<Field>, field: &[u8], value: &[u8]) -> bool {
    let hash = table.hash(field);
    if let Some(mut found) = table.find_mut(hash, field) {
        found.update(|item| item.set_value(value));
        return false;
    }
    table.insert_new(hash, Field::new(field, value, None));
    true
}

/// Whether fields can be set in one walk of a pack that has so many already.
fn can_pack(pairs: &[NamedScalar<'_>], there: usize, limits: &Thresholds) -> bool {
    let fits = |&(field, value): &NamedScalar<'_>| {
        let value = if let Scalar::Bytes(bytes) = value { bytes.len() } else { 0 };
        is_plain_name(field) && field.len().max(value) <= limits.hash_value
    };
    pairs.len() <= PAIRS_MAX
        && there + pairs.len() <= limits.hash_entries.min(ELEMENTS_MAX / 2)
        && pairs.iter().all(fits)
}

impl Hash {
    /// An empty hash.
    pub(crate) fn new() -> Self {
        Self::Packed(Pack::new())
    }

    /// How many fields there are, those past their dates included.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.len() / 2,
            Self::Table(table) => table.len(),
            Self::Dated(dated) => dated.len(),
        }
    }

    /// The name OBJECT ENCODING reports: with dates, the one that Valkey 9 gives such hashes.
    pub(crate) fn encoding(&self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Table(_) | Self::Dated(_) => "hashtable",
        }
    }

    /// The value of `field`.
    pub(crate) fn get(&self, field: &[u8]) -> Option<Text<'_>> {
        match self {
            Self::Packed(pack) => {
                let at = pack.find(&Encoded::text(field), 2)?;
                let [_, value] = pack.read_at(at);
                Some(value.text())
            }
            Self::Table(table) => table.find(table.hash(field), field).map(FieldRef::text),
            Self::Dated(dated) => dated.find(field).map(|(value, _)| value),
        }
    }

    /// The value of `field`, and its date.
    pub(crate) fn find(&self, field: &[u8]) -> Option<(Text<'_>, Option<u64>)> {
        match self {
            Self::Packed(_) | Self::Table(_) => self.get(field).map(|value| (value, None)),
            Self::Dated(dated) => dated.find(field),
        }
    }

    /// Sets `field`, which has no date afterwards; says whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8], limits: &Thresholds, key: HashKey) -> bool {
        let new = self.set_keeping(field, value, limits, key);
        if let Self::Dated(dated) = self
            && !new
        {
            dated.set_date(field, None);
        }
        new
    }

    /// Sets `field`, whose date stays; says whether it is new.
    pub(crate) fn set_keeping(
        &mut self,
        field: &[u8],
        value: &[u8],
        limits: &Thresholds,
        key: HashKey,
    ) -> bool {
        if let Self::Packed(pack) = self {
            if field.len().max(value.len()) <= limits.hash_value {
                if let Some(at) = pack.find(&Encoded::text(field), 2) {
                    let value_at = at + crate::types::pack::skip(pack.from(at));
                    pack.replace(value_at, &Encoded::text(value));
                    return false;
                }
                if pack.len() / 2 < limits.hash_entries && pack.len() + 2 <= ELEMENTS_MAX {
                    let end = pack.end();
                    pack.insert(end, &[&Encoded::text(field), &Encoded::text(value)]);
                    return true;
                }
            }
            *self = Self::Table(Box::new(indexed(Pairs(pack.iter()), key)));
        }
        match self {
            Self::Packed(_) => false,
            Self::Table(table) => set_in_table(table, field, value),
            Self::Dated(dated) => dated.set(field, value, limits, key),
        }
    }

    /// A hash of these fields, none of which comes twice.
    pub(crate) fn of_scalars(pairs: &[NamedScalar<'_>], limits: &Thresholds, key: HashKey) -> Self {
        if can_pack(pairs, 0, limits) {
            return Self::Packed(Pack::of_pairs(pairs));
        }
        let mut hash = Self::new();
        hash.set_all(pairs, limits, key);
        hash
    }

    /// Sets fields, none of them twice: as [`Self::set`] for each, in one walk while the hash is packed.
    pub(crate) fn set_all(&mut self, pairs: &[NamedScalar<'_>], limits: &Thresholds, key: HashKey) {
        if let Self::Packed(pack) = self
            && can_pack(pairs, pack.len() / 2, limits)
        {
            pack.set_pairs(pairs);
            return;
        }
        for (field, value) in pairs {
            self.set(field, &value.text(), limits, key);
        }
    }

    /// Gives `field` a date, or takes it away; says whether the field is there.
    pub(crate) fn set_date(&mut self, field: &[u8], date: Option<u64>, key: HashKey) -> bool {
        if !matches!(self, Self::Dated(_)) {
            let found = self.get(field).is_some();
            if !found || date.is_none() {
                return found;
            }
            let dated = match std::mem::replace(self, Self::new()) {
                Self::Packed(pack) => Dated::from_pairs(&pack, key),
                Self::Table(table) => Dated::from_table(*table),
                Self::Dated(dated) => *dated,
            };
            *self = Self::Dated(Box::new(dated));
        }
        match self {
            Self::Dated(dated) => dated.set_date(field, date),
            Self::Packed(_) | Self::Table(_) => false,
        }
    }

    /// Removes `field`; says whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Self::Packed(pack) => {
                let found = pack.find(&Encoded::text(field), 2);
                if let Some(at) = found {
                    pack.remove(at, 2);
                }
                found.is_some()
            }
            Self::Table(table) => table.remove(table.hash(field), field).is_some(),
            Self::Dated(dated) => dated.remove(field),
        }
    }

    /// A copy that shares nothing with it.
    pub(crate) fn duplicate(&self, limits: &Thresholds, key: HashKey) -> Self {
        if let Self::Dated(dated) = self {
            return Self::Dated(Box::new(dated.duplicate(key)));
        }
        let mut copy = Self::new();
        self.iter().for_each(|(field, value)| {
            copy.set(&field, &value, limits, key);
        });
        copy
    }

    /// Whether `field` is there and its date lies before `horizon`.
    pub(crate) fn is_due(&self, field: &[u8], horizon: u64) -> bool {
        match self {
            Self::Packed(_) | Self::Table(_) => false,
            Self::Dated(dated) => {
                let date = dated.find(field).and_then(|(_, date)| date);
                date.is_some_and(|date| date < horizon)
            }
        }
    }

    /// The next date on which a field is gone.
    pub(crate) fn next_date(&self) -> Option<u64> {
        match self {
            Self::Packed(_) | Self::Table(_) => None,
            Self::Dated(dated) => dated.next_date(),
        }
    }

    /// Up to `limit` fields whose dates lie before `horizon`.
    pub(crate) fn due(&self, horizon: u64, limit: usize) -> Vec<Box<[u8]>> {
        match self {
            Self::Packed(_) | Self::Table(_) => Vec::new(),
            Self::Dated(dated) => dated.due(horizon, limit),
        }
    }

    /// The date under which the keyspace has filed the hash, to find it when its fields are due.
    pub(crate) fn filed(&self) -> Option<u64> {
        match self {
            Self::Packed(_) | Self::Table(_) => None,
            Self::Dated(dated) => dated.filed(),
        }
    }

    /// Notes that the keyspace files the hash under its next date from now on; returns the date before, and this one.
    pub(crate) fn refile(&mut self) -> (Option<u64>, Option<u64>) {
        match self {
            Self::Packed(_) | Self::Table(_) => (None, None),
            Self::Dated(dated) => dated.refile(),
        }
    }

    /// All fields with their values.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = TextPair<'_>> + '_> {
        match self {
            Self::Packed(pack) => Box::new(Pairs(pack.iter())),
            Self::Table(table) => Box::new(table.iter().map(look)),
            Self::Dated(dated) => Box::new(dated.iter().map(|(field, value, _)| (field, value))),
        }
    }

    /// All fields with their values and dates.
    pub(crate) fn iter_dated(&self) -> Box<dyn Iterator<Item = DatedPair<'_>> + '_> {
        match self {
            Self::Packed(_) | Self::Table(_) => {
                Box::new(self.iter().map(|(field, value)| (field, value, None)))
            }
            Self::Dated(dated) => dated.iter(),
        }
    }

    /// Visits the fields at `position` of a walk, with their values and dates, and says where it goes on; see
    /// [`Table::walk`]. A packed hash is visited at once.
    pub(crate) fn walk<'a>(&'a self, position: u64, mut visit: impl FnMut(DatedPair<'a>)) -> Option<u64> {
        match self {
            Self::Packed(pack) => {
                Pairs(pack.iter()).for_each(|(field, value)| visit((field, value, None)));
                None
            }
            Self::Table(table) => table.walk(position, |item: FieldRef<'a>| {
                visit((item.name(), item.text(), None));
            }),
            Self::Dated(dated) => dated.walk(position, visit),
        }
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        match self {
            Self::Packed(_) => false,
            Self::Table(_) => true,
            Self::Dated(dated) => dated.table().is_some(),
        }
    }

    fn table_mut(&mut self) -> Option<&mut Table<Field>> {
        match self {
            Self::Packed(_) => None,
            Self::Table(table) => Some(table),
            Self::Dated(dated) => dated.table_mut(),
        }
    }

    /// Keeps the fields of a table as they are from a position of a walk on; see [`Table::keep_from`].
    pub(crate) fn keep_from(&mut self, position: u64, waiting: &Waiting) {
        if let Some(table) = self.table_mut() {
            table.keep_from(position, Field::copy, |member| member.footprint(), waiting);
        }
    }

    /// Visits some of the fields that are kept; says whether any may be left.
    pub(crate) fn walk_kept(&mut self, count: usize, mut visit: impl FnMut(DatedPair<'_>)) -> bool {
        let table = self.table_mut();
        table.is_some_and(|table| {
            table.walk_kept(count, |field| visit((field.name(), field.text(), field.date())))
        })
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover> {
        self.table_mut().and_then(Table::let_go)
    }

    /// A field chosen with equal chances for all, of a hash that is not empty.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<TextPair<'_>> {
        match self {
            Self::Packed(pack) if pack.len() > 0 => {
                let at = pack.offset_of(2 * rng.usize(..pack.len() / 2));
                let [field, value] = pack.read_at(at);
                Some((field.text(), value.text()))
            }
            Self::Packed(_) => None,
            Self::Table(table) => table.sample(rng).map(look),
            Self::Dated(dated) => dated.sample(rng),
        }
    }

    /// Bytes taken from the allocator; a table is measured on `samples` fields (0: on all) and extrapolated.
    pub(crate) fn footprint(&self, samples: usize) -> usize {
        match self {
            Self::Packed(pack) => pack.footprint(),
            Self::Table(table) => {
                table.footprint()
                    + super::extrapolate(table.iter().map(|i| i.footprint()), samples, table.len())
            }
            Self::Dated(dated) => dated.footprint(samples),
        }
    }
}

/// Two elements at a time.
struct Pairs<'a>(Elements<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = TextPair<'a>;

    fn next(&mut self) -> Option<TextPair<'a>> {
        let field = self.0.next()?;
        self.0.next().map(|value: Element<'a>| (field.text(), value.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_indexed_agree() {
        let limits = Thresholds::default();
        let key = HashKey::new(1, 2);
        let mut hash = Hash::new();
        for n in 0..600 {
            let field = format!("f{n}");
            assert!(hash.set(field.as_bytes(), b"1", &limits, key));
            assert!(!hash.set(field.as_bytes(), n.to_string().as_bytes(), &limits, key));
            assert_eq!(hash.encoding(), if n < 512 { "listpack" } else { "hashtable" });
        }
        for n in 0..600 {
            assert_eq!(&*hash.get(format!("f{n}").as_bytes()).unwrap(), n.to_string().as_bytes());
        }
        let several = [(&b"f0"[..], Scalar::Bytes(b"text")), (b"a", Scalar::Integer(7))];
        for both in [&mut Hash::new(), &mut Hash::of_scalars(&several, &limits, key), &mut hash] {
            both.set_all(&several, &limits, key);
            let found = [b"f0", &b"none"[..], b"a"].map(|name| both.get(name).map(|text| text.to_vec()));
            assert_eq!(found, [Some(b"text".to_vec()), None, Some(b"7".to_vec())]);
        }
        assert!(hash.remove(b"a"));
        assert_eq!(hash.iter().count(), 600);
        assert!(hash.remove(b"f0") && !hash.remove(b"f0"));
        assert_eq!(hash.len(), 599);
    }
}
