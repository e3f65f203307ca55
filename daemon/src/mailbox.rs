//! What others send to a connection, between its own requests.
//!
//! Law: what is in a mailbox goes out before the replies to requests that are executed later, and after those executed
//! earlier. A client that does not read is cut off at the limit of its class; it never costs more memory than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use pbj_store::config::OutputLimit;
use pbj_store::engine::ConnectionGauges;

/// The limits of all classes of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that only get replies.
    pub normal: OutputLimit,
    /// Those who get everything: replicas and monitors.
    pub replica: OutputLimit,
    /// Listeners.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// The most bytes that may wait for any client, whatever its class.
    pub fn least(&self) -> usize {
        let hard = [self.normal, self.replica, self.pubsub].map(|limit| limit.hard);
        hard.into_iter().filter(|&hard| hard > 0).min().unwrap_or(usize::MAX)
    }

    /// The limit of a class by name.
    pub fn of(&self, class: &str) -> OutputLimit {
        match class {
            "pubsub" => self.pubsub,
            "replica" => self.replica,
            _ => self.normal,
        }
    }
}

/// The mailbox of one connection.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// There is nothing in it. Most requests find it so, and go by without the lock.
    empty: AtomicBool,
    /// The task that looked last will be woken when something comes.
    watched: AtomicBool,
    gauges: Arc<ConnectionGauges>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    /// The offset of the log that the bytes depend on.
    offset: u64,
    /// The client waits no longer.
    resumed: bool,
    close: bool,
    /// Nobody waits for the client to read what was sent.
    cut: bool,
    limit: Option<OutputLimit>,
    above_soft_since: Option<u64>,
    waker: Option<Waker>,
}

/// What a mailbox held.
#[derive(Debug, Default)]
pub struct Mail {
    /// Bytes to send.
    pub bytes: Vec<u8>,
    /// The offset of the log that they depend on.
    pub offset: u64,
    /// The client waits no longer: its further requests may be executed.
    pub resumed: bool,
    /// The connection is to be closed after the bytes.
    pub close: bool,
}

impl Mailbox {
    /// The mailbox of a connection with these gauges.
    pub fn new(gauges: Arc<ConnectionGauges>) -> Self {
        Self { gauges, ..Self::default() }
    }

    /// A reply to a client that waited.
    pub fn reply(&self, bytes: &[u8], offset: u64) {
        let mut inner = self.inner.lock();
        inner.bytes.extend_from_slice(bytes);
        inner.offset = inner.offset.max(offset);
        inner.resumed = true;
        self.gauges.mail.store(inner.bytes.len(), Ordering::Relaxed);
        self.wake(&mut inner);
    }

    /// A message. A client that has too many of them unread is closed instead.
    pub fn push(&self, bytes: &[u8], limit: OutputLimit, mono_ms: u64) {
        let mut inner = self.inner.lock();
        if inner.close {
            return;
        }
        inner.bytes.extend_from_slice(bytes);
        inner.limit = Some(limit);
        self.gauges.mail.store(inner.bytes.len(), Ordering::Relaxed);
        let len = self.gauges.output();
        let above_soft = limit.soft > 0 && len > limit.soft;
        let since = if above_soft { *inner.above_soft_since.get_or_insert(mono_ms) } else { mono_ms };
        if !above_soft {
            inner.above_soft_since = None;
        }
        if (limit.hard > 0 && len > limit.hard) || (above_soft && mono_ms - since >= limit.soft_ms) {
            tracing::warn!(bytes = len, "a client does not read its messages and is cut off");
            inner.bytes = Vec::new();
            inner.close = true;
            inner.cut = true;
        }
        self.wake(&mut inner);
    }

