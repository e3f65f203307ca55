//! The end of a unit: frame, waiters, watchers, notifications, the extension.

use super::Engine;
use super::channels::Scope;
use super::host::LogLevel;
use crate::txn::{DbKey, Event, Flushed, Swept};

impl Engine {
    /// Ends the unit that is going on. Everything it touched is visible from here on.
    pub(crate) fn end_unit(&mut self) {
        #[cfg(debug_assertions)]
        self.check_effects();
        self.data.feed.end_unit();
        if std::mem::take(&mut self.data.emptied_all) {
            self.all_was_emptied();
        }
        if !self.data.events.is_empty() {
            self.publish_events();
        }
        if !self.data.notes.is_empty() {
            self.write_notes();
        }
        if !self.data.expired_reserved.is_empty() {
            self.spread_expired();
        }
        if !self.data.touched.is_empty() {
            let swept = self.data.touched.take_swept();
            let (mut touched, flushed) = self.data.touched.take();
            self.note_own_dates(&touched);
            self.spread_touched(&touched, &flushed);
            for Swept { key, is_alive } in swept {
                if is_alive {
                    self.fail_watchers(key.0, &key.1);
                }
                touched.push(key);
            }
            self.serve_waiters(touched);
            // What those who were served did can be heard of, too.
            if !self.data.events.is_empty() {
                self.publish_events();
            }
        }
    }

    /// Tells the extension which of its keys are gone because of their dates.
    fn spread_expired(&mut self) {
        let expired = std::mem::take(&mut self.data.expired_reserved);
        if self.is_replica() {
            return;
        }
        if let Some(extension) = &mut self.extension {
            expired.iter().for_each(|(db, key)| extension.expired(*db, key));
        }
    }

    /// Tells watchers and the extension what was touched.
    pub(super) fn spread_touched(&mut self, touched: &[DbKey], flushed: &[Flushed]) {
        for (db, key) in touched {
            self.fail_watchers(*db, key);
        }
        self.invalidate_rest(touched, flushed);
        if !flushed.is_empty() && !self.loading && !self.is_replica() {
            self.with_extension(|extension, txn| extension.emptied(txn));
        }
    }

    fn write_notes(&mut self) {
        let notes = std::mem::take(&mut self.data.notes);
        if LogLevel::Verbose >= LogLevel::named(self.config.text("loglevel")) {
            notes.iter().for_each(|note| self.host.note(LogLevel::Verbose, note.as_bytes()));
        }
    }

    /// Tells of what happened so far, before anything else is told or somebody begins or ends to listen: within a
    /// transaction and a script that comes later.
    pub(crate) fn publish_events(&mut self) {
        let wanted = self.data.events_wanted;
        for Event { db, name, key } in std::mem::take(&mut self.data.events) {
            if wanted.by_key() {
                let channel = [format!("__keyspace@{db}__:").as_bytes(), &key].concat();
                self.publish(Scope::Channel, &channel, name.as_bytes());
            }
            if wanted.by_event() {
                let channel = format!("__keyevent@{db}__:{name}");
                self.publish(Scope::Channel, channel.as_bytes(), &key);
            }
        }
    }
}
