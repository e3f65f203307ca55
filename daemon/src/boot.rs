//! From a configuration to a running daemon, and back to nothing.
//!
//! Order of start: folder, log, engine, listeners, threads, load. Clients are accepted before the load begins and are
//! answered with LOADING, so that nobody ever sees a refused connection. Order of end: no new connections, no new
//! requests, the rest of the log written and synced.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use pbj_store::config::Config;
use pbj_store::durable::{LoadFault, LoadReport, Loader, Log, LogNames};
use pbj_store::engine::{Engine, EngineOptions, Extension};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::disk::{FolderLock, RealDisk};
use crate::exit;
use crate::host::{Identity, ProcessHost, Traffic};
use crate::io_thread::IoThread;
use crate::listener::{Gate, Listeners};
use crate::log_writer::{LogDoor, LogThreads, SyncPolicy};
use crate::mailbox::OutputLimit;
use crate::shared::{Control, Shared};
use crate::timer;

/// What a daemon begins with.
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// Where it was read from.
    pub config_file: Option<PathBuf>,
    /// Further commands.
    pub extension: Option<Box<dyn Extension>>,
    /// Who supervises the process.
    pub supervised: &'static str,
    /// Told about the progress of a long start.
    pub on_status: Box<dyn Fn(&str) + Send>,
}

impl Options {
    /// A daemon with this configuration, and nothing else special.
    pub fn new(config: Config) -> Self {
        Self { config, config_file: None, extension: None, supervised: "no", on_status: Box::new(|_| {}) }
    }
}

/// Why a daemon does not start.
#[derive(Debug)]
pub enum StartFault {
    /// The data folder cannot be used.
    Folder(std::io::Error),
    /// The log cannot be loaded.
    Load(LoadFault),
    /// An address is not available.
    Listen(std::io::Error),
    /// No threads can be had.
    Threads(std::io::Error),
}

impl fmt::Display for StartFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(out, "data folder: {error}"),
            Self::Load(fault) => write!(out, "{fault}"),
            Self::Listen(error) => write!(out, "{error}"),
            Self::Threads(error) => write!(out, "cannot start threads: {error}"),
        }
    }
}

impl std::error::Error for StartFault {}

impl StartFault {
    /// The exit code that tells the service manager what to do.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Folder(error) => match error.kind() {
                std::io::ErrorKind::NotFound => exit::NO_INPUT,
                std::io::ErrorKind::PermissionDenied => exit::NO_PERMISSION,
                std::io::ErrorKind::WouldBlock => exit::UNAVAILABLE,
                _ => exit::IO_ERROR,
            },
            Self::Load(LoadFault::Io(_)) => exit::IO_ERROR,
            Self::Load(_) => exit::DATA,
            Self::Listen(_) => exit::UNAVAILABLE,
            Self::Threads(_) => exit::TRY_AGAIN,
        }
    }
}

/// A running daemon.
pub struct Daemon {
    /// What its threads share.
    pub shared: Arc<Shared>,
    /// The addresses it listens on.
    pub addresses: Vec<std::net::SocketAddr>,
    control: mpsc::UnboundedReceiver<Control>,
    io_threads: Arc<Vec<IoThread>>,
    control_thread: JoinHandle<()>,
    log_threads: Option<LogThreads>,
    _lock: FolderLock,
}

impl Daemon {
    /// Starts a daemon. Returns when everything is loaded and ready.
    ///
    /// # Errors
    /// Something that it needs is not there, or its data cannot be used.
    pub fn start(options: Options) -> Result<Self, StartFault> {
        let Options { config, config_file, extension, supervised, on_status } = options;
        on_status("Opening the data folder");
        let folder = PathBuf::from(config.text("dir"));
        std::fs::create_dir_all(&folder).map_err(StartFault::Folder)?;
        let lock = FolderLock::take(&folder).map_err(StartFault::Folder)?;
        let names = LogNames {
            folder: config.text("appenddirname").to_owned(),
            file: config.text("appendfilename").to_owned(),
        };
        let opened = open_log(&config, &folder, &names)?;
        let (log, log_threads, loader) = match opened {
            Some((door, threads, loader)) => (Some(door), Some(threads), Some(loader)),
            None => (None, None, None),
        };
        let listeners = Listeners::bind(&config).map_err(StartFault::Listen)?;
        let addresses: Vec<_> =
            listeners.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let traffic = Arc::new(Traffic::default());
        let identity = Identity {
            tcp_port: addresses.first().map_or(0, std::net::SocketAddr::port),
            config_file: config_file.map(|path| path.display().to_string()).unwrap_or_default(),
            supervised,
        };
        let mut engine = Engine::new(EngineOptions {
            seed: entropy(),
            extension,
            host: Box::new(ProcessHost::new(identity, Arc::clone(&traffic), log.clone())),
            now: Clock.now(),
            config,
        });
        engine.set_loading(true);
        let threads = io_thread_count(engine.config());
        let (sender, control) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(engine, log, traffic, sender));
        *shared.listener_limit.lock() = listener_limit(shared.lock().engine.config());
        let io_threads: Result<Vec<_>, _> =
            (0..threads).map(|number| IoThread::start(number, Arc::clone(&shared))).collect();
        let io_threads = Arc::new(io_threads.map_err(StartFault::Threads)?);
        let gate = Arc::new(Gate::new(Arc::clone(&shared), Arc::clone(&io_threads)));
        let control_thread =
            start_control_thread(Arc::clone(&shared), gate, listeners).map_err(StartFault::Threads)?;
        if let Some(loader) = loader {
            load(&shared, &folder, loader, &*on_status).map_err(StartFault::Load)?;
            prepare_reload(&shared, folder, names);
        }
        become_ready(&shared);
        Ok(Self { shared, addresses, control, io_threads, control_thread, log_threads, _lock: lock })
    }

    /// Waits until somebody asks for the end, or changes the configuration.
    pub async fn next_control(&mut self) -> Option<Control> {
        self.control.recv().await
    }

    /// Ends the daemon in order.
    pub fn stop(self) {
        self.shared.request_stop();
        if self.control_thread.join().is_err() {
            tracing::error!("the control thread ended with a panic");
        }
        // Connections are dropped with their runtimes; what they executed is in the engine and goes to the log.
        if let Ok(threads) = Arc::try_unwrap(self.io_threads) {
            threads.into_iter().for_each(IoThread::join);
        }
        self.shared.flush();
        if let Some(threads) = self.log_threads {
            threads.stop();
        }
    }
}

