//! The loop of an I/O thread: whoever has something to do is run, in the order in which it came about.
//!
//! Connections need little of a runtime: the kernel's word that bytes are there, wakers, and a timer now and then. They
//! need it at every request, and one request alone takes a sixth fewer instructions here than as a task of a runtime
//! that can do more.
//!
//! Law:
//! - One task runs at a time, and none leaves its loop.
//! - A client that sends over one connection and then over another is executed in that order: programs (test suites
//!   above all) rely on it. The kernel reports arrivals in their order, and they are run in it. Those whom they wake
//!   come next, in the order in which they were woken.
//! - Frames go to the log after all who are ready had their turn, so that one write serves them all.
//! - A loop can go on with a fresh thread, while the old one is busy with one task ([`hand_over`]). That task comes
//!   back when its poll ends.
//!
//! Not here: tasks that others may run, I/O other than that of connections.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use mio::{Events, Registry, Token};
use parking_lot::Mutex;
use pbj_store::engine::Peer;
use slab::Slab;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::connection::Connection;
use crate::shared::Shared;
use crate::stream::{Readiness, Stream};

/// How long clients may take to read their last replies, in milliseconds.
const PARTING_MS: u64 = 5000;
/// How soon frames are handed to the log again that could not be, because a script holds the engine, in milliseconds.
const FLUSH_RETRY_MS: u64 = 10;
/// How long a fresh thread may take to come up. Without one, connections of the thread wait for the script.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);
/// The stack of a thread. Scripts nest calls of C, and what they return is written by us.
const STACK_BYTES: usize = 8 << 20;
/// Events that the kernel tells at once.
const EVENTS_AT_ONCE: usize = 1024;
/// How often those who were woken run before the kernel is asked again.
const ROUNDS_MAX: usize = 4;

const BELL: Token = Token(usize::MAX);
/// The place of the loop itself among those who are woken.
const MYSELF: usize = usize::MAX;

/// What a connection is while it is served.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// The loop whose task runs on this thread.
    static CURRENT: Cell<Option<Box<IoLoop>>> = const { Cell::new(None) };
}

/// What others have for a loop.
#[derive(Default)]
struct Letters {
    incoming: Vec<(OwnedFd, Peer)>,
    /// Places of tasks that are to run.
    woken: Vec<usize>,
    timers: Vec<(u64, Waker)>,
    /// Tasks that ran while the loop went on without them; nothing if they ended.
    returned: Vec<(usize, Option<Body>)>,
    beats: u64,
    ends: bool,
}

/// The way to a loop.
pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    /// There are letters.
    filled: AtomicBool,
    /// The thread sleeps or is about to: whoever brings a letter rings.
    sleeps: AtomicBool,
    bell: mio::Waker,
    flush: AtomicBool,
    /// Signs of life that were asked for and given.
    pub(crate) beats: AtomicU64,
}

impl Inbox {
    fn put(&self, write: impl FnOnce(&mut Letters)) {
        {
            let mut letters = self.letters.lock();
            write(&mut letters);
            self.filled.store(true, Ordering::SeqCst);
        }
        if self.sleeps.swap(false, Ordering::SeqCst)
            && let Err(error) = self.bell.wake()
        {
            // Only a kernel without memory says so.
            tracing::error!(%error, "an I/O thread cannot be woken");
        }
    }

    /// Brings a connection.
    pub(crate) fn adopt(&self, stream: OwnedFd, peer: Peer) {
        self.put(|letters| letters.incoming.push((stream, peer)));
    }

    /// Asks for a sign of life.
    pub(crate) fn ask_for_beat(&self) {
        self.put(|letters| letters.beats += 1);
    }

    /// No connection will come any more: the loop ends with its last one.
    pub(crate) fn end(&self) {
        self.put(|letters| letters.ends = true);
    }

    /// Asks for frames to be handed to the log, once all who are ready had their turn. For tasks of the loop only.
    pub(crate) fn request_flush(&self) {
        self.flush.store(true, Ordering::Relaxed);
    }

    /// Has somebody woken at a time in monotonic milliseconds.
    pub(crate) fn wake_at(&self, mono_ms: u64, waker: Waker) {
        self.put(|letters| letters.timers.push((mono_ms, waker)));
    }
}

/// Wakes the task at a place.
struct TaskWake {
    place: usize,
    /// The task is woken already, and did not run since.
    woken: AtomicBool,
    inbox: Arc<Inbox>,
}

impl TaskWake {
    fn new(place: usize, inbox: &Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { place, woken: AtomicBool::new(false), inbox: Arc::clone(inbox) })
    }
}

impl Wake for TaskWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.inbox.put(|letters| letters.woken.push(self.place));
        }
    }
}

/// A task and what wakes it.
struct Body {
    task: Task,
    wake: Arc<TaskWake>,
    waker: Waker,
}

/// A place for a task.
struct Place {
    /// Absent while it runs.
    body: Option<Body>,
    readiness: Arc<Readiness>,
}

