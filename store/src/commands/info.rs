//! INFO: the state of the server as lines of `field:value`, with the names and the order of Redis 7.0.

use std::fmt::Write as _;

use super::prelude::*;
use crate::COMPATIBLE_WITH;
use crate::engine::{ClientId, DatabaseSize, Engine, Facts};
use crate::script::Scripting;

pub(super) const ROWS: &[Command] = &[INFO];

/// Writes the lines of a section.
type Section = fn(&Engine, &Facts, &mut String);

/// Sections in their order; the flag says whether INFO without arguments shows them.
const SECTIONS: &[(&str, bool, Section)] = &[
    ("server", true, server),
    ("clients", true, clients),
    ("memory", true, memory),
    ("persistence", true, persistence),
    ("stats", true, stats),
    ("replication", true, replication),
    ("cpu", true, cpu),
    ("modules", true, modules),
    ("commandstats", false, command_stats),
    ("errorstats", true, error_stats),
    ("latencystats", false, latency_stats),
    ("cluster", true, cluster),
    ("keyspace", true, keyspace),
];

const INFO: Command = Command::system("info", Group::Server, info)
    .arity(-1)
    .flags(LOADING | STALE)
    .categories(DANGEROUS)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Reports the state of the server.")
    .syntax("[section:s...]")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn info(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let asked: Vec<String> =
        args.rest().iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let named = |name: &str| asked.iter().any(|asked| asked == name);
    let (all, default) = (named("all") || named("everything"), asked.is_empty() || named("default"));
    let facts = engine.host.facts();
    let mut text = String::new();
    for (name, is_default, write) in SECTIONS {
        if all || named(name) || (default && *is_default) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let mut title = (*name).to_owned();
            title[..1].make_ascii_uppercase();
            let title = if *name == "cpu" { "CPU".to_owned() } else { title };
            line(&mut text, format_args!("# {title}"));
            write(engine, &facts, &mut text);
        }
    }
    reply.verbatim(text.as_bytes());
    Ok(Outcome::Done)
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{content}\r\n");
}

macro_rules! lines {
    ($text:ident, $($name:literal: $value:expr,)*) => { $(line($text, format_args!("{}:{}", $name, $value));)* };
}

fn server(engine: &Engine, facts: &Facts, text: &mut String) {
    let uptime = (engine.now().mono_ms - engine.started.mono_ms) / 1000;
    lines! { text,
        "redis_version": COMPATIBLE_WITH,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "pbj_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": facts.os,
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "rust",
        "gcc_version": "0.0.0",
        "process_id": facts.process_id,
        "process_supervised": facts.supervised,
        "run_id": engine.run_id,
        "tcp_port": facts.tcp_port,
        "server_time_usec": engine.now().wall_us,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": engine.config().integer("hz"),
        "configured_hz": engine.config().integer("hz"),
        "lru_clock": engine.data.access.clock,
        "executable": facts.executable,
        "config_file": facts.config_file,
        "io_threads_active": 0,
    }
    if let Some(ms) = engine.end_in_ms() {
        lines! { text, "shutdown_in_milliseconds": ms, }
    }
}

fn clients(engine: &Engine, _facts: &Facts, text: &mut String) {
    let sessions = || engine.sessions.values();
    lines! { text,
        "connected_clients": engine.clients() - engine.replicas(),
        "cluster_connections": 0,
        "maxclients": engine.config().integer("maxclients"),
        "client_recent_max_input_buffer": sessions().map(|s| s.peer.gauges.query_capacity()).max().unwrap_or(0),
        "client_recent_max_output_buffer": sessions().map(|s| s.peer.gauges.output()).max().unwrap_or(0),
        "blocked_clients": engine.waiting_clients() + engine.postponed_clients() + engine.clients_awaiting_end(),
        "tracking_clients": engine.tracking.clients(),
        "clients_in_timeout_table": engine.waiters.timed(),
    }
}

