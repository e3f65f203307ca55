//! Going on after a restart: which place of which history data is at, as snapshots and the log tell it.
//!
//! Law: a history is only gone on with if the data that was loaded is exactly what it was at that place. A snapshot
//! names the place of its instant; a log names one behind each write, and none counts that has a command behind it.
//! Who was a master goes on under another name, and knows the old one up to that place: a replica that has more than
//! the data that was loaded has to take everything over.

use super::backlog::Backlog;
use super::history::{History, is_id, new_id};
use crate::engine::Engine;
use crate::number::parse_u64;
use crate::rdb::LoadedSnapshot;

/// How the line of a log begins that names a place.
const BEGIN: &[u8] = b"#REPL:";

/// A place in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the history.
    pub id: String,
    /// The offset.
    pub offset: u64,
    /// The database in which the stream goes on, if it does not say otherwise.
    pub db: usize,
}

impl Place {
    /// The place that a snapshot says it was made at.
    pub fn of_snapshot(snapshot: &LoadedSnapshot) -> Option<Self> {
        let number = |name: &str| parse_u64(snapshot.fact(name)?.as_bytes());
        let id = snapshot.fact("repl-id").filter(|id| is_id(id))?;
        let db = usize::try_from(number("repl-stream-db").unwrap_or(0)).ok()?;
        Some(Self { id: id.to_owned(), offset: number("repl-offset")?, db })
    }

    /// The line of a log that names the place. The name of the history is left out if it is known.
    fn line(&self, is_known: bool) -> String {
        let Self { id, offset, db } = self;
        if is_known { format!("#REPL:{offset}:{db}\r\n") } else { format!("#REPL:{offset}:{db}:{id}\r\n") }
    }
}

/// What a log says about the place its data is at, while it is read.
#[derive(Debug, Default)]
pub(crate) struct PlaceReader {
    /// The history that was named last.
    id: Option<String>,
    /// The place, if nothing came behind it.
    place: Option<Place>,
}

impl PlaceReader {
    /// A snapshot is the beginning of the log.
    pub(crate) fn snapshot(&mut self, snapshot: &LoadedSnapshot) {
        self.place = Place::of_snapshot(snapshot);
        self.id = self.place.as_ref().map(|place| place.id.clone());
    }

    /// A command changes the data.
    pub(crate) fn command(&mut self) {
        self.place = None;
    }

    /// Looks at a line of the log, with its end.
    pub(crate) fn line(&mut self, line: &[u8]) {
        let Some(rest) = line.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(BEGIN)) else { return };
        self.place = self.named(rest);
    }

    fn named(&mut self, text: &[u8]) -> Option<Place> {
        let mut fields = text.split(|&byte| byte == b':');
        let offset = parse_u64(fields.next()?)?;
        let db = usize::try_from(parse_u64(fields.next()?)?).ok()?;
        if let Some(id) = fields.next() {
            self.id = std::str::from_utf8(id).ok().filter(|id| is_id(id)).map(str::to_owned);
        }
        Some(Place { id: self.id.clone()?, offset, db })
    }

    /// The place that the data is at.
    pub(crate) fn place(&self) -> Option<Place> {
        self.place.clone()
    }
}

impl Engine {
    /// The place that the data is at; nothing if it belongs to no history that others know.
    pub fn place(&self) -> Option<Place> {
        let replication = &self.replication;
        if replication.backlog.is_none() || !replication.history.is_whole {
            return None;
        }
        let db = match &replication.master {
            Some(master) => master.db,
            // Where it is not known, the next effect names it.
            None => self.data.feed.db().unwrap_or(0),
        };
        Some(Place { id: replication.history.id.clone(), offset: self.data.feed.replica_offset(), db })
    }

    /// Adds to what the log gets the place that the data is at behind it.
    pub(crate) fn write_place(&mut self, log: &mut Vec<u8>) {
        if !self.log_wanted || !self.config.log_checksums() {
            return;
        }
        if let Some(place) = self.place() {
            let is_known = self.replication.logged_id.as_ref() == Some(&place.id);
            log.extend_from_slice(place.line(is_known).as_bytes());
            self.replication.logged_id = Some(place.id);
        }
    }

    /// An orderly end: what only those who follow heard moved the place that the data is at, and the log is to know.
    pub fn end_stream(&mut self) {
        let mut line = Vec::new();
        self.write_place(&mut line);
        self.data.feed.line_for_log(&line);
    }

    /// Begins to note what happens while a snapshot is loaded: keys whose date has passed are left out of it, and those
    /// who followed have them still. [`Self::resume`] has to follow.
    pub fn prepare_to_resume(&mut self) {
        if !self.will_follow() {
            self.data.feed.set_replica_offset(0);
            self.replication.backlog = Some(Backlog::new(0));
            self.settle_feed();
        }
    }

    /// What was noted while a piece of the snapshot was loaded may be fetched.
    pub fn end_loading_step(&mut self) {
        self.data.feed.end_unit();
    }

    /// Whether this server follows another, or is about to.
    pub fn will_follow(&self) -> bool {
        self.is_replica() || !self.config.text("replicaof").is_empty()
    }

    /// Everything was loaded: goes on from the place that it is at, if it is at one.
    pub fn resume(&mut self, place: Option<Place>) {
        let Some(Place { id, offset, db }) = place else {
            self.data.feed.set_replica_offset(0);
            return self.drop_backlog();
        };
        if self.will_follow() {
            self.replication.history = History { id, former: None, is_whole: true };
            self.replication.resumed_db = db;
            self.data.feed.set_replica_offset(offset);
            self.replication.backlog = Some(Backlog::new(offset));
        } else {
            // What was left out while it was loaded comes behind that place.
            let backlog = self.replication.backlog.get_or_insert_with(|| Backlog::new(0));
            backlog.rebase(offset);
            let end = backlog.end();
            self.data.feed.set_replica_offset(end);
            let new = new_id(&mut self.data.rng);
            self.replication.history = History { id: new, former: Some((id, offset + 1)), is_whole: true };
            self.replication.deserted_at = Some(self.now.mono_ms);
        }
        self.data.feed.forget_db();
        self.settle_feed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_place_counts_until_a_command_comes() {
        let mut reader = PlaceReader::default();
        reader.line(b"#REPL:5:0\r\n");
        assert_eq!(reader.place(), None, "nobody said of which history");
        let place = Place { id: ID.to_owned(), offset: 17, db: 3 };
        reader.line(place.line(false).as_bytes());
        assert_eq!(reader.place(), Some(place.clone()));
        reader.line(b"#TS:1628217470\r\n");
        reader.line(b"#SUM:cbf43926:9\r\n");
        assert_eq!(reader.place(), Some(place.clone()));
        reader.command();
        assert_eq!(reader.place(), None);
        let later = Place { offset: 40, ..place };
        reader.line(later.line(true).as_bytes());
        assert_eq!(reader.place(), Some(later));
        reader.line(b"#REPL:nonsense\r\n");
        assert_eq!(reader.place(), None);
    }
}
