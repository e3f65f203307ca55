//! Every bound of the engine, in one place.
//!
//! Law: nothing a client, a peer or a disk sends can make the engine hold, loop or recurse without a bound named here
//! (or without a directive of the configuration that bounds it).

/// Longest inline request, and longest count line of a multibulk one, in bytes.
pub const INLINE_MAX: usize = 64 * 1024;
/// Most arguments of one request.
pub const ARGUMENTS_MAX: i64 = 1024 * 1024;
/// Most arguments of one request before authentication.
pub const ARGUMENTS_MAX_UNAUTHENTICATED: i64 = 10;
/// Longest argument before authentication, in bytes.
pub const BULK_MAX_UNAUTHENTICATED: i64 = 16 * 1024;
/// Requests taken from one connection before others get their turn.
pub const BATCH_REQUESTS_MAX: usize = 1024;
/// Requests whose keys are looked up ahead of time.
pub const PREFETCH_WINDOW: usize = 32;
/// Longest text value that shares one allocation with its key, in bytes.
pub const INLINE_TEXT_MAX: usize = 1024;
/// Bytes of a client's words repeated in an "unknown command" error.
pub const ECHO_MAX: usize = 128;
/// Expired keys removed by one tick before the engine lets requests through again.
pub const EXPIRE_PER_TICK: usize = 512;
/// Timed-out clients answered by one tick.
pub const TIMEOUTS_PER_TICK: usize = 1024;
/// Buckets one SCAN call may visit for each element it was asked for.
pub const SCAN_EMPTY_FACTOR: usize = 10;
/// Bytes of one node of a list.
pub const LIST_NODE_BYTES: usize = 2048;
/// Elements of one node of a list.
pub const LIST_NODE_ELEMENTS: usize = 128;
/// Random elements returned by one call that may repeat them (a negative count).
pub const REPEATED_ELEMENTS_MAX: usize = 1 << 22;
/// Hash of a key to bucket: deepest prefix a table may use, in bits.
pub const TABLE_DEPTH_MAX: u32 = 40;
