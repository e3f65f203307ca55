//! The stream of a connection: what the kernel said about it, and the system calls that ask nothing it has said.
//!
//! Law: the kernel tells only what changes. Whoever found the end of what is there remembers so, and asks again when
//! more is told. What the kernel is not asked for it does not tell: room for writing is asked for by whoever lacks it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// Nothing more will come, so reading never blocks again.
const READ_CLOSED: u8 = 4;
/// The kernel tells when there is room for writing.
const TELLS_ROOM: u8 = 8;

/// What may be done with a stream without waiting.
#[derive(Debug)]
pub(crate) struct Readiness {
    now: AtomicU8,
    registry: Arc<Registry>,
    token: Token,
}

impl Readiness {
    /// Has the kernel tell what comes over a socket, as events with this token.
    ///
    /// That there is room for writing is told once somebody found none. Otherwise newcomers were told of with that
    /// alone, and while the kernel lists them, those at the end of its list would go ahead of those at its beginning.
    ///
    /// # Errors
    /// The kernel has no memory.
    pub(crate) fn register(
        socket: &impl AsRawFd,
        registry: &Arc<Registry>,
        token: Token,
    ) -> io::Result<Self> {
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        // What came already is told as well, and to look at once would be to go ahead of others, too.
        Ok(Self { now: AtomicU8::new(WRITABLE), registry: Arc::clone(registry), token })
    }

    fn ask_for_room(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.end(WRITABLE);
        if self.is(TELLS_ROOM) {
            return Ok(());
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.reregister(&mut SourceFd(&socket.as_raw_fd()), self.token, interest)?;
        self.now.fetch_or(TELLS_ROOM, Ordering::Relaxed);
        Ok(())
    }

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
        self.now.fetch_or(now, Ordering::Relaxed);
    }

    /// It is not known what the kernel said.
    pub(crate) fn may_be_ready(&self) {
        self.now.fetch_or(READABLE | WRITABLE, Ordering::Relaxed);
    }

    fn is(&self, what: u8) -> bool {
        self.now.load(Ordering::Relaxed) & what != 0
    }

    fn end(&self, what: u8) {
        self.now.fetch_and(!what, Ordering::Relaxed);
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
                    if written < bytes.len() && self.readiness.ask_for_room(&self.socket).is_err() {
                        return Poll::Ready(0);
                    }
                    return Poll::Ready(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.readiness.ask_for_room(&self.socket).is_err() {
                        return Poll::Ready(0);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(0),
            }
        }
        Poll::Pending
    }
}
