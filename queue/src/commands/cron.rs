//! Schedules for programs and for crontabs.

use super::prelude::*;
use crate::cron::{self, Expression, Zone, crontab};
use crate::duration::parse_instant;
use crate::keys::is_name;
use crate::limits::NEXT_COUNT_MAX;
use crate::push::PushOptions;
use crate::schedule::{CatchUp, Definition, Overlap, Schedule, Spec};

fn schedule_id<'a>(args: &mut Args<'a>) -> Result<&'a [u8], Fault> {
    let id = args.bytes()?;
    if is_name(id) {
        return Ok(id);
    }
    Err(invalid("a schedule id has 1 to 128 bytes without spaces and control characters"))
}

/// What chooses the values of `~` in a schedule: the same each time the schedule is set, or its line loaded, again.
fn seed_of(id: &[u8]) -> u64 {
    id.iter().fold(7_u64, |seed, &byte| seed.wrapping_mul(31).wrapping_add(byte.into())) >> 1
}

fn utf8<'a>(text: &'a [u8], what: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(text).map_err(|_| invalid(format_args!("{what} is no UTF-8 text")))
}

fn zone(text: &[u8]) -> Result<Zone, Fault> {
    Zone::parse(utf8(text, "the time zone")?).map_err(invalid)
}

fn expression(text: &[u8], seed: u64) -> Result<Expression, Fault> {
    Expression::parse(utf8(text, "the expression")?, seed).map_err(invalid)
}

fn never(expression: &str) -> Fault {
    invalid(format_args!("'{expression}' never fires: no day until the end of 2100 is as it says"))
}

pub(super) const SET: Verb = Verb {
    row: row("cron.set", Group::Cron)
        .arity(-8)
        .flags(WRITE | DENYOOM)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Makes a schedule that pushes jobs, or replaces it.")
        .syntax(
            "id:s when=(expression:s/CRON|duration:s/EVERY|time:s/AT) [zone:s/TZ] \
             [catch-up=(none/NONE|last/LAST|all/ALL)/CATCHUP] [overlap=(skip/SKIP|allow/ALLOW)/OVERLAP] \
             push={queue:s type:s payload:s [option:s...]}/PUSH",
        ),
    run: set,
};

fn set(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let id = schedule_id(&mut args)?;
    let seed = seed_of(id);
    let (word, when) = (args.bytes()?, args.bytes()?);
    let spec = match () {
        () if is_word(word, "CRON") => Spec::Cron(expression(when, seed)?),
        () if is_word(word, "EVERY") => Spec::Cron(expression(&[b"@every ", when].concat(), seed)?),
        () if is_word(word, "AT") => Spec::At(parse_instant(when).map_err(invalid)?),
        () => return Err(invalid("a schedule is CRON expression, EVERY duration, or AT time")),
    };
    let (mut tz, mut catch_up, mut overlap) = (Zone::default(), CatchUp::default(), Overlap::default());
    while !args.word("PUSH") {
        let (word, value) = (args.bytes()?, args.bytes()?);
        match () {
            () if is_word(word, "TZ") => tz = zone(value)?,
            () if is_word(word, "CATCHUP") => {
                let known = CatchUp::named(value);
                catch_up = known.ok_or_else(|| invalid("CATCHUP is one of none, last, all"))?;
            }
            () if is_word(word, "OVERLAP") => {
                overlap = Overlap::named(value).ok_or_else(|| invalid("OVERLAP is one of skip, allow"))?;
            }
            () => return Err(Fault::Syntax),
        }
    }
    let (queue, kind, payload) = (args.bytes()?, args.bytes()?, args.bytes()?);
    let mut push = PushOptions::new(queue, kind)?;
    while args.left() > 0 {
        push.take(&mut args)?;
    }
    if push.id.is_some() || matches!(push.when, crate::push::When::At(_)) {
        return Err(invalid("a schedule pushes many jobs: ID and AT make no sense for them"));
    }
    let mut options = Vec::new();
    push.write_to(&mut options);
    let definition = Definition {
        spec,
        zone: tz,
        seed,
        queue: queue.into(),
        kind: kind.into(),
        payload: payload.into(),
        options,
        catch_up,
        overlap,
        source: None,
    };
    if definition.never_fires(txn.now().wall_ms()) {
        return Err(never(utf8(when, "the expression")?));
    }
    queues.set_schedule(txn, id, definition)?;
    reply.ok();
    Ok(Outcome::Done)
}

