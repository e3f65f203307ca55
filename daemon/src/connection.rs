//! One connection: bytes in, batches to the engine, replies out when the log allows.
//!
//! Law: requests of a connection are executed in order, and their replies leave in that order. While replies wait for
//! the log or for a slow reader, nothing more is read: that is the back-pressure. While the client waits for a key, its
//! further requests stay in the buffer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use pbj_store::engine::{ClientId, ConnectionGauges, Executed, Peer, Requests};
use pbj_store::resp::reply::{Protocol, Reply};
use pbj_store::resp::request::{Batch, Parser, ProtocolFault, RequestLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io_thread::Flusher;
use crate::mailbox::{Mail, Mailbox};
use crate::shared::{Connected, Shared};
use crate::turn::Turn;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// A buffer above this is given back when it is empty, in bytes.
const KEEP_BYTES: usize = 64 * 1024;
/// Bytes a waiting client may send ahead.
const AHEAD_MAX: usize = 1 << 20;

/// A client and its stream.
pub struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) shared: Arc<Shared>,
    pub(crate) flusher: Flusher,
    pub(crate) client: ClientId,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) gauges: Arc<ConnectionGauges>,
    pub(crate) limits: RequestLimits,
    pub(crate) buffer: Vec<u8>,
    pub(crate) parser: Parser,
    pub(crate) batch: Batch,
    pub(crate) out: Vec<u8>,
    pub(crate) turn: Turn,
    /// The client waits for a key or a step.
    pub(crate) waits: bool,
    /// The client follows: it is fed from now on.
    pub(crate) follows: bool,
}

/// Why a connection woke up.
pub(crate) enum Event {
    /// More bytes are in the buffer.
    Read,
    Mail(Mail),
    /// The other side is gone.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Registers a stream as a client.
    pub fn new(stream: S, peer: Peer, shared: Arc<Shared>, flusher: Flusher, turn: Turn) -> Self {
        let gauges = Arc::clone(&peer.gauges);
        let Connected { client, mailbox, bulk_max, authenticated } = shared.connect(peer);
        Self {
            stream,
            shared,
            flusher,
            client,
            mailbox,
            gauges,
            limits: RequestLimits { bulk_max: bulk_max as i64, authenticated },
            buffer: Vec::with_capacity(READ_BYTES),
            parser: Parser::default(),
            batch: Batch::default(),
            out: Vec::new(),
            turn,
            waits: false,
            follows: false,
        }
    }

    /// Serves the client until one side ends the connection.
    pub async fn serve(mut self) {
        loop {
            let go_on = match self.next_event().await {
                Event::Closed => false,
                Event::Read => self.work().await,
                Event::Mail(mail) => self.take_mail(mail).await,
            };
            if !go_on {
                return;
            }
            if self.follows {
                return self.feed().await;
            }
        }
    }

