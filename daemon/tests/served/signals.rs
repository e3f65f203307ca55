//! Signals: what ends the daemon in order, what ends it at once.

use nix::sys::signal::Signal;
use redis::Connection;

use crate::daemon::{Daemon, say, within};

/// A daemon whose timer stands still: an end that is asked for waits until it goes on.
fn held() -> (Daemon, Connection) {
    let daemon = Daemon::start();
    let mut r = daemon.connect();
    say(&mut r, "DEBUG PAUSE-CRON 1").unwrap();
    (daemon, r)
}

fn asked_to_end(r: &mut Connection) {
    within(10, "the end was asked for", true, || {
        say(r, "INFO server").unwrap().contains("shutdown_in_milliseconds")
    });
}

/// An operator thinks better of it, twice; the daemon ended hard at the second signal although the first had been
/// called off.
#[test]
fn a_signal_after_an_end_that_was_given_up_is_a_first_one() {
    let (daemon, mut r) = held();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        daemon.signal(signal);
        asked_to_end(&mut r);
        say(&mut r, "SHUTDOWN ABORT").unwrap();
    }
    daemon.signal(Signal::SIGTERM);
    asked_to_end(&mut r);
    say(&mut r, "DEBUG PAUSE-CRON 0").unwrap_or_default();
    assert!(daemon.ended().success(), "it ends in order");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (daemon, mut r) = held();
    daemon.signal(Signal::SIGTERM);
    asked_to_end(&mut r);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(1));
}
