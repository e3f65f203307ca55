//! Values of very many elements in a walk: written in parts, wherever they are meanwhile.
//!
//! Law: the walk comes to such a value, or it is about to change ahead of the walk: then it is known here, by the key
//! that it has now, in the database in which it is now. Before it changes, what stands before its elements is written
//! down, and it begins to keep what was not written yet ([`Parts`]). If it is renamed or moved, it goes on at its new
//! place. If it is removed or replaced, the walk keeps it. Whoever does any of that waits for nothing, and what is
//! written is the value of the instant, under the key and with the date of the instant.
//! Parts of one value stand together in a snapshot: another one is begun when it is whole.

use std::collections::BTreeMap;
use std::ops::Range;

use super::walk::Walked;
use super::{Database, Entry, Garbage, Keyspace, Mark, Value, View, unfile};
use crate::limits::FOOTPRINT_SAMPLES;
use crate::rdb::{Parts, Records, Rope, Writer};
use crate::table::{Item, Table};
use crate::waiting::Waiting;

/// By the hash of its key, and a number of its own: a value that was removed may have another one in its place.
type Name = (u64, u64);

/// The huge values of a database that are being written, or will be.
pub(super) struct HugeValues {
    all: BTreeMap<Name, Huge>,
    /// The one of which a part was written.
    begun: Option<Name>,
    /// Values that were removed from their keys and are written now: what is left is to free them.
    written: Vec<Entry>,
    count: u64,
    waiting: Waiting,
}

/// A huge value.
pub(super) struct Huge {
    /// The database of the snapshot that it belongs to.
    number: usize,
    /// The key that it has now.
    key: Box<[u8]>,
    /// What stands before its elements, if that had to be written down early.
    head: Rope,
    /// What is left of it; nothing if it is as it was, and where it was.
    parts: Option<Parts>,
    /// The value, if it was removed from its key, and the bytes that it takes, about.
    removed: Option<(Entry, usize)>,
}

impl HugeValues {
    pub(super) fn new(waiting: &Waiting) -> Self {
        Self { all: BTreeMap::new(), begun: None, written: Vec::new(), count: 0, waiting: waiting.another() }
    }

    /// The sum of what waits in the whole walk.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// A value that will be written into the database with this number.
    pub(super) fn add(&mut self, number: usize, hash: u64, key: &[u8]) {
        self.adopt(
            hash,
            Huge { number, key: key.into(), head: Rope::default(), parts: None, removed: None },
            false,
        );
    }

    fn adopt(&mut self, hash: u64, huge: Huge, is_begun: bool) {
        self.count += 1;
        let name = (hash, self.count);
        self.all.insert(name, huge);
        if is_begun {
            self.begun = Some(name);
        }
    }

    /// The name of the one that is at a key.
    fn at(&self, hash: u64, key: &[u8]) -> Option<Name> {
        let mut here = self.all.range((hash, 0)..=(hash, u64::MAX));
        let found = here.find(|(_, huge)| huge.removed.is_none() && *huge.key == *key);
        found.map(|(name, _)| *name)
    }

    /// The one that is at a key, what stands before its elements being written down.
    fn fixed(&mut self, table: &Table<Entry>, images: &Records, hash: u64, key: &[u8]) -> Option<&mut Huge> {
        let name = self.at(hash, key)?;
        let huge = self.all.get_mut(&name)?;
        if huge.parts.is_none() {
            let mut records = images.like();
            huge.parts = Some(records.begin_huge(table.find(hash, key)?, &self.waiting));
            huge.head = records.take();
        }
        Some(huge)
    }
}

impl Database {
    /// The value at a key is about to change in place: a walk that is under way keeps what is there.
    #[inline]
    pub(super) fn before_change(&mut self, hash: u64, key: &[u8]) {
        if self.walked.is_some() {
            self.keep_value(hash, key);
        }
    }

    /// A key is about to come or go, or to get another date.
    #[inline]
    pub(super) fn before_marking(&mut self, hash: u64, key: &[u8]) {
        if let Some(walked) = &mut self.walked {
            walked.take_image(&self.table, hash);
            walked.huge.fixed(&self.table, &walked.images, hash, key);
        }
    }

    #[inline(never)]
    fn keep_value(&mut self, hash: u64, key: &[u8]) {
        let Some(walked) = self.walked.as_deref_mut() else { return };
        walked.take_image(&self.table, hash);
        let Walked { huge, images, .. } = walked;
        let waiting = huge.waiting.another();
        if let Some(parts) = huge.fixed(&self.table, images, hash, key).and_then(|huge| huge.parts.as_mut())
            && let Some(found) = self.table.find_mut(hash, key)
        {
            parts.before_change(found.into_mut().into_view(), &waiting);
        }
    }

    /// A text is about to change between these bytes, or grow.
    pub(crate) fn before_edit(&mut self, hash: u64, key: &[u8], changes: &[Range<usize>]) {
        let Some(walked) = self.walked.as_deref_mut() else { return };
        walked.take_image(&self.table, hash);
        let Walked { huge, images, .. } = walked;
        if let Some(parts) = huge.fixed(&self.table, images, hash, key).and_then(|huge| huge.parts.as_mut())
            && let Some(View::Raw(text)) = self.table.find(hash, key).map(|entry| entry.view())
        {
            changes.iter().for_each(|range| parts.before_edit(text.bytes(), range.clone()));
        }
    }

