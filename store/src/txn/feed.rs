//! The one door for effects: what every write looks like to the log and to replicas.
//!
//! Law: an effect is a finished fact in the form of an ordinary command, stated by a handler while it changes data. The
//! effects of one unit (a command, an EXEC, a script, a tick) make one frame, wrapped in MULTI and EXEC when there is
//! more than one; the frame has one place in the stream, and log, backlog and replicas get the same bytes. Two things
//! are told apart: what only replicas have to hear (PING, PUBLISH, requests for a word), and what only the log needs
//! (which database it is in, where a master's stream does not say it again). The stream has two counts for that reason:
//! how far the log is, and the offset of replication, which counts no byte that is for the log alone.

use std::ops::Range;

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
    /// Whether replicas are among those who read it.
    heard: bool,
    bytes: Vec<u8>,
    /// What is written here is not part of the stream of replication: this server follows another.
    local: bool,
    /// Effects are not written down for now, because a script asked for that.
    muted: bool,
    /// Bytes of the stream before those in `bytes`.
    fetched: u64,
    /// The database the reader of the stream is in.
    db: Option<usize>,
    /// Stretches of `bytes` that are not for everybody, in order.
    apart: Vec<Apart>,
    /// The offset of replication at the beginning of `bytes`.
    replicated: u64,
    unit: Unit,
}

/// The unit that is going on.
#[derive(Default)]
struct Unit {
    start: usize,
    /// Bytes at its beginning that name its database: they come before the transaction, as in Redis.
    lead: usize,
    effects: usize,
    /// How many of the effects are for replicas alone.
    unlogged: usize,
    /// How many of them are for the log alone.
    unsent: usize,
    /// How many stretches there were before the unit.
    apart: usize,
    /// Its effects have nothing to do with each other.
    loose: bool,
}

/// Who gets a stretch of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Log,
    Replicas,
}

/// A stretch of the stream that is not for everybody.
#[derive(Clone, Debug)]
struct Apart {
    range: Range<usize>,
    only: Only,
}

/// What was fetched of the stream.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    apart: Vec<Apart>,
    /// The offset of replication at their beginning.
    replicated: u64,
}

impl Frames {
    /// The offset of replication at their beginning.
    pub(crate) fn replicated(&self) -> u64 {
        self.replicated
    }

    /// Visits what replicas get, in order.
    pub(crate) fn for_replicas(&self, mut visit: impl FnMut(&[u8])) {
        let mut at = 0;
        for Apart { range, .. } in self.apart.iter().filter(|apart| apart.only == Only::Log) {
            visit(&self.bytes[at..range.start]);
            at = range.end;
        }
        visit(&self.bytes[at..]);
    }

    /// What the log gets.
    pub(crate) fn into_log(mut self) -> Vec<u8> {
        for Apart { range, .. } in self.apart.iter().rev().filter(|apart| apart.only == Only::Replicas) {
            self.bytes.drain(range.clone());
        }
        self.bytes
    }
}

impl Feed {
    /// Says whether anybody reads the stream from now on.
    pub fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Says whether replicas are among those who read the stream.
    pub(crate) fn set_heard(&mut self, heard: bool) {
        self.heard = heard;
    }

    /// Says whether what is written here is for the log alone, because replicas get what a master says.
    pub(crate) fn set_local(&mut self, local: bool) {
        self.local = local;
    }

    /// Whether anybody reads the stream.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Makes the next effect name its database, because a new reader does not know it.
    pub fn forget_db(&mut self) {
        self.db = None;
    }

    /// The database that the reader of the stream is in, if it knows one.
    pub(crate) fn db(&self) -> Option<usize> {
        self.db
    }

    /// The offset behind the last byte.
    pub fn offset(&self) -> u64 {
        self.fetched + self.bytes.len() as u64
    }

    /// The offset of replication behind the last byte.
    pub fn replica_offset(&self) -> u64 {
        let for_log = self.apart.iter().filter(|apart| apart.only == Only::Log);
        let for_log: usize = for_log.map(|apart| apart.range.len()).sum();
        self.replicated + (self.bytes.len() - for_log) as u64
    }

    /// Begins another history: its offset is this one. What was not fetched yet is for the log alone.
    pub(crate) fn set_replica_offset(&mut self, offset: u64) {
        debug_assert_eq!(self.unit.effects, 0, "histories change between units");
        self.apart.clear();
        if !self.bytes.is_empty() {
            self.apart.push(Apart { range: 0..self.bytes.len(), only: Only::Log });
        }
        self.unit.apart = self.apart.len();
        self.replicated = offset;
    }

