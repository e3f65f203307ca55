//! A snapshot of one instant, written in pieces while clients are served.
//!
//! Law: what is written is the data as it was when the walk began, each key once; what changed before the walk came to
//! it is written as it was (see `keyspace/walk.rs`). One step is bounded by keys, elements and bytes. There is one walk
//! at a time.
//!
//! How to use it, each call under the lock of the engine, with the world let in between:
//! 1. [`Engine::begin_walk`] fixes the instant; the stream of effects goes on from the offset of that moment.
//! 2. [`Engine::walk_on`] gives one piece after the other; their concatenation is the snapshot. Whoever takes pieces
//!    slowly makes images wait in memory: [`Engine::walk_bytes_waiting`] says how much.
//! 3. The piece that says so is the last one; [`Engine::end_walk`] gives up before.
//!
//! Not here: who wants it (a file, the base of a log, replicas).

use super::save::SnapshotHead;
use super::writer::Writer;
use crate::engine::{Engine, Output};
use crate::keyspace::{Database, Garbage};
use crate::limits::WALK_PIECE_BYTES;

/// Elements of a huge value that are written before the bounds of a step are looked at again.
const ELEMENTS_PER_PART: usize = 128;

/// A walk that is under way.
pub(crate) struct Walk {
    id: WalkId,
    writer: Writer,
    /// Number, size and keys with a date of the databases that are not finished, the next one last.
    ahead: Vec<(usize, usize, usize)>,
    /// Whether the next one was begun.
    begun: bool,
    /// Whether the last thing written is a part of a value.
    within_value: bool,
    keys_total: u64,
    keys_done: u64,
}

/// Names a walk, so that nobody takes the pieces of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkId(u64);

/// There is a walk already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkBusy;

/// A part of a snapshot.
pub struct WalkPiece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many keys the walk came to in it.
    pub keys: u64,
    /// It ends behind a whole record, or a whole command. Otherwise the next piece goes on within it.
    pub is_whole: bool,
    /// It is the last one: the walk has ended.
    pub is_last: bool,
    /// What the walk needs no more: data that was removed or emptied meanwhile. The piece should be dropped without the
    /// lock.
    pub garbage: Garbage,
}

impl Walk {
    /// Takes over the images that were kept.
    fn take_images(&mut self, engine: &mut Engine) {
        if self.within_value {
            return;
        }
        let writer = &mut self.writer;
        engine.data.keyspace.take_images(|number, images| {
            writer.select(number);
            writer.records_mut().append(images);
        });
    }

    /// Writes keys until enough is written; says whether none is left.
    fn write_some(&mut self, engine: &mut Engine, visits_max: usize) -> bool {
        let keyspace = &mut engine.data.keyspace;
        let mut visits = Visits { done: 0, max: visits_max };
        // The value of which a part was written last may be in another database now.
        if self.within_value
            && !keyspace.with_huge(true).is_none_or(|there| self.write_huge(there, &mut visits))
        {
            return false;
        }
        while let Some(&(number, keys, dated)) = self.ahead.last() {
            if !self.begun {
                self.writer.database(number, keys, dated);
                self.begun = true;
            }
            let Some(database) = keyspace.walked(number) else { return true };
            if !self.write_database(database, number, &mut visits) {
                return false;
            }
            self.ahead.pop();
            self.begun = false;
        }
        // Those that were moved to databases that the walk had passed.
        while let Some(database) = keyspace.with_huge(false) {
            if !self.write_huge(database, &mut visits) {
                return false;
            }
        }
        true
    }

    /// Writes keys of a database until enough is written; says whether none is left.
    fn write_database(&mut self, database: &mut Database, number: usize, visits: &mut Visits) -> bool {
        loop {
            if !self.write_huge(database, visits) || visits.are_enough(&self.writer) {
                return false;
            }
            self.writer.select(number);
            let (writer, keys_done) = (&mut self.writer, &mut self.keys_done);
            let seen = database.walk_bucket(|entry| {
                writer.entry(entry);
                *keys_done += 1;
            });
            match seen {
                Some(seen) => visits.done += seen,
                None => return true,
            }
        }
    }

