//! What replies say: each is checked against the model, then the model follows it.

use pbj_store::resp::value::Value;

use super::model::{Due, Job, JobState, Lock, Model, Moment, Scoped, Verdict};
use super::{observe_fields, observe_keys};

/// Takes notice of a reply.
///
/// # Errors
/// It cannot be.
pub(super) fn reply(
    model: &mut Model,
    moment: Moment,
    db: usize,
    words: &[String],
    reply: &Value,
) -> Verdict {
    if reply.error().is_some_and(|text| text.starts_with("MISCONF")) {
        return Ok(());
    }
    let seen = Seen { moment, db, words, reply };
    let verdict = match words[0].as_str() {
        "EXEC" => exec(model, &seen),
        "JOB.PUSH" => seen.push(model),
        "JOB.MPUSH" => seen.mpush(model),
        "JOB.FETCH" => seen.fetch(model),
        "JOB.ACK" => seen.settle(model, &seen.words[1], &seen.words[2], reply, |model, job| {
            model.finish(moment, job, seen.option("RESULT").is_some());
        }),
        "JOB.MACK" => seen.mack(model),
        "JOB.FAIL" => seen.fail(model),
        "JOB.RELEASE" => {
            seen.settle(model, &seen.words[1], &seen.words[2], reply, |model, job| model.release(moment, job))
        }
        "JOB.EXTEND" => seen.extend(model),
        "JOB.CANCEL" => seen.cancel(model),
        "JOB.RETRY" => seen.retry(model),
        "LOCK.TAKE" => seen.take_lock(model),
        "LOCK.EXTEND" => seen.extend_lock(model),
        "LOCK.DROP" => seen.drop_lock(model),
        "FLUSHDB" => {
            seen.flush(model);
            Ok(())
        }
        _ if words.get(1).is_some_and(|key| key == "dated") => {
            observe_fields::reply(model, moment, db, words, reply)
        }
        _ => observe_keys::reply(model, moment, db, words, reply),
    };
    verdict.map_err(|reason| format!("{reason}; request {words:?}, reply {reply:?}"))
}

/// The replies of a transaction, each as if it stood alone. The words behind EXEC are the queued requests, apart by
/// `|`.
fn exec(model: &mut Model, seen: &Seen<'_>) -> Verdict {
    let Some(replies) = seen.reply.items() else { return Ok(()) };
    let requests: Vec<&[String]> = seen.words[1..].split(|word| word == "|").collect();
    for (words, inner) in requests.iter().zip(replies) {
        reply(model, seen.moment, seen.db, words, inner)?;
    }
    if requests.len() == replies.len() { Ok(()) } else { Err("as many replies as requests".to_owned()) }
}

/// A request and its reply.
struct Seen<'a> {
    moment: Moment,
    db: usize,
    words: &'a [String],
    reply: &'a Value,
}

/// Milliseconds of a duration as the simulator writes it: a plain number.
fn ms(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn text(value: Option<&Value>) -> Result<String, String> {
    value.and_then(Value::text).ok_or_else(|| "a text is missing".to_owned())
}

fn number(value: Option<&Value>) -> Result<u64, String> {
    let number = value.and_then(Value::integer).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| "a number is missing".to_owned())
}

