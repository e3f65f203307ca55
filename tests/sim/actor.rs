//! What clients do: producers, workers of all kinds, schedulers, clients of ordinary keys, an operator.
//!
//! Law: an actor knows what it was told in replies that reached it, and nothing else.

use fastrand::Rng;
use pbj_store::limits::{HUGE_ELEMENTS, HUGE_TEXT};
use pbj_store::resp::value::Value;

/// A request: its words. `EXEC a b | c d` stands for a whole transaction.
pub type Words = Vec<String>;

/// What actors may look at beside their own replies.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Wall milliseconds.
    pub wall_ms: u64,
    /// Ids of jobs of the database, for whoever needs one.
    pub ids: Vec<String>,
    /// A number that nobody else gets.
    pub unique: u64,
    /// A snapshot is being written.
    pub is_rewriting: bool,
}

/// A delivery that a worker holds, or held.
#[derive(Clone, Debug)]
pub struct Held {
    id: String,
    token: String,
}

/// How a worker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Settles what it holds, soon.
    Obedient,
    /// Extends, and settles late.
    Slow,
    /// Forgets what it holds.
    Dying,
    /// Comes back with old tokens, and says everything twice.
    Stale,
}

/// A client.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Pushes jobs.
    Producer,
    /// Fetches and settles jobs.
    Worker {
        /// How it behaves.
        manner: Manner,
        /// What it holds.
        held: Vec<Held>,
        /// What it held once.
        past: Vec<Held>,
    },
    /// Makes and deletes schedules.
    Scheduler {
        /// Schedules it made.
        made: Vec<String>,
    },
    /// Takes locks and gives them back.
    Locker {
        /// Its name.
        name: String,
        /// Locks it holds, with their tokens.
        held: Vec<(String, String)>,
        /// Tokens it had once.
        past: Vec<(String, String)>,
    },
    /// Uses ordinary keys of its own.
    Keys {
        /// The beginning of its keys.
        prefix: String,
    },
    /// Uses a hash of its own whose fields have dates.
    Fields {
        /// The key.
        key: String,
    },
    /// Pushes to lists that others pop from.
    Feeder,
    /// Pops from lists, waiting.
    Popper,
    /// Cancels, retries, configures.
    Operator,
}

const QUEUES: [&str; 3] = ["mail", "video", "a:b"];

fn words(text: &str) -> Words {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> Option<&'a T> {
    if all.is_empty() { None } else { all.get(rng.usize(..all.len())) }
}

fn queue(rng: &mut Rng) -> &'static str {
    QUEUES[[0, 0, 0, 1, 2][rng.usize(..5)]]
}

impl Actor {
    /// The next request; `None` for a rest.
    pub fn next(&mut self, rng: &mut Rng, sight: &Sight) -> Option<Words> {
        match self {
            Self::Producer => Some(push(rng, sight)),
            Self::Worker { manner, held, past } => work(rng, *manner, held, past),
            Self::Scheduler { made } => Some(schedule(rng, sight, made)),
            Self::Locker { name, held, past } => Some(lock(rng, name, held, past)),
            Self::Keys { prefix } => Some(keys(rng, prefix, sight)),
            Self::Fields { key } => Some(fields(rng, key, sight)),
            Self::Feeder => Some(feed(rng, sight)),
            Self::Popper => {
                let wait = ["0", "0.05", "2"][rng.usize(..3)];
                Some(words(&format!("BLPOP list:{} {wait}", rng.u8(..2))))
            }
            Self::Operator => operate(rng, sight),
        }
    }