    /// Writes huge values that are in a database until enough is written; says whether none is left.
    fn write_huge(&mut self, database: &mut Database, visits: &mut Visits) -> bool {
        loop {
            if visits.are_enough(&self.writer) {
                return false;
            }
            let Some(is_whole) = database.walk_huge(&mut self.writer, ELEMENTS_PER_PART) else { return true };
            self.within_value = !is_whole;
            self.keys_done += u64::from(is_whole);
            visits.done += ELEMENTS_PER_PART;
        }
    }
}

/// What was looked at for a piece.
struct Visits {
    done: usize,
    max: usize,
}

impl Visits {
    fn are_enough(&self, writer: &Writer) -> bool {
        self.done >= self.max || writer.pending() >= WALK_PIECE_BYTES
    }
}

impl Engine {
    /// Begins a snapshot of all data as it is now. Nothing is written yet.
    ///
    /// # Errors
    /// Another one is being written.
    pub fn begin_walk(&mut self, head: &SnapshotHead) -> Result<WalkId, WalkBusy> {
        if self.walk.is_some() {
            return Err(WalkBusy);
        }
        self.walks += 1;
        let id = WalkId(self.walks);
        let writer = self.begin_snapshot(head);
        let mut ahead =
            if head.without_keys { Vec::new() } else { self.data.keyspace.begin_walk(&writer.like()) };
        ahead.reverse();
        let keys_total = ahead.iter().map(|&(_, keys, _)| keys as u64).sum();
        self.walk =
            Some(Walk { id, writer, ahead, begun: false, within_value: false, keys_total, keys_done: 0 });
        Ok(id)
    }

    /// Writes the next piece, for which it looks at so many keys and buckets
    /// ([`crate::limits::WALK_VISITS_PER_PIECE`] is a good number); nothing if this walk is over or was given up.
    pub fn walk_on(&mut self, id: WalkId, visits_max: usize) -> Option<WalkPiece> {
        let mut walk = self.walk.take_if(|walk| walk.id == id)?;
        let before = walk.keys_done;
        walk.take_images(self);
        let is_written = walk.write_some(self, visits_max);
        if is_written {
            // Those that had to wait for the end of a huge value.
            walk.take_images(self);
        }
        if !is_written || !walk.writer.is_short() {
            let (bytes, keys) = (walk.writer.take(), walk.keys_done - before);
            let mut garbage = self.data.keyspace.take_written();
            let spent = walk.writer.take_spent();
            if !spent.is_empty() {
                garbage.add(spent);
            }
            let is_whole = walk.writer.pending() == 0;
            self.walk = Some(walk);
            return Some(WalkPiece { bytes, keys, is_whole, is_last: false, garbage });
        }
        let (bytes, keys) = (walk.writer.finish(), walk.keys_done - before);
        self.walk_has_ended();
        let garbage = self.data.keyspace.end_walk();
        Some(WalkPiece { bytes, keys, is_whole: true, is_last: true, garbage })
    }

    /// Gives a walk up; says whether it was under way.
    pub fn end_walk(&mut self, id: WalkId) -> bool {
        let Some(walk) = self.walk.take_if(|walk| walk.id == id) else { return false };
        let mut garbage = self.data.keyspace.end_walk();
        garbage.add(walk);
        self.hand_on(garbage);
        self.walk_has_ended();
        true
    }

    /// Hands data that nobody needs on to the host, who frees it.
    pub(crate) fn hand_on(&mut self, garbage: Garbage) {
        if !garbage.is_empty() {
            self.data.counters.handed_on += garbage.keys() as u64;
            self.outputs.push(Output::Garbage(garbage));
        }
    }

    /// The walk that is under way.
    pub fn current_walk(&self) -> Option<WalkId> {
        self.walk.as_ref().map(|walk| walk.id)
    }

    /// How many keys the walk that is under way has come to, and how many there were when it began.
    pub fn walk_progress(&self) -> Option<(u64, u64)> {
        self.walk.as_ref().map(|walk| (walk.keys_done, walk.keys_total))
    }

    /// Bytes that wait in memory for [`Self::walk_on`]: what was changed before the walk came to it.
    pub fn walk_bytes_waiting(&self) -> usize {
        self.data.keyspace.image_bytes()
    }
}
