//! Every bound of the engine, in one place.
//!
//! Law: nothing a client, a peer or a disk sends can make the engine hold, loop or recurse without a bound named here
//! (or without a directive of the configuration that bounds it).

/// Longest value in bytes with which a hash of the extension stays packed.
pub const RESERVED_PACKED_VALUE_MAX: usize = 1024;
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
/// Bytes of replies after which the rest of such a batch waits for its next turn.
pub const BATCH_OUTPUT_MAX: usize = 1 << 20;
/// Runs of stars in a pattern.
pub const STARS_MAX: usize = 1000;
/// Arguments whose places a connection keeps room for between its requests.
pub const ARGUMENTS_KEPT: usize = 4096;
/// Requests whose keys are looked up ahead of time.
pub const PREFETCH_WINDOW: usize = 32;
/// Longest text value that shares one allocation with its key, in bytes.
pub const INLINE_TEXT_MAX: usize = 1024;
/// Bytes of a client's words repeated in an "unknown command" error.
pub const ECHO_MAX: usize = 128;
/// Expired keys, and expired fields of hashes, removed from a database by one tick before the engine lets requests
/// through again.
pub const EXPIRE_PER_TICK: usize = 512;
/// Pieces of memory, or keys of a database, that are freed at once; more are freed aside. As in Redis.
pub const FREED_AT_ONCE_MAX: usize = 64;
/// Bytes of a text that count as one such piece.
pub const FREED_PIECE_BYTES: usize = 16 << 10;
/// Such pieces, or keys, that wait to be freed aside when a command ends; a script that removes more frees it itself.
pub const FREED_ASIDE_MAX: usize = 1 << 20;
/// Elements of a collection, or keys of a database, that its size is told from.
pub const FOOTPRINT_SAMPLES: usize = 5;
/// Keys evicted before one command; if that is not enough, the next command goes on.
pub const EVICT_PER_COMMAND: usize = 256;
/// Keys looked at for each that is wanted, when keys to be evicted are sampled.
pub const EVICT_SAMPLE_TRIES: usize = 8;
/// Dates looked at to find one of a key that may be evicted.
pub const DATED_SEARCH_MAX: usize = 4096;
/// Timed-out clients answered by one tick.
pub const TIMEOUTS_PER_TICK: usize = 1024;
/// Buckets one SCAN call may visit for each element it was asked for.
pub const SCAN_EMPTY_FACTOR: usize = 10;
/// Bytes of one node of a list.
pub const LIST_NODE_BYTES: usize = 2048;
/// Elements of one node of a list.
pub const LIST_NODE_ELEMENTS: usize = 128;
/// Lines that one unit may write into the log of the daemon about refused payloads.
pub const NOTES_PER_UNIT: usize = 16;
/// Longest snapshot that DEBUG RELOAD keeps for DEBUG RELOAD NOSAVE, in bytes.
pub const RELOAD_KEPT_MAX: usize = 64 << 20;
/// Longest string, compact collection or node of a stream in a dump or a snapshot, in bytes. Field and value of a hash
/// share one allocation, which holds less than 4 GiB.
pub const RDB_STRING_MAX: usize = 3 << 29;
/// Random elements returned by one call that may repeat them (a negative count).
pub const REPEATED_ELEMENTS_MAX: usize = 1 << 22;
/// Bytes of such a reply: it may be that many times as large as what it shows.
pub const REPEATED_BYTES_MAX: usize = 1 << 27;
/// Hash of a key to bucket: deepest prefix a table may use, in bits.
pub const TABLE_DEPTH_MAX: u32 = 40;
/// Scripts that are kept although they were only ever sent whole (EVAL).
pub const PASSING_SCRIPTS_MAX: usize = 500;
/// Bytes of the texts of such scripts.
pub const PASSING_SCRIPTS_BYTES_MAX: usize = 64 << 20;
/// Registered functions of one library.
pub const LIBRARY_FUNCTIONS_MAX: usize = 10_000;
/// Interrupts (20 000 instructions each) that the code of a library may take to register its functions.
pub const LOAD_INTERRUPTS_MAX: u32 = 2500;
/// Tables within tables that a script can have encoded or decoded: a bound of a recursion of ours.
pub const NESTING_MAX: i32 = 2000;
/// Deepest nesting of a reply that is read.
pub const REPLY_DEPTH_MAX: usize = 32;
/// Keys with a date that clients of a writable replica wrote, of which the replica keeps track.
pub const OWN_DATES_MAX: usize = 1 << 20;
/// Bytes of one block of the backlog of replication.
pub const BACKLOG_BLOCK_BYTES: usize = 16 * 1024;
/// Smallest backlog, whatever `repl-backlog-size` says, in bytes.
pub const BACKLOG_MIN: u64 = 16 * 1024;
/// Bytes of a dataset that may wait for the slowest replica that gets it.
pub const DATASET_AHEAD_MAX: u64 = 16 << 20;
/// Pieces of a dataset that one tick writes.
pub const DATASET_PIECES_PER_TICK: usize = 4;
/// Bytes handed to the connection of a replica at once.
pub const FEED_BYTES: usize = 256 * 1024;
/// Longest line of a master while replication begins, in bytes.
pub const MASTER_LINE_MAX: usize = 1024;
/// Bytes of a master's stream that may wait for the end of a command or of a transaction.
pub const MASTER_UNIT_MAX: usize = 1 << 30;
/// Keys and buckets that one step of a walk over the keyspace looks at, before others get their turn.
pub const WALK_VISITS_PER_PIECE: usize = 768;
/// Elements of a value from which on such a walk writes it in several steps, unless it changes meanwhile and stays.
pub const HUGE_ELEMENTS: usize = 4096;
/// Bytes of a text from which on it is written so, and of a text or an element from which on it is not compressed; and
/// of an element from which on it is not copied, but shared, where copies of it are kept or written.
pub const HUGE_TEXT: usize = 1 << 20;
/// Bytes after which a step of such a walk ends, unless one value has more.
pub const WALK_PIECE_BYTES: usize = 64 << 10;
/// Bytes of the log that wait in memory for a disk that is full; with more the log is written anew when there is room.
pub const LOG_UNWRITTEN_MAX: usize = 64 << 20;
