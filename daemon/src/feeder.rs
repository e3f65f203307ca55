//! The connection of one who follows: bytes of the stream out, confirmations in.
//!
//! Law: what is sent is the engine's business ([`pbj_store::engine::Engine::feed_replica`]); here it only moves. While
//! a write waits for the other side, what that side says is heard all the same.

use std::task::{Context, Poll};

use pbj_store::engine::Feeding;

use crate::connection::{Connection, Event};

/// Bytes that may wait to be understood. Nothing that a replica says is longer.
const WAITING_MAX: usize = 64 * 1024;

/// Why a write paused.
enum Paused {
    /// Everything is written.
    Done,
    /// The other side said something.
    Heard,
    /// The connection is over.
    Over,
}

impl Connection {
    /// Feeds the client until one side ends the connection.
    pub(crate) async fn feed(mut self) {
        // Replies that it has not read yet come before the stream.
        let replies = self.out.split_off(self.sent);
        (self.out, self.sent) = (Vec::new(), 0);
        if !self.send_on(&replies).await || !self.hear() {
            return;
        }
        loop {
            let told = self.shared.clone();
            let mut told = std::pin::pin!(told.fed.notified());
            // What comes between the look and the wait must not be missed.
            told.as_mut().enable();
            let Some(bytes) = self.next_bytes() else { return };
            if !bytes.is_empty() {
                if !self.send_on(&bytes).await {
                    return;
                }
                continue;
            }
            let go_on = tokio::select! {
                () = told => true,
                event = self.next_event() => match event {
                    Event::Closed => false,
                    Event::Read => self.hear(),
                    Event::Mail(mail) => !mail.close,
                    Event::Room => true,
                },
            };
            if !go_on {
                return;
            }
        }
    }

    /// What is to be sent next; `None` if the client does not follow any more.
    fn next_bytes(&self) -> Option<Vec<u8>> {
        let client = self.client;
        let (feeding, bytes) = self.shared.with_engine(move |engine| {
            let mut bytes = Vec::new();
            (engine.feed_replica(client, &mut bytes), bytes)
        });
        if feeding == Feeding::Hungry {
            self.shared.timer.notify_one();
        }
        (feeding != Feeding::Over).then_some(bytes)
    }

    /// Sends bytes; false if the connection ends.
    async fn send_on(&mut self, bytes: &[u8]) -> bool {
        let mut sent = 0;
        loop {
            let paused = std::future::poll_fn(|context| self.poll_send(context, bytes, &mut sent)).await;
            match paused {
                Paused::Done => break,
                Paused::Heard if self.hear() => {}
                Paused::Heard | Paused::Over => return false,
            }
        }
        self.shared.traffic.output.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        true
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<Paused> {
        while *sent < bytes.len() {
            match self.stream.poll_write(&bytes[*sent..]) {
                Poll::Ready(0) => return Poll::Ready(Paused::Over),
                Poll::Ready(count) => *sent += count,
                Poll::Pending => {
                    if self.mailbox.is_cut(context.waker()) {
                        return Poll::Ready(Paused::Over);
                    }
                    return match self.poll_read() {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(0) => Poll::Ready(Paused::Over),
                        Poll::Ready(_) => Poll::Ready(Paused::Heard),
                    };
                }
            }
        }
        Poll::Ready(Paused::Done)
    }

    /// Takes what the client said; false if it makes no sense.
    fn hear(&mut self) -> bool {
        let (client, now) = (self.client, self.shared.clock.now());
        self.shared.with_engine(move |engine| engine.replica_speaks(now, client));
        loop {
            let parsed = self.parser.parse(&self.buffer, self.limits, &mut self.batch);
            if self.batch.is_empty() {
                self.return_room();
                return parsed.is_ok() && self.buffer.len() < WAITING_MAX;
            }
            let whole = self.batch.len();
            let executed = self.execute();
            self.consume(executed.requests, whole);
            if !self.out.is_empty() {
                let reply = self.out.to_vec();
                self.shared.with_engine(move |engine| engine.note_reply_to_replica(client, &reply));
            }
            // A reply would be taken for a part of the stream.
            if parsed.is_err() || executed.close || executed.waits || !self.out.is_empty() {
                return false;
            }
        }
    }
}
