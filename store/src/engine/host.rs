//! What the engine may ask its host: readings it only reports, never decides by.

/// Readings of the process around the engine.
pub trait Host: Send {
    /// Nanoseconds on a stopwatch: only differences are used, for statistics.
    fn stopwatch_ns(&self) -> u64;
    /// Bytes taken from the allocator. Decides, with `maxmemory`, whether writes are refused.
    fn memory_used(&self) -> usize;
    /// Further facts, for INFO.
    fn facts(&self) -> Facts;
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
    /// Name of the allocator.
    pub allocator: &'static str,
    /// Processor time of the process in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// Processor time of the process outside of the kernel, in microseconds.
    pub cpu_user_us: u64,
    /// Bytes read from clients.
    pub net_input: u64,
    /// Bytes written to clients.
    pub net_output: u64,
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
}
