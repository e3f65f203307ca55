//! While a script runs for long: how others still reach the engine.
//!
//! The thread that runs the script holds the engine, and its loop of connections with it. Once the script has run for
//! `busy-reply-threshold`, its count hook comes here again and again, and does three things: it hands the loop of
//! the thread over to a fresh one, so that connections of the same thread are served; it runs what other threads left
//! at the desk, which is how they get BUSY, end the script, or come and go; and it ends the script when the daemon
//! ends.
//!
//! Law: nobody waits for the engine longer than the threshold. Whoever cannot have it leaves a note at the desk, and
//! takes it back if the engine becomes free first; a note is acted on once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use pbj_store::engine::Engine;

use crate::clock::Clock;
use crate::io_loop;

/// How long one thing is waited for before the other is looked at.
const PATIENCE: Duration = Duration::from_millis(10);

/// Something to do with the engine.
type Work = Box<dyn FnOnce(&mut Engine) + Send>;

/// A piece of work that whoever comes first takes.
#[derive(Clone)]
pub struct Note(Arc<Mutex<Option<Work>>>);

impl Note {
    /// A note about this work.
    pub fn new(work: impl FnOnce(&mut Engine) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(work)))))
    }

    /// Does the work, if nobody did.
    pub fn act(&self, engine: &mut Engine) {
        let work = self.0.lock().take();
        if let Some(work) = work {
            work(engine);
        }
    }

    /// Takes the work back; says whether nobody did it yet.
    fn take_back(&self) -> bool {
        self.0.lock().take().is_some()
    }
}

/// The desk, and what everybody may know about the script.
#[derive(Default)]
pub struct Busy {
    notes: Mutex<VecDeque<Note>>,
    /// A script has run for longer than the threshold, and looks at the desk.
    slow: AtomicBool,
    /// The daemon ends.
    stopping: AtomicBool,
    /// How often a slow script has looked at the desk: a sign of life for the watchdog.
    looks: AtomicU64,
}

impl Busy {
    /// Whether a script runs that looks at the desk.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Acquire)
    }

    /// Ends scripts from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// How often a slow script has looked at the desk.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// The script is over, or none ran.
    pub fn script_is_over(&self) {
        if self.slow.swap(false, Ordering::AcqRel) {
            tracing::warn!("the slow script is over");
        }
    }

    /// A script goes on: called by its hook, with the engine.
    pub fn script_goes_on(&self, engine: &mut Engine) {
        if self.stopping.load(Ordering::Acquire) {
            return engine.abandon_script();
        }
        let slow = engine.script_is_slow(Clock.now());
        if slow && !self.is_slow() {
            let (command, name) = engine.running_script().unwrap_or_default();
            tracing::warn!(
                "Slow script detected: still in execution. You can try killing the script using the {command} \
                 command. Script name is: {name}."
            );
            io_loop::hand_over();
        }
        self.slow.store(slow, Ordering::Release);
        if slow {
            self.looks.fetch_add(1, Ordering::Relaxed);
            while let Some(note) = self.next_note() {
                note.act(engine);
            }
        }
    }

    fn next_note(&self) -> Option<Note> {
        self.notes.lock().pop_front()
    }

    /// Waits for `lock`; while a slow script holds it, leaves the note at the desk and waits for `answer` too. A note
    /// that comes too late is void.
    pub fn lock_or_leave<G, R>(
        &self,
        lock: impl Fn(Duration) -> Option<G>,
        note: &Note,
        answer: &mpsc::Receiver<R>,
    ) -> Reached<G, R> {
        let mut left = false;
        loop {
            // Also while a script is slow: its end may not have been noticed yet, and nobody would look at the desk.
            let is_slow = self.is_slow();
            if let Some(guard) = lock(if is_slow { Duration::ZERO } else { PATIENCE }) {
                // Nobody else has the engine now, so nobody is acting on the note.
                return if note.take_back() { Reached::Lock(guard) } else { given(answer) };
            }
            if !is_slow {
                continue;
            }
            if !left {
                self.notes.lock().push_back(note.clone());
                left = true;
            }
            match answer.recv_timeout(PATIENCE) {
                Ok(answer) => return Reached::Answer(answer),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Reached::Nothing,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// What [`Busy::lock_or_leave`] came to.
pub enum Reached<G, R> {
    /// The lock.
    Lock(G),
    /// The answer to the note.
    Answer(R),
    /// Neither: whoever acted on the note failed.
    Nothing,
}

fn given<G, R>(answer: &mpsc::Receiver<R>) -> Reached<G, R> {
    answer.recv().map_or(Reached::Nothing, Reached::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a script in a log that was loaded again was noticed by whoever had the engine next, and who waited
    /// for a reply at the desk waited for ever.
    #[test]
    fn who_waits_at_the_desk_gets_the_engine_when_it_is_free() {
        let (ended, is_over) = mpsc::channel();
        std::thread::spawn(move || {
            let busy = &Busy { slow: AtomicBool::new(true), ..Busy::default() };
            let engine = &Mutex::new(());
            let held = engine.lock();
            let (_sender, answer) = mpsc::channel::<()>();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(move || {
                    let note = Note::new(|_| {});
                    let lock = |patience| engine.try_lock_for(patience);
                    matches!(busy.lock_or_leave(lock, &note, &answer), Reached::Lock(_))
                });
                while busy.notes.lock().is_empty() {
                    std::thread::yield_now();
                }
                drop(held);
                // Nobody listens any more when it is too late.
                let _ = ended.send(waiting.join().is_ok_and(|got_it| got_it));
            });
        });
        assert_eq!(is_over.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}
