//! What the thread that controls the daemon is asked for, by clients and by signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

/// Something to do for the thread that controls the daemon.
#[derive(Debug, PartialEq, Eq)]
pub enum Control {
    /// End the process.
    Shutdown {
        /// End even if something fails.
        force: bool,
        /// A signal asks: whether to save first has yet to be found out. A command has found it out.
        by_signal: bool,
    },
    /// Read the configuration file again.
    Reload,
    /// Open the log file again, and write down what is going on.
    Report,
}

/// Asks for things.
#[derive(Clone, Debug)]
pub struct Controller {
    sender: mpsc::UnboundedSender<Control>,
    ending: Arc<AtomicBool>,
    signalled: Arc<AtomicBool>,
}

/// What was asked for.
#[derive(Debug)]
pub struct Controls {
    receiver: mpsc::UnboundedReceiver<Control>,
}

/// A way from those who ask to the one who does.
pub fn channel() -> (Controller, Controls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Controller { sender, ending: Arc::default(), signalled: Arc::default() }, Controls { receiver })
}

impl Controller {
    /// Asks.
    pub fn ask(&self, control: Control) {
        if matches!(control, Control::Shutdown { .. }) {
            self.ending.store(true, Ordering::Relaxed);
        }
        if self.sender.send(control).is_err() {
            tracing::debug!("nobody controls the daemon any more");
        }
    }

    /// Whether a signal has asked for the end: the next one does not ask.
    pub(crate) fn signalled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.signalled)
    }

    /// The end that was asked for is not to be: everything goes on as if nobody had asked.
    pub(crate) fn end_is_given_up(&self) {
        self.ending.store(false, Ordering::Relaxed);
        self.signalled.store(false, Ordering::Relaxed);
    }

    /// Whether the end was asked for: a long start gives up.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

impl Controls {
    /// What is asked for next; `None` when nobody is left who could ask.
    pub async fn next(&mut self) -> Option<Control> {
        self.receiver.recv().await
    }
}
