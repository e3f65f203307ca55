//! One connection: bytes in, batches to the engine, replies out when the log allows.
//!
//! Law: requests of a connection are executed in order, and their replies leave in that order. While replies wait for
//! the log, nothing more is executed. Replies that the client does not read pile up, as in Redis, so that a client may
//! send all its requests before it reads: until the limit of its class, at which it is cut off, or the bound below, at
//! which nothing more is read from it. While the client waits for a key, its further requests stay in the buffer.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use pbj_store::config::OutputLimit;
use pbj_store::engine::{ClientId, ConnectionGauges, Engine, Executed, Peer, Requests};
use pbj_store::resp::reply::{Protocol, Reply};
use pbj_store::resp::request::{Batch, Parser, ProtocolFault, RequestLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

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
/// Bytes of replies that may pile up before nothing more is executed for a client that does not read them.
const UNREAD_MAX: usize = 64 << 20;
/// Room for replies that a connection begins with, in bytes; enough for the replies of most batches.
const REPLY_BYTES: usize = 1024;
/// Room that is left to a connection that needed more, in bytes.
const REPLY_KEEP_BYTES: usize = 16 * 1024;
/// Bytes of an unfinished request that are worth a look at the memory of all clients.
const NOTABLE_BYTES: usize = 64 * 1024;

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
    /// Replies, those included that are sent already.
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are sent.
    pub(crate) sent: usize,
    /// What `out` is for replies, while messages are in its place.
    kept: Vec<u8>,
    /// Runs while more is waiting than the soft limit allows.
    patience: Option<Pin<Box<Sleep>>>,
    pub(crate) turn: Turn,
    /// The client waits for a key or a step.
    pub(crate) waits: bool,
    /// The client follows: it is fed from now on.
    pub(crate) follows: bool,
    /// Requests are left in the buffer, because the client does not read.
    stalled: bool,
    /// Bytes of the buffer when the memory of all clients was looked at.
    noted: usize,
}

