//! The life of the daemon as a service: ready, alive, reloading, stopping; signals and the service manager.
//!
//! Law: a sign of life is sent only if everything that serves clients has moved since the last one: the timer with the
//! engine's lock, and each I/O thread. A thread that only sends signs of life would prove nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pbj_queue::{Counts, Queues, State};
use pbj_store::engine::Engine;
use pbj_systemd::Notifier;

use crate::boot::{Daemon, StartFault};
use crate::config_file::CommandLine;
use crate::control::Control;
use crate::logging::Logging;

/// How often everything is looked at if nobody watches.
const ROUND: Duration = Duration::from_secs(10);

/// What the life of a daemon needs beside the daemon.
pub struct Supervisor {
    /// How the daemon was started: read again when the configuration is reloaded.
    pub line: CommandLine,
    /// The service manager.
    pub notifier: Notifier,
    /// How long the service manager waits for a sign of life.
    pub watchdog: Option<Duration>,
    /// Where log lines go.
    pub logging: Logging,
}

impl Supervisor {
    /// Runs a daemon to its end.
    ///
    /// # Errors
    /// No runtime can be had.
    pub fn run(mut self, mut daemon: Daemon) -> Result<(), StartFault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartFault::Threads)?;
        let _pid_file = PidFile::write(daemon.shared.lock().engine.config().text("pidfile"));
        self.announce(&daemon);
        runtime.block_on(self.watch(&mut daemon));
        tracing::info!("ending: no new requests, the rest of the log is written");
        tell(self.notifier.stopping("Ending: writing the rest of the log"));
        daemon.stop();
        tracing::info!("ended: ready to exit, bye bye");
        Ok(())
    }

    fn announce(&mut self, daemon: &Daemon) {
        let list = |addresses: &[std::net::SocketAddr]| {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            if texts.is_empty() { "nowhere".to_owned() } else { texts.join(", ") }
        };
        let clients = list(&daemon.addresses());
        tracing::info!(
            "ready for clients on {clients}; metrics and health on {}",
            list(daemon.http_addresses())
        );
        tell(self.notifier.ready(&status(daemon)));
    }

    /// Answers requests, and tells that the daemon is alive, until the end is asked for.
    async fn watch(&mut self, daemon: &mut Daemon) {
        let round = self.watchdog.map_or(ROUND, |limit| limit / 3);
        let mut rounds = tokio::time::interval(round);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = daemon.beat();
        rounds.tick().await;
        loop {
            tokio::select! {
                control = daemon.controls.next() => match control {
                    Some(Control::Shutdown { by_signal: true, .. }) => daemon.shared.end_by_signal(),
                    Some(Control::Shutdown { .. }) | None => return,
                    Some(Control::Reload) => self.reload(daemon),
                    Some(Control::Report) => self.report(daemon),
                },
                _ = rounds.tick() => last = self.look(daemon, &last),
            }
        }
    }

    /// Tells that the daemon is alive, if it is.
    fn look(&mut self, daemon: &Daemon, last: &[u64]) -> Vec<u64> {
        let beats = daemon.beat();
        let stuck: Vec<String> = beats
            .iter()
            .zip(last)
            .enumerate()
            .filter(|(_, (now, before))| now <= before)
            .map(|(nth, _)| if nth == 0 { "the timer".to_owned() } else { format!("I/O thread {}", nth - 1) })
            .collect();
        if stuck.is_empty() {
            tell(self.notifier.alive());
            tell(self.notifier.status(&status(daemon)));
        } else {
            let text = format!("No progress: {}", stuck.join(", "));
            tracing::error!("{text}");
            tell(self.notifier.status(&text));
        }
        beats
    }

    fn reload(&mut self, daemon: &Daemon) {
        tell(self.notifier.reloading());
        if let Err(error) = self.logging.reopen() {
            tracing::error!(%error, "the log file cannot be opened again");
        }
        let outcome = self.read_again(daemon);
        let status = match &outcome {
            Ok(changed) if changed.is_empty() => {
                tracing::info!("the configuration was read again: nothing changed");
                status(daemon)
            }
            Ok(changed) => {
                tracing::info!("the configuration was read again: changed {}", changed.join(", "));
                status(daemon)
            }
            Err(reason) => {
                tracing::error!("the configuration was read again and stays as it was: {reason}");
                format!("Running with the old configuration: {reason}")
            }
        };
        tell(self.notifier.ready(&status));
    }

    /// Takes over what changed in the configuration file since the start; returns the names.
    fn read_again(&self, daemon: &Daemon) -> Result<Vec<&'static str>, String> {
        let new = self.line.config().map_err(|fault| fault.to_string())?;
        let mut config = daemon.shared.lock().engine.config().clone();
        let mut changed = Vec::new();
        for directive in pbj_store::config::DIRECTIVES {
            if config.text(directive.name) == new.text(directive.name) {
                continue;
            }
            if directive.immutable {
                tracing::warn!("'{}' changed in the file: it counts from the next start on", directive.name);
                continue;
            }
            config.take(directive, &new);
            changed.push(directive.name);
        }
        if !changed.is_empty() {
            daemon.shared.change_config(config, &changed)?;
        }
        Ok(changed)
    }

    fn report(&self, daemon: &Daemon) {
        if let Err(error) = self.logging.reopen() {
            tracing::error!(%error, "the log file cannot be opened again");
        }
        tracing::info!("{}", status(daemon));
        if daemon.shared.log.is_open() {
            let status = daemon.shared.log.status();
            tracing::info!(bytes = status.size, waiting = status.pending, "the log");
        }
    }
}

/// A line on how things are, for `systemctl status`.
fn status(daemon: &Daemon) -> String {
    // Counting touches no data, so a script that runs for long does not matter.
    daemon.shared.with_engine(|engine| engine_status(engine))
}

fn engine_status(engine: &Engine) -> String {
    let keys: usize = engine.database_sizes().iter().map(|database| database.keys).sum();
    let mut text = format!("Ready: {} clients, {keys} keys", engine.clients());
    let queues = engine.extension().and_then(|any| any.downcast_ref::<Queues>());
    if let Some(queues) = queues {
        let mut counts = Counts::default();
        queues.overview().for_each(|queue| counts += queue.counts);
        let states = [State::Ready, State::Delayed, State::Leased, State::Dead];
        let states = states.map(|state| format!("{} {}", counts.of(state), state.name()));
        text += &format!("; jobs: {}", states.join(", "));
    }
    if let Some(reason) = engine.broken() {
        text = format!("Writes are refused: {reason}. {text}");
    }
    text
}

/// The service manager may be gone; that is no reason to stop.
fn tell(told: std::io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// A file that holds the number of the process, as long as it runs.
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: &str) -> Self {
        if path.is_empty() {
            return Self(None);
        }
        let written = std::fs::write(path, format!("{}\n", std::process::id()));
        if let Err(error) = &written {
            // As redis-server: a daemon without the file is better than none.
            tracing::warn!(path, %error, "the pid file cannot be written");
        }
        Self(written.is_ok().then(|| Path::new(path).to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "the pid file cannot be removed");
        }
    }
}
