//! One connection: bytes in, batches to the engine, replies out when the log allows.
//!
//! Law: requests of a connection are executed in order, and their replies leave in that order. While replies wait for
//! the log, nothing more is executed. Replies that the client does not read pile up, as in Redis, so that a client may
//! send all its requests before it reads: until the limit of its class, at which it is cut off, or the bound below, at
//! which nothing more is read from it. While the client waits for a key, its further requests stay in the buffer.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use pbj_store::config::OutputLimit;
use pbj_store::engine::{ClientId, ConnectionGauges, Engine, Executed, Peer, Requests};
use pbj_store::resp::reply::{Protocol, Reply};
use pbj_store::resp::request::{Batch, Parser, ProtocolFault, RequestLimits};

use crate::io_loop::Inbox;
use crate::mailbox::{Mail, Mailbox};
use crate::room::{self, ROOM_BYTES};
use crate::shared::{Connected, Shared};
use crate::stream::Stream;

/// How often one client is read from before the others have their turn.
const READS_IN_A_ROW: u32 = 16;
/// Bytes a waiting client may send ahead.
const AHEAD_MAX: usize = 1 << 20;
/// Bytes of replies that may pile up before nothing more is executed for a client that does not read them.
const UNREAD_MAX: usize = 64 << 20;
/// Bytes of an unfinished request that are worth a look at the memory of all clients.
const NOTABLE_BYTES: usize = 64 * 1024;

/// A client and its stream.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) shared: Arc<Shared>,
    /// The way to the loop that it is a task of.
    io: Arc<Inbox>,
    pub(crate) client: ClientId,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) gauges: Arc<ConnectionGauges>,
    pub(crate) limits: RequestLimits,
    /// What was read and not executed.
    pub(crate) buffer: Vec<u8>,
    /// The room of the buffer is lent by the thread.
    borrows: bool,
    /// Reads since it last waited for one.
    reads_in_a_row: u32,
    pub(crate) parser: Parser,
    pub(crate) batch: Batch,
    /// Replies, those included that are sent already.
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are sent.
    pub(crate) sent: usize,
    /// When it is cut off, in monotonic milliseconds, unless less is waiting by then than the soft limit allows.
    patience_ends_ms: Option<u64>,
    /// When the loop wakes it for that, in monotonic milliseconds: one timer at a time, however often patience begins.
    wakes_at_ms: u64,
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

impl Connection {
    /// Registers a stream as a client.
    pub(crate) fn new(stream: Stream, peer: Peer, shared: Arc<Shared>, io: Arc<Inbox>) -> Self {
        let gauges = Arc::clone(&peer.gauges);
        let Connected { client, mailbox, bulk_max, authenticated } = shared.connect(peer);
        Self {
            stream,
            shared,
            io,
            client,
            mailbox,
            gauges,
            limits: RequestLimits { bulk_max: bulk_max as i64, authenticated },
            buffer: Vec::new(),
            borrows: false,
            reads_in_a_row: 0,
            parser: Parser::default(),
            batch: Batch::default(),
            out: Vec::new(),
            sent: 0,
            patience_ends_ms: None,
            wakes_at_ms: 0,
            waits: false,
            follows: false,
            stalled: false,
            noted: 0,
        }
    }

