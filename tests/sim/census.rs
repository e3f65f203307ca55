//! A census: everything that is known is compared with what the engine says, and what the engine says with itself.

use pbj_store::resp::value::Value;

use super::model::{Event, JobState, Scoped};
use super::observe_fields;
use super::world::World;
use crate::lab::{Client, request};

const QUEUES: [&str; 3] = ["mail", "video", "a:b"];
const STATES: [&str; 6] = ["ready", "delayed", "leased", "done", "dead", "cancelled"];

fn number(reply: &Value, field: &str) -> i64 {
    reply.field(field).and_then(Value::integer).unwrap_or_default()
}

impl World {
    /// Does what is due and looks at everything.
    pub fn census(&mut self) {
        self.tick();
        self.pass_ms(0);
        self.tally.censuses += 1;
        self.compare_replica();
        for db in 0..2 {
            let client = Client(self.server.connect(self.clock.now()));
            self.ask(client, &["SELECT", &db.to_string()]);
            self.count_jobs(client, db);
            self.count_locks(client, db);
            self.count_schedules(client);
            self.read_keys(client, db);
            self.read_fields(client, db);
            self.server.disconnect(client.0);
        }
        self.no_one_waits_in_vain();
        self.server.deliver();
    }

    /// Both numbers of a transaction changed, or none did.
    fn check_pairs(&mut self) {
        let client = Client(self.server.connect(self.clock.now()));
        for (db, prefix) in [("0", "x"), ("1", "y")] {
            self.ask(client, &["SELECT", db]);
            let pair = ["a", "b"].map(|name| self.ask(client, &["GET", &format!("{prefix}:{name}")]).text());
            assert_eq!(pair[0], pair[1], "a transaction happened in part");
        }
        self.server.disconnect(client.0);
        self.server.deliver();
    }

    /// Removes keys and locks of which a crash left nobody knows what.
    pub(super) fn settle_doubts(&mut self) {
        self.check_pairs();
        if self.model.doubtful.is_empty() {
            return;
        }
        let start = self.server.engine.offset();
        let client = Client(self.server.connect(self.clock.now()));
        for (db, name) in self.model.doubtful.clone() {
            self.ask(client, &["SELECT", &db.to_string()]);
            self.ask(client, &["DEL", &name]);
            if name.starts_with("lock") {
                let token = number(&self.ask(client, &["LOCK.INFO", &name]), "token").to_string();
                self.ask(client, &["LOCK.DROP", &name, &token]);
            }
        }
        self.server.disconnect(client.0);
        self.server.deliver();
        let moment = self.moment(start, self.server.engine.offset());
        self.observe(moment, Event::Settled);
    }

    fn ask(&mut self, client: Client, words: &[&str]) -> Value {
        let answer = self.server.execute(self.clock.now(), client.0, &request(words));
        // Keys past their date may disappear when they are looked at; nothing else happens.
        let (value, _) = Value::read(&answer.bytes).expect("a reply is protocol").expect("a reply at once");
        let stream = self.server.take_stream();
        self.extend_history(&stream);
        value
    }

    /// Every job is in one state, the counts agree with the keys, and the model with both.
    fn count_jobs(&mut self, client: Client, db: usize) {
        let here: Vec<Scoped> = self
            .model
            .jobs
            .range((db, String::new())..(db + 1, String::new()))
            .map(|(id, _)| id.clone())
            .collect();
        let moment = self.moment(0, 0);
        for id in here {
            let reply = self.ask(client, &["JOB.GET", &id.1]);
            let Some(job) = self.model.jobs.get_mut(&id) else { continue };
            if reply.is_null() {
                assert!(job.may_be_gone(moment), "{id:?} is lost: {job:?} at {moment:?}");
                self.model.jobs.remove(&id);
                continue;
            }
            let state = reply.field("state").and_then(Value::text).unwrap_or_default();
            if job.unsure {
                job.adopt(&reply, &state, moment);
                continue;
            }
            let verdict = job.check_state(moment, &state, number(&reply, "token") as u64);
            let cancelling = number(&reply, "cancelling") == 1;
            let wrong = job.state == JobState::Leased
                && moment.steady_ms < job.until_ms
                && job.cancelling != cancelling;
            assert!(!wrong, "{id:?}: cancelling is {cancelling}, but {job:?}");
            self.must(verdict.map_err(|reason| format!("{id:?} is {reason}")));
        }
        for queue in QUEUES {
            self.count_queue(client, db, queue);
        }
    }