pub(super) const GET: Verb = Verb {
    row: row("cron.get", Group::Cron)
        .arity(2)
        .flags(READONLY | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Returns everything about a schedule, or null if there is none.")
        .syntax("id:s"),
    run: get,
};

fn get(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let id = args.bytes()?;
    args.end()?;
    match queues.schedules.find(txn.db(), id).and_then(|slot| queues.schedules.get(slot)) {
        Some(schedule) => write(schedule, reply),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

fn write(schedule: &Schedule, reply: &mut Reply<'_>) {
    let definition = &schedule.definition;
    let spec = definition.spec_text();
    let options = definition.options.join(&b' ');
    let texts: [(&str, &[u8]); 9] = [
        ("id", &schedule.id),
        ("spec", spec.as_bytes()),
        ("zone", definition.zone.name().as_bytes()),
        ("queue", &definition.queue),
        ("type", &definition.kind),
        ("payload", &definition.payload),
        ("options", &options),
        ("catchup", definition.catch_up.name().as_bytes()),
        ("overlap", definition.overlap.name().as_bytes()),
    ];
    let numbers = [
        ("created_at", Some(schedule.created)),
        ("next_at", schedule.next),
        ("previous_at", schedule.previous),
        ("runs", Some(schedule.runs)),
        ("missed", Some(schedule.missed)),
        ("skipped", Some(schedule.skipped)),
    ];
    reply.map(texts.len() + numbers.len() + 2);
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        match number {
            Some(number) => reply.integer(number as i64),
            None => reply.null(),
        }
    }
    reply.bulk(b"last_job");
    reply.bulk_or_null(Some(&*schedule.last_job).filter(|id| !id.is_empty()));
    reply.bulk(b"source");
    reply.bulk_or_null(definition.source.as_deref());
}

pub(super) const LIST: Verb = Verb {
    row: row("cron.list", Group::Cron)
        .arity(1)
        .flags(READONLY)
        .since("0.1.0")
        .cost("O(N) for N schedules.")
        .summary("Returns all schedules of the database, by id."),
    run: list,
};

fn list(queues: &mut Queues, txn: &mut Txn<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let schedules: Vec<&Schedule> = queues.schedules.of_db(txn.db()).collect();
    reply.array(schedules.len());
    schedules.iter().for_each(|schedule| write(schedule, reply));
    Ok(Outcome::Done)
}

pub(super) const DEL: Verb = Verb {
    row: row("cron.del", Group::Cron)
        .arity(-2)
        .flags(WRITE)
        .since("0.1.0")
        .cost("O(M*log(N)) for M ids.")
        .summary("Deletes schedules; returns how many there were.")
        .syntax("id:s..."),
    run: del,
};

fn del(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let deleted = args.rest().iter().filter(|id| queues.delete_schedule(txn, id)).count();
    reply.count(deleted);
    Ok(Outcome::Done)
}

pub(super) const NEXT: Verb = Verb {
    row: row("cron.next", Group::Cron)
        .arity(-2)
        .flags(READONLY)
        .since("0.1.0")
        .cost("O(N) for N times.")
        .summary("Returns the next times of an expression, in Unix seconds.")
        .syntax("expression:s [zone:s/TZ] [start:t/FROM] [count:i/COUNT]"),
    run: next,
};

fn next(_queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let text = args.bytes()?;
    let seed = txn.rng().u64(..) >> 1;
    let now_s = (txn.now().wall_ms() / 1000) as i64;
    let (mut tz, mut from, mut count) = (Zone::default(), now_s, 1);
    while args.left() > 0 {
        let word = args.bytes()?;
        match () {
            () if is_word(word, "TZ") => tz = zone(args.bytes()?)?,
            () if is_word(word, "FROM") => from = args.integer()?,
            () if is_word(word, "COUNT") => {
                count = args.integer_in(1..=NEXT_COUNT_MAX, "COUNT must be between 1 and 10000")?;
            }
            () => return Err(Fault::Syntax),
        }
    }
    let expression = expression(text, seed)?;
    let from_ms = from.checked_mul(1000).ok_or_else(|| invalid("FROM is out of range"))?;
    let following = |after: &i64| cron::due_after_ms(&expression, tz, from_ms, *after);
    let times = std::iter::successors(following(&from_ms), following).take(count as usize);
    reply.counted_array(|reply| times.inspect(|ms| reply.integer(ms.div_euclid(1000))).count());
    Ok(Outcome::Done)
}

pub(super) const LOAD: Verb = Verb {
    row: row("cron.load", Group::Cron)
        .arity(-2)
        .flags(WRITE | DENYOOM)
        .since("0.1.0")
        .cost("O(M*log(N)) for M lines.")
        .summary("Makes schedules of the lines of a crontab; each runs its command as a job of type exec.")
        .syntax("crontab:s [source:s/REPLACE] [system/SYSTEM] [queue:s/QUEUE] [zone:s/TZ]"),
    run: load,
};

/// What CRON.LOAD is told beside the crontab.
struct LoadOptions<'a> {
    source: &'a [u8],
    replace: bool,
    form: crontab::Form,
    queue: &'a [u8],
    zone: Zone,
}

impl<'a> LoadOptions<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Fault> {
        let mut options = Self {
            source: b"crontab",
            replace: false,
            form: crontab::Form::User,
            queue: b"cron",
            zone: Zone::default(),
        };
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "REPLACE") => {
                    options.source = schedule_id(args)?;
                    options.replace = true;
                }
                () if is_word(word, "SYSTEM") => options.form = crontab::Form::System,
                () if is_word(word, "QUEUE") => options.queue = args.bytes()?,
                () if is_word(word, "TZ") => options.zone = zone(args.bytes()?)?,
                () => return Err(Fault::Syntax),
            }
        }
        crate::push::check_queue(options.queue)?;
        Ok(options)
    }
}