/// Why a connection woke up.
pub(crate) enum Event {
    /// More bytes are in the buffer.
    Read,
    Mail(Mail),
    /// The client has read enough for its requests to go on.
    Room,
    /// The other side is gone, or is to go.
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
            out: Vec::with_capacity(REPLY_BYTES),
            sent: 0,
            kept: Vec::new(),
            patience: None,
            turn,
            waits: false,
            follows: false,
            stalled: false,
            noted: 0,
        }
    }

    /// Serves the client until one side ends the connection.
    pub async fn serve(mut self) {
        loop {
            let go_on = match self.next_event().await {
                Event::Closed => false,
                Event::Read | Event::Room => self.work().await,
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
            if !self.mailbox.rests()
                && let Some(mail) = self.mailbox.take(Some(context.waker()))
            {
                return Poll::Ready(Event::Mail(mail));
            }
            if self.poll_write_out(context) == Poll::Ready(false) {
                return Poll::Ready(Event::Closed);
            }
            if self.stalled && self.unsent() < UNREAD_MAX / 2 {
                return Poll::Ready(Event::Room);
            }
            if self.stalled || (self.waits && self.buffer.len() >= AHEAD_MAX) {
                return Poll::Pending;
            }
            std::task::ready!(self.turn.poll_turn(context));
            std::task::ready!(self.poll_read())
                .map_or(Poll::Ready(Event::Closed), |_| Poll::Ready(Event::Read))
        })
        .await
    }

    /// Reads what there is; nothing if the other side is gone. Room grows with what came, not with what may come: it
    /// counts against the client.
    fn poll_read(&mut self) -> Poll<Option<()>> {
        let wanted = self.parser.bytes_wanted(self.buffer.len());
        if wanted > READ_BYTES {
            self.buffer.reserve_exact(wanted);
            self.gauges.query_capacity.store(self.buffer.capacity(), Ordering::Relaxed);
        } else if self.buffer.is_empty() {
            self.buffer.reserve(READ_BYTES);
        }
        let mut arrival = Context::from_waker(self.turn.waker());
        let stream = Pin::new(&mut self.stream);
        let spare = self.buffer.spare_capacity_mut();
        let read = if spare.len() >= READ_BYTES / 2 {
            let mut target = ReadBuf::uninit(spare);
            let done = std::task::ready!(stream.poll_read(&mut arrival, &mut target));
            let read = done.map_or(0, |()| target.filled().len());
            advance(&mut self.buffer, read);
            read
        } else {
            let mut aside = [MaybeUninit::uninit(); READ_BYTES];
            let mut target = ReadBuf::uninit(&mut aside);
            let done = std::task::ready!(stream.poll_read(&mut arrival, &mut target));
            let read = done.map_or(0, |()| target.filled().len());
            self.buffer.extend_from_slice(&target.filled()[..read]);
            read
        };
        if read == 0 {
            return Poll::Ready(None);
        }
        self.shared.traffic.input.fetch_add(read as u64, Ordering::Relaxed);
        self.shared.traffic.reads.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(()))
    }

    async fn take_mail(&mut self, mail: Mail) -> bool {
        if self.out.is_empty() {
            // Messages of others have room of their own, which goes with them.
            self.kept = std::mem::replace(&mut self.out, mail.bytes);
        } else {
            self.out.extend_from_slice(&mail.bytes);
        }
        if mail.resumed {
            self.waits = false;
        }
        if !self.send(mail.offset).await {
            return false;
        }
        if mail.close {
            return self.part().await;
        }
        // What came in while the client waited.
        !mail.resumed || self.buffer.is_empty() || self.work().await
    }

    /// Executes what is in the buffer and sends the replies; false if the connection ends.
    async fn work(&mut self) -> bool {
        self.stalled = false;
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
            if !self.send(executed.offset).await {
                return false;
            }
            if executed.close {
                return self.part().await;
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
                _ if self.unsent() >= UNREAD_MAX => {
                    self.stalled = true;
                    break;
                }
                _ if unfinished => {}
                _ if whole < pbj_store::limits::BATCH_REQUESTS_MAX => break,
                _ => {}
            }
        }
        self.note_buffer(self.parser.begun());
        self.look_at_memory();
        self.buffer.len() <= self.shared.query_max.load(Ordering::Relaxed)
    }

    /// A big request that is not whole takes memory too, and nobody else may come to look.
    fn look_at_memory(&mut self) {
        if self.buffer.len() < self.noted {
            self.noted = self.buffer.len();
        } else if self.buffer.len() >= self.noted + NOTABLE_BYTES {
            self.noted = self.buffer.len();
            self.shared.with_engine(Engine::look_at_clients);
        }
    }

    /// Says how much is in the buffer: so many bytes of it are arguments of a request that is not whole yet.
    fn note_buffer(&self, arguments: usize) {
        self.gauges.query.store(self.buffer.len() - arguments, Ordering::Relaxed);
        self.gauges.arguments.store(arguments, Ordering::Relaxed);
        self.gauges.query_capacity.store(self.buffer.capacity(), Ordering::Relaxed);
    }

    pub(crate) fn execute(&mut self) -> Executed {
        if self.batch.is_empty() {
            return Executed::default();
        }
        self.note_buffer(0);
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

    /// Bytes that wait to be sent.
    fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what is in `out` as far as the client takes it, once the log has come to `offset`; false if the
    /// connection ends.
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
        // Whoever gets more than its limit gets nothing of it.
        let unsent = self.unsent();
        if unsent > self.shared.least_limit.load(Ordering::Relaxed) && self.is_too_much(unsent) {
            tracing::warn!(bytes = self.unsent(), "a client gets more than its limit and is cut off");
            return false;
        }
        std::future::poll_fn(|context| {
            let written = self.poll_write_out(context);
            // Strangers are not waited for.
            Poll::Ready(
                matches!(written, Poll::Ready(true)) || (written.is_pending() && self.limits.authenticated),
            )
        })
        .await
    }

    /// Sends all that is left, and ends.
    async fn part(&mut self) -> bool {
        std::future::poll_fn(|context| {
            let written = self.poll_write_out(context);
            if written.is_pending() && self.mailbox.is_cut(context.waker()) {
                Poll::Ready(false)
            } else {
                written
            }
        })
        .await;
        false
    }

    /// Writes what it can of `out`: whether the connection goes on when all is written.
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.out.is_empty() {
            return Poll::Ready(true);
        }
        while self.sent < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.out[self.sent..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.shared.traffic.output.fetch_add(count as u64, Ordering::Relaxed);
                    self.shared.traffic.writes.fetch_add(1, Ordering::Relaxed);
                }
                Poll::Pending => {
                    if self.sent > self.out.len() / 2 {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    self.note_output();
                    return if self.is_beyond_limit(context) { Poll::Ready(false) } else { Poll::Pending };
                }
            }
        }
        self.sent = 0;
        self.out.clear();
        if self.kept.capacity() > 0 {
            self.out = std::mem::take(&mut self.kept);
        } else if self.out.capacity() > REPLY_KEEP_BYTES {
            self.out = Vec::with_capacity(REPLY_KEEP_BYTES);
        }
        self.patience = None;
        self.note_output();
        Poll::Ready(true)
    }

    fn note_output(&self) {
        self.gauges.output.store(self.unsent(), Ordering::Relaxed);
        self.gauges.output_capacity.store(self.out.capacity(), Ordering::Relaxed);
    }

    fn is_too_much(&self, waiting: usize) -> bool {
        let limit = self.limit();
        limit.hard > 0 && waiting > limit.hard
    }

    fn limit(&self) -> OutputLimit {
        self.mailbox.limit().unwrap_or_else(|| self.shared.limits.lock().normal)
    }

    /// Whether the client has not read for so long, or so much, that it is not waited for any longer.
    fn is_beyond_limit(&mut self, context: &mut Context<'_>) -> bool {
        let (limit, waiting) = (self.limit(), self.gauges.output());
        if limit.hard > 0 && waiting > limit.hard {
            return true;
        }
        if limit.soft == 0 || waiting <= limit.soft {
            self.patience = None;
            return false;
        }
        let time = Duration::from_millis(limit.soft_ms);
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        let over = patience.as_mut().poll(context).is_ready();
        if over {
            tracing::warn!(waiting, "a client does not read its replies and is cut off");
        }
        over
    }

    async fn refuse(&mut self, fault: ProtocolFault) -> bool {
        if let Some(text) = fault.text() {
            Reply::new(&mut self.out, Protocol::V2).error(&text);
        } else {
            tracing::warn!(
                "possible cross-protocol attack: a client sends POST or Host: and is disconnected without an answer"
            );
        }
        self.send(0).await && self.part().await
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
