//! MEMORY: what takes how much of it.

use super::object::USAGE;
use super::prelude::*;
use crate::engine::{ClientId, Engine};

pub(super) const ROWS: &[Command] = &[MEMORY];

const MEMORY: Command = Command::container(
    "memory",
    Group::Server,
    &[MEMORY_DOCTOR, MEMORY_MALLOC_STATS, MEMORY_PURGE, MEMORY_STATS, USAGE],
)
.since("4.0.0")
.summary("A container for commands about memory.");

const MEMORY_PURGE: Command = Command::system("purge", Group::Server, memory_purge)
    .arity(2)
    .since("4.0.0")
    .cost("Depends on how much memory is allocated, could be slow")
    .summary("Gives free memory back to the system.")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn memory_purge(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.host.release_memory();
    reply.ok();
    Ok(Outcome::Done)
}

/// What takes how much, in bytes.
struct Breakdown {
    used: u64,
    peak: u64,
    clients: u64,
    /// By database that is not empty: its number, bytes of its table, and of its dates.
    databases: Vec<(usize, u64, u64)>,
    keys: u64,
    overhead: u64,
    dataset: u64,
}

impl Breakdown {
    fn of(engine: &Engine) -> Self {
        let used = engine.host.memory_used() as u64;
        let clients = engine.bytes_of_clients() as u64;
        let databases: Vec<(usize, u64, u64)> = (0..engine.data.keyspace.count())
            .map(|db| (db, engine.data.keyspace.db(db)))
            .filter(|(_, database)| database.len() > 0)
            .map(|(db, database)| {
                let dates = database.dates_overhead();
                (db, (database.overhead() - dates) as u64, dates as u64)
            })
            .collect();
        let tables: u64 = databases.iter().map(|(_, table, dates)| table + dates).sum();
        let start = engine.memory_at_start as u64;
        let overhead = start + clients + tables;
        Self {
            used,
            peak: engine.host.facts().memory_peak.max(used),
            clients,
            keys: engine.database_sizes().iter().map(|size| size.keys as u64).sum(),
            databases,
            overhead,
            dataset: used.saturating_sub(overhead),
        }
    }
}

const MEMORY_STATS: Command = Command::system("stats", Group::Server, memory_stats)
    .arity(2)
    .since("4.0.0")
    .cost("O(1)")
    .summary("Returns what takes how much memory.")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn memory_stats(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let parts = Breakdown::of(engine);
    let facts = engine.host.facts();
    let log = facts.log.as_ref().map_or(0, |log| log.pending);
    let (active, resident) =
        (facts.allocator_active.max(parts.used), facts.allocator_resident.max(parts.used));
    let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let net = parts.used.saturating_sub(engine.memory_at_start as u64);
    let before = [
        ("peak.allocated", parts.peak),
        ("total.allocated", parts.used),
        ("startup.allocated", engine.memory_at_start as u64),
        ("replication.backlog", engine.backlog_bytes() - engine.bytes_for_slow_replicas()),
        ("clients.slaves", engine.bytes_for_slow_replicas()),
        ("clients.normal", parts.clients),
        ("cluster.links", 0),
        ("aof.buffer", log),
        ("lua.caches", 0),
        ("functions.caches", 0),
    ];
    reply.map(before.len() + parts.databases.len() + 17);
    let write = |reply: &mut Reply<'_>, name: &str, value: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    };
    before.iter().for_each(|(name, value)| write(reply, name, *value));
    for (db, table, dates) in &parts.databases {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        write(reply, "overhead.hashtable.main", *table);
        write(reply, "overhead.hashtable.expires", *dates);
        write(reply, "overhead.hashtable.slot-to-keys", 0);
    }
    write(reply, "overhead.total", parts.overhead);
    write(reply, "keys.count", parts.keys);
    write(reply, "keys.bytes-per-key", net.checked_div(parts.keys).unwrap_or(0));
    write(reply, "dataset.bytes", parts.dataset);
    let write_ratio = |reply: &mut Reply<'_>, name: &str, value: f64| {
        reply.bulk(name.as_bytes());
        reply.double(value);
    };
    write_ratio(reply, "dataset.percentage", ratio(parts.dataset, net) * 100.0);
    write_ratio(reply, "peak.percentage", ratio(parts.used, parts.peak) * 100.0);
    write(reply, "allocator.allocated", parts.used);
    write(reply, "allocator.active", active);
    write(reply, "allocator.resident", resident);
    let steps = [
        ("allocator-fragmentation", ".ratio", ".bytes", active, parts.used),
        ("allocator-rss", ".ratio", ".bytes", resident, active),
        ("rss-overhead", ".ratio", ".bytes", facts.resident, resident),
        ("fragmentation", "", ".bytes", facts.resident, parts.used),
    ];
    for (name, ratio_suffix, bytes_suffix, larger, smaller) in steps {
        write_ratio(reply, &format!("{name}{ratio_suffix}"), ratio(larger, smaller));
        reply.bulk(format!("{name}{bytes_suffix}").as_bytes());
        reply.integer(larger as i64 - smaller as i64);
    }
    Ok(Outcome::Done)
}

const MEMORY_MALLOC_STATS: Command = Command::system("malloc-stats", Group::Server, memory_malloc_stats)
    .arity(2)
    .since("4.0.0")
    .cost("Depends on how much memory is allocated, could be slow")
    .summary("Describes the state of the allocator.")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn memory_malloc_stats(
    engine: &mut Engine,
    _client: ClientId,
    _args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    let facts = engine.host.facts();
    let text = format!(
        "{}: {} bytes allocated, {} in pages that are used, {} of them in memory, {} at most\n",
        facts.allocator,
        engine.host.memory_used(),
        facts.allocator_active,
        facts.allocator_resident,
        facts.memory_peak
    );
    reply.verbatim(text.as_bytes());
    Ok(Outcome::Done)
}

/// Below this there is too little to judge, in bytes.
const JUDGED_FROM: u64 = 5 << 20;

const MEMORY_DOCTOR: Command = Command::system("doctor", Group::Server, memory_doctor)
    .arity(2)
    .since("4.0.0")
    .cost("O(1)")
    .summary("Says in words what is unusual about memory.")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn memory_doctor(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let parts = Breakdown::of(engine);
    let facts = engine.host.facts();
    let mut text = String::new();
    if parts.used < JUDGED_FROM {
        text.push_str("There is too little data to judge: the daemon is empty, or nearly so.\n");
    } else {
        let clients = engine.sessions.len() as u64;
        let findings = [
            (
                parts.peak > parts.used * 3 / 2,
                "Peak: more than half as much again was in use before; resident memory may still show it.",
            ),
            (
                facts.resident > parts.used * 7 / 5,
                "Fragmentation: resident memory is much larger than what is allocated; MEMORY PURGE gives back what it can.",
            ),
            (
                clients > 0 && parts.clients / clients > 200 << 10,
                "Clients: their buffers are large; some of them do not read their replies, or send huge requests.",
            ),
        ];
        for (_, finding) in findings.iter().filter(|(found, _)| *found) {
            text.push_str(finding);
            text.push('\n');
        }
        if text.is_empty() {
            text.push_str("Nothing is unusual.\n");
        }
    }
    reply.verbatim(text.as_bytes());
    Ok(Outcome::Done)
}
