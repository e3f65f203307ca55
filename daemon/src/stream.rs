//! The stream of a connection: what the kernel said about it, and the system calls that ask nothing it has said.
//!
//! Law: the kernel tells only what changes. Whoever found the end of what is there remembers so, and asks again when
//! more is told.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use mio::event::Event;
use socket2::Socket;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// Nothing more will come, so reading never blocks again.
const READ_CLOSED: u8 = 4;

/// What may be done with a stream without waiting.
#[derive(Debug)]
pub(crate) struct Readiness(AtomicU8);

impl Default for Readiness {
    fn default() -> Self {
        Self(AtomicU8::new(READABLE | WRITABLE))
    }
}

impl Readiness {
    /// Takes note of what the kernel says.
    pub(crate) fn tell(&self, event: &Event) {
        let mut now = 0;
        if event.is_readable() {
            now |= READABLE;
        }
        if event.is_writable() {
            now |= WRITABLE;
        }
        if event.is_read_closed() || event.is_error() {
            now |= READABLE | READ_CLOSED;
        }
        if event.is_write_closed() || event.is_error() {
            now |= WRITABLE;
        }
        self.0.fetch_or(now, Ordering::Relaxed);
    }

    /// It is not known what the kernel said.
    pub(crate) fn may_be_ready(&self) {
        self.0.fetch_or(READABLE | WRITABLE, Ordering::Relaxed);
    }

    fn is(&self, what: u8) -> bool {
        self.0.load(Ordering::Relaxed) & what != 0
    }

    fn end(&self, what: u8) {
        self.0.fetch_and(!what, Ordering::Relaxed);
    }
}

/// A stream that never blocks.
pub(crate) struct Stream {
    socket: Socket,
    readiness: Arc<Readiness>,
}

impl Stream {
    /// A connected socket that does not block, and what the kernel says about it.
    pub(crate) fn new(socket: OwnedFd, readiness: Arc<Readiness>) -> Self {
        Self { socket: Socket::from(socket), readiness }
    }

    /// Reads what there is, and says how many bytes that was: none if the other side is gone.
    pub(crate) fn poll_read(&self, room: &mut [MaybeUninit<u8>]) -> Poll<usize> {
        while self.readiness.is(READABLE | READ_CLOSED) {
            match self.socket.recv(room) {
                Ok(read) => {
                    // There was no more than this.
                    if read < room.len() {
                        self.readiness.end(READABLE);
                    }
                    return Poll::Ready(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.end(READABLE | READ_CLOSED);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(0),
            }
        }
        Poll::Pending
    }

    /// Writes what the other side has room for, and says how many bytes that was: none if it is gone.
    pub(crate) fn poll_write(&self, bytes: &[u8]) -> Poll<usize> {
        while self.readiness.is(WRITABLE) {
            match self.socket.send(bytes) {
                Ok(written) => {
                    // There was no room for more.
                    if written < bytes.len() {
                        self.readiness.end(WRITABLE);
                    }
                    return Poll::Ready(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.end(WRITABLE),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(0),
            }
        }
        Poll::Pending
    }
}