    /// A reply has come.
    pub fn hear(&mut self, request: &[String], reply: &Value) {
        match self {
            Self::Worker { held, past, .. } if request[0] == "JOB.FETCH" => {
                for job in reply.items().unwrap_or_default() {
                    let text = |name| job.field(name).and_then(Value::text).unwrap_or_default();
                    let token = job.field("token").and_then(Value::integer).unwrap_or_default().to_string();
                    let new = Held { id: text("id"), token };
                    past.push(new.clone());
                    held.push(new);
                }
                past.drain(..past.len().saturating_sub(20));
            }
            Self::Worker { held, .. } if reply.error().is_some_and(|text| text.starts_with("STALE")) => {
                held.retain(|held| !request.contains(&held.id));
            }
            Self::Locker { held, past, .. } if request[0] == "LOCK.TAKE" => {
                if let Some(token) = reply.integer() {
                    held.push((request[1].clone(), token.to_string()));
                    past.push((request[1].clone(), token.to_string()));
                    past.drain(..past.len().saturating_sub(10));
                }
            }
            _ => {}
        }
    }
}

impl Actor {
    /// A power cut took back deliveries and locks that are not known (any more), and a clock was set back. Their tokens
    /// may be given out again, so whoever had them is assumed to have lost its power, too: under `everysec` and `no`
    /// this is as documented.
    pub fn forget_tokens(
        &mut self,
        is_job_known: impl Fn(&str, u64) -> bool,
        is_lock_known: impl Fn(u64) -> bool,
    ) {
        let number = |token: &str| token.parse().unwrap_or(0);
        match self {
            Self::Worker { held, past, .. } => {
                held.retain(|held| is_job_known(&held.id, number(&held.token)));
                past.retain(|held| is_job_known(&held.id, number(&held.token)));
            }
            Self::Locker { held, past, .. } => {
                held.retain(|(_, token)| is_lock_known(number(token)));
                past.retain(|(_, token)| is_lock_known(number(token)));
            }
            _ => {}
        }
    }
}

fn push(rng: &mut Rng, sight: &Sight) -> Words {
    let queue = queue(rng);
    let mut options = Words::new();
    let mut add = |chance: bool, name: &str, value: String| {
        if chance {
            options.extend([name.to_owned(), value]);
        }
    };
    let roll = |rng: &mut Rng, percent: u8| rng.u8(..100) < percent;
    match rng.u8(..10) {
        0..=2 => add(true, "DELAY", [0, 1, 40, 700, 9000][rng.usize(..5)].to_string()),
        3 => add(true, "AT", sight.wall_ms.saturating_add_signed(rng.i64(-3000..8000)).to_string()),
        _ => {}
    }
    add(roll(rng, 20), "PRIO", rng.i8(-2..3).to_string());
    add(roll(rng, 40), "ATTEMPTS", rng.u8(1..4).to_string());
    add(roll(rng, 40), "LOST", rng.u8(0..3).to_string());
    add(roll(rng, 40), "BACKOFF", ["fixed:30", "list:5,400", "exp:20:3000:0.5"][rng.usize(..3)].to_owned());
    add(roll(rng, 60), "LEASE", [1, 30, 400, 6000][rng.usize(..4)].to_string());
    add(roll(rng, 25), "KEEP", [0, 50, 100_000][rng.usize(..3)].to_string());
    if rng.u8(..8) == 0 {
        let count = rng.usize(1..6);
        let mut all = words(&format!("JOB.MPUSH {queue} send COUNT {count}"));
        all.extend(options);
        all.push("PAYLOADS".to_owned());
        all.extend((0..count).map(|n| format!("p{n}")));
        return all;
    }
    if roll(rng, 25) {
        // A tenth of the ids were used before.
        let used = pick(rng, &sight.ids).filter(|id| id.starts_with("id-")).cloned();
        let id = used.filter(|_| rng.u8(..10) == 0).unwrap_or_else(|| format!("id-{}", sight.unique));
        options.extend(["ID".to_owned(), id]);
    }
    let mut all = words(&format!("JOB.PUSH {queue} send payload"));
    all.extend(options);
    if roll(rng, 10) {
        let mut both = words(&format!("EXEC INCR pushes:{queue} |"));
        both.extend(all);
        return both;
    }
    all
}