    /// The value of a key is about to be removed or replaced: a walk that is under way keeps what is there.
    #[inline]
    pub(super) fn before_replacement(&mut self, hash: u64, key: &[u8]) {
        if self.walked.is_some() {
            self.give_to_walk(hash, key);
        }
    }

    /// Gives the walk what is there. In its place a number stays, with the same date.
    #[inline(never)]
    fn give_to_walk(&mut self, hash: u64, key: &[u8]) {
        let Some(walked) = self.walked.as_deref_mut() else { return };
        walked.take_image(&self.table, hash);
        if let Some(huge) = walked.huge.fixed(&self.table, &walked.images, hash, key)
            && let Some(mut found) = self.table.find_mut(hash, key)
        {
            unfile(&mut self.field_dates, found.view(), hash);
            let look = found.view();
            let (date, access) = (look.expires_at(), look.access());
            let stand_in = Entry::new(key, Value::Integer(0), date);
            let entry = found.update(|entry| std::mem::replace(entry, stand_in));
            found.view().set_access(access);
            let bytes = entry.view().footprint(FOOTPRINT_SAMPLES);
            huge.removed = Some((entry, bytes));
            walked.huge.waiting.add(bytes);
        }
    }

    /// Writes the next part of a huge value that is here, of about so many elements. Says whether it was the last one;
    /// nothing if there is no such value.
    pub(crate) fn walk_huge(&mut self, writer: &mut Writer, elements: usize) -> Option<bool> {
        let HugeValues { all, begun, written, waiting, .. } = &mut self.walked.as_mut()?.huge;
        let name = begun.or_else(|| all.keys().next().copied())?;
        let huge = all.get_mut(&name)?;
        writer.select(huge.number);
        let records = writer.records_mut();
        if huge.parts.is_none() {
            huge.parts = self.table.find(name.0, &huge.key).map(|entry| records.begin_huge(entry, waiting));
        }
        records.append(std::mem::take(&mut huge.head));
        let entry = match &mut huge.removed {
            Some((entry, _)) => Some(entry.look_mut()),
            None => self.table.find_mut(name.0, &huge.key).map(|found| found.into_mut()),
        };
        let is_left = match (entry, &mut huge.parts) {
            (Some(entry), Some(parts)) => records.go_on(parts, entry, elements),
            _ => false,
        };
        *begun = is_left.then_some(name);
        if !is_left && let Some((entry, bytes)) = all.remove(&name).and_then(|huge| huge.removed) {
            waiting.subtract(bytes);
            written.push(entry);
        }
        Some(!is_left)
    }

    /// Nobody wants the rest of its huge values, nor anything else that was kept for a walk.
    pub(super) fn let_go(&mut self, garbage: &mut Garbage) {
        let Some(walked) = self.walked.take() else { return };
        for ((hash, _), huge) in &walked.huge.all {
            if let (Some(parts), None) = (&huge.parts, &huge.removed)
                && let Some(found) = self.table.find_mut(*hash, &huge.key)
            {
                garbage.kept.extend(parts.let_go(found.into_mut().into_view()));
            }
        }
        garbage.walked.push(*walked);
    }
}

impl Keyspace {
    /// A database with a huge value that is to be written: the one of which a part was written, or any.
    pub(crate) fn with_huge(&mut self, begun: bool) -> Option<&mut Database> {
        self.all_mut().find(|database| {
            let huge = database.walked.as_ref().map(|walked| &walked.huge);
            huge.is_some_and(|huge| if begun { huge.begun.is_some() } else { !huge.all.is_empty() })
        })
    }

    /// Takes the huge values that were removed and are written.
    pub(crate) fn take_written(&mut self) -> Garbage {
        let walked = self.all_mut().filter_map(|database| database.walked.as_mut());
        let mut garbage = Garbage::default();
        garbage.removed.extend(walked.flat_map(|walked| std::mem::take(&mut walked.huge.written)));
        self.counted(garbage)
    }

    /// Takes a value from one key and puts it at another, where nothing is, maybe in another database. Says whether it
    /// was there.
    pub(crate) fn move_value(&mut self, from: (usize, &[u8]), to: (usize, &[u8]), mark: Mark) -> bool {
        let source = &mut self.databases[from.0];
        let hash = source.hash(from.1);
        source.before_marking(hash, from.1);
        let guest = source.walked.as_deref_mut().and_then(|walked| {
            let name = walked.huge.at(hash, from.1)?;
            let is_begun = walked.huge.begun.take_if(|begun| *begun == name).is_some();
            Some((walked.huge.all.remove(&name)?, is_begun, walked.of_another()))
        });
        let Some(entry) = source.remove(hash, from.1) else { return false };
        let target = self.db_mut(to.0);
        let hash = target.hash(to.1);
        target.set_value(hash, to.1, entry.into_value(), mark);
        if let Some((huge, is_begun, walked)) = guest {
            let walked = target.walked.get_or_insert_with(|| Box::new(walked));
            walked.huge.adopt(hash, Huge { key: to.1.into(), ..huge }, is_begun);
        }
        true
    }
}