/// The loop of one thread.
pub(crate) struct IoLoop {
    number: usize,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    poll: mio::Poll,
    registry: Arc<Registry>,
    events: Events,
    places: Slab<Place>,
    /// Places of those who have something to do, and how many of these had their turn.
    ready: Vec<usize>,
    served: usize,
    timers: BTreeMap<(u64, u64), Waker>,
    timers_set: u64,
    /// When frames are handed to the log again that could not be.
    flush_at_ms: Option<u64>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When those who do not read their last replies are left.
    parts_at_ms: Option<u64>,
    ends: bool,
    /// Dropped with the loop, which tells those who wait for its end.
    _alive: mpsc::Sender<()>,
}

impl IoLoop {
    /// Starts a loop on a thread of its own; the receiver says when it has ended.
    ///
    /// # Errors
    /// The kernel has no thread or no place for events.
    pub(crate) fn start(number: usize, shared: Arc<Shared>) -> io::Result<(Arc<Inbox>, mpsc::Receiver<()>)> {
        let poll = mio::Poll::new()?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let inbox = Arc::new(Inbox {
            letters: Mutex::default(),
            filled: AtomicBool::new(false),
            sleeps: AtomicBool::new(false),
            bell: mio::Waker::new(poll.registry(), BELL)?,
            flush: AtomicBool::new(false),
            beats: AtomicU64::new(0),
        });
        let (alive, ended) = mpsc::channel();
        let stop = Box::pin(shared.stop.clone().cancelled_owned());
        let mut this = Box::new(Self {
            number,
            shared,
            inbox: Arc::clone(&inbox),
            poll,
            registry,
            events: Events::with_capacity(EVENTS_AT_ONCE),
            places: Slab::new(),
            ready: Vec::new(),
            served: 0,
            timers: BTreeMap::new(),
            timers_set: 0,
            flush_at_ms: None,
            stop,
            parts_at_ms: None,
            ends: false,
            _alive: alive,
        });
        this.look_whether_to_stop();
        thread(number).spawn(move || this.run())?;
        Ok((inbox, ended))
    }

    fn run(mut self: Box<Self>) {
        while let Some(this) = self.take_turns()
            && !this.is_over()
        {
            self = this;
            self.wait();
        }
    }

    /// All who have something to do have their turn, those whom they wake as well, and then the log; nothing if the
    /// loop has gone on with another thread meanwhile.
    fn take_turns(mut self: Box<Self>) -> Option<Box<Self>> {
        self = self.run_all()?;
        for _ in 1..ROUNDS_MAX {
            if !self.inbox.filled.load(Ordering::Acquire) {
                break;
            }
            self = self.run_all()?;
        }
        if self.flush_if_asked() {
            // Most of those who waited for the log may go on now.
            self = self.run_all()?;
        }
        Some(self)
    }

    /// Runs all who have something to do; nothing if the loop has gone on with another thread meanwhile.
    fn run_all(mut self: Box<Self>) -> Option<Box<Self>> {
        self.open_letters();
        while let Some(&place) = self.ready.get(self.served) {
            self.served += 1;
            self = self.run_task(place)?;
        }
        self.ready.clear();
        self.served = 0;
        Some(self)
    }

    /// Runs a task; nothing if the loop has gone on with another thread meanwhile.
    fn run_task(mut self: Box<Self>, place: usize) -> Option<Box<Self>> {
        // One that is on its way back, or over.
        let Some(mut body) = self.places.get_mut(place).and_then(|place| place.body.take()) else {
            return Some(self);
        };
        body.wake.woken.store(false, Ordering::Release);
        CURRENT.set(Some(self));
        let is_over = body.task.as_mut().poll(&mut Context::from_waker(&body.waker)).is_ready();
        let Some(mut this) = CURRENT.take() else {
            let inbox = Arc::clone(&body.wake.inbox);
            let body = (!is_over).then_some(body);
            inbox.put(|letters| letters.returned.push((place, body)));
            return None;
        };
        if is_over {
            drop(body);
            this.places.remove(place);
        } else if let Some(place) = this.places.get_mut(place) {
            place.body = Some(body);
        }
        Some(this)
    }

    fn open_letters(&mut self) {
        if !self.inbox.filled.load(Ordering::Acquire) {
            return;
        }
        let letters = {
            let mut letters = self.inbox.letters.lock();
            self.inbox.filled.store(false, Ordering::Relaxed);
            std::mem::take(&mut *letters)
        };
        self.inbox.beats.fetch_add(letters.beats, Ordering::Relaxed);
        self.ends |= letters.ends;
        for (at, waker) in letters.timers {
            self.timers_set += 1;
            self.timers.insert((at, self.timers_set), waker);
        }
        for (place, body) in letters.returned {
            match body {
                None => drop(self.places.try_remove(place)),
                Some(body) => {
                    if let Some(place) = self.places.get_mut(place) {
                        // What it took for empty may have been filled meanwhile.
                        place.readiness.may_be_ready();
                        place.body = Some(body);
                    }
                    self.ready.push(place);
                }
            }
        }
        for place in letters.woken {
            if place == MYSELF {
                self.look_whether_to_stop();
            } else {
                self.ready.push(place);
            }
        }
        for (stream, peer) in letters.incoming {
            if let Err(error) = self.welcome(stream, peer) {
                tracing::debug!(%error, "a connection was lost on its way");
            }
        }
    }