/// How much of `b` is `a`.
fn part(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// Bytes as a human reads them, in the form of Redis.
fn human(bytes: u64) -> String {
    let units = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = units.iter().find(|(size, _)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(size, name)| format!("{:.2}{name}", bytes as f64 / *size as f64),
    )
}

fn memory(engine: &Engine, facts: &Facts, text: &mut String) {
    let used = engine.host.memory_used() as u64;
    let databases = (0..engine.data.keyspace.count()).map(|index| engine.data.keyspace.db(index));
    let overhead: usize = databases.map(|database| database.overhead()).sum();
    let buffers = engine.bytes_of_clients();
    let unfreed = engine.data.keyspace.unfreed_keys();
    let maxmemory = engine.config().maxmemory();
    let peak = facts.memory_peak.max(used);
    let dataset = used.saturating_sub((overhead + buffers) as u64);
    // A script that asks sees what there was when nobody had asked yet.
    let nothing = Scripting::default();
    let scripts = engine.scripting.as_deref().unwrap_or(&nothing);
    let vm = scripts.eval_memory() + scripts.functions_memory();
    let functions = scripts.libraries.bytes();
    let ratio = |a: u64, b: u64| format!("{:.2}", part(a, b));
    let beyond = |a: u64, b: u64| a as i64 - b as i64;
    let (active, resident) = (facts.allocator_active.max(used), facts.allocator_resident.max(used));
    lines! { text,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": facts.resident,
        "used_memory_rss_human": human(facts.resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format_args!("{:.2}%", part(used, peak) * 100.0),
        "used_memory_overhead": overhead + buffers,
        "used_memory_startup": engine.memory_at_start,
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": format_args!("{:.2}%", part(dataset, used) * 100.0),
        "allocator_allocated": used,
        "allocator_active": active,
        "allocator_resident": resident,
        "total_system_memory": facts.total_system_memory,
        "total_system_memory_human": human(facts.total_system_memory),
        "used_memory_vm_eval": scripts.eval_memory(),
        "used_memory_lua": scripts.eval_memory(),
        "used_memory_lua_human": human(scripts.eval_memory() as u64),
        "used_memory_scripts_eval": scripts.cache.bytes(),
        "number_of_cached_scripts": scripts.cache.len(),
        "number_of_functions": scripts.libraries.function_count(),
        "number_of_libraries": scripts.libraries.len(),
        "used_memory_vm_functions": scripts.functions_memory(),
        "used_memory_vm_total": vm,
        "used_memory_vm_total_human": human(vm as u64),
        "used_memory_functions": functions,
        "used_memory_scripts": functions + scripts.cache.bytes(),
        "used_memory_scripts_human": human((functions + scripts.cache.bytes()) as u64),
        "maxmemory": maxmemory,
        "maxmemory_human": human(maxmemory),
        "maxmemory_policy": engine.config().text("maxmemory-policy"),
        "allocator_frag_ratio": ratio(active, used),
        "allocator_frag_bytes": beyond(active, used),
        "allocator_rss_ratio": ratio(resident, active),
        "allocator_rss_bytes": beyond(resident, active),
        "rss_overhead_ratio": ratio(facts.resident, resident),
        "rss_overhead_bytes": beyond(facts.resident, resident),
        "mem_fragmentation_ratio": ratio(facts.resident, used),
        "mem_fragmentation_bytes": beyond(facts.resident, used),
        "mem_not_counted_for_evict": engine.bytes_not_counted(),
        "mem_replication_backlog": engine.backlog_bytes() - engine.bytes_for_slow_replicas(),
        "mem_total_replication_buffers": engine.backlog_bytes(),
        "mem_clients_slaves": engine.bytes_for_slow_replicas(),
        "mem_clients_normal": buffers,
        "mem_cluster_links": 0,
        "mem_aof_buffer": facts.log.as_ref().map_or(0, |log| log.pending),
        "mem_allocator": facts.allocator,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": unfreed,
        "lazyfreed_objects": engine.data.counters.handed_on.saturating_sub(unfreed as u64),
    }
}

fn persistence(engine: &Engine, facts: &Facts, text: &mut String) {
    let state = engine.persistence_facts();
    let status = |ok: bool| if ok { "ok" } else { "err" };
    let seconds = |known: Option<u64>| known.map_or(-1, |seconds| seconds as i64);
    let (keys_done, keys_total) = engine.walk_progress().unwrap_or_default();
    lines! { text,
        "loading": u8::from(engine.is_loading()),
        "async_loading": u8::from(engine.loads_aside()),
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": format_args!("{:.2}", part(keys_done, keys_total) * 100.0),
        "current_save_keys_processed": keys_done,
        "current_save_keys_total": keys_total,
        "rdb_changes_since_last_save": state.changes,
        "rdb_bgsave_in_progress": u8::from(state.saving.is_some() || engine.writes_dataset()),
        "rdb_last_save_time": state.last_save,
        "rdb_last_bgsave_status": status(state.saves.last_ok),
        "rdb_last_bgsave_time_sec": seconds(state.saves.last_seconds),
        "rdb_current_bgsave_time_sec": seconds(state.saving),
        "rdb_saves": state.saves.succeeded,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": state.loaded.1,
        "rdb_last_load_keys_loaded": state.loaded.0,
        "aof_enabled": u8::from(engine.config().flag("appendonly")),
        "aof_rewrite_in_progress": u8::from(state.rewriting.is_some()),
        "aof_rewrite_scheduled": u8::from(state.rewrite_scheduled),
        "aof_last_rewrite_time_sec": seconds(state.rewrites.last_seconds),
        "aof_current_rewrite_time_sec": seconds(state.rewriting),
        "aof_last_bgrewrite_status": status(state.rewrites.last_ok),
        "aof_rewrites": state.rewrites.succeeded,
        "aof_rewrites_consecutive_failures": state.rewrites.failed_in_a_row,
        "aof_last_write_status": status(facts.log.as_ref().is_none_or(|log| log.last_write_ok)),
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    }
    if let Some(log) = &facts.log {
        lines! { text,
            "aof_current_size": log.current_size,
            "aof_base_size": log.base_size,
            "aof_pending_rewrite": u8::from(state.rewrite_scheduled),
            "aof_buffer_length": log.pending,
            "aof_pending_bio_fsync": 0,
            "aof_delayed_fsync": log.delayed_fsync,
        }
    }
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

fn stats(engine: &Engine, facts: &Facts, text: &mut String) {
    let (stats, data, syncs) = (&engine.stats, engine.data.counters, engine.replication.counters);
    lines! { text,
        "total_connections_received": stats.connections,
        "total_commands_processed": stats.commands,
        "instantaneous_ops_per_sec": stats.rate.per_second(),
        "total_net_input_bytes": facts.net_input,
        "total_net_output_bytes": facts.net_output,
        "total_net_repl_input_bytes": syncs.input,
        "total_net_repl_output_bytes": syncs.output,
        "instantaneous_input_kbps": kilobytes(stats.input_rate.per_second()),
        "instantaneous_output_kbps": kilobytes(stats.output_rate.per_second()),
        "instantaneous_input_repl_kbps": kilobytes(stats.replication_input_rate.per_second()),
        "instantaneous_output_repl_kbps": kilobytes(stats.replication_output_rate.per_second()),
        "rejected_connections": facts.rejected_connections,
        "sync_full": syncs.full,
        "sync_partial_ok": syncs.partial,
        "sync_partial_err": syncs.partial_refused,
        "expired_keys": data.expired,
        "expired_fields": data.expired_fields,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": 0,
        "expire_cycle_cpu_milliseconds": stats.expire_ns / 1_000_000,
        "evicted_keys": data.evicted,
        "evicted_clients": stats.evicted_clients,
        "total_eviction_exceeded_time": 0,
        "current_eviction_exceeded_time": 0,
        "keyspace_hits": data.hits,
        "keyspace_misses": data.misses,
        "pubsub_channels": engine.channels.of(crate::engine::Scope::Channel).len(),
        "pubsub_patterns": engine.channels.of(crate::engine::Scope::Pattern).len(),
        "pubsubshard_channels": engine.channels.of(crate::engine::Scope::Shard).len(),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": facts.kept_links,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": engine.tracking.keys(),
        "tracking_total_items": engine.tracking.items(),
        "tracking_total_prefixes": engine.tracking.prefixes(),
        "clock_jumps": stats.clock_jumps,
        "unexpected_error_replies": stats.unexpected_errors,
        "total_error_replies": stats.errors,
        "dump_payload_sanitizations": data.payloads,
        "total_reads_processed": facts.reads,
        "total_writes_processed": facts.writes,
        "io_threaded_reads_processed": facts.reads,
        "io_threaded_writes_processed": facts.writes,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
    }
}

fn replication(engine: &Engine, _facts: &Facts, text: &mut String) {
    text.push_str(&engine.describe_replication());
}

fn cpu(_engine: &Engine, facts: &Facts, text: &mut String) {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    lines! { text,
        "used_cpu_sys": seconds(facts.cpu_system_us),
        "used_cpu_user": seconds(facts.cpu_user_us),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
        "used_cpu_sys_main_thread": seconds(facts.cpu_system_us),
        "used_cpu_user_main_thread": seconds(facts.cpu_user_us),
    }
}

fn modules(_engine: &Engine, _facts: &Facts, _text: &mut String) {}

fn command_stats(engine: &Engine, _facts: &Facts, text: &mut String) {
    for callable in engine.index.all() {
        let stats = engine.stats.by_command[callable.id as usize];
        if stats.calls + stats.rejected + stats.failed > 0 {
            let usec = stats.nanoseconds / 1000;
            line(
                text,
                format_args!(
                    "cmdstat_{}:calls={},usec={usec},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                    callable.full_name(),
                    stats.calls,
                    if stats.calls == 0 { 0.0 } else { usec as f64 / stats.calls as f64 },
                    stats.rejected,
                    stats.failed
                ),
            );
        }
    }
}

fn error_stats(engine: &Engine, _facts: &Facts, text: &mut String) {
    for (class, count) in &engine.stats.errors_by_class {
        line(text, format_args!("errorstat_{class}:count={count}"));
    }
}

fn latency_stats(engine: &Engine, _facts: &Facts, text: &mut String) {
    let percentiles: Vec<&str> =
        engine.config().text("latency-tracking-info-percentiles").split_ascii_whitespace().collect();
    if !engine.config().flag("latency-tracking") {
        return;
    }
    for callable in engine.index.all() {
        let stats = engine.stats.by_command[callable.id as usize];
        if stats.durations.iter().any(|&count| count > 0) {
            let quantiles: Vec<String> = percentiles
                .iter()
                .map(|p| format!("p{p}={:.3}", stats.quantile_us(p.parse().unwrap_or(0.0) / 100.0) as f64))
                .collect();
            line(
                text,
                format_args!("latency_percentiles_usec_{}:{}", callable.full_name(), quantiles.join(",")),
            );
        }
    }
}

fn cluster(_engine: &Engine, _facts: &Facts, text: &mut String) {
    lines! { text, "cluster_enabled": 0, }
}

fn keyspace(engine: &Engine, _facts: &Facts, text: &mut String) {
    for size in engine.database_sizes() {
        let DatabaseSize { index, keys, dated, average_ttl_ms, with_dated_fields } = size;
        // The last one is named as in Valkey 9.
        line(
            text,
            format_args!(
                "db{index}:keys={keys},expires={dated},avg_ttl={average_ttl_ms},keys_with_volatile_items={with_dated_fields}"
            ),
        );
    }
}
