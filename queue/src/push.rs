//! Making jobs: what a push may say, and what becomes of it.

use pbj_store::command::args::is_word;
use pbj_store::command::{Args, Fault};
use pbj_store::number::parse_i64;
use pbj_store::txn::Txn;

use crate::change::Change;
use crate::duration::{parse_instant, parse_ms};
use crate::index::QueueNumber;
use crate::keys::{is_name, is_queue_name};
use crate::limits::{
    ATTEMPTS_DEFAULT, ATTEMPTS_MAX, DELAY_MAX_MS, LEASE_DEFAULT_MS, LEASE_MAX_MS, LOST_DEFAULT,
    TYPE_BYTES_MAX,
};
use crate::model::Backoff;
use crate::queues::Queues;
use crate::record::{Head, field};

/// When a job may be fetched first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    /// After this many milliseconds.
    After(u64),
    /// At this Unix time in milliseconds.
    At(u64),
}

/// What a push says about its job, or its jobs.
#[derive(Clone, Debug)]
pub(crate) struct PushOptions<'a> {
    pub(crate) queue: &'a [u8],
    pub(crate) kind: &'a [u8],
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) when: When,
    prio: i16,
    attempts: u32,
    lost_max: u32,
    backoff: Option<Backoff>,
    lease_ms: u64,
    keep_ms: Option<u64>,
    /// The schedule that pushes.
    pub(crate) schedule: Option<&'a [u8]>,
}

fn other(text: impl Into<String>) -> Fault {
    Fault::other(text.into())
}

/// A queue name that can be one.
pub(crate) fn check_queue(name: &[u8]) -> Result<(), Fault> {
    if is_queue_name(name) {
        return Ok(());
    }
    Err(other(
        "a queue name has 1 to 128 bytes without spaces, control characters and braces, is not 'lock', and does not \
         end in a colon and a number",
    ))
}

/// A lease length that can be one.
pub(crate) fn lease_ms(text: &[u8]) -> Result<u64, Fault> {
    let ms = parse_ms(text).map_err(|fault| other(fault.to_string()))?;
    if (1..=LEASE_MAX_MS).contains(&ms) { Ok(ms) } else { Err(other("LEASE must be between 1ms and 7d")) }
}

fn delay_ms(text: &[u8], what: &str) -> Result<u64, Fault> {
    let ms = parse_ms(text).map_err(|fault| other(fault.to_string()))?;
    if ms <= DELAY_MAX_MS { Ok(ms) } else { Err(other(format!("{what} must not exceed ten years"))) }
}

impl<'a> PushOptions<'a> {
    /// A push with nothing special.
    ///
    /// # Errors
    /// Queue or type cannot be one.
    pub(crate) fn new(queue: &'a [u8], kind: &'a [u8]) -> Result<Self, Fault> {
        check_queue(queue)?;
        if !(1..=TYPE_BYTES_MAX).contains(&kind.len()) {
            return Err(other("a job type has 1 to 256 bytes"));
        }
        Ok(Self {
            queue,
            kind,
            id: None,
            when: When::Now,
            prio: 0,
            attempts: ATTEMPTS_DEFAULT,
            lost_max: LOST_DEFAULT,
            backoff: None,
            lease_ms: LEASE_DEFAULT_MS,
            keep_ms: None,
            schedule: None,
        })
    }

    /// Reads the next option.
    ///
    /// # Errors
    /// It is none, or its value cannot be one.
    pub(crate) fn take(&mut self, args: &mut Args<'a>) -> Result<(), Fault> {
        let (word, value) = (args.bytes()?, args.bytes()?);
        let count = |min: i64| {
            let count = parse_i64(value).filter(|count| (min..=ATTEMPTS_MAX).contains(count));
            count.map(|count| count as u32)
        };
        match () {
            () if is_word(word, "ID") => {
                if !is_name(value) {
                    return Err(other("ID must have 1 to 128 bytes without spaces and control characters"));
                }
                self.id = Some(value);
            }
            () if is_word(word, "DELAY") && self.when == When::Now => {
                self.when = When::After(delay_ms(value, "DELAY")?);
            }
            () if is_word(word, "AT") && self.when == When::Now => {
                self.when = When::At(parse_instant(value).map_err(|fault| other(fault.to_string()))?);
            }
            () if is_word(word, "DELAY") || is_word(word, "AT") => {
                return Err(other("only one of DELAY and AT can be given, once"));
            }
            () if is_word(word, "PRIO") => {
                let prio = parse_i64(value).and_then(|prio| i16::try_from(prio).ok());
                self.prio = prio.ok_or_else(|| other("PRIO must be between -32768 and 32767"))?;
            }
            () if is_word(word, "ATTEMPTS") => {
                self.attempts = count(1).ok_or_else(|| other("ATTEMPTS must be between 1 and 10000"))?;
            }
            () if is_word(word, "LOST") => {
                self.lost_max = count(0).ok_or_else(|| other("LOST must be between 0 and 10000"))?;
            }
            () if is_word(word, "BACKOFF") => {
                self.backoff = Some(Backoff::parse(value).map_err(|fault| other(fault.to_string()))?);
            }
            () if is_word(word, "LEASE") => self.lease_ms = lease_ms(value)?,
            () if is_word(word, "KEEP") => self.keep_ms = Some(delay_ms(value, "KEEP")?),
            () => return Err(Fault::Syntax),
        }
        Ok(())
    }