fn work(rng: &mut Rng, manner: Manner, held: &mut Vec<Held>, past: &[Held]) -> Option<Words> {
    if manner == Manner::Dying && rng.u8(..6) == 0 {
        held.clear();
        return None;
    }
    if manner == Manner::Stale && rng.bool() {
        let old = pick(rng, past)?;
        let verb = ["JOB.ACK", "JOB.FAIL", "JOB.EXTEND", "JOB.RELEASE"][rng.usize(..4)];
        return Some(words(&format!("{verb} {} {}", old.id, old.token)));
    }
    let full = held.len() >= 4;
    if held.is_empty() || (!full && rng.u8(..3) == 0) {
        let count = ["", "COUNT 3 "][rng.usize(..2)];
        let wait = ["", "", "BLOCK 0 ", "BLOCK 500 ", "BLOCK 20 "][rng.usize(..5)];
        let lease = ["", "", "LEASE 25 ", "LEASE 3000 "][rng.usize(..4)];
        let queue = queue(rng);
        // Who waits for several queues stands in several lines; those who do not wait may ask for all.
        let queues = if wait.is_empty() && rng.bool() { QUEUES.join(" ") } else { queue.to_owned() };
        return Some(words(&format!("JOB.FETCH w{} {count}{wait}{lease}QUEUES {queues}", rng.u8(..9))));
    }
    let at = rng.usize(..held.len());
    let Held { id, token } = held[at].clone();
    let slow = manner == Manner::Slow && rng.u8(..4) > 0;
    if slow {
        let lease = ["", " LEASE 900"][rng.usize(..2)];
        return Some(words(&format!("JOB.EXTEND {id} {token}{lease}")));
    }
    if rng.u8(..12) == 0 && held.len() > 1 {
        let pairs: Vec<String> = held.drain(..).map(|held| format!("{} {}", held.id, held.token)).collect();
        return Some(words(&format!("JOB.MACK {}", pairs.join(" "))));
    }
    held.remove(at);
    Some(words(&match rng.u8(..10) {
        0..=4 => format!("JOB.ACK {id} {token}"),
        5 => format!("JOB.ACK {id} {token} RESULT r"),
        6 => format!("JOB.FAIL {id} {token} KIND oops MSG bad"),
        7 => format!("JOB.FAIL {id} {token} RETRY {}", [0, 60, 2000][rng.usize(..3)]),
        8 => format!("JOB.FAIL {id} {token} NORETRY"),
        _ => format!("JOB.RELEASE {id} {token}"),
    }))
}

fn schedule(rng: &mut Rng, sight: &Sight, made: &mut Vec<String>) -> Words {
    if made.len() > 3 || (!made.is_empty() && rng.u8(..3) == 0) {
        let id = made.remove(rng.usize(..made.len()));
        return words(&format!("CRON.DEL {id}"));
    }
    let id = format!("s{}", sight.unique);
    made.push(id.clone());
    let catch_up = ["none", "last", "all"][rng.usize(..3)];
    let overlap = ["skip", "allow"][rng.usize(..2)];
    let mut all = words(&format!("CRON.SET {id}"));
    match rng.u8(..3) {
        0 => all.extend(["EVERY".to_owned(), ["700", "3s", "40s"][rng.usize(..3)].to_owned()]),
        1 => all.extend(["CRON".to_owned(), format!("*/{} * * * *", [1, 2, 5][rng.usize(..3)])]),
        _ => all.extend(["AT".to_owned(), (sight.wall_ms + rng.u64(1..4000)).to_string()]),
    }
    all.extend(words(&format!("CATCHUP {catch_up} OVERLAP {overlap} PUSH {} tick payload", queue(rng))));
    if rng.bool() {
        all.extend(words("ATTEMPTS 2 KEEP 0"));
    }
    all
}

