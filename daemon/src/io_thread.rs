//! Threads that own connections, as others see them. What they do is in `io_loop.rs`.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use pbj_store::engine::Peer;

use crate::io_loop::{Inbox, IoLoop};
use crate::shared::Shared;

/// A running thread.
pub struct IoThread {
    inbox: Arc<Inbox>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl IoThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// The kernel has none, or no place for events.
    pub fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (inbox, ended) = IoLoop::start(number, shared)?;
        Ok(Self { inbox, ended: Mutex::new(ended) })
    }

    /// Gives a connection to the thread: a stream that does not block.
    pub fn adopt(&self, stream: OwnedFd, peer: Peer) {
        self.inbox.adopt(stream, peer);
    }

    /// Asks for a sign of life; returns how many came to what was asked before. The one that is asked for now does
    /// not count: it may be quick this time and slow the next, and the thread would seem to stand still.
    pub fn beat(&self) -> u64 {
        let before = self.inbox.beats.load(Ordering::Relaxed);
        self.inbox.ask_for_beat();
        before
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        self.inbox.end();
        // Nothing is ever sent: this is the end of the other side.
        let _ = self.ended.lock().recv();
    }
}
