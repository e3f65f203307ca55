//! A server to talk to, which checks after every command that its log tells the same.

use pbj_store::engine::ClientId;
use pbj_store::resp::request::split_words;
use pbj_store::resp::value::Value;
use pbj_tests::lab::{Clock, FaultyDisk, Replica, Server, ServerOptions, request, shown};

/// A server, its clock and a replica.
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) server: Server,
    disk: FaultyDisk,
    options: ServerOptions,
    replica: Replica,
    history: Vec<u8>,
    client: ClientId,
    /// Jobs with a date may be ready before it, because the wall clock was set back.
    dates_blurred: bool,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (clock, disk) = (Clock::default(), FaultyDisk::default());
        let options = ServerOptions { check_effects: true, ..ServerOptions::default() };
        let mut server = Server::start(&disk, clock.now(), &options).unwrap();
        let client = server.connect(clock.now());
        let replica = Replica::new(clock.now(), &options);
        Self { clock, server, disk, options, replica, history: Vec::new(), client, dates_blurred: false }
    }

    /// Another connection.
    pub(crate) fn connect(&mut self) -> ClientId {
        self.server.connect(self.clock.now())
    }

    /// Runs a line, whose words may stand in quotes; the reply as text.
    pub(crate) fn run(&mut self, line: &str) -> String {
        shown(&self.ask(line))
    }

    /// Runs a line and compares its reply.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        let found = self.run(line);
        assert_eq!(found, reply, "{line}");
    }

    /// Runs lines and compares their replies.
    #[track_caller]
    pub(crate) fn expect_all(&mut self, lines: &[(&str, &str)]) {
        for (line, reply) in lines {
            self.expect(line, reply);
        }
    }

    /// Runs a line.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let (bytes, woken) = self.send(self.client, line);
        // What needs the world (DEBUG LOADAOF) is answered as to somebody who waited.
        if bytes.is_empty()
            && let Some((_, text)) = woken.iter().find(|(client, _)| *client == self.client)
        {
            return Value::Simple(text.clone());
        }
        let (value, taken) = Value::read(&bytes).unwrap().unwrap_or_else(|| panic!("{line} waits"));
        assert_eq!(taken, bytes.len(), "one reply to {line}");
        value
    }

    /// Runs a line of a client: the bytes of its reply, and replies to others who waited.
    pub(crate) fn send(&mut self, client: ClientId, line: &str) -> (Vec<u8>, Vec<(ClientId, String)>) {
        let words = split_words(line.as_bytes()).unwrap();
        let answer = self.server.execute(self.clock.now(), client, &request(&words));
        self.check(line);
        (answer.bytes, texts(&answer.woken))
    }

    /// Lets time pass and the server do what is due; replies to those who waited.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<(ClientId, String)> {
        let end = self.clock.now().mono_ms + ms;
        let mut woken = Vec::new();
        loop {
            let next = self.server.engine.deadline().filter(|&at| at <= end);
            self.clock.pass_until(next.unwrap_or(end));
            let answer = self.server.tick(self.clock.now());
            woken.extend(texts(&answer.woken));
            self.check("a tick");
            let more = self.server.engine.deadline().is_some_and(|at| at <= end);
            if next.is_none() && !more {
                return woken;
            }
        }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall(&mut self, ms: i64) {
        self.clock.set_wall_by_ms(ms);
        self.dates_blurred |= ms < 0;
        self.pass(0);
    }

    /// Ends the server in order and starts it again, so many milliseconds later.
    pub(crate) fn restart(&mut self, down_ms: u64) {
        self.check("the end");
        self.server.stop().unwrap();
        self.clock.pass_ms(down_ms);
        self.server = Server::start(&self.disk, self.clock.now(), &self.options).unwrap();
        self.client = self.server.connect(self.clock.now());
        self.replica = Replica::new(self.clock.now(), &self.options);
        self.replica.feed(self.clock.now(), &self.history);
        self.dates_blurred = false;
        self.check("a start");
    }

    /// The machine starts again: a new boot.
    pub(crate) fn reboot(&mut self, down_ms: u64) {
        self.options.boot.push('x');
        self.restart(down_ms);
    }

    #[track_caller]
    fn check(&mut self, what: &str) {
        let stream = self.server.take_stream();
        self.replica.feed(self.clock.now(), &stream);
        self.history.extend_from_slice(&stream);
        assert_eq!(self.server.engine.digest(), self.replica.digest(), "effects of {what}");
        // What is due and was not done yet is in another place when it is derived at once.
        let due = self.server.engine.deadline().is_some_and(|at| at <= self.clock.now().mono_ms);
        if !due && !self.dates_blurred {
            let (live, derived) = (self.server.queues().outline(), self.replica.outline(self.clock.now()));
            let differ: Vec<_> = live.symmetric_difference(&derived).collect();
            assert!(differ.is_empty(), "derived state after {what}: {differ:?}");
        }
    }

    /// Bytes of all effects.
    pub(crate) fn history_len(&self) -> usize {
        self.history.len()
    }

    /// The state of a job.
    pub(crate) fn state(&mut self, id: &str) -> String {
        self.field(id, "state")
    }

    /// A field of a job.
    pub(crate) fn field(&mut self, id: &str, name: &str) -> String {
        let job = self.ask(&format!("JOB.GET {id}"));
        job.field(name).map_or_else(|| "no job".to_owned(), shown)
    }

    /// Fetches one job from a queue; its id and token.
    pub(crate) fn fetch(&mut self, queue: &str) -> (String, u64) {
        let jobs = self.ask(&format!("JOB.FETCH w QUEUES {queue}"));
        let job = &jobs.items().unwrap_or_else(|| panic!("{queue} is empty"))[0];
        let token = job.field("token").and_then(Value::integer).unwrap();
        (job.field("id").and_then(Value::text).unwrap(), token as u64)
    }

    /// Wall milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.now().wall_ms()
    }

    /// Numbers of a queue, as many as are named.
    pub(crate) fn stats(&mut self, queue: &str, names: &[&str]) -> String {
        let stats = self.ask(&format!("QUEUE.STATS {queue}"));
        let numbers = names.iter().map(|name| stats.field(name).map_or_else(|| "none".to_owned(), shown));
        numbers.collect::<Vec<_>>().join(" ")
    }
}

fn texts(woken: &[(ClientId, Vec<u8>)]) -> Vec<(ClientId, String)> {
    let text = |bytes: &[u8]| shown(&Value::read(bytes).unwrap().unwrap().0);
    woken.iter().map(|(client, bytes)| (*client, text(bytes))).collect()
}