    /// Adds an effect that only the log needs to the unit that is going on; it belongs to no database.
    pub(crate) fn effect_for_log(&mut self, args: &[&[u8]]) {
        if self.wanted {
            let start = self.bytes.len();
            write_command(&mut self.bytes, args);
            self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Log });
            self.unit.effects += 1;
            self.unit.unsent += 1;
        }
    }

    /// Adds a line that is no command, which only the log gets, behind the last unit.
    pub(crate) fn line_for_log(&mut self, line: &[u8]) {
        debug_assert_eq!(self.unit.effects, 0, "lines stand between units");
        if self.wanted && !line.is_empty() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(line);
            self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Log });
            self.begin_unit();
        }
    }

    /// Adds a command that only replicas have to hear to the unit that is going on.
    pub(crate) fn effect_for_replicas(&mut self, db: Option<usize>, args: &[&[u8]]) {
        if !self.wanted || !self.heard || self.muted || self.local {
            return;
        }
        if let Some(db) = db {
            self.name_db(db);
        }
        let start = self.bytes.len();
        write_command(&mut self.bytes, args);
        self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Replicas });
        self.unit.effects += 1;
        self.unit.unlogged += 1;
    }

    /// Adds a unit of a master as it came; it began in one database and ended in another.
    pub(crate) fn relay(&mut self, bytes: &[u8], for_log: bool, dbs: (usize, usize)) {
        debug_assert_eq!(self.unit.effects, 0, "units of a master come between units");
        if !self.wanted {
            return;
        }
        if for_log && self.db != Some(dbs.0) {
            let start = self.bytes.len();
            write_command(&mut self.bytes, &[b"SELECT", Digits::of(dbs.0 as i64).as_bytes()]);
            self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Log });
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if for_log {
            self.db = Some(dbs.1);
        } else {
            self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Replicas });
        }
        self.begin_unit();
    }

    fn begin_unit(&mut self) {
        self.unit = Unit {
            start: self.bytes.len(),
            lead: 0,
            effects: 0,
            unlogged: 0,
            unsent: 0,
            apart: self.apart.len(),
            loose: false,
        };
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
        self.apart.truncate(self.unit.apart);
        self.begin_unit();
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
            if self.unit.effects == 0 {
                self.unit.lead = self.bytes.len() - self.unit.start;
            }
        }
    }

    /// The effects of the unit that is going on.
    #[cfg(debug_assertions)]
    pub(crate) fn unit_bytes(&self) -> &[u8] {
        &self.bytes[self.unit.start..]
    }

    /// Says that the effects of the unit have nothing to do with each other: they need no transaction around them.
    pub(crate) fn loosen_unit(&mut self) {
        self.unit.loose = true;
    }

    /// Ends the unit: its effects become one frame. Says whether there were any.
    #[inline]
    pub(crate) fn end_unit(&mut self) -> bool {
        if self.unit.effects == 0 && self.bytes.len() == self.unit.start {
            self.unit.loose = false;
            return false;
        }
        self.end_unit_of_effects()
    }

    fn end_unit_of_effects(&mut self) -> bool {
        let Unit { start, lead, effects, unlogged, unsent, apart, loose } = self.unit;
        // Who gets only one of them needs no transaction around it.
        let wrapped = match (effects - unlogged > 1, effects - unsent > 1) {
            (false, false) => None,
            _ if loose => None,
            (true, true) => Some(None),
            (true, false) => Some(Some(Only::Log)),
            (false, true) => Some(Some(Only::Replicas)),
        };
        if let Some(only) = wrapped {
            self.wrap_unit(start + lead, apart, only);
        }
        if self.local && effects > 0 {
            self.apart.truncate(apart);
            self.apart.push(Apart { range: start..self.bytes.len(), only: Only::Log });
        }
        self.begin_unit();
        effects > 0
    }

    fn wrap_unit(&mut self, start: usize, apart: usize, only: Option<Only>) {
        let end = self.bytes.len();
        self.bytes.extend_from_slice(MULTI);
        self.bytes.copy_within(start..end, start + MULTI.len());
        self.bytes[start..start + MULTI.len()].copy_from_slice(MULTI);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(EXEC);
        for Apart { range, .. } in &mut self.apart[apart..] {
            *range = range.start + MULTI.len()..range.end + MULTI.len();
        }
        if let Some(only) = only {
            self.apart.insert(apart, Apart { range: start..start + MULTI.len(), only });
            self.apart.push(Apart { range: end..end + EXEC.len(), only });
        }
    }

    /// Whether there are frames to fetch.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hands over the frames that were not fetched yet. `spare` takes their place, so that its room is used again.
    pub fn fetch(&mut self, mut spare: Vec<u8>) -> Frames {
        debug_assert_eq!(self.unit.effects, 0, "frames are fetched between units");
        spare.clear();
        let end = self.replica_offset();
        let bytes = std::mem::replace(&mut self.bytes, spare);
        let apart = std::mem::take(&mut self.apart);
        self.fetched += bytes.len() as u64;
        let replicated = std::mem::replace(&mut self.replicated, end);
        self.begin_unit();
        Frames { bytes, apart, replicated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(feed: &mut Feed) -> String {
        readable(feed.fetch(Vec::new()).into_log())
    }

    fn readable(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap().replace("\r\n", " ")
    }

    fn both(feed: &mut Feed) -> (String, String) {
        let frames = feed.fetch(Vec::new());
        let mut replicas = Vec::new();
        frames.for_replicas(|bytes| replicas.extend_from_slice(bytes));
        (readable(frames.into_log()), readable(replicas))
    }

    #[test]
    fn what_only_replicas_hear_is_not_in_the_log() {
        let mut feed = Feed { wanted: true, heard: true, ..Feed::default() };
        feed.effect(0, &[b"DEL", b"a"]);
        feed.effect_for_replicas(Some(0), &[b"PUBLISH", b"c", b"m"]);
        feed.end_unit();
        feed.effect_for_replicas(Some(0), &[b"PUBLISH", b"c", b"1"]);
        feed.effect_for_replicas(Some(0), &[b"PUBLISH", b"c", b"2"]);
        feed.end_unit();
        feed.effect_for_replicas(None, &[b"PING"]);
        feed.end_unit();
        let whole = feed.replica_offset();
        let (log, replicas) = both(&mut feed);
        assert_eq!(log, "*2 $6 SELECT $1 0 *2 $3 DEL $1 a ");
        assert_eq!(
            replicas,
            "*2 $6 SELECT $1 0 *1 $5 MULTI *2 $3 DEL $1 a *3 $7 PUBLISH $1 c $1 m *1 $4 EXEC \
             *1 $5 MULTI *3 $7 PUBLISH $1 c $1 1 *3 $7 PUBLISH $1 c $1 2 *1 $4 EXEC *1 $4 PING "
        );
        assert_eq!(whole as usize, replicas.replace(' ', "\r\n").len());
        assert_eq!(feed.replica_offset(), whole);
    }

    #[test]
    fn a_log_that_joins_a_stream_of_a_master_learns_its_database() {
        let mut feed = Feed { wanted: true, ..Feed::default() };
        feed.effect(0, &[b"DEL", b"a"]);
        feed.end_unit();
        feed.set_replica_offset(1000);
        feed.relay(b"*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n", true, (7, 7));
        feed.relay(b"*1\r\n$4\r\nPING\r\n", false, (7, 7));
        feed.relay(b"*2\r\n$3\r\nDEL\r\n$1\r\nc\r\n", true, (7, 7));
        let (log, replicas) = both(&mut feed);
        assert_eq!(log, "*2 $6 SELECT $1 0 *2 $3 DEL $1 a *2 $6 SELECT $1 7 *2 $3 DEL $1 b *2 $3 DEL $1 c ");
        assert_eq!(replicas, "*2 $3 DEL $1 b *1 $4 PING *2 $3 DEL $1 c ");
        assert_eq!(feed.replica_offset() as usize, 1000 + replicas.replace(' ', "\r\n").len());
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
    fn a_loose_unit_goes_bare() {
        let mut feed = Feed { wanted: true, ..Feed::default() };
        feed.effect(0, &[b"DEL", b"a"]);
        feed.effect(0, &[b"DEL", b"b"]);
        feed.loosen_unit();
        assert!(feed.end_unit());
        assert_eq!(text(&mut feed), "*2 $6 SELECT $1 0 *2 $3 DEL $1 a *2 $3 DEL $1 b ");
    }

    #[test]
    fn nobody_listening_costs_nothing() {
        let mut feed = Feed::default();
        feed.effect(0, &[b"DEL", b"a"]);
        assert!(!feed.end_unit() && feed.is_empty());
    }
}
