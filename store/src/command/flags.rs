//! Properties of a command, as COMMAND INFO names them.

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = 1 << $bit;)*
        /// Every flag with its name on the wire.
        pub const NAMES: &[(u32, &str)] = &[$(($name, $text)),*];
    };
}

flags! {
    /// May change data.
    WRITE = 0, "write";
    /// Reads data only.
    READONLY = 1, "readonly";
    /// Is refused when memory is full.
    DENYOOM = 2, "denyoom";
    /// Is for administrators.
    ADMIN = 3, "admin";
    /// Belongs to publish and subscribe.
    PUBSUB = 4, "pubsub";
    /// Is not allowed in scripts.
    NOSCRIPT = 5, "noscript";
    /// May wait.
    BLOCKING = 6, "blocking";
    /// Works while data is being loaded.
    LOADING = 7, "loading";
    /// Works on a replica that lost its master.
    STALE = 8, "stale";
    /// Is not shown by MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Is not kept in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Is accepted in a cluster while a slot is imported.
    ASKING = 11, "asking";
    /// Takes constant or logarithmic time.
    FAST = 12, "fast";
    /// Works before authentication.
    NO_AUTH = 13, "no_auth";
    /// Reaches replicas although it writes nothing here.
    MAY_REPLICATE = 14, "may_replicate";
    /// Works while a script runs too long.
    ALLOW_BUSY = 15, "allow_busy";
    /// Is not allowed in a transaction.
    NO_MULTI = 16, "no_multi";
    /// May have no keys although it has key specifications.
    NO_MANDATORY_KEYS = 17, "no_mandatory_keys";
    /// Is refused unless enabled by the configuration.
    PROTECTED = 18, "protected";
    /// Does not work while a replica loads a new dataset beside the old one.
    NO_ASYNC_LOADING = 19, "no_async_loading";
    /// Reaches keys that are not among its arguments.
    TOUCHES_ARBITRARY_KEYS = 20, "touches_arbitrary_keys";
    /// Works on all databases.
    ALLDBS = 21, "all_dbs";
}

/// Categories of access control, in the order of ACL CAT.
pub const CATEGORIES: &[(&str, u32)] = &[
    ("keyspace", KEYSPACE),
    ("read", 1 << 1),
    ("write", 1 << 2),
    ("set", SET),
    ("sortedset", SORTEDSET),
    ("list", LIST),
    ("hash", HASH),
    ("string", STRING),
    ("bitmap", 1 << 8),
    ("hyperloglog", 1 << 9),
    ("geo", 1 << 10),
    ("stream", 1 << 11),
    ("pubsub", 1 << 12),
    ("admin", ADMIN_CATEGORY),
    ("fast", 1 << 14),
    ("slow", 1 << 15),
    ("blocking", 1 << 16),
    ("dangerous", DANGEROUS),
    ("connection", CONNECTION),
    ("transaction", 1 << 19),
    ("scripting", 1 << 20),
    ("job", 1 << 21),
    ("cron", 1 << 22),
    ("lock", 1 << 23),
];

/// Works on keys of any type.
pub const KEYSPACE: u32 = 1;
/// Works on sets.
pub const SET: u32 = 1 << 3;
/// Works on sorted sets.
pub const SORTEDSET: u32 = 1 << 4;
/// Works on lists.
pub const LIST: u32 = 1 << 5;
/// Works on hashes.
pub const HASH: u32 = 1 << 6;
/// Works on strings.
pub const STRING: u32 = 1 << 7;
/// Is for administrators, although it does not do what only they may do.
pub const ADMIN_CATEGORY: u32 = 1 << 13;
/// Can do harm.
pub const DANGEROUS: u32 = 1 << 17;
/// Works on the connection.
pub const CONNECTION: u32 = 1 << 18;

/// No category: the command has those that its row names, and not that of its group.
pub const OWN_CATEGORIES: u32 = 1 << 31;

/// The bit of a category by name.
pub fn category(name: &str) -> Option<u32> {
    CATEGORIES.iter().find(|(known, _)| *known == name).map(|&(_, bit)| bit)
}
