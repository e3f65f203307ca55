//! Metrics of the keyspace, of commands and of clients.

use std::sync::atomic::Ordering;

use pbj_store::config::Config;
use pbj_store::engine::{CommandStats, DatabaseSize, Engine, PersistenceFacts, Stats};
use pbj_store::txn::DataCounters;

use super::families::Families;
use crate::shared::Shared;

/// Upper bounds of the buckets of command durations, in microseconds: those of [`CommandStats::durations`].
const COMMAND_BOUNDS_US: [u64; 19] = {
    let mut bounds = [1; 19];
    let mut bucket = 1;
    while bucket < bounds.len() {
        bounds[bucket] = 1 << bucket;
        bucket += 1;
    }
    bounds
};

/// What the engine says, copied under its lock.
pub(super) struct Snapshot {
    stats: Stats,
    /// Commands that were seen, with their names.
    commands: Vec<(String, CommandStats)>,
    data: DataCounters,
    databases: Vec<DatabaseSize>,
    clients: usize,
    waiting: usize,
    channels: usize,
    patterns: usize,
    loading: bool,
    broken: bool,
    persistence: PersistenceFacts,
    maxmemory: u64,
    maxclients: usize,
    uptime_ms: u64,
    started_s: u64,
}

impl Snapshot {
    pub(super) fn of(engine: &Engine) -> Self {
        let stats = engine.stats().clone();
        let names = engine.commands().all().iter();
        let commands = names
            .zip(&stats.by_command)
            .filter(|(_, stats)| stats.calls + stats.rejected + stats.failed > 0)
            .map(|(command, stats)| (command.full_name(), *stats))
            .collect();
        let config: &Config = engine.config();
        Self {
            commands,
            data: engine.data_counters(),
            databases: engine.database_sizes(),
            clients: engine.clients(),
            waiting: engine.waiting_clients(),
            channels: engine.channel_count(),
            patterns: engine.pattern_count(),
            loading: engine.is_loading(),
            broken: engine.refuses_writes().is_some(),
            persistence: engine.persistence_facts(),
            maxmemory: config.maxmemory(),
            maxclients: config.size("maxclients"),
            uptime_ms: engine.uptime_ms(),
            started_s: engine.started().wall_ms() / 1000,
            stats,
        }
    }

    fn write_persistence(&self, out: &mut Families) {
        let state = &self.persistence;
        out.gauge("redis_rdb_changes_since_last_save", "Changes since the last snapshot.", state.changes);
        out.gauge(
            "redis_rdb_last_save_timestamp_seconds",
            "When the last snapshot was written.",
            state.last_save,
        );
        out.gauge("redis_rdb_bgsave_in_progress", "A snapshot is being written.", state.saving.is_some());
        out.gauge("redis_rdb_last_bgsave_status", "The last snapshot succeeded.", state.saves.last_ok);
        out.gauge("redis_aof_rewrite_in_progress", "The log is being rewritten.", state.rewriting.is_some());
        out.gauge("redis_aof_rewrite_scheduled", "A rewrite of the log waits.", state.rewrite_scheduled);
        out.gauge("redis_aof_last_bgrewrite_status", "The last rewrite succeeded.", state.rewrites.last_ok);
        let mut ended =
            out.counters("pbj_persistence_runs_total", "Snapshots and rewrites of the log that ended.");
        for (runs, kind) in [(state.saves, "snapshot"), (state.rewrites, "rewrite")] {
            ended.add(&[("kind", kind), ("outcome", "ok")], runs.succeeded);
            ended.add(&[("kind", kind), ("outcome", "failed")], runs.failed);
        }
    }

    pub(super) fn write(&self, out: &mut Families, shared: &Shared) {
        self.write_persistence(out);
        self.write_state(out);
        self.write_clients(out, shared);
        self.write_commands(out);
        self.write_keys(out);
    }

    fn write_state(&self, out: &mut Families) {
        out.gauge("redis_up", "The server answers.", true);
        out.gauge("redis_uptime_in_seconds", "Seconds since the start.", self.uptime_ms / 1000);
        out.gauge("redis_start_time_seconds", "Unix time of the start.", self.started_s);
        out.gauge("redis_loading_dump_file", "Data is being loaded.", self.loading);
        out.gauge("pbj_up", "The daemon answers.", true);
        out.gauges("pbj_build_info", "Which daemon this is.")
            .add(&[("version", env!("CARGO_PKG_VERSION"))], true);
        out.gauge("pbj_loading", "Data is being loaded.", self.loading);
        out.gauge("pbj_ready", "Data is loaded and writes are accepted.", !self.loading && !self.broken);
        out.counter(
            "pbj_clock_jumps_total",
            "Times that the wall clock was set by more than a second.",
            self.stats.clock_jumps,
        );
    }

