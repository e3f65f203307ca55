//! The end of a unit: frame, waiters, watchers, notifications, the extension.

use super::Engine;
use super::channels::Scope;
use crate::txn::{DbKey, Event, Flushed};

impl Engine {
    /// Ends the unit that is going on. Everything it touched is visible from here on.
    pub(crate) fn end_unit(&mut self) {
        #[cfg(debug_assertions)]
        self.check_effects();
        self.data.feed.end_unit();
        if !self.data.events.is_empty() {
            self.publish_events();
        }
        if !self.data.touched.is_empty() {
            let (touched, flushed) = self.data.touched.take();
            self.spread_touched(&touched, &flushed);
            self.serve_waiters(touched);
        }
    }

    /// Tells watchers and the extension what was touched.
    pub(super) fn spread_touched(&mut self, touched: &[DbKey], flushed: &[Flushed]) {
        for (db, key) in touched {
            self.fail_watchers(*db, key);
        }
        if self.extension.is_none() || self.loading {
            return;
        }
        if !flushed.is_empty() {
            self.with_extension(|extension, txn| extension.loaded(txn));
            return;
        }
        self.with_extension(|extension, txn| {
            let prefix = extension.prefix();
            for (db, key) in touched.iter().filter(|(_, key)| key.starts_with(prefix)) {
                extension.changed(&mut txn.in_db(*db), key);
            }
        });
    }

    fn publish_events(&mut self) {
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
