//! What the log says, repeated: the same data and the same derived state, or something is wrong.

use std::collections::BTreeSet;

use pbj_store::DatasetDigest;
use pbj_store::engine::{ClientId, Engine, Peer, Requests};
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

use super::client::request;
use super::server::{ServerOptions, engine, queues};

/// A database that the tests leave empty: emptying it makes an engine derive everything again.
const UNUSED_DB: &str = "15";

/// An engine that repeats a log.
pub struct Replica {
    engine: Engine,
    client: ClientId,
}

impl Replica {
    /// An engine without data, whose steady clock began when that of the original did.
    pub fn new(began: Now, options: &ServerOptions) -> Self {
        let mut engine = engine(began, options);
        engine.loaded(began);
        let client = engine.connect(began, Peer::default());
        let mut replica = Self { engine, client };
        replica.run(began, &["SELECT", UNUSED_DB]);
        replica
    }

    fn run(&mut self, now: Now, words: &[&str]) {
        let bytes = request(words);
        let mut out = Vec::new();
        for_each_command(&bytes, |_, batch, bytes| {
            self.engine.execute(now, self.client, &Requests::new(batch, bytes), &mut out);
        });
        assert_eq!(out, b"+OK\r\n", "{words:?}");
    }

    /// Repeats whole units of a stream.
    pub fn feed(&mut self, now: Now, stream: &[u8]) {
        for_each_command(stream, |args, _, _| {
            if let Err(fault) = self.engine.replay(now, args) {
                panic!("the log cannot be repeated: {fault}: {:?}", readable(args));
            }
        });
    }

    /// The fingerprint of all data.
    pub fn digest(&self) -> DatasetDigest {
        self.engine.digest()
    }

    /// What the queue derives from the data, all at once.
    pub fn outline(&mut self, now: Now) -> BTreeSet<String> {
        self.run(now, &["FLUSHDB"]);
        queues(&self.engine).outline()
    }
}

/// Calls for every command of `stream`, which must consist of whole ones.
fn for_each_command(stream: &[u8], mut act: impl FnMut(&[&[u8]], &Batch, &[u8])) {
    let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
    let mut at = 0;
    while at < stream.len() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        parser.parse(&stream[at..], limits, &mut batch).expect("effects are protocol");
        let slices = batch.slices(&stream[at..]);
        for number in 0..batch.len() {
            act(&slices[batch.arguments_of(number)], &batch, &stream[at..]);
        }
        let taken = batch.bytes_of_first(batch.len());
        assert!(taken > 0, "the stream ends within a command");
        at += taken;
    }
}

/// Where the last whole unit of a stream ends: not within a command, and not between MULTI and EXEC.
pub fn whole_units(stream: &[u8]) -> usize {
    let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
    let (mut at, mut whole, mut inside) = (0, 0, false);
    loop {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        parser.parse(&stream[at..], limits, &mut batch).expect("a beginning of effects is protocol");
        let slices = batch.slices(&stream[at..]);
        for number in 0..batch.len() {
            match slices[batch.arguments_of(number)] {
                [b"MULTI"] => inside = true,
                [b"EXEC"] => inside = false,
                _ => {}
            }
            if !inside {
                whole = at + batch.bytes_of_first(number + 1);
            }
        }
        let taken = batch.bytes_of_first(batch.len());
        if taken == 0 {
            return whole;
        }
        at += taken;
    }
}

/// Arguments as text.
pub fn readable(args: &[&[u8]]) -> String {
    let words: Vec<String> = args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
    words.join(" ")
}