    fn count_queue(&mut self, client: Client, db: usize, queue: &str) {
        let stats = self.ask(client, &["QUEUE.STATS", queue]);
        let counted: i64 = STATES.iter().map(|state| number(&stats, state)).sum();
        let keys = self.ask(client, &["KEYS", &format!("pbj:{{{queue}}}:job:*")]);
        let keys = keys.items().map_or(0, <[Value]>::len);
        assert_eq!(counted, keys as i64, "counts and keys of {queue} in {db}: {stats:?}");
        for state in STATES {
            let found =
                self.ask(client, &["JOB.SCAN", "0", "QUEUE", queue, "STATE", state, "COUNT", "1000000"]);
            let ids =
                found.items().and_then(|items| items[1].items().map(<[Value]>::to_vec)).unwrap_or_default();
            if !self.dates_blurred {
                assert_eq!(ids.len() as i64, number(&stats, state), "{state} jobs of {queue} in {db}");
            }
            for id in ids.iter().filter_map(Value::text) {
                let known = self.model.ever.contains(&(db, id.clone())) || id.starts_with("cron:");
                assert!(known, "{id} was never pushed");
            }
        }
    }

    fn count_locks(&mut self, client: Client, db: usize) {
        let now = self.moment(0, 0).steady_ms;
        for name in ["lock0", "lock1"] {
            let info = self.ask(client, &["LOCK.INFO", name]);
            let known = self.model.locks.get(&(db, name.to_owned()));
            match known.filter(|lock| now < lock.until_ms) {
                Some(lock) => {
                    let owner = info.field("owner").and_then(Value::text);
                    assert_eq!(
                        (number(&info, "token") as u64, owner.as_ref()),
                        (lock.token, Some(&lock.owner)),
                        "{name}"
                    );
                }
                None => assert!(info.is_null(), "{name} should be free: {info:?}, known {known:?} at {now}"),
            }
        }
    }

    /// Every time of a schedule fired, was missed, or was left out, once; and none is overdue.
    fn count_schedules(&mut self, client: Client) {
        let all = self.ask(client, &["CRON.LIST"]);
        let wall = self.clock.now().wall_ms() as i64;
        for schedule in all.items().unwrap_or_default() {
            let spec = schedule.field("spec").and_then(Value::text).unwrap_or_default();
            let Some(period) = period_ms(&spec) else { continue };
            let created = number(schedule, "created_at");
            let next = number(schedule, "next_at");
            assert!(next > wall, "a schedule is overdue: {schedule:?} at {wall}");
            let anchor = if spec.starts_with("CRON @every") { created } else { 0 };
            let passed = (next - 1 - anchor) / period - (created - anchor) / period;
            let counted =
                ["runs", "missed", "skipped"].iter().map(|name| number(schedule, name)).sum::<i64>();
            assert_eq!(counted, passed, "times of {schedule:?}");
        }
    }