    /// Closes the connection after what was sent.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.close = true;
        self.wake(&mut inner);
    }

    /// Closes the connection, whether or not the client reads what was sent.
    pub fn cut(&self) {
        let mut inner = self.inner.lock();
        inner.close = true;
        inner.cut = true;
        self.wake(&mut inner);
    }

    /// Whether the connection is to end although something is not sent yet; if not, remembers whom to wake.
    pub fn is_cut(&self, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        inner.waker = Some(waker.clone());
        self.watched.store(false, Ordering::Release);
        inner.cut
    }

    /// Something is in it now. In this order: who misses the mail is still to be woken.
    fn wake(&self, inner: &mut Inner) {
        self.empty.store(false, Ordering::Release);
        self.watched.store(false, Ordering::Release);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// The limit of the class that the last message came under.
    pub fn limit(&self) -> Option<OutputLimit> {
        self.inner.lock().limit
    }

    /// Whether nothing is in it, and the task that looked last will be woken when that changes: it need not look again.
    pub fn rests(&self) -> bool {
        // Mail that comes right after this look finds the waker.
        self.watched.load(Ordering::Acquire) && self.empty.load(Ordering::Acquire)
    }

    /// Takes what there is. Without mail, remembers whom to wake.
    pub fn take(&self, waker: Option<&Waker>) -> Option<Mail> {
        if waker.is_none() && self.empty.load(Ordering::Acquire) {
            return None;
        }
        let mut inner = self.inner.lock();
        if inner.bytes.is_empty() && !inner.resumed && !inner.close {
            if let Some(waker) = waker
                && !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker))
            {
                inner.waker = Some(waker.clone());
            }
            self.watched.store(inner.waker.is_some(), Ordering::Release);
            self.empty.store(true, Ordering::Release);
            return None;
        }
        // What is taken is not read yet: whoever sends it counts it from here on.
        if self.gauges.output.load(Ordering::Relaxed) == 0 {
            inner.above_soft_since = None;
        }
        self.gauges.mail.store(0, Ordering::Relaxed);
        Some(Mail {
            bytes: std::mem::take(&mut inner.bytes),
            offset: inner.offset,
            resumed: std::mem::take(&mut inner.resumed),
            close: inner.close,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: OutputLimit = OutputLimit { hard: 100, soft: 10, soft_ms: 1000 };

    #[test]
    fn mail_comes_in_order_and_once() {
        let mailbox = Mailbox::default();
        assert!(mailbox.take(None).is_none());
        mailbox.push(b"a", OutputLimit::default(), 0);
        mailbox.reply(b"b", 7);
        let mail = mailbox.take(None).unwrap();
        assert_eq!((&mail.bytes[..], mail.offset, mail.resumed, mail.close), (&b"ab"[..], 7, true, false));
        assert!(mailbox.take(None).is_none());
    }

    #[test]
    fn a_mailbox_rests_until_something_comes() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.rests(), "nobody has looked yet");
        assert!(mailbox.take(Some(Waker::noop())).is_none() && mailbox.rests());
        for stir in
            [|mailbox: &Mailbox| mailbox.reply(b"a", 1), |mailbox: &Mailbox| mailbox.push(b"b", LIMIT, 0)]
        {
            stir(&mailbox);
            assert!(!mailbox.rests() && mailbox.take(Some(Waker::noop())).is_some());
            assert!(!mailbox.rests(), "nobody is to be woken");
            assert!(mailbox.take(Some(Waker::noop())).is_none() && mailbox.rests());
        }
        mailbox.close();
        assert!(!mailbox.rests() && mailbox.take(None).is_some_and(|mail| mail.close));
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_off() {
        let hard = Mailbox::default();
        hard.push(&[0; 101], LIMIT, 0);
        assert!(hard.take(None).unwrap().close);
        let soft = Mailbox::default();
        soft.push(&[0; 20], LIMIT, 0);
        soft.push(&[0; 1], LIMIT, 900);
        assert!(!soft.inner.lock().close);
        soft.push(&[0; 1], LIMIT, 1000);
        assert!(soft.take(None).unwrap().close);
    }

    #[test]
    fn reading_forgives() {
        let mailbox = Mailbox::default();
        mailbox.push(&[0; 20], LIMIT, 0);
        assert!(!mailbox.take(None).unwrap().close);
        mailbox.push(&[0; 20], LIMIT, 5000);
        assert!(!mailbox.take(None).unwrap().close);
    }
}