type OpenLog = (Arc<LogDoor>, LogThreads, Loader);

fn open_log(config: &Config, folder: &Path, names: &LogNames) -> Result<Option<OpenLog>, StartFault> {
    if !config.flag("appendonly") {
        return Ok(None);
    }
    let mut disk = RealDisk::new(folder);
    let (log, loader) = Log::open(&mut disk, names).map_err(StartFault::Load)?;
    let policy = SyncPolicy::named(config.text("appendfsync"));
    let (door, threads) = LogDoor::start(Box::new(disk), log, policy).map_err(StartFault::Threads)?;
    Ok(Some((door, threads, loader)))
}

/// Listener limits of the configuration: the class `pubsub` of `client-output-buffer-limit`.
pub fn listener_limit(config: &Config) -> OutputLimit {
    let words: Vec<&str> = config.text("client-output-buffer-limit").split_ascii_whitespace().collect();
    let group = words.chunks_exact(4).find(|group| group[0] == "pubsub");
    let number = |text: &str| text.parse::<usize>().unwrap_or(0);
    group.map_or_else(OutputLimit::default, |group| OutputLimit {
        hard: number(group[1]),
        soft: number(group[2]),
        soft_ms: number(group[3]) as u64 * 1000,
    })
}

fn io_thread_count(config: &Config) -> usize {
    match config.size("io-threads") {
        // More threads than this only wait for each other at the engine.
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4),
        count => count,
    }
}

fn start_control_thread(
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    listeners: Listeners,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        runtime.block_on(async move {
            for listener in listeners.tcp {
                tokio::spawn(report(Arc::clone(&gate).accept_tcp(listener)));
            }
            for listener in listeners.unix {
                tokio::spawn(report(Arc::clone(&gate).accept_unix(listener)));
            }
            drop(gate);
            timer::run(shared).await;
        });
    };
    std::thread::Builder::new().name("control".into()).spawn(body)
}

async fn report(accepting: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = accepting.await {
        tracing::error!(%error, "a listener failed");
    }
}

/// Loads the log, step by step, so that clients are answered meanwhile.
fn load(
    shared: &Shared,
    folder: &Path,
    mut loader: Loader,
    on_status: &dyn Fn(&str),
) -> Result<(), LoadFault> {
    let mut disk = RealDisk::new(folder);
    let may_cut = shared.lock().engine.config().flag("aof-load-truncated");
    let began = Clock.now().mono_ms;
    let mut reported = began;
    let report = loop {
        let now = Clock.now();
        if let Some(report) = loader.step(&mut disk, &mut shared.lock().engine, now, may_cut)? {
            break report;
        }
        if now.mono_ms - reported >= 500 {
            reported = now.mono_ms;
            let progress = loader.progress();
            let percent = 100 * progress.done / progress.total.max(1);
            on_status(&format!("Loading the log: {percent} % of {} MB", progress.total / 1_000_000));
        }
    };
    note_load(&report, Clock.now().mono_ms - began);
    Ok(())
}

fn note_load(report: &LoadReport, ms: u64) {
    if let Some(cut) = &report.cut {
        tracing::warn!(
            file = cut.file,
            offset = cut.offset,
            bytes = cut.bytes,
            "the log ended within a unit: cut at the last whole one"
        );
    }
    tracing::info!(commands = report.commands, ms, "the log is loaded");
}

fn prepare_reload(shared: &Arc<Shared>, folder: PathBuf, names: LogNames) {
    shared.set_reload(Box::new(move |engine| {
        let mut disk = RealDisk::new(&folder);
        let mut again = |engine: &mut Engine| {
            let (_, mut loader) = Log::open(&mut disk, &names)?;
            engine.forget_data();
            while loader.step(&mut disk, engine, Clock.now(), false)?.is_none() {}
            engine.loaded(Clock.now());
            Ok(())
        };
        again(engine).map_err(|fault: LoadFault| fault.to_string())
    }));
}

/// Opens the doors: data is loaded, effects are wanted from now on.
fn become_ready(shared: &Arc<Shared>) {
    let mut core = shared.lock();
    if let Some(log) = &shared.log {
        core.engine.set_feed_wanted(true);
        let weak = Arc::downgrade(shared);
        log.on_failure(move |reason| {
            if let Some(shared) = weak.upgrade() {
                let text = format!("Errors writing to the AOF file: {reason}");
                shared.lock().engine.set_broken(Some(text));
            }
        });
    }
    core.engine.loaded(shared.clock.now());
    drop(core);
    shared.timer.notify_one();
}

/// Chance for seeds, from the kernel.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds this from the kernel's source of chance.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