    /// Makes a task of a connection.
    fn welcome(&mut self, stream: OwnedFd, peer: Peer) -> io::Result<()> {
        if self.parts_at_ms.is_some() {
            return Ok(());
        }
        let entry = self.places.vacant_entry();
        let place = entry.key();
        let readiness = Arc::new(Readiness::register(&stream, &self.registry, Token(place))?);
        let stream = Stream::new(stream, Arc::clone(&readiness));
        let connection = Connection::new(stream, peer, Arc::clone(&self.shared), Arc::clone(&self.inbox));
        let wake = TaskWake::new(place, &self.inbox);
        let body = Body { task: Box::pin(connection.serve()), waker: Waker::from(Arc::clone(&wake)), wake };
        entry.insert(Place { body: Some(body), readiness });
        self.ready.push(place);
        Ok(())
    }

    /// The daemon ends: those who are connected end with the reply they are at, and get it once it is safe.
    fn look_whether_to_stop(&mut self) {
        let waker = Waker::from(TaskWake::new(MYSELF, &self.inbox));
        if self.parts_at_ms.is_none() && self.stop.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            self.parts_at_ms = Some(self.now_ms() + PARTING_MS);
        }
    }

    /// Hands frames to the log, if somebody asked for it; says whether that was so.
    fn flush_if_asked(&mut self) -> bool {
        let is_due = || self.flush_at_ms.is_some_and(|at| self.now_ms() >= at);
        if !self.inbox.flush.load(Ordering::Relaxed) && !is_due() {
            return false;
        }
        self.inbox.flush.store(false, Ordering::Relaxed);
        let is_done = self.shared.flush();
        self.flush_at_ms = (!is_done).then(|| self.now_ms() + FLUSH_RETRY_MS);
        true
    }

    fn is_over(&self) -> bool {
        if !self.ends && self.parts_at_ms.is_none() {
            return false;
        }
        let is_late = self.parts_at_ms.is_some_and(|at| self.now_ms() >= at);
        if is_late && !self.places.is_empty() {
            tracing::warn!(connections = self.places.len(), "clients do not read their replies and are left");
        }
        is_late || self.places.is_empty()
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let first = self.timers.first_key_value().map(|((at, _), _)| *at);
        let until = [first, self.flush_at_ms, self.parts_at_ms].into_iter().flatten().min();
        let mut timeout = until.map(|at| Duration::from_millis(at.saturating_sub(self.now_ms())));
        // In this order: whoever comes after the look rings.
        self.inbox.sleeps.store(true, Ordering::SeqCst);
        if self.inbox.filled.load(Ordering::SeqCst) || self.inbox.flush.load(Ordering::Relaxed) {
            timeout = Some(Duration::ZERO);
        }
        let polled = self.poll.poll(&mut self.events, timeout);
        self.inbox.sleeps.store(false, Ordering::Relaxed);
        match polled {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                tracing::error!(%error, "an I/O thread hears nothing of its connections");
                // Without this the error would be met again at once.
                std::thread::sleep(Duration::from_millis(FLUSH_RETRY_MS));
                return;
            }
        }
        for event in &self.events {
            let place = event.token().0;
            if let Some(found) = self.places.get(place) {
                found.readiness.tell(event);
                self.ready.push(place);
            }
        }
        if until.is_some() {
            self.wake_who_is_due();
        }
    }

    fn wake_who_is_due(&mut self) {
        let now = self.now_ms();
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now().mono_ms
    }
}

fn thread(number: usize) -> std::thread::Builder {
    std::thread::Builder::new().name(format!("io-{number}")).stack_size(STACK_BYTES)
}

/// Lets a fresh thread take over the loop whose task runs on this one, so that its other tasks go on while this thread
/// is busy.
pub(crate) fn hand_over() {
    let Some(this) = CURRENT.take() else { return };
    let (sender, receiver) = mpsc::sync_channel::<Box<IoLoop>>(1);
    let (came_up, is_up) = mpsc::sync_channel(1);
    let spawned = thread(this.number).spawn(move || {
        if came_up.send(()).is_ok()
            && let Ok(this) = receiver.recv()
        {
            this.run();
        }
    });
    if spawned.is_err() || is_up.recv_timeout(HAND_OVER_MAX).is_err() {
        tracing::warn!("no thread takes over: connections beside the slow script wait for its end");
        CURRENT.set(Some(this));
    } else if let Err(mpsc::SendError(this)) = sender.send(this) {
        CURRENT.set(Some(this));
    }
}
