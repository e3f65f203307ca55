//! Stories: requests and what they come to, as data, in `stories/*.txt`.
//!
//! ```text
//! == what the story shows                 a new engine, with one client
//! HGET h f -> "value"                     a request and its reply: 1, "bulk", nil, OK, [1 2], (ERR text)
//! HSET h f 1                              a request whose reply does not matter
//! wait 100                                time passes; nobody but requests sees it
//! tick                                    what is due is done; with a number, so often
//! log -> HSET h f 1 | SELECT 1            the effects since the story began, or since the last look
//! events -> hset h, del h                 the notifications since then
//! due -> 100                              in how many milliseconds the clock is wanted next; none
//! logged EVAL "return 1" 0                the log says this, too, which another server wrote
//! restart                                 what was logged so far is loaded into a new engine, at this time
//! ```
//! Words are apart by blanks and may be quoted; `{now+5}` is a time in milliseconds, `{s+5}` one in seconds.
//! In debug builds every effect is also repeated at once on a second engine, which has to come to the same.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, NoHost, Output, Peer, Requests};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::resp::value::Value;
use pbj_store::time::Now;

const START_MS: u64 = 1_798_761_600_000;

struct Teller {
    engine: Engine,
    client: ClientId,
    listener: ClientId,
    now: Now,
    /// All that was ever logged, and how much of it was shown.
    log: Vec<u8>,
    shown: usize,
}

fn engine(now: Now) -> (Engine, ClientId, ClientId) {
    let mut config = Config::default();
    config.set("notify-keyspace-events", &["KEA"]).unwrap();
    config.set("enable-debug-command", &["yes"]).unwrap();
    let options = EngineOptions { config, seed: 7, extension: None, host: Box::new(NoHost), now };
    let mut engine = Engine::new(options);
    engine.set_feed_wanted(true);
    #[cfg(debug_assertions)]
    engine.check_effects_from_now_on();
    let (client, listener) = (engine.connect(now, Peer::default()), engine.connect(now, Peer::default()));
    (engine, client, listener)
}

impl Teller {
    fn new() -> Self {
        let now = Now { wall_us: START_MS * 1000, mono_ms: 5_000_000 };
        let (engine, client, listener) = engine(now);
        let mut teller = Self { engine, client, listener, now, log: Vec::new(), shown: 0 };
        teller.listen();
        teller
    }

    fn listen(&mut self) {
        self.request(self.listener, &[b"PSUBSCRIBE".to_vec(), b"__keyevent@*".to_vec()]);
        self.engine.take_outputs();
    }

    fn request(&mut self, client: ClientId, words: &[Vec<u8>]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        write_command(&mut bytes, &words);
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(&bytes, limits, &mut batch).unwrap();
        self.engine.execute(self.now, client, &Requests::new(&batch, &bytes), &mut out);
        let reply = Value::read(&out).unwrap().unwrap().0;
        self.log.extend(self.engine.fetch_frames(Vec::new()));
        reply
    }

    /// The effects that were not shown yet.
    fn log(&mut self) -> String {
        let new = self.log[self.shown..].to_vec();
        self.shown = self.log.len();
        let commands = requests(&new);
        let texts: Vec<String> = commands
            .iter()
            .map(|words| words.iter().map(|word| text(word)).collect::<Vec<_>>().join(" "))
            .collect();
        texts.join(" | ")
    }

    fn events(&mut self) -> String {
        let mut events = Vec::new();
        for output in self.engine.take_outputs() {
            let Output::Push { client, bytes, .. } = output else { continue };
            let Value::Array(parts) = Value::read(&bytes).unwrap().unwrap().0 else { continue };
            let [_, _, Value::Bulk(channel), Value::Bulk(key)] = &*parts else { continue };
            assert_eq!(client, self.listener);
            let event = text(channel);
            events.push(format!("{} {}", event.rsplit(':').next().unwrap(), text(key)));
        }
        events.join(", ")
    }

