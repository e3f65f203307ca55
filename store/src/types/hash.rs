//! Hashes: fields with values.

use crate::hash::HashKey;
use crate::table::{Keyed, Table};
use crate::thin::{Thin, ThinRef};
use crate::types::Thresholds;
use crate::types::pack::{ELEMENTS_MAX, Element, Elements, Encoded, PAIRS_MAX, Pack};
use crate::types::text::{Scalar, Text};

/// A hash: packed while it is small, a table from then on.
pub(crate) enum Hash {
    /// Field, value, field, value.
    Packed(Pack),
    /// Indexed by field.
    Table(Box<Table<Field>>),
}

/// A field and its value in one allocation; the header is the length of the field.
pub(crate) struct Field(Thin<u32>);

/// A look at a field.
#[derive(Clone, Copy)]
pub(crate) struct FieldRef<'a>(ThinRef<'a, u32>);

impl Field {
    fn new(field: &[u8], value: &[u8]) -> Self {
        let mut bytes = Thin::with_capacity(field.len() as u32, field.len() + value.len());
        bytes.extend(field);
        bytes.extend(value);
        Self(bytes)
    }

    fn set_value(&mut self, value: &[u8]) {
        let field = self.0.head() as usize;
        let old = self.0.len() - field;
        self.0.splice(field, old, &[value]);
        self.0.shrink();
    }
}

impl<'a> FieldRef<'a> {
    fn value(self) -> &'a [u8] {
        &self.0.bytes()[self.0.head() as usize..]
    }
}

impl<'a> Keyed<'a> for FieldRef<'a> {
    fn key(self) -> &'a [u8] {
        &self.0.bytes()[..self.0.head() as usize]
    }
}

crate::table::thin_item!(Field(Thin<u32>), FieldRef);

impl Hash {
    /// An empty hash.
    pub(crate) fn new() -> Self {
        Self::Packed(Pack::new())
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.len() / 2,
            Self::Table(table) => table.len(),
        }
    }

    /// The name OBJECT ENCODING reports.
    pub(crate) fn encoding(&self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Table(_) => "hashtable",
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
            Self::Table(table) => {
                table.find(table.hash(field), field).map(|found| Text::Bytes(found.value()))
            }
        }
    }

    /// The values of several fields, none of them asked for twice: in one walk while the hash is packed.
    pub(crate) fn get_all<const N: usize>(&self, fields: [&[u8]; N]) -> [Option<Text<'_>>; N] {
        let Self::Packed(pack) = self else { return fields.map(|field| self.get(field)) };
        let wanted = fields.map(Encoded::text);
        let mut values = [const { None }; N];
        let (mut at, mut left) = (pack.start(), N);
        while at < pack.end() && left > 0 {
            let data = pack.from(at);
            let value = crate::types::pack::skip(data);
            if let Some(number) = wanted.iter().position(|field| field.begins(data)) {
                let [found] = pack.read_at(at + value);
                values[number] = Some(found.text());
                left -= 1;
            }
            at += value + crate::types::pack::skip(&data[value..]);
        }
        values
    }

    /// Sets `field`; says whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8], limits: &Thresholds, key: HashKey) -> bool {
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
            self.index(key);
        }
        let Self::Table(table) = self else { return false };
        let hash = table.hash(field);
        if let Some(mut found) = table.find_mut(hash, field) {
            found.update(|item| item.set_value(value));
            return false;
        }
        table.insert_new(hash, Field::new(field, value));
        true
    }

    /// Sets fields, none of them twice: as [`Self::set`] for each, in one walk while the hash is packed.
    pub(crate) fn set_all(&mut self, pairs: &[(&[u8], Scalar<'_>)], limits: &Thresholds, key: HashKey) {
        let fits = |&(field, value): &(&[u8], Scalar<'_>)| {
            let value = if let Scalar::Bytes(bytes) = value { bytes.len() } else { 0 };
            field.len().max(value) <= limits.hash_value
        };
        if let Self::Packed(pack) = self
            && pairs.len() <= PAIRS_MAX
            && pack.len() / 2 + pairs.len() <= limits.hash_entries.min(ELEMENTS_MAX / 2)
            && pairs.iter().all(fits)
        {
            let encoded: Vec<[Encoded<'_>; 2]> =
                pairs.iter().map(|&(field, value)| [Encoded::text(field), Encoded::scalar(value)]).collect();
            pack.set_pairs(&encoded);
            return;
        }
        for (field, value) in pairs {
            self.set(field, &value.text(), limits, key);
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
        }
    }

    fn index(&mut self, key: HashKey) {
        let mut table = Table::new(key);
        for (field, value) in self.iter() {
            let hash = table.hash(&field);
            table.insert_new(hash, Field::new(&field, &value));
        }
        *self = Self::Table(Box::new(table));
    }

    /// All fields with their values.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (Text<'_>, Text<'_>)> + '_> {
        match self {
            Self::Packed(pack) => Box::new(Pairs(pack.iter())),
            Self::Table(table) => {
                Box::new(table.iter().map(|item| (Text::Bytes(item.key()), Text::Bytes(item.value()))))
            }
        }
    }

    /// Visits all fields with their values, as they are stored.
    pub(crate) fn for_each_scalar(&self, mut visit: impl FnMut(Scalar<'_>, Scalar<'_>)) {
        match self {
            Self::Packed(pack) => {
                let mut elements = pack.iter();
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    visit(field.scalar(), value.scalar());
                }
            }
            Self::Table(table) => table
                .iter()
                .for_each(|item: FieldRef<'_>| visit(Scalar::Bytes(item.key()), Scalar::Bytes(item.value()))),
        }
    }

    /// Visits the fields at `position` of a walk and says where it goes on; see [`Table::walk`]. A packed hash is
    /// visited at once.
    pub(crate) fn walk<'a>(
        &'a self,
        position: u64,
        mut visit: impl FnMut(Text<'a>, Text<'a>),
    ) -> Option<u64> {
        match self {
            Self::Packed(pack) => {
                Pairs(pack.iter()).for_each(|(field, value)| visit(field, value));
                None
            }
            Self::Table(table) => table.walk(position, |item: FieldRef<'a>| {
                visit(Text::Bytes(item.key()), Text::Bytes(item.value()));
            }),
        }
    }

    /// A field chosen with equal chances for all, of a hash that is not empty.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<(Text<'_>, Text<'_>)> {
        match self {
            Self::Packed(pack) if pack.len() > 0 => {
                let at = pack.offset_of(2 * rng.usize(..pack.len() / 2));
                let [field, value] = pack.read_at(at);
                Some((field.text(), value.text()))
            }
            Self::Packed(_) => None,
            Self::Table(table) => {
                table.sample(rng).map(|item| (Text::Bytes(item.key()), Text::Bytes(item.value())))
            }
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
        }
    }
}

/// Two elements at a time.
struct Pairs<'a>(Elements<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Text<'a>, Text<'a>);

    fn next(&mut self) -> Option<Self::Item> {
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
        let mut packed = Hash::new();
        packed.set(b"a", b"1", &limits, key);
        packed.set(b"f0", b"text", &limits, key);
        for both in [&packed, &hash] {
            let found = both.get_all([b"f0", b"none", b"a"]).map(|value| value.map(|text| text.to_vec()));
            assert_eq!(
                found,
                [b"f0" as &[u8], b"none", b"a"].map(|name| both.get(name).map(|text| text.to_vec()))
            );
        }
        assert_eq!(hash.iter().count(), 600);
        assert!(hash.remove(b"f0") && !hash.remove(b"f0"));
        assert_eq!(hash.len(), 599);
    }
}