fn load(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let text = args.bytes()?;
    let options = LoadOptions::read(&mut args)?;
    let table = crontab::parse(text, options.form);
    if let Some(fault) = table.faults.first() {
        let more = table.faults.len() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(invalid(format_args!("{fault}{more}; nothing was loaded")));
    }
    let mut wanted: Vec<(Vec<u8>, Definition)> = Vec::new();
    for entry in &table.entries {
        let id = entry_id(options.source, entry, &wanted);
        let definition = define(&table, entry, &options, &id)?;
        if definition.never_fires(txn.now().wall_ms()) {
            let fault = never(&entry.schedule);
            return Err(invalid(format_args!(
                "line {}: {}; nothing was loaded",
                entry.line,
                fault.message()
            )));
        }
        wanted.push((id, definition));
    }
    if options.replace {
        let old: Vec<Box<[u8]>> = queues
            .schedules
            .of_db(txn.db())
            .filter(|schedule| schedule.definition.source.as_deref() == Some(options.source))
            .map(|schedule| schedule.id.clone())
            .collect();
        for id in old.iter().filter(|id| !wanted.iter().any(|(wanted, _)| *wanted == ***id)) {
            queues.delete_schedule(txn, id);
        }
    }
    reply.array(wanted.len());
    for (id, definition) in wanted {
        queues.set_schedule(txn, &id, definition)?;
        reply.bulk(&id);
    }
    Ok(Outcome::Done)
}

/// A name for a line that stays the same when lines around it change: the source, and a hash of what it runs when.
fn entry_id(source: &[u8], entry: &crontab::Entry, taken: &[(Vec<u8>, Definition)]) -> Vec<u8> {
    let line = format!("{}\0{}\0{}", entry.schedule, entry.user.as_deref().unwrap_or(""), entry.command);
    // FNV-1a: short, stable for ever, and nobody gains anything by making two lines collide.
    let hash = line.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let base = [source, format!(":{:08x}", hash >> 32).as_bytes()].concat();
    let is_taken = |id: &[u8]| taken.iter().any(|(other, _)| other == id);
    let numbered = (2..).map(|n| [&*base, format!(".{n}").as_bytes()].concat());
    std::iter::once(base.clone()).chain(numbered).find(|id| !is_taken(id)).unwrap_or(base)
}

fn define(
    table: &crontab::Crontab,
    entry: &crontab::Entry,
    options: &LoadOptions<'_>,
    id: &[u8],
) -> Result<Definition, Fault> {
    let seed = seed_of(id);
    Ok(Definition {
        spec: Spec::Cron(expression(entry.schedule.as_bytes(), seed)?),
        zone: entry.zone.unwrap_or(options.zone),
        seed,
        queue: options.queue.into(),
        kind: b"exec".as_slice().into(),
        payload: exec_payload(table, entry).into_bytes().into(),
        // As cron: a command that fails is not run again before its next time.
        options: vec![b"ATTEMPTS".to_vec(), b"1".to_vec()],
        catch_up: CatchUp::None,
        overlap: Overlap::Allow,
        source: Some(options.source.into()),
    })
}

/// The payload of a job of type exec that runs a line of a crontab.
fn exec_payload(table: &crontab::Crontab, entry: &crontab::Entry) -> String {
    let environment = table.environment(entry);
    let setting = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let shell = setting("SHELL").unwrap_or("/bin/sh");
    let mut payload = serde_json::json!({
        "argv": [shell, "-c", entry.command],
        "env": environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect::<serde_json::Map<_, _>>(),
    });
    let optional = [("user", &entry.user), ("stdin", &entry.stdin)];
    for (name, value) in optional {
        if let Some(value) = value {
            payload[name] = value.as_str().into();
        }
    }
    if let Some(home) = setting("HOME") {
        payload["cwd"] = home.into();
    }
    payload.to_string()
}