    fn read_keys(&mut self, client: Client, db: usize) {
        for prefix in ["x", "y"] {
            let pair = ["a", "b"].map(|name| self.ask(client, &["GET", &format!("{prefix}:{name}")]).text());
            assert_eq!(pair[0], pair[1], "a transaction happened in part");
            let known = self.model.counters.get(&(db, format!("{prefix}:a"))).copied();
            let found = pair[0].as_ref().and_then(|text| text.parse().ok());
            assert_eq!(found.unwrap_or(0), known.unwrap_or(0), "counter of {prefix} in {db}");
            let lengths = [("h", "HLEN"), ("z", "ZCARD"), ("s", "SCARD")];
            let seconds = [("h2", "HLEN"), ("z2", "ZCARD"), ("s2", "SCARD")];
            for (name, command) in lengths.into_iter().chain(seconds) {
                let key = format!("{prefix}:{name}");
                let found = self.ask(client, &[command, &key]).integer();
                let known = self.model.fields.get(&(db, key.clone())).map_or(0, |fields| fields.len());
                assert!(found == Some(known as i64), "{key} in {db}: {found:?}, known {known}");
            }
        }
        for list in ["list:0", "list:1", "x:l", "y:l"] {
            let found = self.ask(client, &["LRANGE", list, "0", "-1"]);
            let found: Vec<String> =
                found.items().unwrap_or_default().iter().filter_map(Value::text).collect();
            let known = self.model.lists.get(&(db, list.to_owned())).cloned().unwrap_or_default();
            assert!(found == known, "{list} in {db}: {found:?}, known {known:?}");
        }
    }

    /// Fields are there until their dates, with these dates; what is past has been removed.
    fn read_fields(&mut self, client: Client, db: usize) {
        let (moment, key) = (self.moment(0, 0), (db, "dated".to_owned()));
        observe_fields::drop_past(&mut self.model, moment, &key);
        let found = self.ask(client, &["HKEYS", "dated"]);
        let found: Vec<String> = found.items().unwrap_or_default().iter().filter_map(Value::text).collect();
        let stored = self.ask(client, &["HLEN", "dated"]).integer();
        assert_eq!(
            stored,
            Some(found.len() as i64),
            "what is past its date is still stored in {db}: {found:?}"
        );
        let mut known = self.model.dated.get(&key).cloned().unwrap_or_default();
        // What had a date may be gone since the wall clock was set back.
        known.retain(|field, text| found.contains(field) || !(moment.set_back && text.date_ms.is_some()));
        for (field, text) in &known {
            let value = self.ask(client, &["HGET", "dated", field]).text();
            let date = self.ask(client, &["HPEXPIRETIME", "dated", "FIELDS", "1", field]);
            let date = date.items().and_then(|items| items[0].integer());
            let wanted = text.date_ms.map_or(-1, |date| date as i64);
            assert_eq!(
                (value.as_ref(), date),
                (Some(&text.value), Some(wanted)),
                "{field} of a hash in {db}"
            );
        }
        let surplus: Vec<&String> = found.iter().filter(|field| !known.contains_key(*field)).collect();
        assert!(surplus.is_empty(), "fields that should be gone in {db}: {surplus:?}");
    }

    /// Nobody waits for what is there.
    fn no_one_waits_in_vain(&mut self) {
        let lines: Vec<String> = self.model.lines.keys().cloned().collect();
        for line in lines {
            let Some((command, rest)) = line.split_once(' ') else { continue };
            let Some((db, name)) = rest.split_once('/') else { continue };
            let client = Client(self.server.connect(self.clock.now()));
            self.ask(client, &["SELECT", db]);
            let there = match command {
                "JOB.FETCH" => number(&self.ask(client, &["QUEUE.STATS", name]), "ready") > 0,
                "LOCK.TAKE" => self.ask(client, &["LOCK.INFO", name]).is_null(),
                _ => self.ask(client, &["EXISTS", name]).integer() == Some(1),
            };
            self.server.disconnect(client.0);
            assert!(!there, "somebody waits in line {line:?} for what is there");
        }
    }
}

/// The distance of the times of a schedule, if they have one.
fn period_ms(spec: &str) -> Option<i64> {
    if let Some(every) = spec.strip_prefix("CRON @every ") {
        return pbj_queue::duration::parse_ms(every.as_bytes()).ok().map(|ms| ms as i64);
    }
    let minutes: i64 = spec.strip_prefix("CRON */")?.split(' ').next()?.parse().ok()?;
    Some(minutes * 60_000)
}
