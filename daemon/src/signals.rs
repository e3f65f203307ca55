//! Signals, as requests to the thread that controls the daemon.
//!
//! | signal | what happens |
//! |---|---|
//! | TERM, INT | the daemon ends in order; a second one ends it at once, as after a power cut |
//! | HUP | the configuration file is read again, and the log file opened again |
//! | USR1 | the log file is opened again, and what is going on is written to it |
//!
//! After an end that was given up (SHUTDOWN ABORT, a snapshot that cannot be written) the next TERM is a first one.
//!
//! The second TERM is answered by the signal handler itself, so it works when everything else hangs. Nothing is lost
//! that was acknowledged: the log under `always` is synced already, and under `everysec` the kernel has it.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::control::{Control, Controller};
use crate::exit;

/// Turns signals into requests from now on.
///
/// # Errors
/// The kernel refuses, or no thread can be had.
pub fn listen(controller: Controller) -> io::Result<()> {
    let second = controller.signalled();
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, exit::FAILURE, Arc::clone(&second))?;
        signal_hook::flag::register(signal, Arc::clone(&second))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let body = move || {
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            tracing::info!("received {name}");
            controller.ask(match signal {
                SIGHUP => Control::Reload,
                SIGUSR1 => Control::Report,
                _ => Control::Shutdown { force: false, by_signal: true },
            });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(body)?;
    Ok(())
}
