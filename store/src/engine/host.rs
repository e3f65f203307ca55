//! What the engine may ask its host: readings it only reports, never decides by.

/// Readings of the process around the engine.
pub trait Host: Send {
    /// Nanoseconds on a stopwatch: only differences are used, for statistics.
    fn stopwatch_ns(&self) -> u64;
    /// What the stopwatch showed when the time was read that the engine was just called with: a reading less.
    fn stopwatch_at_call_ns(&self) -> u64 {
        self.stopwatch_ns()
    }
    /// Whether the host keeps files: DEBUG RELOAD goes through the snapshot there, and through memory elsewhere.
    fn has_files(&self) -> bool {
        false
    }
    /// Bytes taken from the allocator. Decides, with `maxmemory`, whether writes are refused.
    fn memory_used(&self) -> usize;
    /// Bytes that came in from clients and went out to them so far.
    fn traffic(&self) -> (u64, u64) {
        (0, 0)
    }
    /// Further facts, for INFO.
    fn facts(&self) -> Facts;
    /// Up to which place in the stream of effects the log is synced; nothing if there is no log.
    fn synced_position(&self) -> Option<u64> {
        None
    }
    /// Asks for a tick soon after the log was synced the next time.
    fn watch_syncs(&self) {}
    /// Gives memory that is free back to the system: MEMORY PURGE.
    fn release_memory(&self);
    /// Fills a secret with bytes that nobody can guess, for ACL GENPASS.
    fn fill_secret(&self, secret: &mut [u8]);
    /// A script writes to the log of the daemon.
    fn note(&self, _level: LogLevel, _text: &[u8]) {}
    /// A script runs, and goes on when this returns; called again and again. If it runs for long, the host may let
    /// others in: with [`super::Engine::execute_while_busy`], [`super::Engine::connect`] and
    /// [`super::Engine::forget`].
    fn script_goes_on(&mut self, _engine: &mut super::Engine) {}
}

/// How much a line in the log of the daemon matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is a value of the directive loglevel")]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

impl LogLevel {
    /// The level with this number, as scripts know them.
    pub fn numbered(number: i64) -> Option<Self> {
        [Self::Debug, Self::Verbose, Self::Notice, Self::Warning].get(usize::try_from(number).ok()?).copied()
    }

    /// The level with this name; what has another name matters always.
    pub fn named(name: &str) -> Self {
        match name {
            "debug" => Self::Debug,
            "verbose" => Self::Verbose,
            "notice" => Self::Notice,
            _ => Self::Warning,
        }
    }
}

/// Facts about the process, as INFO shows them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Process number.
    pub process_id: u32,
    /// Port for clients, 0 if none.
    pub tcp_port: u16,
    /// Path of the binary.
    pub executable: String,
    /// Path of the configuration file, or nothing.
    pub config_file: String,
    /// Who supervises the process: `systemd` or `no`.
    pub supervised: &'static str,
    /// Name and release of the operating system.
    pub os: String,
    /// Memory of the machine in bytes.
    pub total_system_memory: u64,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Highest allocated memory in bytes.
    pub memory_peak: u64,
    /// Bytes of the pages that hold what is allocated.
    pub allocator_active: u64,
    /// Bytes of those pages of the allocator that are in memory.
    pub allocator_resident: u64,
    /// Name of the allocator.
    pub allocator: &'static str,
    /// Processor time of the process in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// Processor time of the process outside of the kernel, in microseconds.
    pub cpu_user_us: u64,
    /// Reads from clients.
    pub reads: u64,
    /// Writes to clients.
    pub writes: u64,
    /// Bytes read from clients.
    pub net_input: u64,
    /// Bytes written to clients.
    pub net_output: u64,
    /// Connections to other servers that MIGRATE keeps.
    pub kept_links: u64,
    /// Connections refused because of `maxclients`.
    pub rejected_connections: u64,
    /// The append-only log, if it is on.
    pub log: Option<LogFacts>,
}

/// Facts about the append-only log, as INFO shows them.
#[derive(Clone, Debug, Default)]
pub struct LogFacts {
    /// Bytes of all files.
    pub current_size: u64,
    /// Bytes when the log was opened or last rewritten.
    pub base_size: u64,
    /// Bytes that wait to be written.
    pub pending: u64,
    /// Whether the last write succeeded.
    pub last_write_ok: bool,
    /// Syncs that came too late.
    pub delayed_fsync: u64,
}

/// A host that measures nothing: for tests, and for tools that only load data.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn stopwatch_ns(&self) -> u64 {
        0
    }

    fn memory_used(&self) -> usize {
        0
    }

    fn facts(&self) -> Facts {
        Facts { supervised: "no", allocator: "none", ..Facts::default() }
    }

    fn release_memory(&self) {}

    fn fill_secret(&self, secret: &mut [u8]) {
        // Nobody relies on this host for secrets.
        secret.fill(0);
    }
}
