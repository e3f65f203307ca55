//! Every directive of the configuration: all of Redis 7.0, and ours.
//!
//! Law: a directive is honoured, or accepted (it can be set and read back, and has nothing to do here), or refused by
//! name (what it says by default is all it can say). The file, the command line, CONFIG GET and SET and the
//! documentation come from this table.

const INT_MAX: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT_MAX: i64 = u32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
const MIB: i64 = 1 << 20;
const TLS: &str = "TLS is not supported yet";
const PROTECTION: &[&str] = &["no", "yes", "local"];

/// One directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Its name.
    pub name: &'static str,
    /// An older name that still works.
    pub alias: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// Its value unless set, as CONFIG GET prints it.
    pub default: &'static str,
    /// Cannot be set while the daemon runs.
    pub immutable: bool,
    /// Must not appear in logs.
    pub sensitive: bool,
    /// Can be set while the daemon runs only if `enable-protected-configs` allows it.
    pub protected: bool,
    /// Cannot be set while data is loaded.
    pub not_while_loading: bool,
    /// Is not listed by patterns.
    pub hidden: bool,
    /// What it does here.
    pub status: Status,
}

/// What a directive takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A number of bytes within bounds, with an optional unit.
    Memory(i64, i64),
    /// A number written in octal.
    Octal(i64, i64),
    /// One of several words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// Several words, checked by [`super::special`].
    Special,
}

/// What a directive does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What its documentation says.
    Honoured,
    /// Nothing: the mechanism it tunes is not there, or needs no tuning.
    Accepted,
    /// Its default is the only value that can be set, for this reason.
    Refused(&'static str),
}

const fn directive(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive {
        name,
        alias: None,
        kind,
        default,
        immutable: false,
        sensitive: false,
        protected: false,
        not_while_loading: false,
        hidden: false,
        status: Status::Honoured,
    }
}

const fn flag(name: &'static str, default: bool) -> Directive {
    directive(name, Kind::Flag, if default { "yes" } else { "no" })
}

const fn integer(name: &'static str, min: i64, max: i64, default: &'static str) -> Directive {
    directive(name, Kind::Integer(min, max), default)
}

const fn memory(name: &'static str, min: i64, default: &'static str) -> Directive {
    directive(name, Kind::Memory(min, LONG_MAX), default)
}

const fn choice(name: &'static str, words: &'static [&'static str], default: &'static str) -> Directive {
    directive(name, Kind::Choice(words), default)
}

const fn text(name: &'static str, default: &'static str) -> Directive {
    directive(name, Kind::Text, default)
}

const fn special(name: &'static str, default: &'static str) -> Directive {
    directive(name, Kind::Special, default)
}

impl Directive {
    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }

    const fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }

    const fn protected(self) -> Self {
        Self { protected: true, ..self }
    }

    const fn not_while_loading(self) -> Self {
        Self { not_while_loading: true, ..self }
    }

    const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    const fn refused(self, reason: &'static str) -> Self {
        Self { status: Status::Refused(reason), ..self }
    }

    const fn accepted(self) -> Self {
        Self { status: Status::Accepted, ..self }
    }
}

