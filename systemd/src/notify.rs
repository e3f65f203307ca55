//! Messages to the service manager, as sd_notify(3) says.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use sd_notify::NotifyState;

/// Whether a service manager wants to hear from this process.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How long the service manager waits for a sign of life before it kills the process; `None` if it does not watch.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Whether what is written to standard error ends in the journal, which has times of its own.
pub fn journal_is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    // `/dev/stderr` follows to the pipe or socket itself.
    let Ok(stderr) = std::fs::metadata("/dev/stderr") else { return false };
    is_stream(&stream, stderr.dev(), stderr.ino())
}

/// Whether `device:inode` names this file.
fn is_stream(text: &str, device: u64, inode: u64) -> bool {
    text.split_once(':').is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// Sends messages; remembers the last status, so that the same one is not sent again.
#[derive(Debug, Default)]
pub struct Notifier {
    status: String,
}

impl Notifier {
    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `systemctl status` shows beside the state.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn status(&mut self, status: &str) -> io::Result<()> {
        if self.status == status {
            return Ok(());
        }
        self.send(&[], status)
    }

    /// Loading goes on: asks for more time before the start counts as failed.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn progress(&mut self, status: &str, patience: Duration) -> io::Result<()> {
        let us = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(us)], status)
    }

    /// The service is up: units that come after it may start.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn ready(&mut self, status: &str) -> io::Result<()> {
        self.send(&[NotifyState::Ready], status)
    }

    /// The configuration is being read again; [`Self::ready`] follows.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn reloading(&mut self) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }

    /// The service is on its way down.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn stopping(&mut self, status: &str) -> io::Result<()> {
        self.send(&[NotifyState::Stopping], status)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn alive(&self) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Watchdog])
    }

    /// The service cannot go on, and why.
    ///
    /// # Errors
    /// The service manager cannot be reached.
    pub fn failed(&mut self, status: &str, errno: Option<u32>) -> io::Result<()> {
        match errno {
            Some(errno) => self.send(&[NotifyState::Errno(errno)], status),
            None => self.send(&[], status),
        }
    }

    fn send(&mut self, states: &[NotifyState<'_>], status: &str) -> io::Result<()> {
        // A status is one line.
        let line = status.replace(['\n', '\r'], " ");
        let mut all = states.to_vec();
        all.push(NotifyState::Status(&line));
        sd_notify::notify(&all)?;
        status.clone_into(&mut self.status);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_the_journal_is_compared_by_device_and_inode() {
        assert!(is_stream("9:12345", 9, 12345));
        assert!(!is_stream("9:12345", 9, 1) && !is_stream("9", 9, 9) && !is_stream("a:b", 0, 0));
    }
}
