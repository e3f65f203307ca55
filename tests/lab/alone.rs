//! An engine alone, with a client, at one instant: no log, no disk, no other server.

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, Facts, Host, NoHost, Peer, Requests};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

/// When everything happens.
pub const NOW: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };

/// An engine with a client; what it says it did is repeated on a second one and compared, in debug builds.
pub struct Alone {
    /// The engine.
    pub engine: Engine,
    /// Its client.
    pub client: ClientId,
}

impl Alone {
    /// With this host and these directives.
    pub fn with(host: Box<dyn Host>, directives: &[(&str, &str)]) -> Self {
        let mut config = Config::default();
        for (name, value) in directives {
            assert!(config.set(name, &[value]).is_ok(), "{name}");
        }
        let mut engine = Engine::new(EngineOptions { config, seed: 7, extension: None, host, now: NOW });
        engine.set_feed_wanted(true);
        #[cfg(debug_assertions)]
        engine.check_effects_from_now_on();
        let client = engine.connect(NOW, Peer::default());
        Self { engine, client }
    }
}

/// Has a request of these words executed, and returns what came back.
pub fn executed(words: &[&[u8]], execute: impl FnOnce(&Requests<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    write_command(&mut bytes, words);
    let (mut parser, mut batch) = (Parser::default(), Batch::default());
    let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
    assert_eq!(parser.parse(&bytes, limits, &mut batch), Ok(()));
    execute(&Requests::new(&batch, &bytes), &mut out);
    out
}

/// What a busy host does at each sign of life of a script, and how many there were.
pub type Visit = Box<dyn FnMut(&mut Engine, u32) + Send>;

/// A host that looks after others while a script runs.
pub struct BusyHost {
    visit: Visit,
    visits: u32,
}

impl BusyHost {
    /// Which does this.
    pub fn new(visit: impl FnMut(&mut Engine, u32) + Send + 'static) -> Box<Self> {
        Box::new(Self { visit: Box::new(visit), visits: 0 })
    }
}

impl Host for BusyHost {
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
        (self.visit)(engine, self.visits);
    }
}
