//! Signals that end a worker: the first one asks it to finish, the second one to stop at once.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use super::fault::{Fault, Kind};
use super::worker::Phase;

/// Moves the phase on with each signal from now on.
///
/// # Errors
/// The kernel refuses, or no thread can be had.
pub(crate) fn listen() -> Result<watch::Sender<Phase>, Fault> {
    let fault = |error: std::io::Error| Fault::new(Kind::Io, format!("signals: {error}"));
    let (phase, _) = watch::channel(Phase::Run);
    let mover = phase.clone();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(fault)?;
    let body = move || {
        for _ in signals.forever() {
            mover.send_modify(|phase| {
                *phase = if *phase == Phase::Run { Phase::Drain } else { Phase::Now.max(*phase) };
            });
            match *mover.borrow() {
                Phase::Drain => tracing::info!("stopping; a second signal ends running jobs at once"),
                _ => tracing::info!("stopping at once"),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(body).map_err(fault)?;
    Ok(phase)
}
