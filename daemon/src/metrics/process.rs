//! Metrics of the process and of the log.

use std::sync::atomic::Ordering;

use super::families::Families;
use crate::log_status::SYNC_BUCKETS_US;
use crate::shared::Shared;
use crate::{allocator, host};

pub(super) fn write(out: &mut Families, shared: &Shared) {
    write_process(out);
    write_log(out, shared);
    out.counter(
        "pbj_timer_runs_total",
        "Times that the timer looked for what is due.",
        shared.timer_runs.load(Ordering::Relaxed),
    );
}

fn write_process(out: &mut Families) {
    let (user_us, system_us) = host::cpu_us();
    let resident = host::resident_bytes();
    let used = allocator::bytes_taken();
    allocator::note_peak();
    out.counter(
        "process_cpu_seconds_total",
        "Processor time of the process.",
        (user_us + system_us) as f64 / 1e6,
    );
    out.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", resident);
    if let Some((open, limit)) = host::file_descriptors() {
        out.gauge("process_open_fds", "Open file descriptors.", open);
        out.gauge("process_max_fds", "File descriptors that may be open.", limit);
    }
    out.gauge("redis_memory_used_bytes", "Memory taken from the allocator.", used);
    out.gauge("redis_memory_used_peak_bytes", "Highest memory taken from the allocator.", allocator::peak());
    out.gauge("redis_memory_used_rss_bytes", "Memory of the process that is in RAM.", resident);
    let ratio = resident as f64 / used.max(1) as f64;
    for name in ["redis_mem_fragmentation_ratio", "redis_memory_fragmentation_ratio"] {
        out.gauge(name, "Memory in RAM for each byte taken from the allocator.", ratio);
    }
    out.gauge("redis_total_system_memory_bytes", "Memory of the machine.", host::system_memory());
    out.counter(
        "redis_cpu_user_seconds_total",
        "Processor time outside of the kernel.",
        user_us as f64 / 1e6,
    );
    out.counter("redis_cpu_sys_seconds_total", "Processor time in the kernel.", system_us as f64 / 1e6);
}

fn write_log(out: &mut Families, shared: &Shared) {
    out.gauge("redis_aof_enabled", "There is an append-only log.", shared.log.is_open());
    if !shared.log.is_open() {
        return;
    }
    let status = shared.log.status();
    out.gauge("redis_aof_current_size_bytes", "Bytes of the log.", status.size);
    out.gauge(
        "redis_aof_base_size_bytes",
        "Bytes of the log when it was opened or rewritten.",
        status.base_size,
    );
    out.gauge(
        "redis_aof_last_write_status",
        "The last write of the log succeeded.",
        status.failure.is_none(),
    );
    out.gauge("pbj_aof_size_bytes", "Bytes of the log.", status.size);
    out.gauge("pbj_aof_pending_bytes", "Bytes that wait to be written to the log.", status.pending);
    out.gauge("pbj_aof_last_write_ok", "The last write of the log succeeded.", status.failure.is_none());
    out.counter(
        "pbj_aof_delayed_fsync_total",
        "Times that writing waited for a slow sync.",
        status.delayed_syncs,
    );
    out.histograms("pbj_aof_fsync_duration_seconds", "How long syncs of the log took.").add_histogram(
        &[],
        &SYNC_BUCKETS_US,
        &status.sync_times.counts,
        status.sync_times.total_us,
        1e6,
    );
}