    /// Serves the client until one side ends the connection.
    pub(crate) async fn serve(mut self) {
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
            if self.reads_in_a_row == READS_IN_A_ROW {
                self.reads_in_a_row = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_read() {
                Poll::Ready(0) => Poll::Ready(Event::Closed),
                Poll::Ready(_) => {
                    self.reads_in_a_row += 1;
                    Poll::Ready(Event::Read)
                }
                Poll::Pending => {
                    self.reads_in_a_row = 0;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Reads what there is; no bytes if the other side is gone. Room grows with what came, not with what may come: it
    /// counts against the client.
    pub(crate) fn poll_read(&mut self) -> Poll<usize> {
        let wanted = self.parser.bytes_wanted(self.buffer.len());
        if wanted > ROOM_BYTES {
            self.buffer.reserve_exact(wanted);
            self.gauges.query_capacity.store(self.buffer.capacity(), Ordering::Relaxed);
        }
        let read = if self.buffer.is_empty() && wanted <= ROOM_BYTES {
            let mut room = room::lend(&room::REQUESTS);
            let read = self.stream.poll_read(room.spare_capacity_mut());
            let Poll::Ready(read @ 1..) = read else {
                room::give_back(&room::REQUESTS, room);
                return read;
            };
            advance(&mut room, read);
            self.buffer = room;
            self.borrows = true;
            read
        } else if self.buffer.spare_capacity_mut().len() >= ROOM_BYTES / 2 {
            let read = std::task::ready!(self.stream.poll_read(self.buffer.spare_capacity_mut()));
            advance(&mut self.buffer, read);
            read
        } else {
            let mut aside = [MaybeUninit::uninit(); ROOM_BYTES];
            let read = std::task::ready!(self.stream.poll_read(&mut aside));
            append(&mut self.buffer, &aside[..read]);
            read
        };
        self.shared.traffic.input.fetch_add(read as u64, Ordering::Relaxed);
        self.shared.traffic.reads.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(read)
    }

    /// Gives borrowed room back; what is not executed yet goes on in room of its own.
    pub(crate) fn return_room(&mut self) {
        if std::mem::take(&mut self.borrows) {
            let rest = self.buffer.as_slice().to_vec();
            room::give_back(&room::REQUESTS, std::mem::replace(&mut self.buffer, rest));
        }
    }

    async fn take_mail(&mut self, mail: Mail) -> bool {
        if self.out.is_empty() {
            // Messages of others have room of their own, which goes with them.
            self.out = mail.bytes;
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
        self.return_room();
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
        if self.out.capacity() == 0 {
            self.out = room::lend(&room::REPLIES);
        }
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
        self.buffer.drain(..taken);
        if self.buffer.is_empty() {
            self.borrows = false;
            room::give_back(&room::REQUESTS, std::mem::take(&mut self.buffer));
        } else {
            // Before anything is waited for.
            self.return_room();
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
            self.io.request_flush();
            if !self.shared.log.wait(offset).await {
                return false; // Never acknowledged.
            }
        } else if offset > 0 && !self.shared.log.is_open() {
            // Nothing is logged, but those who follow want it.
            self.io.request_flush();
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
        if self.out.capacity() == 0 {
            return Poll::Ready(true);
        }
        while self.sent < self.out.len() {
            match self.stream.poll_write(&self.out[self.sent..]) {
                Poll::Ready(0) => return Poll::Ready(false),
                Poll::Ready(count) => {
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
        room::give_back(&room::REPLIES, std::mem::take(&mut self.out));
        self.patience_ends_ms = None;
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
            self.patience_ends_ms = None;
            return false;
        }
        let now_ms = self.shared.clock.now().mono_ms;
        let ends_ms = *self.patience_ends_ms.get_or_insert(now_ms + limit.soft_ms);
        if now_ms >= ends_ms {
            tracing::warn!(waiting, "a client does not read its replies and is cut off");
            return true;
        }
        if !(now_ms + 1..=ends_ms).contains(&self.wakes_at_ms) {
            self.wakes_at_ms = ends_ms;
            self.io.wake_at(ends_ms, context.waker().clone());
        }
        false
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
    // SAFETY: the kernel has written these bytes behind the content.
    unsafe { buffer.set_len(buffer.len() + read) };
}

/// Appends bytes that were just read.
#[expect(unsafe_code, reason = "reading into uninitialized room saves clearing 16 KiB for every read")]
fn append(buffer: &mut Vec<u8>, read: &[MaybeUninit<u8>]) {
    // SAFETY: the kernel has written these bytes.
    buffer.extend_from_slice(unsafe { read.assume_init_ref() });
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.disconnect(self.client);
    }
}