/// The table.
pub const DIRECTIVES: &[Directive] = &[
    // Network and process.
    special("bind", "127.0.0.1 -::1"),
    integer("port", 0, 65535, "6379"),
    text("unixsocket", "").immutable(),
    directive("unixsocketperm", Kind::Octal(0, 0o777), "0").immutable(),
    integer("tcp-backlog", 0, INT_MAX, "511").immutable(),
    integer("tcp-keepalive", 0, INT_MAX, "300"),
    integer("timeout", 0, INT_MAX, "0"),
    integer("maxclients", 1, UINT_MAX, "10000"),
    flag("protected-mode", true),
    integer("io-threads", 0, 128, "0").immutable(),
    flag("aof-checksums", true).immutable(),
    integer("http-port", 0, 65535, "9180").immutable(),
    special("http-bind", "127.0.0.1").immutable(),
    text("bind-source-addr", ""),
    integer("socket-mark-id", 0, UINT_MAX, "0").immutable().accepted(),
    flag("daemonize", false).immutable().accepted(),
    choice("supervised", &["upstart", "systemd", "auto", "no"], "auto").immutable().accepted(),
    text("pidfile", "").immutable(),
    text("logfile", "").immutable(),
    choice("loglevel", &["debug", "verbose", "notice", "warning"], "notice"),
    flag("syslog-enabled", false).immutable().accepted(),
    text("syslog-ident", "redis").immutable().accepted(),
    choice(
        "syslog-facility",
        &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"],
        "local0",
    )
    .immutable()
    .accepted(),
    flag("crash-log-enabled", true).accepted(),
    flag("crash-memcheck-enabled", true).accepted(),
    flag("use-exit-on-panic", false).hidden().accepted(),
    flag("always-show-logo", false).immutable().accepted(),
    flag("set-proc-title", true).immutable().accepted(),
    text("proc-title-template", "{title} {listen-addr} {server-mode}").accepted(),
    text("ignore-warnings", "").accepted(),
    flag("disable-thp", true).immutable().accepted(),
    choice("oom-score-adj", &["no", "yes", "relative", "absolute"], "no"),
    special("oom-score-adj-values", "0 200 800"),
    text("server_cpulist", "").immutable().accepted(),
    text("bio_cpulist", "").immutable().accepted(),
    text("aof_rewrite_cpulist", "").immutable().accepted(),
    text("bgsave_cpulist", "").immutable().accepted(),
    flag("io-threads-do-reads", false).immutable().accepted(),
    integer("hz", 0, INT_MAX, "10").accepted(),
    flag("dynamic-hz", true).accepted(),
    special("shutdown-on-sigint", "default").accepted(),
    special("shutdown-on-sigterm", "default"),
    integer("shutdown-timeout", 0, INT_MAX, "10"),
    integer("watchdog-period", 0, INT_MAX, "0").hidden().accepted(),
    // Access.
    text("requirepass", "").sensitive(),
    text("aclfile", "").immutable(),
    choice("acl-pubsub-default", &["allchannels", "resetchannels"], "resetchannels"),
    integer("acllog-max-len", 0, LONG_MAX, "128"),
    choice("enable-protected-configs", PROTECTION, "no").immutable(),
    choice("enable-debug-command", PROTECTION, "no").immutable(),
    choice("enable-module-command", PROTECTION, "no").immutable(),
    // Memory.
    memory("maxmemory", 0, "0"),
    choice(
        "maxmemory-policy",
        &[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ],
        "noeviction",
    ),
    integer("maxmemory-samples", 1, INT_MAX, "5"),
    integer("maxmemory-eviction-tenacity", 0, 100, "10").accepted(),
    special("maxmemory-clients", "0"),
    integer("lfu-log-factor", 0, INT_MAX, "10"),
    integer("lfu-decay-time", 0, INT_MAX, "1"),
    integer("active-expire-effort", 1, 10, "1").accepted(),
    flag("lazyfree-lazy-eviction", false).accepted(),
    flag("lazyfree-lazy-expire", true),
    flag("lazyfree-lazy-server-del", true).accepted(),
    flag("lazyfree-lazy-user-del", true),
    flag("lazyfree-lazy-user-flush", true),
    flag("activerehashing", true).accepted(),
    flag("activedefrag", false).accepted(),
    integer("active-defrag-cycle-min", 1, 99, "1").accepted(),
    integer("active-defrag-cycle-max", 1, 99, "25").accepted(),
    integer("active-defrag-threshold-lower", 0, 1000, "10").accepted(),
    integer("active-defrag-threshold-upper", 0, 1000, "100").accepted(),
    integer("active-defrag-max-scan-fields", 1, LONG_MAX, "1000").accepted(),
    memory("active-defrag-ignore-bytes", 1, "104857600").accepted(),
    flag("jemalloc-bg-thread", true).accepted(),
    // Data.
    integer("databases", 1, 1 << 16, "16").immutable(),
    memory("proto-max-bulk-len", MIB, "536870912"),
    memory("client-query-buffer-limit", MIB, "1073741824"),
    special(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    ),
    integer("hash-max-listpack-entries", 0, LONG_MAX, "512").alias("hash-max-ziplist-entries"),
    memory("hash-max-listpack-value", 0, "64").alias("hash-max-ziplist-value"),
    integer("set-max-intset-entries", 0, LONG_MAX, "512"),
    integer("zset-max-listpack-entries", 0, LONG_MAX, "128").alias("zset-max-ziplist-entries"),
    memory("zset-max-listpack-value", 0, "64").alias("zset-max-ziplist-value"),
    integer("list-max-listpack-size", INT_MIN, INT_MAX, "-2").alias("list-max-ziplist-size").accepted(),
    integer("list-compress-depth", 0, INT_MAX, "0").accepted(),
    integer("stream-node-max-entries", 0, LONG_MAX, "100"),
    memory("stream-node-max-bytes", 0, "4096"),
    memory("hll-sparse-max-bytes", 0, "3000"),
    special("notify-keyspace-events", ""),
    integer("tracking-table-max-keys", 0, LONG_MAX, "1000000"),
    integer("busy-reply-threshold", 0, LONG_MAX, "5000").alias("lua-time-limit"),
    flag("lua-enable-deprecated-api", false).immutable().hidden(),
    memory("script-memory-limit", 0, "268435456"),
    // Log.
    special("dir", ".").protected().not_while_loading(),
    flag("appendonly", true).not_while_loading(),
    choice("appendfsync", &["everysec", "always", "no"], "everysec"),
    text("appendfilename", "appendonly.aof").immutable(),
    text("appenddirname", "appendonlydir").immutable(),
    flag("aof-load-truncated", true),
    flag("aof-use-rdb-preamble", true),
    flag("aof-timestamp-enabled", false),
    flag("aof-disable-auto-gc", false),
    flag("aof-rewrite-incremental-fsync", true),
    flag("no-appendfsync-on-rewrite", false).accepted(),
    special("auto-aof-rewrite-percentage", "100"),
    memory("auto-aof-rewrite-min-size", 0, "67108864"),
    // Snapshots.
    special("save", ""),
    text("dbfilename", "dump.rdb").protected(),
    flag("rdbcompression", true),
    flag("rdbchecksum", true).immutable(),
    flag("rdb-del-sync-files", false).accepted(),
    flag("rdb-save-incremental-fsync", true),
    flag("stop-writes-on-bgsave-error", true),
    choice("sanitize-dump-payload", &["no", "yes", "clients"], "no").accepted(),
    integer("rdb-key-save-delay", INT_MIN, INT_MAX, "0").hidden(),
    integer("key-load-delay", INT_MIN, INT_MAX, "0").hidden().accepted(),
    memory("loading-process-events-interval-bytes", 1024, "2097152").hidden().accepted(),
    // Replication.
    special("replicaof", "").alias("slaveof").immutable(),
    text("masterauth", "").sensitive(),
    text("masteruser", "").sensitive(),
    flag("replica-read-only", true).alias("slave-read-only"),
    flag("replica-serve-stale-data", true).alias("slave-serve-stale-data"),
    flag("replica-lazy-flush", false).alias("slave-lazy-flush").accepted(),
    flag("replica-ignore-maxmemory", true).alias("slave-ignore-maxmemory"),
    flag("replica-ignore-disk-write-errors", false).accepted(),
    flag("replica-announced", true),
    integer("replica-priority", 0, INT_MAX, "100").alias("slave-priority"),
    text("replica-announce-ip", "").alias("slave-announce-ip"),
    integer("replica-announce-port", 0, 65535, "0").alias("slave-announce-port"),
    flag("repl-disable-tcp-nodelay", false).accepted(),
    flag("repl-diskless-sync", true),
    integer("repl-diskless-sync-delay", 0, INT_MAX, "0"),
    integer("repl-diskless-sync-max-replicas", 0, INT_MAX, "0"),
    choice("repl-diskless-load", &["disabled", "on-empty-db", "swapdb"], "disabled").not_while_loading(),
    integer("repl-timeout", 1, INT_MAX, "60"),
    integer("repl-ping-replica-period", 1, INT_MAX, "10").alias("repl-ping-slave-period"),
    memory("repl-backlog-size", 1, "1048576"),
    integer("repl-backlog-ttl", 0, LONG_MAX, "3600"),
    integer("min-replicas-to-write", 0, INT_MAX, "0").alias("min-slaves-to-write"),
    integer("min-replicas-max-lag", 0, INT_MAX, "10").alias("min-slaves-max-lag"),
    choice("propagation-error-behavior", &["ignore", "panic", "panic-on-replicas"], "ignore").accepted(),
    // Introspection.
    integer("slowlog-log-slower-than", -1, LONG_MAX, "10000"),
    integer("slowlog-max-len", 0, LONG_MAX, "128"),
    integer("latency-monitor-threshold", 0, LONG_MAX, "0"),
    flag("latency-tracking", true),
    special("latency-tracking-info-percentiles", "50 99 99.9"),
    // Cluster: there is no cluster mode.
    flag("cluster-enabled", false).immutable().accepted(),
    text("cluster-config-file", "nodes.conf").immutable().accepted(),
    integer("cluster-node-timeout", 0, LONG_MAX, "15000").accepted(),
    integer("cluster-port", 0, 65535, "0").immutable().accepted(),
    text("cluster-announce-ip", "").accepted(),
    text("cluster-announce-hostname", "").accepted(),
    integer("cluster-announce-port", 0, 65535, "0").accepted(),
    integer("cluster-announce-tls-port", 0, 65535, "0").accepted(),
    integer("cluster-announce-bus-port", 0, 65535, "0").accepted(),
    choice("cluster-preferred-endpoint-type", &["ip", "hostname", "unknown-endpoint"], "ip").accepted(),
    flag("cluster-require-full-coverage", true).accepted(),
    flag("cluster-replica-no-failover", false).alias("cluster-slave-no-failover").accepted(),
    flag("cluster-allow-reads-when-down", false).accepted(),
    flag("cluster-allow-pubsubshard-when-down", true).accepted(),
    flag("cluster-allow-replica-migration", true).accepted(),
    integer("cluster-migration-barrier", 0, INT_MAX, "1").accepted(),
    integer("cluster-replica-validity-factor", 0, INT_MAX, "10")
        .alias("cluster-slave-validity-factor")
        .accepted(),
    memory("cluster-link-sendbuf-limit", 0, "0").accepted(),
    // TLS.
    integer("tls-port", 0, 65535, "0").refused(TLS),
    flag("tls-cluster", false).refused(TLS),
    flag("tls-replication", false).refused(TLS),
    choice("tls-auth-clients", &["no", "yes", "optional"], "yes").refused(TLS),
    flag("tls-prefer-server-ciphers", false).refused(TLS),
    flag("tls-session-caching", true).refused(TLS),
    integer("tls-session-cache-size", 0, INT_MAX, "20480").refused(TLS),
    integer("tls-session-cache-timeout", 0, INT_MAX, "300").refused(TLS),
    text("tls-cert-file", "").refused(TLS),
    text("tls-key-file", "").refused(TLS),
    text("tls-key-file-pass", "").sensitive().refused(TLS),
    text("tls-client-cert-file", "").refused(TLS),
    text("tls-client-key-file", "").refused(TLS),
    text("tls-client-key-file-pass", "").sensitive().refused(TLS),
    text("tls-dh-params-file", "").refused(TLS),
    text("tls-ca-cert-file", "").refused(TLS),
    text("tls-ca-cert-dir", "").refused(TLS),
    text("tls-protocols", "").refused(TLS),
    text("tls-ciphers", "").refused(TLS),
    text("tls-ciphersuites", "").refused(TLS),
];

/// A user, which may stand in the file any number of times, and is no value that CONFIG GET knows.
pub(super) const USER: Directive = directive("user", Kind::Special, "").immutable().hidden();

/// Another name for a command, which may stand in the file any number of times too.
pub(super) const RENAME: Directive = directive("rename-command", Kind::Special, "").immutable().hidden();

/// Directives that are refused, and why.
pub const REFUSED: &[(&str, &str)] = &[("loadmodule", "modules are not supported")];
