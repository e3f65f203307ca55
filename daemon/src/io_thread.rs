//! Threads that own connections: each a runtime of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use pbj_store::engine::Peer;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};

use crate::connection::Connection;
use crate::shared::Shared;

/// A connection on its way to the thread that will own it.
pub enum Incoming {
    /// Over TCP.
    Tcp(std::net::TcpStream, Peer),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream, Peer),
}

/// Asks for frames to be handed to the log, soon: after all connections that are ready had their turn, so that one write
/// serves them all.
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
    thread: JoinHandle<()>,
}

impl IoThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// No thread or no runtime can be had.
    pub fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (incoming, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = move || runtime.block_on(run(shared, receiver));
        let thread = std::thread::Builder::new().name(format!("io-{number}")).spawn(body)?;
        Ok(Self { incoming, thread })
    }

    /// Gives a connection to the thread.
    pub fn adopt(&self, incoming: Incoming) {
        if self.incoming.send(incoming).is_err() {
            tracing::debug!("a connection came after the end");
        }
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        drop(self.incoming);
        if self.thread.join().is_err() {
            tracing::error!("an I/O thread ended with a panic");
        }
    }
}

async fn run(shared: Arc<Shared>, mut incoming: mpsc::UnboundedReceiver<Incoming>) {
    let flusher = Flusher(Arc::new(Notify::new()));
    if shared.log.is_some() {
        tokio::spawn(flush_on_request(Arc::clone(&shared), flusher.clone()));
    }
    loop {
        let next = tokio::select! {
            next = incoming.recv() => next,
            () = shared.stopped() => None,
        };
        let Some(next) = next else { return };
        match open(next) {
            Ok(Stream::Tcp(stream, peer)) => {
                tokio::spawn(Connection::new(stream, peer, Arc::clone(&shared), flusher.clone()).serve());
            }
            Ok(Stream::Unix(stream, peer)) => {
                tokio::spawn(Connection::new(stream, peer, Arc::clone(&shared), flusher.clone()).serve());
            }
            Err(error) => tracing::debug!(%error, "a connection was lost on its way"),
        }
    }
}

enum Stream {
    Tcp(TcpStream, Peer),
    Unix(UnixStream, Peer),
}

fn open(incoming: Incoming) -> std::io::Result<Stream> {
    Ok(match incoming {
        Incoming::Tcp(stream, peer) => Stream::Tcp(TcpStream::from_std(stream)?, peer),
        Incoming::Unix(stream, peer) => Stream::Unix(UnixStream::from_std(stream)?, peer),
    })
}

async fn flush_on_request(shared: Arc<Shared>, flusher: Flusher) {
    loop {
        flusher.0.notified().await;
        shared.flush();
    }
}
