//! What a service owes systemd: readiness, status, watchdog, inherited sockets.
//!
//! Law: without systemd everything here does nothing and succeeds, so that the daemon is the same program in a
//! terminal, in a container and as a service. Messages are sent by whoever controls the daemon, never by a thread that
//! serves clients.
//!
//! The units are in `systemd/units`. Not here: when the daemon is ready or alive; it knows that better
//! (`pbj::supervise`).

mod activation;
mod notify;

pub use activation::{InheritFault, Inherited, Socket, inherit};
pub use notify::{Notifier, is_supervised, journal_is_stderr, watchdog_limit};
