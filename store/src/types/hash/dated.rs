//! A hash of which fields have dates on which they are gone.
//!
//! Small ones are packed in threes: field, value, date (an integer, or empty text); seven bytes for a date of our time.
//! Larger ones are a table of fields and an index of their dates. A hash that had a date once stays in this form.
//! Not here: what happens on a date. A field is there until somebody removes it.

use super::dates::Dates;
use super::field::{Field, FieldRef};
use super::{Pairs, TextPair};
use crate::hash::HashKey;
use crate::table::{Keyed, Table};
use crate::types::Thresholds;
use crate::types::pack::{ELEMENTS_MAX, Element, Elements, Encoded, Pack, skip};
use crate::types::text::Text;

/// Field, value, date.
pub(crate) type DatedPair<'a> = (Text<'a>, Text<'a>, Option<u64>);

/// A hash with dates.
pub(crate) struct Dated {
    form: Form,
    /// The date under which the keyspace has filed the hash; see [`super::Hash::refile`].
    filed: MaybeDate,
}

enum Form {
    Packed {
        threes: Pack,
        /// The earliest of all dates.
        next: MaybeDate,
    },
    Table(Box<Indexed>),
}

/// Many fields, and where those with dates are.
struct Indexed {
    table: Table<Field>,
    dates: Dates,
}

/// A date or none, in one word; clients can name no date beyond 63 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct MaybeDate(u64);

impl MaybeDate {
    const NONE: Self = Self(u64::MAX);

    fn get(self) -> Option<u64> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl From<Option<u64>> for MaybeDate {
    fn from(date: Option<u64>) -> Self {
        date.map_or(Self::NONE, Self)
    }
}

/// The date as an element of a pack.
fn encoded(date: Option<u64>) -> Encoded<'static> {
    match date {
        Some(date) => Encoded::integer(i64::try_from(date).unwrap_or(i64::MAX)),
        None => Encoded::text(b""),
    }
}

fn decoded(element: Element<'_>) -> Option<u64> {
    match element {
        Element::Integer(date) => u64::try_from(date).ok(),
        Element::Bytes(_) | Element::Float(_) => None,
    }
}

/// Three elements at a time.
struct Threes<'a>(Elements<'a>);

impl<'a> Iterator for Threes<'a> {
    type Item = DatedPair<'a>;

    fn next(&mut self) -> Option<DatedPair<'a>> {
        let (field, value) = (self.0.next()?, self.0.next()?);
        self.0.next().map(|date| (field.text(), value.text(), decoded(date)))
    }
}

fn earliest(threes: &Pack) -> MaybeDate {
    Threes(threes.iter()).filter_map(|(_, _, date)| date).min().into()
}