impl Seen<'_> {
    fn scoped(&self, name: &str) -> Scoped {
        (self.db, name.to_owned())
    }

    fn option(&self, name: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// A job as this push describes it.
    fn fresh_job(&self) -> Job {
        let due = match (self.option("DELAY"), self.option("AT")) {
            (Some("0"), _) => Due::Now,
            (Some(delay), _) => Due::Steady(self.moment.steady_ms + ms(delay)),
            (_, Some(at)) => Due::Calendar(ms(at)),
            _ => Due::Now,
        };
        Job {
            queue: self.words[1].clone(),
            due,
            lease_ms: self.option("LEASE").map_or(30_000, ms),
            attempts: self.option("ATTEMPTS").map_or(10, ms),
            lost_max: self.option("LOST").map_or(5, ms),
            keep_ms: self.option("KEEP").map(ms),
            ..Job::default()
        }
    }

    fn push(&self, model: &mut Model) -> Verdict {
        if let Some(error) = self.reply.error() {
            let id = self.option("ID").unwrap_or_default();
            let known = model.jobs.get(&self.scoped(id));
            return match known {
                Some(_) if error.starts_with("DUP ") => Ok(()),
                _ => Err(format!("an error for a job that can be pushed (known: {known:?})")),
            };
        }
        self.pushed(model, &text(Some(self.reply))?)
    }

    fn pushed(&self, model: &mut Model, id: &str) -> Verdict {
        if self.option("ID").is_none() {
            let (queue, number) = id.rsplit_once(':').ok_or("an id without a number")?;
            let highest = model.numbers.entry(self.scoped(queue)).or_default();
            if ms(number) <= *highest {
                return Err(format!("number {number} of {queue} after {highest}"));
            }
            *highest = ms(number);
        }
        model.pushed(&self.scoped(id), self.fresh_job(), self.moment)
    }

    fn mpush(&self, model: &mut Model) -> Verdict {
        let ids = self.reply.items().ok_or("an array of ids is missing")?;
        ids.iter().try_for_each(|id| self.pushed(model, &text(Some(id))?))
    }

    fn fetch(&self, model: &mut Model) -> Verdict {
        if self.reply.is_null() {
            return Ok(());
        }
        let jobs = self.reply.items().ok_or("an array of jobs is missing")?;
        let most = self.option("COUNT").map_or(1, ms) as usize;
        if jobs.is_empty() || jobs.len() > most {
            return Err(format!("{} jobs where 1 to {most} were asked for", jobs.len()));
        }
        jobs.iter().try_for_each(|job| self.delivered(model, job))
    }

    fn delivered(&self, model: &mut Model, reply: &Value) -> Verdict {
        let id = self.scoped(&text(reply.field("id"))?);
        let (token, queue) = (number(reply.field("token"))?, text(reply.field("queue"))?);
        let highest = model.tokens.entry((self.db, queue.clone())).or_default();
        if token <= *highest {
            return Err(format!("token {token} after {highest}"));
        }
        *highest = token;
        let now = self.moment.steady_ms;
        let until =
            now.saturating_add_signed(number(reply.field("deadline"))? as i64 - self.moment.wall_ms as i64);
        let (attempt, lost) = (number(reply.field("attempt"))?, number(reply.field("lost"))?);
        if id.1.starts_with("cron:") && !model.jobs.contains_key(&id) {
            let job = Job {
                queue: queue.clone(),
                lease_ms: 30_000,
                keep_ms: Some(0),
                attempts: 10,
                lost_max: 5,
                ..Job::default()
            };
            model.jobs.insert(id.clone(), Job { unsure: true, ..job });
        }
        let Some(job) = model.jobs.get_mut(&id) else { return Err("a job that nobody pushed".to_owned()) };
        if !job.unsure {
            job.check_delivery(self.moment, &queue, attempt, lost)?;
        }
        *job = Job {
            state: JobState::Leased,
            due: Due::Now,
            token,
            until_ms: until,
            started_ms: now,
            attempt,
            lost,
            unsure: false,
            ..job.clone()
        };
        Ok(())
    }

    /// The reply of a verb that needs the token: accepted or stale, as it must be; if accepted, `act` follows.
    fn settle(
        &self,
        model: &mut Model,
        id: &str,
        token: &str,
        reply: &Value,
        act: impl FnOnce(&mut Model, &Scoped),
    ) -> Verdict {
        let id = self.scoped(id);
        let holds = |job: &&Job| job.state == JobState::Leased && job.token == ms(token);
        let held = model.jobs.get(&id).filter(holds);
        let unsure = model.jobs.get(&id).is_some_and(|job| job.unsure);
        match reply.error() {
            None if held.is_some() || unsure => {
                act(model, &id);
                // What became of it also hangs on what nobody knows, such as a cancel of which a crash left a part.
                model.jobs.get_mut(&id).into_iter().for_each(|job| job.unsure |= unsure);
            }
            None => return Err(format!("a stale token was accepted: {:?}", model.jobs.get(&id))),
            Some(error) if error.starts_with("STALE ") => {
                if held.is_some_and(|job| !unsure && self.moment.steady_ms < job.until_ms) {
                    return Err(format!("a good token was refused: {held:?} at {}", self.moment.steady_ms));
                }
                let alone =
                    self.words[0] != "JOB.MACK" && self.words.len() < 20 && !self.moment.just_set_back;
                if alone && self.moment.start != self.moment.end && model.lines.is_empty() {
                    return Err("a stale token changed something".to_owned());
                }
            }
            Some(error) => return Err(format!("unexpected error {error}")),
        }
        Ok(())
    }

    fn mack(&self, model: &mut Model) -> Verdict {
        let replies = self.reply.items().ok_or("an array is missing")?;
        for (pair, reply) in self.words[1..].chunks_exact(2).zip(replies) {
            self.settle(model, &pair[0], &pair[1], reply, |model, job| {
                model.finish(self.moment, job, false);
            })?;
        }
        Ok(())
    }

    fn fail(&self, model: &mut Model) -> Verdict {
        let (moment, reply) = (self.moment, self.reply);
        self.settle(model, &self.words[1], &self.words[2], reply, |model, id| {
            let Some(job) = model.jobs.get_mut(id) else { return };
            match (reply.integer(), reply.text().as_deref()) {
                (Some(at), _) => {
                    let wait = (at - moment.wall_ms as i64).max(0);
                    job.state = JobState::Waits;
                    job.due = Due::Steady(moment.steady_ms + wait as u64);
                }
                (None, Some("cancelled")) => job.end(JobState::Cancelled, job.keep_ms, moment),
                _ => job.end(JobState::Dead, None, moment),
            }
        })
    }

    fn extend(&self, model: &mut Model) -> Verdict {
        let (moment, reply) = (self.moment, self.reply);
        let (mut deadline, mut cancel) = (0, 0);
        if reply.error().is_none() {
            (deadline, cancel) = (number(reply.field("deadline"))?, number(reply.field("cancel"))?);
        }
        let known = model.jobs.get(&self.scoped(&self.words[1]));
        let wrong = known.is_some_and(|job| !job.unsure && job.cancelling != (cancel == 1));
        self.settle(model, &self.words[1], &self.words[2], reply, |model, id| {
            let Some(job) = model.jobs.get_mut(id) else { return };
            job.until_ms = moment.steady_ms.saturating_add_signed(deadline as i64 - moment.wall_ms as i64);
        })?;
        if reply.error().is_none() && wrong {
            Err("the wrong news about a cancel".to_owned())
        } else {
            Ok(())
        }
    }

    fn cancel(&self, model: &mut Model) -> Verdict {
        let id = self.scoped(&self.words[1]);
        let Some(states) = self.reply.items() else { return model.must_be_unknown(&id, self.moment) };
        let (before, after) = (text(states.first())?, text(states.get(1))?);
        let Some(job) = model.jobs.get_mut(&id) else {
            return if id.1.starts_with("cron:") {
                Ok(())
            } else {
                Err("a job that nobody pushed".to_owned())
            };
        };
        job.check_state(self.moment, &before, 0)?;
        match (&*before, &*after) {
            ("leased", "leased") => job.cancelling = true,
            ("ready" | "delayed", "cancelled") => job.end(JobState::Cancelled, job.keep_ms, self.moment),
            (same, other) if same == other => {}
            _ => return Err("a move that there is not".to_owned()),
        }
        Ok(())
    }

    fn retry(&self, model: &mut Model) -> Verdict {
        let id = self.scoped(&self.words[1]);
        let Some(states) = self.reply.items() else { return model.must_be_unknown(&id, self.moment) };
        let (before, after) = (text(states.first())?, text(states.get(1))?);
        let Some(job) = model.jobs.get_mut(&id) else {
            return if id.1.starts_with("cron:") {
                Ok(())
            } else {
                Err("a job that nobody pushed".to_owned())
            };
        };
        job.check_state(self.moment, &before, 0)?;
        if ["done", "dead", "cancelled"].contains(&&*before) {
            *job = Job {
                state: JobState::Waits,
                due: Due::Now,
                attempt: 0,
                lost: 0,
                cancelling: false,
                gone_ms: None,
                unsure: false,
                ..job.clone()
            };
            return if after == "ready" { Ok(()) } else { Err("what is tried again is ready".to_owned()) };
        }
        if before == after { Ok(()) } else { Err("only what is over is tried again".to_owned()) }
    }

    fn take_lock(&self, model: &mut Model) -> Verdict {
        let name = self.scoped(&self.words[1]);
        let now = self.moment.steady_ms;
        if let Some(token) = self.reply.integer() {
            let token = token as u64;
            if let Some(held) = model.locks.get(&name) {
                return Err(format!("a lock that is held was given away: {held:?} at {now}"));
            }
            let highest = model.lock_tokens.entry(self.db).or_default();
            if token <= *highest {
                return Err(format!("token {token} after {highest}"));
            }
            *highest = token;
            let ttl_ms = ms(&self.words[3]);
            let owner = self.words[2].clone();
            model.locks.insert(name, Lock { token, owner, until_ms: now + ttl_ms, ttl_ms });
            return Ok(());
        }
        if self.reply.is_null()
            && !self.words.iter().any(|word| word == "WAIT")
            && !model.locks.contains_key(&name)
        {
            return Err("a lock that is free was refused".to_owned());
        }
        Ok(())
    }

    /// The lock, if the token is the right one.
    fn lock<'m>(&self, model: &'m mut Model) -> Option<&'m mut Lock> {
        let token = ms(&self.words[2]);
        model.locks.get_mut(&self.scoped(&self.words[1])).filter(|lock| lock.token == token)
    }

    fn extend_lock(&self, model: &mut Model) -> Verdict {
        let moment = self.moment;
        let ttl = self.words.get(3).map(|text| ms(text));
        match (self.reply.integer(), self.lock(model)) {
            (Some(_), Some(lock)) => {
                lock.ttl_ms = ttl.unwrap_or(lock.ttl_ms);
                lock.until_ms = moment.steady_ms + lock.ttl_ms;
                Ok(())
            }
            (Some(_), None) => Err("a stale token was accepted".to_owned()),
            (None, Some(lock)) if moment.steady_ms < lock.until_ms => {
                Err("a good token was refused".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn drop_lock(&self, model: &mut Model) -> Verdict {
        let now = self.moment.steady_ms;
        let good = self.lock(model).map(|lock| now < lock.until_ms);
        match (self.reply.error(), good) {
            (None, None) => Err("a stale token was accepted".to_owned()),
            (None, Some(_)) => {
                model.locks.remove(&self.scoped(&self.words[1]));
                Ok(())
            }
            (Some(_), Some(true)) => Err("a good token was refused".to_owned()),
            _ => Ok(()),
        }
    }

    fn flush(&self, model: &mut Model) {
        let here = |scoped: &Scoped| scoped.0 == self.db;
        model.jobs.retain(|id, _| !here(id));
        model.locks.retain(|name, _| !here(name));
        model.counters.retain(|name, _| !here(name));
        model.lists.retain(|name, _| !here(name));
        model.texts.retain(|name, _| !here(name));
        model.fields.retain(|name, _| !here(name));
        model.dated.retain(|name, _| !here(name));
        model.numbers.retain(|queue, _| !here(queue));
    }
}

impl Default for Job {
    fn default() -> Self {
        Self {
            queue: String::new(),
            state: JobState::Waits,
            due: Due::Now,
            token: 0,
            until_ms: 0,
            started_ms: 0,
            lease_ms: 0,
            attempt: 0,
            attempts: 0,
            lost: 0,
            lost_max: 0,
            cancelling: false,
            keep_ms: None,
            gone_ms: None,
            unsure: false,
        }
    }
}

impl Job {
    /// The job is over.
    fn end(&mut self, state: JobState, keep_ms: Option<u64>, moment: Moment) {
        self.state = state;
        self.unsure = false;
        self.gone_ms = keep_ms.map(|keep| if keep == 0 { 0 } else { moment.wall_ms + keep });
    }

    /// Whether it may be gone because it was kept for long enough.
    pub fn may_be_gone(&self, moment: Moment) -> bool {
        self.unsure || self.gone_ms.is_some_and(|gone| gone <= moment.wall_ms || moment.set_back)
    }

    /// Its lease has ended without a word.
    pub fn lose_lease(&mut self) {
        self.lost += 1;
        self.state = match () {
            () if self.cancelling => JobState::Cancelled,
            () if self.lost > self.lost_max => JobState::Dead,
            () => JobState::Waits,
        };
    }

    /// Whether this can be its delivery.
    fn check_delivery(&self, moment: Moment, queue: &str, attempt: u64, lost: u64) -> Verdict {
        let fault = match self.state {
            _ if queue != self.queue => "from another queue",
            JobState::Leased => "which somebody else holds",
            JobState::Done | JobState::Dead | JobState::Cancelled => "which is over",
            _ if !self.is_due(moment) => "before its time",
            _ if attempt != self.attempt + 1 => "with the wrong number of attempts",
            _ if lost != self.lost => "with the wrong number of losses",
            _ => return Ok(()),
        };
        Err(format!("a job was delivered {fault}: {self:?} at {moment:?}"))
    }

    fn is_due(&self, moment: Moment) -> bool {
        match self.due {
            Due::Now => true,
            Due::Steady(at) => at <= moment.steady_ms,
            // Somebody may have set the clock back since it became ready.
            Due::Calendar(_) => true,
        }
    }

    /// Takes over what the engine says, about a job in doubt.
    pub fn adopt(&mut self, reply: &Value, state: &str, moment: Moment) {
        let number = |name: &str| reply.field(name).and_then(Value::integer).unwrap_or_default();
        let steady = |wall: i64| moment.steady_ms.saturating_add_signed(wall - moment.wall_ms as i64);
        self.state = match state {
            "leased" => JobState::Leased,
            "done" => JobState::Done,
            "dead" => JobState::Dead,
            "cancelled" => JobState::Cancelled,
            _ => JobState::Waits,
        };
        // Whether its time follows the calendar is not said: only what is ready is certain.
        if state == "delayed" {
            return;
        }
        self.due = Due::Now;
        self.token = number("token") as u64;
        self.until_ms = steady(number("deadline"));
        self.started_ms = steady(number("started_at"));
        self.lease_ms = number("lease") as u64;
        (self.attempt, self.attempts) = (number("attempt") as u64, number("attempts") as u64);
        self.lost = number("lost") as u64;
        self.cancelling = number("cancelling") == 1;
        // How long it is kept is not said, nor whether the time it waited for was a date.
        self.unsure = match self.state {
            JobState::Leased => false,
            JobState::Waits => reply.field("due_at").is_some_and(|due| !due.is_null()),
            _ => true,
        };
    }

    /// Whether the engine can say that it is in this state, in a census after everything due was done.
    ///
    /// # Errors
    /// It cannot.
    pub fn check_state(&self, moment: Moment, state: &str, token: u64) -> Verdict {
        let right = match self.state {
            _ if self.unsure => true,
            JobState::Waits => match self.due {
                Due::Now => state == "ready",
                Due::Steady(at) if at <= moment.steady_ms => state == "ready",
                Due::Steady(_) => state == "delayed",
                Due::Calendar(at) if at <= moment.wall_ms => state == "ready",
                Due::Calendar(_) => state == "delayed" || state == "ready",
            },
            JobState::Leased if self.until_ms <= moment.steady_ms => false,
            JobState::Leased => state == "leased" && (token == 0 || token == self.token),
            JobState::Done => state == "done",
            JobState::Dead => state == "dead",
            JobState::Cancelled => state == "cancelled",
        };
        if right { Ok(()) } else { Err(format!("{state} (token {token}), but {self:?} at {moment:?}")) }
    }
}

impl Model {
    fn pushed(&mut self, id: &Scoped, job: Job, moment: Moment) -> Verdict {
        if let Some(known) = self.jobs.get(id).filter(|known| !known.may_be_gone(moment)) {
            return Err(format!("id {id:?} was given twice; known: {known:?}"));
        }
        self.ever.insert(id.clone());
        self.jobs.insert(id.clone(), job);
        Ok(())
    }

    fn must_be_unknown(&self, id: &Scoped, moment: Moment) -> Verdict {
        match self.jobs.get(id).filter(|job| !job.may_be_gone(moment)) {
            Some(job) => Err(format!("a job is lost: {job:?} at {moment:?}")),
            None => Ok(()),
        }
    }

    /// A worker said that a job is done.
    fn finish(&mut self, moment: Moment, id: &Scoped, has_result: bool) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let keep_ms = job.keep_ms.or(has_result.then_some(pbj_queue::limits::RESULT_KEPT_MS));
        let state = if job.cancelling { JobState::Cancelled } else { JobState::Done };
        job.end(state, keep_ms, moment);
    }

    /// A worker gave a job back.
    fn release(&mut self, moment: Moment, id: &Scoped) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.cancelling {
            return self.finish(moment, id, false);
        }
        job.state = JobState::Waits;
        job.attempt -= 1;
    }
}