    fn write_clients(&self, out: &mut Families, shared: &Shared) {
        let traffic = &shared.traffic;
        out.gauge("redis_connected_clients", "Clients that are connected.", self.clients);
        out.gauge("redis_blocked_clients", "Clients that wait for a key.", self.waiting);
        out.gauge("redis_config_maxclients", "Clients that may be connected.", self.maxclients);
        out.counter(
            "redis_connections_received_total",
            "Connections that were accepted.",
            self.stats.connections,
        );
        out.counter(
            "redis_rejected_connections_total",
            "Connections refused because there were too many.",
            traffic.rejected.load(Ordering::Relaxed),
        );
        out.counter(
            "redis_net_input_bytes_total",
            "Bytes read from clients.",
            traffic.input.load(Ordering::Relaxed),
        );
        out.counter(
            "redis_net_output_bytes_total",
            "Bytes written to clients.",
            traffic.output.load(Ordering::Relaxed),
        );
        out.gauge("redis_pubsub_channels", "Channels that somebody listens to.", self.channels);
        out.gauge("redis_pubsub_patterns", "Patterns that somebody listens to.", self.patterns);
    }

    fn write_commands(&self, out: &mut Families) {
        out.counter("redis_commands_processed_total", "Commands that ran.", self.stats.commands);
        let mut calls = out.counters("redis_commands_total", "Runs of each command.");
        for (name, stats) in &self.commands {
            calls.add(&[("cmd", name)], stats.calls);
        }
        let mut seconds =
            out.counters("redis_commands_duration_seconds_total", "Time spent in each command.");
        for (name, stats) in &self.commands {
            seconds.add(&[("cmd", name)], stats.nanoseconds as f64 / 1e9);
        }
        let mut failed = out
            .counters("redis_commands_failed_calls_total", "Runs of each command that ended with an error.");
        for (name, stats) in &self.commands {
            failed.add(&[("cmd", name)], stats.failed);
        }
        let mut rejected = out.counters(
            "redis_commands_rejected_calls_total",
            "Calls of each command that were refused before they ran.",
        );
        for (name, stats) in &self.commands {
            rejected.add(&[("cmd", name)], stats.rejected);
        }
        let mut durations =
            out.histograms("pbj_command_duration_seconds", "How long each command took in the engine.");
        for (name, stats) in &self.commands {
            let sum_us = stats.nanoseconds as f64 / 1e3;
            durations.add_histogram(&[("cmd", name)], &COMMAND_BOUNDS_US, &stats.durations, sum_us, 1e6);
        }
        let mut errors = out.counters("redis_errors_total", "Error replies by their first word.");
        for (class, count) in &self.stats.errors_by_class {
            errors.add(&[("err", class)], *count);
        }
    }

    fn write_keys(&self, out: &mut Families) {
        out.counter("redis_keyspace_hits_total", "Reads that found their key.", self.data.hits);
        out.counter("redis_keyspace_misses_total", "Reads that did not find their key.", self.data.misses);
        out.counter(
            "redis_expired_keys_total",
            "Keys that were gone because of their date.",
            self.data.expired,
        );
        out.counter(
            "pbj_expired_fields_total",
            "Fields of hashes that were gone because of their date.",
            self.data.expired_fields,
        );
        out.counter("redis_evicted_keys_total", "Keys removed to make room.", self.data.evicted);
        out.gauge("redis_memory_max_bytes", "The memory limit; 0 for none.", self.maxmemory);
        let databases: Vec<_> =
            self.databases.iter().map(|size| (format!("db{}", size.index), size)).collect();
        let mut keys = out.gauges("redis_db_keys", "Keys of each database.");
        for (name, size) in &databases {
            keys.add(&[("db", name)], size.keys);
        }
        let mut dated = out.gauges("redis_db_keys_expiring", "Keys of each database that have a date.");
        for (name, size) in &databases {
            dated.add(&[("db", name)], size.dated);
        }
        let mut fields = out.gauges(
            "pbj_db_hashes_with_expiring_fields",
            "Hashes of each database of which fields have dates.",
        );
        for (name, size) in &databases {
            fields.add(&[("db", name)], size.with_dated_fields);
        }
        let mut ttl = out.gauges(
            "redis_db_avg_ttl_seconds",
            "Average time that the keys with a date of each database have left.",
        );
        for (name, size) in &databases {
            ttl.add(&[("db", name)], size.average_ttl_ms as f64 / 1000.0);
        }
    }
}