fn look(field: FieldRef<'_>) -> DatedPair<'_> {
    (field.name(), field.text(), field.date())
}

impl Dated {
    /// The fields of a pack of pairs, none of which has a date yet.
    pub(super) fn from_pairs(pairs: &Pack, key: HashKey) -> Self {
        let mut threes = Pack::new();
        for (field, value) in Pairs(pairs.iter()) {
            let end = threes.end();
            threes.insert(end, &[&Encoded::text(&field), &Encoded::text(&value), &encoded(None)]);
            if threes.len() + 3 > ELEMENTS_MAX {
                return Self::from_table(super::indexed(Pairs(pairs.iter()), key));
            }
        }
        threes.shrink();
        Self { form: Form::Packed { threes, next: MaybeDate::NONE }, filed: MaybeDate::NONE }
    }

    /// The fields of a table, none of which has a date yet.
    pub(super) fn from_table(table: Table<Field>) -> Self {
        let indexed = Indexed { table, dates: Dates::default() };
        Self { form: Form::Table(Box::new(indexed)), filed: MaybeDate::NONE }
    }

    pub(super) fn len(&self) -> usize {
        match &self.form {
            Form::Packed { threes, .. } => threes.len() / 3,
            Form::Table(indexed) => indexed.table.len(),
        }
    }

    /// The value of a field, and its date.
    pub(super) fn find(&self, field: &[u8]) -> Option<(Text<'_>, Option<u64>)> {
        match &self.form {
            Form::Packed { threes, .. } => {
                let at = threes.find(&Encoded::text(field), 3)?;
                let [_, value, date] = threes.read_at(at);
                Some((value.text(), decoded(date)))
            }
            Form::Table(indexed) => {
                let table = &indexed.table;
                let found: FieldRef<'_> = table.find(table.hash(field), field)?;
                Some((found.text(), found.date()))
            }
        }
    }

    /// Sets a field, whose date stays; says whether it is new.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], limits: &Thresholds, key: HashKey) -> bool {
        if let Form::Packed { threes, .. } = &mut self.form {
            if field.len().max(value.len()) <= limits.hash_value {
                if let Some(at) = threes.find(&Encoded::text(field), 3) {
                    let value_at = at + skip(threes.from(at));
                    threes.replace(value_at, &Encoded::text(value));
                    return false;
                }
                if threes.len() / 3 < limits.hash_entries && threes.len() + 3 <= ELEMENTS_MAX {
                    let end = threes.end();
                    threes.insert(end, &[&Encoded::text(field), &Encoded::text(value), &encoded(None)]);
                    return true;
                }
            }
            self.index(key);
        }
        let Form::Table(indexed) = &mut self.form else { return false };
        super::set_in_table(&mut indexed.table, field, value)
    }

    /// Gives a field a date, or takes it away; says whether the field is there.
    pub(super) fn set_date(&mut self, field: &[u8], new: Option<u64>) -> bool {
        match &mut self.form {
            Form::Packed { threes, next } => {
                let Some(at) = threes.find(&Encoded::text(field), 3) else { return false };
                let value_at = at + skip(threes.from(at));
                let date_at = value_at + skip(threes.from(value_at));
                threes.replace(date_at, &encoded(new));
                *next = earliest(threes);
            }
            Form::Table(indexed) => {
                let Indexed { table, dates } = &mut **indexed;
                let hash = table.hash(field);
                let Some(mut found) = table.find_mut(hash, field) else { return false };
                let old = found.view().date();
                if old == new {
                    return true;
                }
                found.update(|item| item.set_date(new));
                if let Some(old) = old {
                    dates.remove(old, hash, table);
                }
                if let Some(new) = new {
                    dates.add(new, hash);
                }
            }
        }
        true
    }

    /// Removes a field; says whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Packed { threes, next } => {
                let Some(at) = threes.find(&Encoded::text(field), 3) else { return false };
                let [_, _, date] = threes.read_at(at);
                let date = MaybeDate::from(decoded(date));
                threes.remove(at, 3);
                threes.shrink();
                if date != MaybeDate::NONE && date == *next {
                    *next = earliest(threes);
                }
                true
            }
            Form::Table(indexed) => {
                let Indexed { table, dates } = &mut **indexed;
                let hash = table.hash(field);
                let Some(removed) = table.remove(hash, field) else { return false };
                if let Some(date) = crate::table::Item::view(&removed).date() {
                    dates.remove(date, hash, table);
                }
                true
            }
        }
    }

    /// The table, if it is one.
    pub(super) fn table(&self) -> Option<&Table<Field>> {
        match &self.form {
            Form::Packed { .. } => None,
            Form::Table(indexed) => Some(&indexed.table),
        }
    }

    /// The table, if it is one, to be read in steps.
    pub(super) fn table_mut(&mut self) -> Option<&mut Table<Field>> {
        match &mut self.form {
            Form::Packed { .. } => None,
            Form::Table(indexed) => Some(&mut indexed.table),
        }
    }

    fn index(&mut self, key: HashKey) {
        let Form::Packed { threes, .. } = &self.form else { return };
        let (mut table, mut dates) = (Table::new(key), Dates::default());
        for (field, value, date) in Threes(threes.iter()) {
            let hash = table.hash(&field);
            table.insert_new(hash, Field::new(&field, &value, date));
            if let Some(date) = date {
                dates.add(date, hash);
            }
        }
        self.form = Form::Table(Box::new(Indexed { table, dates }));
    }

    /// A copy that shares nothing with it.
    pub(super) fn duplicate(&self, key: HashKey) -> Self {
        let form = match &self.form {
            Form::Packed { threes, next } => Form::Packed { threes: threes.clone(), next: *next },
            Form::Table(indexed) => {
                let (mut copy, mut dates) = (Table::new(key), Dates::default());
                for field in indexed.table.iter() {
                    let hash = copy.hash(field.key());
                    copy.insert_new(hash, Field::new(field.key(), field.value(), field.date()));
                    if let Some(date) = field.date() {
                        dates.add(date, hash);
                    }
                }
                Form::Table(Box::new(Indexed { table: copy, dates }))
            }
        };
        Self { form, filed: MaybeDate::NONE }
    }

    /// The date under which the keyspace has filed the hash.
    pub(super) fn filed(&self) -> Option<u64> {
        self.filed.get()
    }

    /// See [`super::Hash::refile`].
    pub(super) fn refile(&mut self) -> (Option<u64>, Option<u64>) {
        let next = self.next_date();
        (std::mem::replace(&mut self.filed, next.into()).get(), next)
    }

    /// The next date on which a field is gone.
    pub(super) fn next_date(&self) -> Option<u64> {
        match &self.form {
            Form::Packed { next, .. } => next.get(),
            Form::Table(indexed) => indexed.dates.next(),
        }
    }

    /// Up to `limit` fields whose dates lie before `horizon`.
    pub(super) fn due(&self, horizon: u64, limit: usize) -> Vec<Box<[u8]>> {
        match &self.form {
            Form::Packed { threes, .. } => {
                let is_due = |date: Option<u64>| date.is_some_and(|date| date < horizon);
                let due = Threes(threes.iter()).filter(|&(_, _, date)| is_due(date));
                due.take(limit).map(|(field, _, _)| (&*field).into()).collect()
            }
            Form::Table(indexed) => indexed.dates.due(&indexed.table, horizon, limit),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = DatedPair<'_>> + '_> {
        match &self.form {
            Form::Packed { threes, .. } => Box::new(Threes(threes.iter())),
            Form::Table(indexed) => Box::new(indexed.table.iter().map(look)),
        }
    }

    /// See [`super::Hash::walk`].
    pub(super) fn walk<'a>(&'a self, position: u64, mut visit: impl FnMut(DatedPair<'a>)) -> Option<u64> {
        match &self.form {
            Form::Packed { threes, .. } => {
                Threes(threes.iter()).for_each(visit);
                None
            }
            Form::Table(indexed) => indexed.table.walk(position, |field: FieldRef<'a>| visit(look(field))),
        }
    }

    pub(super) fn sample(&self, rng: &mut fastrand::Rng) -> Option<TextPair<'_>> {
        match &self.form {
            Form::Packed { threes, .. } if threes.len() > 0 => {
                let at = threes.offset_of(3 * rng.usize(..threes.len() / 3));
                let [field, value] = threes.read_at(at);
                Some((field.text(), value.text()))
            }
            Form::Packed { .. } => None,
            Form::Table(indexed) => {
                let field: FieldRef<'_> = indexed.table.sample(rng)?;
                Some((field.name(), field.text()))
            }
        }
    }

    pub(super) fn footprint(&self, samples: usize) -> usize {
        size_of::<Self>()
            + match &self.form {
                Form::Packed { threes, .. } => threes.footprint(),
                Form::Table(indexed) => {
                    let Indexed { table, dates } = &**indexed;
                    let fields = table.iter().map(FieldRef::footprint);
                    let own = table.footprint() + size_of_val(dates) + dates.footprint();
                    own + crate::types::extrapolate(fields, samples, table.len())
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Hash, LiveHash};
    use super::*;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn content(hash: &Hash) -> Model {
        let fields = hash.iter_dated().map(|(field, value, date)| (field.to_vec(), (value.to_vec(), date)));
        fields.collect()
    }

    fn check(hash: &Hash, model: &Model) {
        assert_eq!(content(hash), *model);
        assert_eq!(hash.len(), model.len());
        // The last date is too late to wait for, in tables at least.
        let waited_for = |date: &u64| *date < 1 << 44;
        let next = model.values().filter_map(|(_, date)| *date).min();
        assert_eq!(hash.next_date().filter(waited_for), next.filter(waited_for));
        for horizon in [0, 1, 500, 1000, 1 << 43] {
            let is_due = |(_, date): &(Vec<u8>, Option<u64>)| date.is_some_and(|date| date < horizon);
            let wanted = model.values().filter(|field| is_due(field)).count();
            for limit in [1, 3, usize::MAX] {
                let due = hash.due(horizon, limit);
                assert_eq!(due.len(), wanted.min(limit));
                assert!(due.iter().all(|field| is_due(&model[&**field])));
            }
            let live = LiveHash::new(hash, horizon);
            assert_eq!(live.visible(), model.len() - wanted);
            assert_eq!(live.iter().count(), model.len() - wanted);
            let drawn = live.sample(&mut fastrand::Rng::with_seed(1));
            assert_eq!(drawn.is_some(), wanted < model.len());
            assert!(drawn.is_none_or(|(field, _)| !is_due(&model[&*field])));
        }
    }

    /// Random changes, in small and in large hashes, with dates that many fields share.
    #[test]
    fn every_form_agrees_with_a_model() {
        let key = HashKey::new(1, 2);
        let limits = Thresholds { hash_entries: 40, ..Thresholds::default() };
        let rounds = if cfg!(miri) { 2 } else { 60 };
        for seed in 0..rounds {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut hash, mut model) = (Hash::new(), Model::new());
            let names = rng.usize(1..if seed % 2 == 0 { 30 } else { 400 });
            for step in 0..if cfg!(miri) { 60 } else { 1500 } {
                let name = format!("field:{}", rng.usize(..names)).into_bytes();
                let value = "v".repeat(rng.usize(..12)).into_bytes();
                let known = model.get_mut(&name);
                match rng.usize(..8) {
                    0 | 1 => {
                        assert_eq!(hash.set(&name, &value, &limits, key), known.is_none());
                        model.insert(name, (value, None));
                    }
                    2 => {
                        assert_eq!(hash.set_keeping(&name, &value, &limits, key), known.is_none());
                        model.entry(name).or_default().0 = value;
                    }
                    3 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                    4 => {
                        assert_eq!(hash.set_date(&name, None, key), known.is_some());
                        known.into_iter().for_each(|known| known.1 = None);
                    }
                    _ => {
                        let dates = [rng.u64(..2000), 700, i64::MAX as u64];
                        let date = Some(dates[rng.usize(..3)]);
                        assert_eq!(hash.set_date(&name, date, key), known.is_some());
                        known.into_iter().for_each(|known| known.1 = date);
                    }
                }
                if step % 97 == 0 {
                    check(&hash, &model);
                    check(&hash.duplicate(&limits, key), &model);
                    let mut walked = 0;
                    let mut position = Some(0);
                    while let Some(at) = position {
                        position = hash.walk(at, |_| walked += 1);
                    }
                    assert_eq!(walked, model.len());
                }
            }
            for name in hash.due(u64::MAX, usize::MAX) {
                assert!(hash.remove(&name));
                model.remove(&*name);
            }
            check(&hash, &model);
        }
    }

    #[test]
    fn the_possibility_of_dates_makes_no_hash_larger() {
        assert_eq!(size_of::<Hash>(), 2 * size_of::<usize>());
    }

    /// A date costs a small hash its seven bytes, and a byte for each field without one.
    #[test]
    fn small_hashes_with_dates_stay_small() {
        let (limits, key) = (Thresholds::default(), HashKey::new(1, 2));
        let mut hash = Hash::new();
        for n in 0..5 {
            hash.set(format!("field{n}").as_bytes(), b"some value", &limits, key);
        }
        let before = hash.footprint(0);
        hash.set_date(b"field0", Some(1_798_761_600_000), key);
        let with_date = hash.footprint(0);
        assert!(with_date <= before + size_of::<Dated>() + 16, "{before} bytes became {with_date}");
    }
}
