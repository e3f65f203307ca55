//! The one door for effects: what every write looks like to the log and to replicas.
//!
//! Law: an effect is a finished fact in the form of an ordinary command, stated by a handler while it changes data. The
//! effects of one unit (a command, an EXEC, a script, a tick) make one frame, wrapped in MULTI and EXEC when there is
//! more than one; the frame has one place in the stream, and log, backlog and replicas get the same bytes.

use crate::number::Digits;
use crate::resp::reply::{Protocol, Reply, write_command};
use crate::types::text::Scalar;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// The stream of effects, as far as nobody has fetched it yet.
#[derive(Default)]
pub struct Feed {
    /// Whether anybody reads the stream. If not, effects are not even written down.
    wanted: bool,
    bytes: Vec<u8>,
    /// Effects are not written down for now, because a script asked for that.
    muted: bool,
    /// Bytes of the stream before those in `bytes`.
    fetched: u64,
    /// The database the reader of the stream is in.
    db: Option<usize>,
    unit: Unit,
}

/// The unit that is going on.
#[derive(Default)]
struct Unit {
    start: usize,
    effects: usize,
}

impl Feed {
    /// Says whether anybody reads the stream from now on.
    pub fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Whether anybody reads the stream.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Makes the next effect name its database, because a new reader does not know it.
    pub fn forget_db(&mut self) {
        self.db = None;
    }

    /// The offset behind the last byte.
    pub fn offset(&self) -> u64 {
        self.fetched + self.bytes.len() as u64
    }

    /// Says whether effects go unwritten for now.
    pub(crate) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Adds an effect to the unit that is going on, one that belongs to no database.
    pub(crate) fn effect_anywhere(&mut self, args: &[&[u8]]) {
        if self.wanted {
            write_command(&mut self.bytes, args);
            self.unit.effects += 1;
        }
    }

    /// Forgets the effects of the unit that is going on: the process is about to end in the middle of it.
    pub(crate) fn abandon_unit(&mut self) {
        self.bytes.truncate(self.unit.start);
        self.unit.effects = 0;
        // The effects may have changed the database.
        self.db = None;
    }

    /// Adds an effect to the unit that is going on.
    pub(crate) fn effect(&mut self, db: usize, args: &[&[u8]]) {
        if !self.wanted || self.muted {
            return;
        }
        self.name_db(db);
        write_command(&mut self.bytes, args);
        self.unit.effects += 1;
    }

    /// Adds the effect of setting fields of a hash to the unit that is going on.
    pub(crate) fn hash_put(&mut self, db: usize, key: &[u8], pairs: &[(&[u8], Scalar<'_>)]) {
        if !self.wanted || self.muted {
            return;
        }
        self.name_db(db);
        let mut out = Reply::new(&mut self.bytes, Protocol::V2);
        out.array(2 + 2 * pairs.len());
        out.name("HSET");
        out.bulk(key);
        for &(field, value) in pairs {
            out.bulk(field);
            out.bulk_scalar(value);
        }
        self.unit.effects += 1;
    }

    fn name_db(&mut self, db: usize) {
        if self.db != Some(db) {
            write_command(&mut self.bytes, &[b"SELECT", Digits::of(db as i64).as_bytes()]);
            self.db = Some(db);
        }
    }

    /// The effects of the unit that is going on.
    #[cfg(debug_assertions)]
    pub(crate) fn unit_bytes(&self) -> &[u8] {
        &self.bytes[self.unit.start..]
    }

    /// Ends the unit: its effects become one frame. Says whether there were any.
    pub(crate) fn end_unit(&mut self) -> bool {
        let effects = std::mem::take(&mut self.unit.effects);
        if effects > 1 {
            let (start, end) = (self.unit.start, self.bytes.len());
            self.bytes.extend_from_slice(MULTI);
            self.bytes.copy_within(start..end, start + MULTI.len());
            self.bytes[start..start + MULTI.len()].copy_from_slice(MULTI);
            self.bytes.extend_from_slice(EXEC);
        }
        self.unit.start = self.bytes.len();
        effects > 0
    }

    /// Whether there are frames to fetch.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hands over the frames that were not fetched yet. `spare` takes their place, so that its room is used again.
    pub fn fetch(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        debug_assert_eq!(self.unit.effects, 0, "frames are fetched between units");
        spare.clear();
        let frames = std::mem::replace(&mut self.bytes, spare);
        self.fetched += frames.len() as u64;
        self.unit.start = 0;
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(feed: &mut Feed) -> String {
        String::from_utf8(feed.fetch(Vec::new())).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn one_effect_goes_bare_and_two_go_wrapped() {
        let mut feed = Feed { wanted: true, ..Feed::default() };
        feed.effect(0, &[b"DEL", b"a"]);
        assert!(feed.end_unit());
        assert!(!feed.end_unit());
        feed.effect(0, &[b"DEL", b"a"]);
        feed.effect(1, &[b"DEL", b"b"]);
        assert!(feed.end_unit());
        let all = text(&mut feed);
        assert_eq!(
            all,
            "*2 $6 SELECT $1 0 *2 $3 DEL $1 a *1 $5 MULTI *2 $3 DEL $1 a *2 $6 SELECT $1 1 *2 $3 DEL $1 b *1 $4 EXEC "
        );
        assert_eq!(feed.offset() as usize, all.replace(' ', "\r\n").len());
    }

    #[test]
    fn nobody_listening_costs_nothing() {
        let mut feed = Feed::default();
        feed.effect(0, &[b"DEL", b"a"]);
        assert!(!feed.end_unit() && feed.is_empty());
    }
}
