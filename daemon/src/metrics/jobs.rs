//! Metrics of queues, jobs and schedules.

use pbj_queue::model::State;
use pbj_queue::{Counts, DURATION_BOUNDS_MS, Durations, LATENESS_MS, Lateness, Queues, Totals};
use pbj_store::engine::Engine;

use super::families::Families;

/// Queues that get series of their own; the others are summed up in one called `_other`.
const QUEUES_MAX: usize = 500;

/// What the queues say, copied under the lock of the engine.
pub(super) struct Snapshot {
    queues: Vec<Queue>,
    dropped: usize,
    schedules: usize,
    locks: usize,
    timers: usize,
    lateness: Lateness,
}

struct Queue {
    name: String,
    counts: Counts,
    totals: Totals,
    oldest_age_ms: u64,
}

impl Snapshot {
    /// `None` if this engine has no queues.
    pub(super) fn of(engine: &Engine) -> Option<Self> {
        let queues = engine.extension()?.downcast_ref::<Queues>()?;
        let now_ms = engine.now().wall_ms();
        let mut seen: Vec<Queue> = Vec::new();
        let mut dropped = 0;
        for queue in queues.overview() {
            let name = String::from_utf8_lossy(queue.name);
            // Database 0 is where nearly all queues are.
            let name = if queue.db == 0 { name.into_owned() } else { format!("{name}@db{}", queue.db) };
            let oldest_age_ms = queue.oldest_ready_ms.map_or(0, |since| now_ms.saturating_sub(since));
            let queue = Queue { name, counts: queue.counts, totals: queue.totals, oldest_age_ms };
            if seen.len() < QUEUES_MAX {
                seen.push(queue);
            } else {
                dropped += 1;
                merge(&mut seen, queue);
            }
        }
        Some(Self {
            queues: seen,
            dropped,
            schedules: queues.schedule_count(),
            locks: queues.lock_count(),
            timers: queues.pending_timers(),
            lateness: queues.lateness(),
        })
    }

    pub(super) fn write(&self, out: &mut Families) {
        self.write_depth(out);
        self.write_totals(out);
        self.write_durations(out);
        self.write_schedules(out);
        out.gauge("pbj_locks_held", "Locks that are held.", self.locks);
        out.gauge(
            "pbj_timers_pending",
            "Delays, leases, locks and schedules that wait for their time.",
            self.timers,
        );
        out.gauge("pbj_metrics_dropped_series", "Queues without series of their own.", self.dropped);
    }

    fn write_depth(&self, out: &mut Families) {
        let mut jobs = out.gauges("pbj_queue_jobs", "Jobs of each queue by state.");
        for queue in &self.queues {
            for state in State::ALL {
                jobs.add(&[("queue", &queue.name), ("state", state.name())], queue.counts.of(state));
            }
        }
        let mut ages = out.gauges(
            "pbj_queue_oldest_ready_age_seconds",
            "How long the oldest ready job of each queue has waited.",
        );
        for queue in &self.queues {
            ages.add(&[("queue", &queue.name)], queue.oldest_age_ms as f64 / 1000.0);
        }
    }

    fn write_totals(&self, out: &mut Families) {
        let mut enqueued = out
            .counters("pbj_jobs_enqueued_total", "Jobs that came into each queue, by where they came from.");
        for Queue { name, totals, .. } in &self.queues {
            for (source, count) in
                [("api", totals.pushed), ("cron", totals.scheduled), ("retry", totals.retried)]
            {
                enqueued.add(&[("queue", name), ("source", source)], count);
            }
        }
        let mut finished = out
            .counters("pbj_jobs_finished_total", "Deliveries of each queue that ended, by how they ended.");
        for Queue { name, totals, .. } in &self.queues {
            let outcomes = [
                ("ok", totals.done),
                ("error", totals.failed),
                ("lease_lost", totals.lost),
                ("released", totals.released),
                ("cancelled", totals.cancelled),
            ];
            for (outcome, count) in outcomes {
                finished.add(&[("queue", name), ("outcome", outcome)], count);
            }
        }
        let simple: [(_, _, Read<u64>); 5] = [
            ("pbj_jobs_started_total", "Jobs of each queue that were delivered to workers.", |t| t.fetched),
            ("pbj_dead_jobs_added_total", "Jobs of each queue that were given up.", |t| t.dead),
            ("pbj_lease_renewals_total", "Leases of each queue that were extended.", |t| t.extended),
            ("pbj_lease_expiries_total", "Leases of each queue that ended without a word.", |t| t.lost),
            ("pbj_fencing_rejections_total", "Worker verbs for each queue that came too late.", |t| t.stale),
        ];
        for (name, help, read) in simple {
            let mut family = out.counters(name, help);
            for queue in &self.queues {
                family.add(&[("queue", &queue.name)], read(&queue.totals));
            }
        }
    }

    fn write_durations(&self, out: &mut Families) {
        let families: [(_, _, ReadDurations); 2] = [
            ("pbj_job_wait_seconds", "From ready to delivered.", |totals| &totals.waits),
            ("pbj_job_run_seconds", "From delivered to settled by the worker.", |totals| &totals.runs),
        ];
        for (name, help, read) in families {
            let mut family = out.histograms(name, help);
            for queue in &self.queues {
                let Durations { buckets, total_ms } = read(&queue.totals);
                family.add_histogram(&[("queue", &queue.name)], &DURATION_BOUNDS_MS, buckets, *total_ms, 1e3);
            }
        }
    }

    fn write_schedules(&self, out: &mut Families) {
        let Lateness { buckets, total_ms, missed, skipped } = self.lateness;
        out.gauge("pbj_cron_schedules", "Schedules.", self.schedules);
        out.histograms("pbj_cron_lateness_seconds", "How late schedules fired.").add_histogram(
            &[],
            &LATENESS_MS,
            &buckets,
            total_ms,
            1e3,
        );
        out.counter(
            "pbj_cron_missed_total",
            "Times of schedules that passed and were not made up for.",
            missed,
        );
        out.counter(
            "pbj_cron_skipped_total",
            "Times of schedules left out because the job before was not over.",
            skipped,
        );
    }
}

/// What a family takes from the totals of a queue.
type Read<T> = fn(&Totals) -> T;
type ReadDurations = fn(&Totals) -> &Durations;

/// Adds the numbers of a queue to the last one, which stands for all that are too many.
fn merge(seen: &mut [Queue], queue: Queue) {
    let Some(other) = seen.last_mut() else { return };
    "_other".clone_into(&mut other.name);
    other.counts += queue.counts;
    other.totals += queue.totals;
    other.oldest_age_ms = other.oldest_age_ms.max(queue.oldest_age_ms);
}
