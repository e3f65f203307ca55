//! Readings of this process, for INFO and for `maxmemory`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;
use pbj_store::engine::{Engine, Facts, Host, LogFacts, LogLevel};

use crate::allocator;
use crate::busy::Busy;
use crate::clock::Clock;
use crate::log_writer::LogDoor;

/// Counters that connections keep.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Reads from clients.
    pub reads: AtomicU64,
    /// Writes to clients.
    pub writes: AtomicU64,
    /// Bytes read from clients.
    pub input: AtomicU64,
    /// Bytes written to clients.
    pub output: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected: AtomicU64,
    /// Connections to other servers that MIGRATE keeps.
    pub kept_links: AtomicU64,
}

/// What does not change while the process runs.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Port for clients.
    pub tcp_port: u16,
    /// Path of the configuration file.
    pub config_file: String,
    /// Who supervises the process.
    pub supervised: &'static str,
}

/// The process as a [`Host`] of the engine.
pub struct ProcessHost {
    clock: Clock,
    identity: Identity,
    traffic: Arc<Traffic>,
    log: Arc<LogDoor>,
    busy: Arc<Busy>,
}

impl ProcessHost {
    /// The process with these counters, this log, and this desk for those who come while a script runs.
    pub fn new(identity: Identity, traffic: Arc<Traffic>, log: Arc<LogDoor>, busy: Arc<Busy>) -> Self {
        Self { clock: Clock, identity, traffic, log, busy }
    }
}

impl Host for ProcessHost {
    fn stopwatch_ns(&self) -> u64 {
        self.clock.stopwatch_ns()
    }

    fn stopwatch_at_call_ns(&self) -> u64 {
        self.clock.last_ns()
    }

    fn has_files(&self) -> bool {
        true
    }

    fn synced_position(&self) -> Option<u64> {
        self.log.is_open().then(|| self.log.synced())
    }

    fn watch_syncs(&self) {
        self.log.watch_syncs();
    }

    fn release_memory(&self) {
        allocator::purge();
    }

    fn traffic(&self) -> (u64, u64) {
        (self.traffic.input.load(Ordering::Relaxed), self.traffic.output.load(Ordering::Relaxed))
    }

    fn memory_used(&self) -> usize {
        allocator::bytes_taken()
    }

    fn note(&self, level: LogLevel, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        match level {
            LogLevel::Debug => tracing::debug!("{text}"),
            LogLevel::Verbose | LogLevel::Notice => tracing::info!("{text}"),
            LogLevel::Warning => tracing::warn!("{text}"),
        }
    }

    fn script_goes_on(&mut self, engine: &mut Engine) {
        self.busy.script_goes_on(engine);
    }

    fn fill_secret(&self, secret: &mut [u8]) {
        let filled = std::fs::File::open("/dev/urandom").and_then(|mut chance| chance.read_exact(secret));
        if let Err(error) = filled {
            // Without it there is no safe password; one of zeros is seen at once.
            tracing::error!(%error, "the kernel gives no chance");
            secret.fill(0);
        }
    }

    fn facts(&self) -> Facts {
        allocator::note_peak();
        let (cpu_user_us, cpu_system_us) = cpu_us();
        Facts {
            process_id: std::process::id(),
            tcp_port: self.identity.tcp_port,
            executable: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
            config_file: self.identity.config_file.clone(),
            supervised: self.identity.supervised,
            os: os_name(),
            total_system_memory: system_memory(),
            resident: resident_bytes(),
            memory_peak: allocator::peak() as u64,
            allocator_active: allocator::active() as u64,
            allocator_resident: allocator::resident() as u64,
            allocator: "jemalloc-5.3",
            reads: self.traffic.reads.load(Ordering::Relaxed),
            writes: self.traffic.writes.load(Ordering::Relaxed),
            cpu_system_us,
            cpu_user_us,
            net_input: self.traffic.input.load(Ordering::Relaxed),
            net_output: self.traffic.output.load(Ordering::Relaxed),
            rejected_connections: self.traffic.rejected.load(Ordering::Relaxed),
            kept_links: self.traffic.kept_links.load(Ordering::Relaxed),
            log: self.log.is_open().then(|| {
                let status = self.log.status();
                LogFacts {
                    current_size: status.size,
                    base_size: status.base_size,
                    pending: status.pending,
                    last_write_ok: status.failure.is_none(),
                    delayed_fsync: status.delayed_syncs,
                }
            }),
        }
    }
}

/// Processor time of the process: outside of and in the kernel, in microseconds.
pub fn cpu_us() -> (u64, u64) {
    getrusage(UsageWho::RUSAGE_SELF).map_or((0, 0), |usage| {
        (usage.user_time().num_microseconds() as u64, usage.system_time().num_microseconds() as u64)
    })
}

/// Resident memory of the process in bytes.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// The name that the kernel gave to this boot of the machine; empty where it gives none.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Memory of the machine in bytes.
pub fn system_memory() -> u64 {
    meminfo_bytes("MemTotal:")
}

/// File descriptors that are open, and how many may be; `None` where the kernel does not say.
pub fn file_descriptors() -> Option<(u64, u64)> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // The folder itself was open while it was read.
    Some((open.saturating_sub(1), limit))
}

fn meminfo_bytes(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib: u64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    kib * 1024
}

fn os_name() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "Linux".to_owned(),
        |name| {
            format!(
                "{} {} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy(),
                name.machine().to_string_lossy()
            )
        },
    )
}
