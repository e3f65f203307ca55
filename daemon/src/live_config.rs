//! Directives that change while the daemon runs, as far as something outside of the engine follows them.
//!
//! Law: called under the lock of the engine; so it does nothing that takes long, and never locks the engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use pbj_store::config::Config;
use pbj_store::durable::SyncPolicy;

use crate::doors::Doors;
use crate::log_growth::GrowthLimit;
use crate::logging::Logging;
use crate::mailbox::OutputLimits;
use crate::oom_score::OomScore;
use crate::saver::Job;
use crate::shared::{ConfigRefusal, Shared};

/// What redis-server answers when an address cannot be had.
const CANNOT_LISTEN: &str = "Unable to listen on this port. Check server logs.";
/// What belongs to [`OomScore`].
const OOM: [&str; 2] = ["oom-score-adj", "oom-score-adj-values"];
const CANNOT_BIND: &str = "Failed to bind to specified addresses.";

/// Lets changes of the configuration reach these parts of the daemon.
pub fn connect(shared: &Arc<Shared>, doors: Arc<Mutex<Doors>>, logging: Option<Logging>) {
    let query_max = shared.lock().engine.config().size("client-query-buffer-limit");
    shared.query_max.store(query_max, Ordering::Relaxed);
    let limits = output_limits(shared.lock().engine.config());
    shared.set_limits(limits);
    let (log, saver) = (Arc::clone(&shared.log), Arc::clone(&shared.saver));
    let mut oom_score = OomScore::default();
    if let Err(error) = oom_score.apply(shared.lock().engine.config()) {
        tracing::warn!(%error, "oom-score-adj cannot be set");
    }
    let weak = Arc::downgrade(shared);
    let folder = shared.folder().to_owned();
    shared.set_reconfigure(Box::new(move |config, names| {
        if let Some(name) = ["port", "bind"].into_iter().find(|name| names.contains(name)) {
            rebind(&doors, config, name)?;
        }
        if names.contains(&"dir") {
            stay_in(&folder, config)?;
        }
        if let Some(name) = OOM.into_iter().find(|name| names.contains(name)) {
            set_oom_score(&mut oom_score, config, name)?;
        }
        for name in names {
            match *name {
                "appendfsync" => log.set_policy(SyncPolicy::named(config.text("appendfsync"))),
                "aof-timestamp-enabled" => log.set_stamped(config.flag("aof-timestamp-enabled")),
                "auto-aof-rewrite-percentage" | "auto-aof-rewrite-min-size" => {
                    log.growth.set_limit(GrowthLimit::of(config));
                }
                "aof-disable-auto-gc" if !config.flag("aof-disable-auto-gc") => {
                    saver.ask(Job::RemoveHistory);
                }
                "loglevel" => logging.iter().for_each(|logging| logging.set_level(config.text("loglevel"))),
                // Another role: it cannot be refused any more.
                "replicaof" => {
                    if let Err(error) = oom_score.apply(config) {
                        tracing::warn!(%error, "oom-score-adj cannot be set");
                    }
                }
                "client-query-buffer-limit" => {
                    if let Some(shared) = weak.upgrade() {
                        let max = config.size("client-query-buffer-limit");
                        shared.query_max.store(max, Ordering::Relaxed);
                    }
                }
                "client-output-buffer-limit" => {
                    if let Some(shared) = weak.upgrade() {
                        shared.set_limits(output_limits(config));
                    }
                }
                _ => {} // The engine follows it, or looks it up when it needs it.
            }
        }
        Ok(())
    }));
}

fn rebind(doors: &Mutex<Doors>, config: &Config, name: &'static str) -> Result<(), ConfigRefusal> {
    doors.lock().rebind(config).map_err(|error| {
        tracing::error!("{error}");
        let reason = if name == "port" { CANNOT_LISTEN } else { CANNOT_BIND };
        ConfigRefusal { name, reason: reason.to_owned() }
    })
}

/// Refuses another folder: this one is locked, and all files are in it.
fn stay_in(folder: &Path, config: &Config) -> Result<(), ConfigRefusal> {
    let refused = |reason: String| ConfigRefusal { name: "dir", reason };
    let place = |path: &Path| path.canonicalize().map_err(|error| refused(error.to_string()));
    if place(Path::new(config.text("dir")))? == place(folder)? {
        return Ok(());
    }
    Err(refused(
        "the folder is locked while the server runs, and can only be another one at a start".to_owned(),
    ))
}

fn set_oom_score(score: &mut OomScore, config: &Config, name: &'static str) -> Result<(), ConfigRefusal> {
    score.apply(config).map_err(|error| {
        tracing::error!(%error, "oom-score-adj cannot be set");
        ConfigRefusal {
            name,
            reason: "Failed to apply new oom_score_adj configuration, check server logs.".to_owned(),
        }
    })
}

/// The limits of `client-output-buffer-limit`.
pub fn output_limits(config: &Config) -> OutputLimits {
    OutputLimits {
        normal: config.output_limit("normal"),
        replica: config.output_limit("replica"),
        pubsub: config.output_limit("pubsub"),
    }
}