    /// Checks what depends on the jobs there are.
    ///
    /// # Errors
    /// The id is taken.
    pub(crate) fn check(&self, queues: &Queues, txn: &mut Txn<'_>) -> Result<(), Fault> {
        match self.id {
            Some(id) if queues.is_taken(txn, id)? => {
                Err(Fault::coded(format!("DUP {}", String::from_utf8_lossy(id))))
            }
            _ => Ok(()),
        }
    }

    /// Appends the options to the words of a command, so that they can be read again: a schedule keeps them so.
    pub(crate) fn write_to(&self, words: &mut Vec<Vec<u8>>) {
        let mut add = |name: &str, value: String| words.extend([name.into(), value.into()]);
        if self.prio != 0 {
            add("PRIO", self.prio.to_string());
        }
        if self.attempts != ATTEMPTS_DEFAULT {
            add("ATTEMPTS", self.attempts.to_string());
        }
        if self.lost_max != LOST_DEFAULT {
            add("LOST", self.lost_max.to_string());
        }
        if let Some(backoff) = &self.backoff {
            add("BACKOFF", backoff.to_string());
        }
        if self.lease_ms != LEASE_DEFAULT_MS {
            add("LEASE", self.lease_ms.to_string());
        }
        if let Some(keep) = self.keep_ms {
            add("KEEP", keep.to_string());
        }
        if let When::After(delay) = self.when {
            add("DELAY", delay.to_string());
        }
    }
}

/// Adds a job, and returns its queue and number. Everything was checked before.
pub(crate) fn push(
    queues: &mut Queues,
    txn: &mut Txn<'_>,
    options: &PushOptions<'_>,
    payload: &[u8],
) -> Result<(QueueNumber, u64), Fault> {
    let queue = queues.queue_named(txn.db(), options.queue);
    let number = queues.next_job(txn, queue)?;
    let now_ms = queues.steady_ms(txn);
    let backoff = options.backoff.as_ref().map(ToString::to_string);
    let mut job = Change::of(&Head::FRESH);
    job.text(field::TYPE, options.kind).text(field::PAYLOAD, payload).pushed(now_ms);
    if options.attempts != ATTEMPTS_DEFAULT {
        job.attempts(options.attempts);
    }
    if options.lost_max != LOST_DEFAULT {
        job.lost_max(options.lost_max);
    }
    if options.lease_ms != LEASE_DEFAULT_MS {
        job.lease_ms(options.lease_ms);
    }
    if options.prio != 0 {
        job.prio(options.prio);
    }
    if let Some(backoff) = &backoff {
        job.text(field::BACKOFF, backoff.as_bytes());
    }
    if let Some(keep) = options.keep_ms {
        job.keep_ms(keep);
    }
    if let Some(schedule) = options.schedule {
        job.text(field::SCHEDULE, schedule);
    }
    match options.when {
        When::Now | When::After(0) => &mut job,
        When::After(delay) => job.due(now_ms + delay),
        When::At(at) => job.due(at).calendar(true),
    };
    if let Some(id) = options.id {
        job.named(id);
    }
    queues.create(txn, queue, number, &job, options.id)?;
    let totals = &mut queues.queue_mut(queue).totals;
    if options.schedule.is_some() {
        totals.scheduled += 1;
    } else {
        totals.pushed += 1;
    }
    Ok((queue, number))
}