fn lock(rng: &mut Rng, name: &str, held: &mut Vec<(String, String)>, past: &[(String, String)]) -> Words {
    if rng.u8(..8) == 0
        && let Some((lock, token)) = pick(rng, past)
    {
        let verb = ["LOCK.DROP", "LOCK.EXTEND"][rng.usize(..2)];
        return words(&format!("{verb} {lock} {token}"));
    }
    if !held.is_empty() && rng.u8(..3) > 0 {
        if rng.u8(..3) == 0 {
            let (lock, token) = &held[rng.usize(..held.len())];
            let ttl = ["", " 900"][rng.usize(..2)];
            return words(&format!("LOCK.EXTEND {lock} {token}{ttl}"));
        }
        let (lock, token) = held.remove(rng.usize(..held.len()));
        return words(&format!("LOCK.DROP {lock} {token}"));
    }
    let ttl = [5, 300, 20_000][rng.usize(..3)];
    let wait = ["", " WAIT 0", " WAIT 200"][rng.usize(..3)];
    words(&format!("LOCK.TAKE lock{} {name} {ttl}{wait}", rng.u8(..2)))
}

fn keys(rng: &mut Rng, prefix: &str, sight: &Sight) -> Words {
    let member = rng.u8(..6);
    // While a snapshot is written is the time to change what it writes in steps.
    if sight.is_rewriting && rng.bool() {
        return words(&huge(rng, prefix));
    }
    words(&match rng.u8(..17) {
        0..=2 => format!("EXEC INCR {prefix}:a | INCR {prefix}:b"),
        3 => format!("GET {prefix}:a"),
        4 => format!("SET {prefix}:t{} v{}", member % 2, sight.unique),
        5 => format!("SET {prefix}:t{} v{} PX {}", member % 2, sight.unique, [1, 80, 3000][rng.usize(..3)]),
        6 | 7 => format!("GET {prefix}:t{}", member % 2),
        8 => format!("HSET {prefix}:h f{member} v{}", sight.unique),
        9 => format!("HDEL {prefix}:h f{member}"),
        10 => format!("ZADD {prefix}:z {} m{member}", rng.i8(..)),
        11 => format!("ZREM {prefix}:z m{member}"),
        12 => format!("SADD {prefix}:s m{member}"),
        13 => format!("SREM {prefix}:s m{member}"),
        14 => format!(
            "{} {prefix}:{}",
            ["HLEN", "ZCARD", "SCARD"][usize::from(member % 3)],
            ["h", "z", "s"][usize::from(member % 3)]
        ),
        15 => huge(rng, prefix),
        _ => format!("EXEC SET {prefix}:t0 v{} | INCR {prefix}:a | INCR {prefix}:b", sight.unique),
    })
}

/// A value comes, changes, goes or moves that a snapshot writes in steps. Streams would take a command for each entry,
/// each of which the effects of all are checked after.
fn huge(rng: &mut Rng, prefix: &str) -> String {
    match rng.u8(..16) {
        0 => long_element(rng, prefix),
        1..=4 => huge_list(rng, prefix),
        _ => huge_value(rng, prefix),
    }
}

/// An element comes or goes that a snapshot writes in steps, or its score changes.
fn long_element(rng: &mut Rng, prefix: &str) -> String {
    let element = "x".repeat(HUGE_TEXT + 1);
    match rng.u8(..8) {
        0 => format!("HSET {prefix}:h long {element}"),
        1 => format!("HDEL {prefix}:h long"),
        2 => format!("RPUSH {prefix}:l a {element} b"),
        3 => format!("SADD {prefix}:s {element}"),
        4 => format!("SREM {prefix}:s {element}"),
        5 => format!("ZREM {prefix}:z {element}"),
        _ => format!("ZADD {prefix}:z {} {element}", rng.u8(..)),
    }
}

