//! Every bound of the queue, in one place.

/// Longest name of a queue, a worker, a lock or a schedule, and longest job id of a client's choice, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest job type, in bytes.
pub const TYPE_BYTES_MAX: usize = 256;
/// Longest error text that is kept of a failed attempt, in bytes.
pub const ERROR_BYTES_MAX: usize = 16 * 1024;
/// Jobs of one JOB.MPUSH or JOB.FETCH.
pub const BATCH_MAX: i64 = 10_000;
/// Queues of one JOB.FETCH.
pub const FETCH_QUEUES_MAX: usize = 256;
/// Longest delay, in milliseconds: ten years.
pub const DELAY_MAX_MS: u64 = 3653 * 86_400_000;
/// Longest lease, in milliseconds: a week.
pub const LEASE_MAX_MS: u64 = 7 * 86_400_000;
/// Lease unless the push or the fetch says otherwise, in milliseconds.
pub const LEASE_DEFAULT_MS: u64 = 30_000;
/// How long a lease that ended while the daemon was down still holds after its start, in milliseconds.
pub const RESTART_GRACE_MS: u64 = 5_000;
/// Failed attempts before a job is dead, unless its push says otherwise.
pub const ATTEMPTS_DEFAULT: u32 = 10;
/// Most attempts a push may ask for.
pub const ATTEMPTS_MAX: i64 = 10_000;
/// Lost leases before a job is taken for what kills its workers, unless its push says otherwise.
pub const LOST_DEFAULT: u32 = 5;
/// Finished jobs (done and cancelled) kept by each queue, the newest ones, unless their push asked for a time.
pub const FINISHED_KEPT: usize = 1000;
/// Dead jobs kept by each queue, the newest ones.
pub const DEAD_KEPT: usize = 100_000;
/// How long a finished job with a result is kept unless its push says otherwise, in milliseconds.
pub const RESULT_KEPT_MS: u64 = 3_600_000;
/// Due things handled by one tick.
pub const DUE_PER_TICK: usize = 512;
/// Numbers reserved at once for ids and tokens: after a crash up to so many are skipped.
pub const COUNTER_BLOCK: u64 = 1024;
/// Missed fires of one schedule that are made up for.
pub const CATCH_UP_MAX: usize = 1000;
/// How late a fire may be and still count as on time, in milliseconds.
pub const FIRE_GRACE_MS: u64 = 60_000;
/// Fire times returned by one CRON.NEXT.
pub const NEXT_COUNT_MAX: i64 = 10_000;
/// Schedules of one database.
pub const SCHEDULES_MAX: usize = 1_000_000;
/// Numbers skipped by a replica whose clock is behind when it becomes a master: more than were ever on their way to it.
pub const NUMBERS_PER_FAILOVER: u64 = 1 << 20;
