//! An engine with a client, for one input.

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, Facts, Host, NoHost, Output, Peer, Requests};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::resp::value::Value;
use pbj_store::time::Now;

/// When everything happens.
const NOW: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };
/// How often a script may be seen at work before its end is asked for: each time is 20,000 instructions.
const VISITS_MAX: u32 = 20;

/// A host that ends scripts which run for long, as an operator does.
struct Impatient {
    visits: u32,
}

impl Host for Impatient {
    fn stopwatch_ns(&self) -> u64 {
        0
    }

    fn memory_used(&self) -> usize {
        0
    }

    fn facts(&self) -> Facts {
        NoHost.facts()
    }

    fn release_memory(&self) {}

    fn fill_secret(&self, secret: &mut [u8]) {
        NoHost.fill_secret(secret);
    }

    fn script_goes_on(&mut self, engine: &mut Engine) {
        self.visits += 1;
        if self.visits > VISITS_MAX {
            let operator = engine.connect(NOW, Peer::default());
            request(&[b"SCRIPT", b"KILL"], |requests, out| {
                engine.execute_while_busy(NOW.plus_ms(6000), operator, requests, out);
            });
            engine.forget(operator);
        }
    }
}

/// An engine with a client; what it says it did is repeated on a second one and compared, in debug builds.
pub(super) struct World {
    engine: Engine,
    client: ClientId,
}

impl World {
    /// With directives that keep what a request may rightly ask for small.
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        for (name, value) in [
            ("proto-max-bulk-len", "1mb"),
            ("script-memory-limit", "8mb"),
            ("enable-debug-command", "no"),
            ("acllog-max-len", "16"),
        ] {
            assert!(config.set(name, &[value]).is_ok(), "{name}");
        }
        let host = Box::new(Impatient { visits: 0 });
        let mut engine = Engine::new(EngineOptions { config, seed: 7, extension: None, host, now: NOW });
        engine.set_feed_wanted(true);
        #[cfg(debug_assertions)]
        engine.check_effects_from_now_on();
        let client = engine.connect(NOW, Peer::default());
        Self { engine, client }
    }

    /// The reply to a request; nothing if there is none. A client that waits, was closed or wants no replies
    /// is gone, and the next one comes.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let (client, engine) = (self.client, &mut self.engine);
        let mut over = false;
        let out = request(words, |requests, out| {
            let done = engine.execute(NOW, client, requests, out);
            over = done.waits || done.close;
        });
        let outputs = engine.take_outputs();
        let is_closed =
            |output: &Output| matches!(output, Output::Close { client: closed } if *closed == client);
        if over || out.is_empty() || outputs.iter().any(is_closed) {
            engine.forget(client);
            self.client = engine.connect(NOW, Peer::default());
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
            self.engine.tick(NOW.plus_ms(ms));
            drop(self.engine.take_outputs());
            drop(self.engine.fetch_frames(Vec::new()));
        }
    }
}

/// Has a request executed, and returns what came back.
fn request(words: &[&[u8]], execute: impl FnOnce(&Requests<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    write_command(&mut bytes, words);
    let (mut parser, mut batch) = (Parser::default(), Batch::default());
    let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
    assert_eq!(parser.parse(&bytes, limits, &mut batch), Ok(()));
    execute(&Requests::new(&batch, &bytes), &mut out);
    out
}