    /// A new engine with what the log says, as after a crash.
    fn restart(&mut self) {
        let (mut loaded, client, listener) = engine(self.now);
        loaded.set_loading(true);
        for words in requests(&self.log) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            loaded.replay(self.now, &words).unwrap();
        }
        loaded.loaded(self.now);
        (self.engine, self.client, self.listener) = (loaded, client, listener);
        self.listen();
    }

    /// Does what a line says, and returns what came of it.
    fn step(&mut self, line: &str) -> String {
        let words = words(line, self.now.wall_ms());
        let number = |at: usize| words.get(at).map_or(1, |word| text(word).parse::<u64>().unwrap());
        match text(&words[0]).as_str() {
            "wait" => {
                self.now = self.now.plus_ms(number(1));
                String::new()
            }
            "tick" => {
                (0..number(1)).for_each(|_| self.engine.tick(self.now));
                self.log.extend(self.engine.fetch_frames(Vec::new()));
                String::new()
            }
            "log" => self.log(),
            "events" => self.events(),
            "due" => match self.engine.deadline() {
                Some(due) => due.saturating_sub(self.now.mono_ms).to_string(),
                None => "none".to_owned(),
            },
            "logged" => {
                let words: Vec<&[u8]> = words[1..].iter().map(Vec::as_slice).collect();
                write_command(&mut self.log, &words);
                String::new()
            }
            "restart" => {
                self.restart();
                String::new()
            }
            _ => show(&self.request(self.client, &words)),
        }
    }
}

/// The requests in a part of the log.
fn requests(log: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (mut all, mut rest) = (Vec::new(), log);
    while !rest.is_empty() {
        let (request, taken) = Value::read(rest).unwrap().unwrap();
        let words = request.items().unwrap().iter().map(|word| match word {
            Value::Bulk(word) => word.clone(),
            other => show(other).into_bytes(),
        });
        all.push(words.collect());
        rest = &rest[taken..];
    }
    all
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn show(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(show).collect::<Vec<_>>().join(" ");
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("({text})"),
        Value::Integer(value) => value.to_string(),
        Value::Bulk(bytes) => format!("\"{}\"", text(bytes)),
        Value::Null | Value::NullBulk | Value::NullArray => "nil".to_owned(),
        Value::Array(values) | Value::Set(values) | Value::Push(values) => format!("[{}]", all(values)),
        other => format!("{other:?}"),
    }
}

/// The words of a line, with times put in.
fn words(line: &str, now_ms: u64) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(with_times(word, now_ms).into_bytes());
        rest = behind.trim_start();
    }
    words
}

fn with_times(text: &str, now_ms: u64) -> String {
    let mut out = text.to_owned();
    while let Some((before, rest)) = out.split_once('{') {
        let (inside, behind) = rest.split_once('}').unwrap();
        let (unit, shift) = inside.split_at(inside.find(['+', '-']).unwrap_or(inside.len()));
        let shift: i64 = if shift.is_empty() { 0 } else { shift.parse().unwrap() };
        let base = if unit == "s" { now_ms / 1000 } else { now_ms };
        out = format!("{before}{}{behind}", base as i64 + shift);
    }
    out
}

fn tell(file: &str, stories: &str) {
    let mut teller = Teller::new();
    let (mut title, mut told) = ("", 0);
    for (number, line) in (1..).zip(stories.lines()) {
        let line = line.trim();
        if let Some(story) = line.strip_prefix("== ") {
            (teller, title, told) = (Teller::new(), story, told + 1);
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (step, wanted) = match line.split_once(" -> ") {
            Some((step, wanted)) => (step.trim(), Some(with_times(wanted.trim(), teller.now.wall_ms()))),
            None => (line.trim_end_matches("->").trim(), line.ends_with("->").then(String::new)),
        };
        let came = teller.step(step);
        if let Some(wanted) = wanted {
            assert_eq!(came, wanted, "{file}:{number}: {step} ({title})");
        }
    }
    assert!(told > 0, "{file} has no stories");
}

macro_rules! stories {
    ($($name:ident $file:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                tell($file, include_str!(concat!("stories/", $file)));
            }
        )+

        const FILES: &[&str] = &[$($file),+];
    };
}

stories! {
    dates_of_hash_fields "hash_expiry.txt",
    scripts_in_logs "scripts.txt",
    streams "streams.txt",
    strings "strings.txt",
}

#[test]
fn every_story_is_told() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, FILES);
}
