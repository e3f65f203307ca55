//! What is written because a client or a signal asks for it: snapshots while everybody waits, the log switched on and
//! off, the end.
//!
//! Law: called under the lock of the engine, except where a method takes it.

use std::sync::atomic::Ordering;

use pbj_store::durable::SnapshotInput;
use pbj_store::engine::{EndRequest, Engine};

use crate::disk::RealDisk;
use crate::saver;
use crate::shared::Shared;

impl Shared {
    /// Writes a snapshot while everybody waits.
    pub(crate) fn save(&self, engine: &mut Engine) -> Result<(), String> {
        let now = self.clock.now();
        let saved = saver::save_now(engine, self.folder(), now.wall_ms());
        engine.saved(now, saved.is_ok());
        match saved {
            Ok(()) => {
                tracing::info!("DB saved on disk");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "Error trying to save the DB");
                Err(format!("the snapshot cannot be written: {error}"))
            }
        }
    }

    /// DEBUG RELOAD: all data into the snapshot and back.
    pub(crate) fn reload_snapshot(
        &self,
        engine: &mut Engine,
        save: bool,
        flush: bool,
        merge: bool,
    ) -> Result<(), String> {
        if save {
            self.save(engine)?;
        }
        let mut disk = RealDisk::new(self.folder());
        let name = engine.config().text("dbfilename").to_owned();
        let failed = |reason: String| format!("Error trying to load the RDB dump: {reason}");
        let options = engine.begin_reload(save, flush, merge);
        let opened = SnapshotInput::open(&mut disk, engine, &name, options);
        let loaded = match opened.map_err(|error| failed(error.to_string())) {
            Ok(Some(mut input)) => loop {
                match input.step(&mut disk, engine, self.clock.now()) {
                    Ok(None) => {}
                    Ok(Some(_)) => break Ok(()),
                    Err(fault) => break Err(failed(fault.to_string())),
                }
            },
            Ok(None) => Err(failed("there is none".to_owned())),
            Err(reason) => Err(reason),
        };
        engine.end_reload();
        loaded
    }

    /// Switches the log on or off, as the configuration says now. One that is switched on begins with a rewrite.
    pub(crate) fn switch_log(&self, engine: &mut Engine) {
        if engine.config().flag("appendonly") {
            if !self.log.is_open() {
                self.set_log_begins(true);
                engine.ask_rewrite();
            }
            return;
        }
        engine.cancel_rewrite();
        self.close_log(engine);
    }

    fn close_log(&self, engine: &mut Engine) {
        self.submit_frames(engine);
        self.log.close();
        self.set_log_begins(false);
        engine.set_feed_wanted(false);
        self.saver.nudge();
    }

    /// The log could not begin: it stays off, and the configuration says so.
    pub(crate) fn give_log_up(&self) {
        let mut core = self.lock();
        if !core.engine.config().flag("appendonly") {
            return;
        }
        tracing::error!("the log cannot begin and stays off: appendonly is no again");
        let mut config = core.engine.config().clone();
        if config.set("appendonly", &["no"]).is_ok() {
            core.engine.set_config(config);
        }
        self.close_log(&mut core.engine);
    }

    /// Writes the snapshot that belongs before an end, if one does.
    pub(crate) fn save_before_end(
        &self,
        engine: &mut Engine,
        save: Option<bool>,
        force: bool,
    ) -> Result<(), String> {
        if self.log_begins() {
            // What is in it so far is worth nothing without its base.
            if !force {
                return Err("Writing initial AOF, can't exit.".to_owned());
            }
            tracing::warn!("Writing initial AOF. Exit anyway.");
        }
        let wanted = save.unwrap_or(engine.has_save_points());
        self.set_saves_at_end(wanted);
        if wanted && self.save(engine).is_err() && !force {
            self.set_saves_at_end(false);
            return Err("Error trying to save the DB, can't exit.".to_owned());
        }
        Ok(())
    }

    /// A signal asks for the end: it comes once replicas have everything, or not at all if the snapshot that belongs
    /// before it cannot be written.
    pub fn end_by_signal(&self) {
        self.with_data(|engine| {
            let actions = engine.config().text("shutdown-on-sigterm").to_owned();
            let has = |word: &str| actions.split_ascii_whitespace().any(|action| action == word);
            let save = if has("save") { Some(true) } else { has("nosave").then_some(false) };
            let request = EndRequest { save, at_once: has("now"), force: has("force") };
            engine.end_by_signal(self.clock.now(), request);
        });
        self.flush();
    }

    /// Nobody is served any more: what changed since the snapshot before the end is written.
    pub fn save_at_end(&self) {
        let mut core = self.lock();
        if self.saves_at_end().load(Ordering::Relaxed) && core.engine.persistence_facts().changes > 0 {
            // Nobody is left who could be told; the log of the daemon says what happened.
            let _ = self.save(&mut core.engine);
        }
    }

    /// Nobody is served any more: the log says where it is in the stream of replication.
    pub fn note_place_at_end(&self) {
        let mut core = self.lock();
        core.engine.end_stream();
        self.submit_frames(&mut core.engine);
        drop(core);
        self.log.write();
    }
}
