//! Threads that own connections: each a runtime of its own.
//!
//! A runtime has one thread at a time, and tasks never leave it. It is of the kind that can be handed over to a fresh
//! thread, which happens when a script runs for long on it (`busy.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pbj_store::engine::Peer;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::shared::Shared;
use crate::turn::{Line, Turn};

/// How long clients may take to read their last replies.
const PARTING: Duration = Duration::from_secs(5);
/// How soon frames are handed to the log again that could not be, because a script holds the engine.
const FLUSH_RETRY: Duration = Duration::from_millis(10);
/// The stack of a thread. Scripts nest calls of C, and what they return is written by us.
const STACK_BYTES: usize = 8 << 20;

/// A connection on its way to the thread that will own it.
pub enum Incoming {
    /// Over TCP.
    Tcp(std::net::TcpStream, Peer),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream, Peer),
    /// No connection: asks for a sign of life.
    Beat,
}

/// Asks for frames to be handed to the log, soon: after all connections that are ready had their turn, so that one
/// write serves them all.
#[derive(Clone)]
pub struct Flusher(Arc<Notify>);

impl Flusher {
    /// Asks.
    pub fn request(&self) {
        self.0.notify_one();
    }
}

/// A running thread.
pub struct IoThread {
    incoming: mpsc::UnboundedSender<Incoming>,
    beats: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl IoThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// No thread or no runtime can be had.
    pub fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (incoming, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("io-{number}"))
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        let beats = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&beats);
        let body = move || {
            let ended = runtime.block_on(runtime.spawn(run(shared, receiver, counted)));
            if let Err(error) = ended {
                tracing::error!(%error, "an I/O thread ended early");
            }
        };
        let thread = std::thread::Builder::new().name(format!("io-{number}-end")).spawn(body)?;
        Ok(Self { incoming, beats, thread })
    }

    /// Gives a connection to the thread.
    pub fn adopt(&self, incoming: Incoming) {
        if self.incoming.send(incoming).is_err() {
            tracing::debug!("a connection came after the end");
        }
    }

    /// Asks for a sign of life; returns how many came to what was asked before. The one that is asked for now does
    /// not count: it may be quick this time and slow the next, and the thread would seem to stand still.
    pub fn beat(&self) -> u64 {
        let before = self.beats.load(Ordering::Relaxed);
        self.adopt(Incoming::Beat);
        before
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        drop(self.incoming);
        if self.thread.join().is_err() {
            tracing::error!("an I/O thread ended with a panic");
        }
    }
}

async fn run(shared: Arc<Shared>, mut incoming: mpsc::UnboundedReceiver<Incoming>, beats: Arc<AtomicU64>) {
    let flusher = Flusher(Arc::new(Notify::new()));
    tokio::spawn(flush_on_request(Arc::clone(&shared), flusher.clone()));
    let connections = TaskTracker::new();
    let line = Arc::new(Line::default());
    loop {
        let next = tokio::select! {
            next = incoming.recv() => next,
            () = shared.stop.cancelled() => None,
        };
        let Some(next) = next else { break };
        let (shared, flusher) = (Arc::clone(&shared), flusher.clone());
        let turn = Turn::new(Arc::clone(&line));
        let served = match next {
            Incoming::Beat => {
                beats.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Incoming::Tcp(stream, peer) => TcpStream::from_std(stream).map(|stream| {
                connections.spawn(Connection::new(stream, peer, shared, flusher, turn).serve());
            }),
            Incoming::Unix(stream, peer) => UnixStream::from_std(stream).map(|stream| {
                connections.spawn(Connection::new(stream, peer, shared, flusher, turn).serve());
            }),
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a connection was lost on its way");
        }
    }
    // What was executed is still answered, once it is safe.
    connections.close();
    if tokio::time::timeout(PARTING, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "clients do not read their replies and are left");
    }
}

async fn flush_on_request(shared: Arc<Shared>, flusher: Flusher) {
    loop {
        flusher.0.notified().await;
        while !shared.flush() {
            tokio::time::sleep(FLUSH_RETRY).await;
        }
    }
}
