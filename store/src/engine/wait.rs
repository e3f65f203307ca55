//! Waiters: clients parked until a key changes or a time is over.
//!
//! Law: a waiter is woken in arrival order, and by running its whole command again. When one of a class finds nothing,
//! the others of that class are left asleep. A waiter leaves all its keys at once.
//! Not here: when keys count as changed ([`crate::txn`]), and how replies reach the client (the host's).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::output::Output;
use super::session::ClientId;
use super::{Engine, Invocation};
use crate::command::index::Callable;
use crate::command::row::TimeoutReply;
use crate::command::{Fault, Outcome, Wait, WaitClass};
use crate::hash::{ByteMap, HashKey};
use crate::limits::TIMEOUTS_PER_TICK;
use crate::resp::reply::Reply;
use crate::txn::DbKey;

/// A parked client and what it will run again.
struct Waiter {
    client: ClientId,
    db: usize,
    command: Callable,
    args: Arc<[Box<[u8]>]>,
    keys: Vec<Box<[u8]>>,
    until: Option<u64>,
    on_timeout: TimeoutReply,
    class: WaitClass,
}

/// The waiters of one class at one key, in arrival order.
type Line = (WaitClass, BTreeSet<u64>);

/// All parked clients.
pub(crate) struct Waiters {
    next: u64,
    all: BTreeMap<u64, Waiter>,
    /// By database and key: the waiters of each class, in arrival order.
    by_key: Vec<ByteMap<Vec<Line>>>,
    times: BTreeSet<(u64, u64)>,
    /// Those who wait for confirmations.
    for_acks: BTreeSet<u64>,
}

impl Waiters {
    pub(crate) fn new(databases: usize, key: HashKey) -> Self {
        Self {
            next: 1,
            all: BTreeMap::new(),
            by_key: (0..databases).map(|_| ByteMap::with_hasher(key)).collect(),
            times: BTreeSet::new(),
            for_acks: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many of them wait for a limited time.
    pub(crate) fn timed(&self) -> usize {
        self.times.len()
    }

    /// When the first of them has waited long enough, in monotonic milliseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.times.first().map(|&(until, _)| until)
    }

    fn add(&mut self, waiter: Waiter) -> u64 {
        let number = self.next;
        self.next += 1;
        for key in &waiter.keys {
            let classes = self.by_key[waiter.db].entry(key.clone()).or_default();
            match classes.iter_mut().find(|(class, _)| *class == waiter.class) {
                Some((_, waiters)) => {
                    waiters.insert(number);
                }
                None => classes.push((waiter.class, BTreeSet::from([number]))),
            }
        }
        if let Some(until) = waiter.until {
            self.times.insert((until, number));
        }
        if waiter.class == WaitClass::Acks {
            self.for_acks.insert(number);
        }
        self.all.insert(number, waiter);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.all.remove(&number)?;
        self.for_acks.remove(&number);
        for key in &waiter.keys {
            let Some(classes) = self.by_key[waiter.db].get_mut(key) else { continue };
            for (_, waiters) in classes.iter_mut() {
                waiters.remove(&number);
            }
            classes.retain(|(_, waiters)| !waiters.is_empty());
            if classes.is_empty() {
                self.by_key[waiter.db].remove(key);
            }
        }
        if let Some(until) = waiter.until {
            self.times.remove(&(until, number));
        }
        Some(waiter)
    }

    fn classes(&self, db: usize, key: &[u8]) -> Vec<WaitClass> {
        let classes = self.by_key[db].get(key);
        classes.map(|classes| classes.iter().map(|&(class, _)| class).collect()).unwrap_or_default()
    }

    /// The first waiter of a class at a key that arrived after `last`.
    fn after(&self, db: usize, key: &[u8], class: WaitClass, last: u64) -> Option<u64> {
        let classes = self.by_key[db].get(key)?;
        let (_, waiters) = classes.iter().find(|(known, _)| *known == class)?;
        waiters.range(last + 1..).next().copied()
    }
}

impl Engine {
    /// Parks a client.
    pub(super) fn park(
        &mut self,
        client: ClientId,
        db: usize,
        command: Callable,
        args: &[&[u8]],
        wait: Wait,
    ) {
        let mut keys = wait.keys;
        keys.sort();
        keys.dedup();
        for key in &keys {
            self.data.touched.want(db, key);
        }
        let args = match wait.request {
            Some(request) => request.into(),
            None => args.iter().map(|&arg| Box::from(arg)).collect(),
        };
        let Wait { until, on_timeout, class, .. } = wait;
        let number = self.waiters.add(Waiter { client, db, command, args, keys, until, on_timeout, class });
        if let Some(session) = self.sessions.get_mut(&client) {
            session.waiting = Some(number);
        }
    }

    fn unpark(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(number)?;
        for key in &waiter.keys {
            self.data.touched.unwant(waiter.db, key);
        }
        if let Some(session) = self.sessions.get_mut(&waiter.client) {
            session.waiting = None;
        }
        Some(waiter)
    }

