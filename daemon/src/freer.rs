//! The thread `lazyfree`: frees what nobody needs any more while clients are served.
//!
//! Law: little waits for it. Whoever brings more frees it himself, so that nobody can remove faster than it is freed.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use pbj_store::engine::Garbage;

/// Batches that may wait; each is what one or a few commands removed.
const WAITING_MAX: usize = 1024;

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub struct Freer {
    sender: SyncSender<Garbage>,
}

impl Freer {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("lazyfree".into())
            .spawn(move || receiver.into_iter().for_each(drop))?;
        Ok(Self { sender })
    }

    /// Frees it soon.
    pub fn free(&self, garbage: Garbage) {
        match self.sender.try_send(garbage) {
            Ok(()) => {}
            Err(TrySendError::Full(garbage) | TrySendError::Disconnected(garbage)) => drop(garbage),
        }
    }
}