fn huge_list(rng: &mut Rng, prefix: &str) -> String {
    match rng.u8(..8) {
        0 | 1 => format!("DEL {prefix}:l"),
        2..=4 => format!("LPOP {prefix}:l"),
        5 => format!("RPUSH {prefix}:l a b c"),
        _ => {
            let elements = (0..=HUGE_ELEMENTS).map(|nth| format!(" e{nth}"));
            format!("RPUSH {prefix}:l{}", elements.collect::<String>())
        }
    }
}

/// Its second key changes only here.
fn huge_value(rng: &mut Rng, prefix: &str) -> String {
    let (verb, name) = [("HSET", "h"), ("ZADD", "z"), ("SADD", "s")][rng.usize(..3)];
    let key = format!("{prefix}:{name}");
    let other = format!("{key}2");
    match rng.u8(..16) {
        0..=4 => format!("DEL {key}"),
        5 | 6 => format!("UNLINK {other}"),
        7 => format!("COPY {key} {other} REPLACE"),
        8 => format!("RENAME {key} {other}"),
        9 => format!("RENAME {other} {key}"),
        10 => format!("RENAMENX {key} {other}"),
        _ => {
            let elements = (0..=HUGE_ELEMENTS).map(|nth| match verb {
                "HSET" => format!(" f{nth} v"),
                "ZADD" => format!(" {nth} m{nth}"),
                _ => format!(" m{nth}"),
            });
            format!("{verb} {key}{}", elements.collect::<String>())
        }
    }
}

fn fields(rng: &mut Rng, key: &str, sight: &Sight) -> Words {
    let (field, value) = (format!("f{}", rng.u8(..12)), sight.unique);
    let ms = [1, 60, 900, 20_000][rng.usize(..4)];
    let date = sight.wall_ms.saturating_add_signed(rng.i64(-50..5000));
    words(&match rng.u8(..20) {
        0 | 1 => format!("HSETEX {key} PX {ms} FIELDS 1 {field} {value}"),
        2 => format!("HSETEX {key} PXAT {date} FIELDS 1 {field} {value}"),
        3 => format!("HSETEX {key} FXX KEEPTTL FIELDS 1 {field} {value}"),
        4 => format!("HSETEX {key} FNX PX {ms} FIELDS 1 {field} {value}"),
        5 | 6 => format!("HSET {key} {field} {value}"),
        7 => format!("HSETNX {key} {field} {value}"),
        8 | 9 => format!("HINCRBY {key} {field} 1"),
        10 => format!("HPEXPIRE {key} {ms} FIELDS 1 {field}"),
        11 => format!("HPEXPIREAT {key} {date} FIELDS 1 {field}"),
        12 => format!("HPERSIST {key} FIELDS 1 {field}"),
        13 => format!("HGETEX {key} PX {ms} FIELDS 1 {field}"),
        14 => format!("HGETDEL {key} FIELDS 1 {field}"),
        15 => format!("HDEL {key} {field}"),
        16 => format!("HPEXPIRETIME {key} FIELDS 1 {field}"),
        17 => format!("EXEC HSETEX {key} PX {ms} FIELDS 1 {field} {value} | HINCRBY {key} {field} 1"),
        _ => format!("HGET {key} {field}"),
    })
}

fn feed(rng: &mut Rng, sight: &Sight) -> Words {
    let list = format!("list:{}", rng.u8(..2));
    words(&match rng.u8(..6) {
        0 => format!("LPOP {list}"),
        1 => format!("LRANGE {list} 0 -1"),
        2 => format!("RPUSH {list} e{0} f{0} g{0}", sight.unique),
        _ => format!("RPUSH {list} e{}", sight.unique),
    })
}

fn operate(rng: &mut Rng, sight: &Sight) -> Option<Words> {
    let id = pick(rng, &sight.ids)?;
    Some(words(&match rng.u8(..6) {
        0 | 1 => format!("JOB.CANCEL {id}"),
        2 => format!("JOB.CANCEL {id} REASON because"),
        3 | 4 => format!("JOB.RETRY {id}"),
        _ => format!("JOB.GET {id}"),
    }))
}
