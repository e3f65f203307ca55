//! Who comes first is served first, among the connections of one thread.
//!
//! A client that sends over one connection and then over another expects the first to be executed first, and programs
//! (test suites above all) rely on it. The kernel reports arrivals in their order, but the runtime runs the task that
//! was woken last before all others. So each arrival takes a number, and a connection whose number is not the next one
//! steps back once, behind those that wait already. Only once: nobody can be held up by a connection that took a number
//! and does not come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// The numbers of one thread.
#[derive(Debug, Default)]
pub struct Line {
    taken: AtomicU64,
    served: AtomicU64,
}

/// What is woken when bytes arrive: it takes a number, and wakes the task of the connection.
struct Arrival {
    line: Arc<Line>,
    /// 0 if nothing has arrived since the last turn.
    number: AtomicU64,
    task: Mutex<Option<Waker>>,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.number.load(Ordering::Relaxed) == 0 {
            let number = self.line.taken.fetch_add(1, Ordering::Relaxed) + 1;
            self.number.store(number, Ordering::Relaxed);
        }
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}

/// The place of a connection in the line.
pub struct Turn {
    arrival: Arc<Arrival>,
    waker: Waker,
    stepped_back: bool,
}

impl Turn {
    /// A place for a connection of the thread that has this line.
    pub fn new(line: Arc<Line>) -> Self {
        let arrival = Arc::new(Arrival { line, number: AtomicU64::new(0), task: Mutex::new(None) });
        Self { waker: Waker::from(Arc::clone(&arrival)), arrival, stepped_back: false }
    }

    /// Whether it is the turn of this connection; if not, its task runs again behind the others.
    pub fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        let number = self.arrival.number.load(Ordering::Relaxed);
        let next = self.arrival.line.served.load(Ordering::Relaxed) + 1;
        if number > next && !std::mem::replace(&mut self.stepped_back, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut task = self.arrival.task.lock();
        if !task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            *task = Some(context.waker().clone());
        }
        if number > 0 {
            self.stepped_back = false;
            self.arrival.line.served.fetch_max(number, Ordering::Relaxed);
            self.arrival.number.store(0, Ordering::Relaxed);
        }
        Poll::Ready(())
    }

    /// What is to be woken when bytes arrive.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicU64);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_came_later_steps_back_once() {
        let line = Arc::new(Line::default());
        let (mut first, mut second) = (Turn::new(Arc::clone(&line)), Turn::new(line));
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let context = Context::from_waker(&waker);
        assert!(first.poll_turn(&context).is_ready() && second.poll_turn(&context).is_ready());
        first.waker().wake_by_ref();
        second.waker().wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 2, "both were woken");
        assert!(second.poll_turn(&context).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 3, "and the second will run again");
        assert!(first.poll_turn(&context).is_ready());
        assert!(second.poll_turn(&context).is_ready());
        // The first took a number and does not come.
        first.waker().wake_by_ref();
        second.waker().wake_by_ref();
        assert!(second.poll_turn(&context).is_pending());
        assert!(second.poll_turn(&context).is_ready());
    }
}