    pub(crate) async fn next_event(&mut self) -> Event {
        std::future::poll_fn(|context| {
            if let Some(mail) = self.mailbox.take(Some(context.waker())) {
                return Poll::Ready(Event::Mail(mail));
            }
            if self.waits && self.buffer.len() >= AHEAD_MAX {
                return Poll::Pending;
            }
            std::task::ready!(self.turn.poll_turn(context));
            let room = READ_BYTES.max(self.parser.bytes_wanted(self.buffer.len()));
            if room > READ_BYTES {
                // As much as the request says; twice as much would count against the client.
                self.buffer.reserve_exact(room);
            } else {
                self.buffer.reserve(room);
            }
            let spare = self.buffer.spare_capacity_mut();
            let mut target = ReadBuf::uninit(spare);
            let mut arrival = Context::from_waker(self.turn.waker());
            match Pin::new(&mut self.stream).poll_read(&mut arrival, &mut target) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_)) => Poll::Ready(Event::Closed),
                Poll::Ready(Ok(())) => {
                    let read = target.filled().len();
                    if read == 0 {
                        return Poll::Ready(Event::Closed);
                    }
                    advance(&mut self.buffer, read);
                    self.shared.traffic.input.fetch_add(read as u64, Ordering::Relaxed);
                    self.shared.traffic.reads.fetch_add(1, Ordering::Relaxed);
                    Poll::Ready(Event::Read)
                }
            }
        })
        .await
    }

    async fn take_mail(&mut self, mail: Mail) -> bool {
        self.out.extend_from_slice(&mail.bytes);
        if mail.resumed {
            self.waits = false;
        }
        if !self.send(mail.offset).await || mail.close {
            return false;
        }
        // What came in while the client waited.
        !mail.resumed || self.buffer.is_empty() || self.work().await
    }

    /// Executes what is in the buffer and sends the replies; false if the connection ends.
    async fn work(&mut self) -> bool {
        while !self.waits {
            let parsed = self.parser.parse(&self.buffer, self.limits, &mut self.batch);
            if self.batch.is_empty() && parsed.is_ok() {
                break;
            }
            if let Err(fault @ ProtocolFault::CrossProtocol) = parsed {
                // What came before it, as `GET / HTTP/1.1`, is a part of the same request of HTTP.
                return self.refuse(fault).await;
            }
            let whole = self.batch.len();
            let executed = self.execute();
            let unfinished = executed.requests < whole;
            self.consume(executed.requests, whole);
            if !self.send(executed.offset).await || executed.close {
                return false;
            }
            self.waits = executed.waits;
            self.follows = executed.follows;
            match parsed {
                // A request before it has authenticated the client: now it may be none.
                Err(fault) if fault.is_for_strangers() && self.limits.authenticated && !unfinished => {
                    self.parser = Parser::default();
                }
                // What could not be parsed comes after what was not executed yet.
                Err(fault) if !unfinished => return self.refuse(fault).await,
                _ if unfinished => {}
                _ if whole < pbj_store::limits::BATCH_REQUESTS_MAX => break,
                _ => {}
            }
        }
        self.note_buffer();
        self.buffer.len() <= self.shared.query_max.load(Ordering::Relaxed)
    }

    fn note_buffer(&self) {
        self.gauges.query.store(self.buffer.len(), Ordering::Relaxed);
        self.gauges.query_capacity.store(self.buffer.capacity(), Ordering::Relaxed);
    }

    pub(crate) fn execute(&mut self) -> Executed {
        if self.batch.is_empty() {
            return Executed::default();
        }
        self.note_buffer();
        let requests = Requests::new(&self.batch, &self.buffer);
        let executed = self.shared.execute(self.client, &requests, &self.mailbox, &mut self.out);
        if !self.limits.authenticated {
            let client = self.client;
            self.limits.authenticated =
                self.shared.with_engine(move |engine| engine.is_authenticated(client));
        }
        executed
    }

    /// Throws the bytes of executed requests away.
    pub(crate) fn consume(&mut self, executed: usize, whole: usize) {
        let taken = self.batch.bytes_of_first(executed);
        self.batch.clear();
        if taken == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > KEEP_BYTES {
                self.buffer = Vec::with_capacity(READ_BYTES);
            }
        } else {
            self.buffer.drain(..taken);
        }
        if executed == whole {
            self.parser.consumed(taken);
        } else {
            // Some requests are left; they will be read again from their beginning.
            self.parser = Parser::default();
        }
    }

    /// Sends what is in `out`, once the log has come to `offset`; false if the connection ends.
    async fn send(&mut self, offset: u64) -> bool {
        if !self.shared.log.is_safe(offset) {
            self.flusher.request();
            if !self.shared.log.wait(offset).await {
                return false; // Never acknowledged.
            }
        } else if offset > 0 && !self.shared.log.is_open() {
            // Nothing is logged, but those who follow want it.
            self.flusher.request();
        }
        if self.out.is_empty() {
            return true;
        }
        let limit = self.mailbox.limit().unwrap_or_else(|| self.shared.limits.lock().normal);
        if limit.hard > 0 && self.out.len() > limit.hard {
            tracing::warn!(bytes = self.out.len(), "a client gets more than its limit and is cut off");
            return false;
        }
        self.gauges.output.store(self.out.len(), Ordering::Relaxed);
        let sent = self.write_out().await;
        self.shared.traffic.output.fetch_add(self.out.len() as u64, Ordering::Relaxed);
        self.shared.traffic.writes.fetch_add(1, Ordering::Relaxed);
        self.out.clear();
        if self.out.capacity() > KEEP_BYTES {
            self.out = Vec::new();
        }
        self.gauges.output.store(0, Ordering::Relaxed);
        self.gauges.output_capacity.store(self.out.capacity(), Ordering::Relaxed);
        sent
    }

    /// Writes `out`; false if the connection ends before the client has read enough of it.
    async fn write_out(&mut self) -> bool {
        let mut written = 0;
        let mut patience: Option<Pin<Box<tokio::time::Sleep>>> = None;
        std::future::poll_fn(|context| {
            while written < self.out.len() {
                match Pin::new(&mut self.stream).poll_write(context, &self.out[written..]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                    Poll::Ready(Ok(count)) => {
                        written += count;
                        self.gauges.output.store(self.out.len() - written, Ordering::Relaxed);
                    }
                    Poll::Pending => {
                        let cut = self.mailbox.is_cut(context.waker()) || !self.limits.authenticated;
                        let limit = self.mailbox.limit().unwrap_or_else(|| self.shared.limits.lock().normal);
                        let waiting = self.gauges.output();
                        if cut || (limit.hard > 0 && waiting > limit.hard) {
                            return Poll::Ready(false);
                        }
                        if limit.soft > 0 && waiting > limit.soft {
                            let time = Duration::from_millis(limit.soft_ms);
                            let patience = patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
                            if patience.as_mut().poll(context).is_ready() {
                                tracing::warn!(waiting, "a client does not read its replies and is cut off");
                                return Poll::Ready(false);
                            }
                        } else {
                            patience = None;
                        }
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    async fn refuse(&mut self, fault: ProtocolFault) -> bool {
        if let Some(text) = fault.text() {
            Reply::new(&mut self.out, Protocol::V2).error(&text);
        } else {
            tracing::warn!(
                "possible cross-protocol attack: a client sends POST or Host: and is disconnected without an answer"
            );
        }
        self.send(0).await;
        false
    }
}

/// Takes bytes that were just read into the spare capacity as content.
#[expect(unsafe_code, reason = "reading into uninitialized room saves clearing 16 KiB for every request")]
fn advance(buffer: &mut Vec<u8>, read: usize) {
    assert!(buffer.len() + read <= buffer.capacity(), "read into the spare capacity");
    // SAFETY: ReadBuf::filled says that these bytes behind the content are initialized.
    unsafe { buffer.set_len(buffer.len() + read) };
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.disconnect(self.client);
    }
}