    /// Forgets that a client waits; says whether it did.
    pub(crate) fn stop_waiting(&mut self, client: ClientId) -> bool {
        let waiting = self.sessions.get(&client).and_then(|session| session.waiting);
        waiting.and_then(|number| self.unpark(number)).is_some()
    }

    /// Ends the waiting of a client as if its time were over, or with an error; says whether it waited.
    pub(crate) fn unblock(&mut self, client: ClientId, fault: Option<&Fault>) -> bool {
        let waiting = self.sessions.get(&client).and_then(|session| session.waiting);
        let Some(waiter) = waiting.and_then(|number| self.unpark(number)) else { return false };
        match fault {
            None => self.answer_timeout(&waiter),
            Some(fault) => {
                self.after_run(waiter.command, waiter.args.len());
                self.count_error(&fault.to_string());
                self.stats.by_command[waiter.command.id as usize].failed += 1;
                self.answer(client, |reply| reply.error(&fault.to_bytes()));
            }
        }
        true
    }

    fn answer(&mut self, client: ClientId, write: impl FnOnce(&mut Reply<'_>)) {
        let Some(session) = self.sessions.get(&client) else { return };
        let mut bytes = Vec::new();
        write(&mut Reply::new(&mut bytes, session.protocol));
        self.outputs.push(Output::Reply { client, bytes });
    }

    fn answer_timeout(&mut self, waiter: &Waiter) {
        if waiter.on_timeout != TimeoutReply::Rerun {
            self.after_run(waiter.command, waiter.args.len());
        }
        match waiter.on_timeout {
            TimeoutReply::Null => self.answer(waiter.client, |reply| reply.null()),
            TimeoutReply::NullArray | TimeoutReply::NullArrayOrNull => {
                self.answer(waiter.client, |reply| reply.null_array());
            }
            TimeoutReply::Rerun => {
                self.rerun(waiter, None);
            }
        }
    }

    /// Answers those whose time is over; at most so many at once that others get their turn.
    pub(super) fn answer_timeouts(&mut self) {
        for _ in 0..TIMEOUTS_PER_TICK {
            match self.waiters.times.first() {
                Some(&(until, number)) if until <= self.now.mono_ms => {
                    if let Some(waiter) = self.unpark(number) {
                        self.answer_timeout(&waiter);
                    }
                }
                _ => return,
            }
        }
    }

    /// Runs the commands of those who wait for one of these keys, and of those who wait for what these commands touch.
    pub(super) fn serve_waiters(&mut self, touched: Vec<DbKey>) {
        let mut ready = VecDeque::from(touched);
        while let Some((db, key)) = ready.pop_front() {
            for class in self.waiters.classes(db, &key) {
                self.serve_class(db, &key, class);
                let (more, flushed) = self.data.touched.take();
                debug_assert!(flushed.is_empty(), "no waiting command flushes");
                self.spread_touched(&more, &[]);
                ready.extend(more);
            }
        }
    }

    /// Runs the commands of all who wait for confirmations again.
    pub(crate) fn serve_ack_waiters(&mut self) {
        for number in self.waiters.for_acks.iter().copied().collect::<Vec<_>>() {
            let Some(waiter) = self.waiters.all.get(&number) else { continue };
            let again = Waiter { args: Arc::clone(&waiter.args), keys: Vec::new(), ..*waiter };
            if self.rerun(&again, Some(b"")) {
                self.unpark(number);
            }
        }
    }

    fn serve_class(&mut self, db: usize, key: &[u8], class: WaitClass) {
        let mut last = 0;
        while let Some(number) = self.waiters.after(db, key, class, last) {
            last = number;
            let Some(waiter) = self.waiters.all.get(&number) else { return };
            let again = Waiter { args: Arc::clone(&waiter.args), keys: Vec::new(), ..*waiter };
            let served = self.rerun(&again, Some(key));
            if served {
                self.unpark(number);
            } else if class != WaitClass::Own {
                return;
            }
        }
    }

    /// Runs the command of a waiter again, because a key changed or (without one) for the last time; says whether it
    /// was answered.
    fn rerun(&mut self, waiter: &Waiter, waking: Option<&[u8]>) -> bool {
        let Some(session) = self.sessions.get(&waiter.client) else { return true };
        let protocol = session.protocol;
        let args: Vec<&[u8]> = waiter.args.iter().map(|arg| &**arg).collect();
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, protocol);
        if waking.is_none()
            && let Some(session) = self.sessions.get_mut(&waiter.client)
            && let Some(wait) = &mut session.ack_wait
        {
            wait.until = Some(0);
        }
        let invocation =
            Invocation { client: waiter.client, db: waiter.db, command: waiter.command, args: &args, waking };
        let run = self.run(&invocation, &mut reply);
        let answered = match run {
            Ok(Outcome::Done) => true,
            Ok(Outcome::Wait(_)) if waking.is_none() => {
                reply.null_array();
                true
            }
            Ok(Outcome::Wait(_)) => false,
            Err(_) => true,
        };
        #[cfg(debug_assertions)]
        self.check_effects();
        self.data.feed.end_unit();
        if answered {
            self.outputs.push(Output::Reply { client: waiter.client, bytes });
        }
        answered
    }
}
