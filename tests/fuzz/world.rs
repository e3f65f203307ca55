//! An engine with a client, for one input.

use pbj_store::engine::{Engine, Output, Peer};
use pbj_store::resp::value::Value;

use crate::lab::alone::{Alone, BusyHost, NOW, executed};

/// How often a script may be seen at work before its end is asked for: each time is 20,000 instructions.
const VISITS_MAX: u32 = 20;

/// Ends a script that runs for long, as an operator does.
fn impatient(engine: &mut Engine, visits: u32) {
    if visits > VISITS_MAX {
        let operator = engine.connect(NOW, Peer::default());
        executed(&[b"SCRIPT", b"KILL"], |requests, out| {
            engine.execute_while_busy(NOW.plus_ms(6000), operator, requests, out);
        });
        engine.forget(operator);
    }
}

/// An engine with a client, which may go: the next one comes.
pub(super) struct World(Alone);

impl World {
    /// With directives that keep what a request may rightly ask for small.
    pub(super) fn new() -> Self {
        let directives = [
            ("proto-max-bulk-len", "1mb"),
            ("script-memory-limit", "8mb"),
            ("enable-debug-command", "no"),
            ("acllog-max-len", "16"),
        ];
        Self(Alone::with(BusyHost::new(impatient), &directives))
    }

    /// The reply to a request; nothing if there is none. A client that waits, was closed or wants no replies
    /// is gone, and the next one comes.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let Alone { client, engine } = &mut self.0;
        let asks = *client;
        let mut over = false;
        let out = executed(words, |requests, out| {
            let done = engine.execute(NOW, asks, requests, out);
            over = done.waits || done.close;
        });
        let outputs = engine.take_outputs();
        let is_closed = |output: &Output| matches!(output, Output::Close { client } if *client == asks);
        if over || out.is_empty() || outputs.iter().any(is_closed) {
            engine.forget(asks);
            *client = engine.connect(NOW, Peer::default());
        }
        drop(engine.fetch_frames(Vec::new()));
        out
    }

    /// The reply to a request, which has to be a whole one, and nothing more, when there is one.
    pub(super) fn reply(&mut self, words: &[&[u8]]) -> Option<Value> {
        let out = self.call(words);
        if out.is_empty() {
            return None;
        }
        let read = Value::read(&out);
        assert!(
            matches!(&read, Ok(Some((_, len))) if *len == out.len()),
            "the reply is not one reply: {out:?}"
        );
        read.ok().flatten().map(|(value, _)| value)
    }

    /// Lets the time pass, and what is due be done.
    pub(super) fn tick(&mut self) {
        for ms in [1, 1000, 1_000_000] {
            self.0.engine.tick(NOW.plus_ms(ms));
            drop(self.0.engine.take_outputs());
            drop(self.0.engine.fetch_frames(Vec::new()));
        }
    }
}
