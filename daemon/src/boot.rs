//! From a configuration to a running daemon, and back to nothing.
//!
//! Order of start: folder, listeners, log, engine, threads, load. Clients are accepted while that is going on, unless
//! it is a short one, and are answered with LOADING, so that nobody ever sees a refused connection. Order of end: no
//! new connections, no new requests, the rest of the log written and synced.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use pbj_store::config::Config;
use pbj_store::durable::{
    BaseForm, LoadFault, LoadReport, Loader, LogFiles, LogNames, Progress, SnapshotInput, SyncPolicy,
};
use pbj_store::engine::{Engine, EngineOptions, Extension, Place};
use pbj_store::rdb::{LoadOptions, LoadedSnapshot};
use pbj_systemd::{Inherited, Socket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;
use crate::busy::Busy;
use crate::clock::Clock;
use crate::control::{self, Controller, Controls};
use crate::disk::{FolderLock, RealDisk};
use crate::doors::{self, Door, Doors};
use crate::freer::Freer;
use crate::host::{Identity, ProcessHost, Traffic};
use crate::http::{self, HttpThread};
use crate::io_thread::IoThread;
use crate::listener::Gate;
use crate::log_growth::{Growth, GrowthLimit};
use crate::log_writer::{LogDoor, LogThreads};
use crate::logging::Logging;
use crate::saver::{Job, Saver, SaverThread};
use crate::shared::{Lasting, Shared};
use crate::{exit, follower, live_config, timer, users_file};

/// A load that takes no longer is not worth an error to clients.
const SHORT_LOAD: Duration = Duration::from_millis(250);

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
    /// Listening sockets that the service manager passed.
    pub sockets: Vec<Inherited>,
    /// Told about the progress of a long start.
    pub on_status: Box<dyn FnMut(&str) + Send>,
    /// Where its log lines go, to follow `loglevel`.
    pub logging: Option<Logging>,
    /// How it is asked for things.
    pub control: (Controller, Controls),
}

impl Options {
    /// A daemon with this configuration, and nothing else special.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            config_file: None,
            extension: None,
            supervised: "no",
            sockets: Vec::new(),
            on_status: Box::new(|_| {}),
            logging: None,
            control: control::channel(),
        }
    }
}

/// Why a daemon does not start.
#[derive(Debug)]
pub enum StartFault {
    /// The data folder cannot be used.
    Folder(std::io::Error),
    /// The log cannot be loaded.
    Load(LoadFault),
    /// The users of the configuration or of the ACL file make no sense.
    Users(String),
    /// An address is not available.
    Listen(std::io::Error),
    /// No threads can be had.
    Threads(std::io::Error),
    /// The end was asked for before the start was over.
    Interrupted,
}

impl fmt::Display for StartFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(out, "data folder: {error}"),
            Self::Load(fault) => write!(out, "{fault}"),
            Self::Users(reason) => out.write_str(reason),
            Self::Listen(error) => write!(out, "{error}"),
            Self::Threads(error) => write!(out, "cannot start threads: {error}"),
            Self::Interrupted => write!(out, "ended before the start was over"),
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
            Self::Users(_) => exit::CONFIG,
            Self::Listen(_) => exit::UNAVAILABLE,
            Self::Threads(_) => exit::TRY_AGAIN,
            Self::Interrupted => exit::OK,
        }
    }
}

/// A running daemon.
pub struct Daemon {
    /// What its threads share.
    pub shared: Arc<Shared>,
    /// What it is asked for.
    pub controls: Controls,
    doors: Arc<Mutex<Doors>>,
    io_threads: Arc<Vec<IoThread>>,
    /// The thread that controls, and the one that follows the master.
    helpers: [JoinHandle<()>; 2],
    http: HttpThread,
    saver_thread: SaverThread,
    log_threads: LogThreads,
    _lock: FolderLock,
}

impl Daemon {
    /// Starts a daemon. Returns when everything is loaded and ready.
    ///
    /// # Errors
    /// Something that it needs is not there, or its data cannot be used.
    pub fn start(options: Options) -> Result<Self, StartFault> {
        let Options { config, config_file, extension, supervised, sockets, mut on_status, logging, control } =
            options;
        on_status("Opening the data folder");
        let folder = PathBuf::from(config.text("dir"));
        let lock = FolderLock::take_soon(&folder).map_err(StartFault::Folder)?;
        let names = log_names(&config);
        let saver = Arc::new(Saver::default());
        let (log, log_threads) = start_log(&config, &saver).map_err(StartFault::Threads)?;
        let stop = CancellationToken::new();
        let (mut doors, opened) = Doors::new(stop.clone());
        let (clients, web) = sort_out(sockets);
        doors.adopt(clients).map_err(StartFault::Listen)?;
        doors.open_configured(&config).map_err(StartFault::Listen)?;
        let web = http::bind(&config, web).map_err(StartFault::Listen)?;
        // The suites of Redis and Valkey wait for these words before they connect, in this order.
        tracing::info!("PID: {}, Server initialized", std::process::id());
        let (files, loader) = open_log(&config, &folder, &names, &log)?.unzip();
        let traffic = Arc::new(Traffic::default());
        let tcp_port = doors.addresses().first().map_or(0, SocketAddr::port);
        let file = config_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let identity = Identity { tcp_port, config_file: file, supervised };
        let busy = Arc::new(Busy::default());
        let mut engine = Engine::new(EngineOptions {
            seed: entropy(),
            extension,
            host: Box::new(ProcessHost::new(identity, traffic.clone(), log.clone(), busy.clone())),
            now: Clock.now(),
            config,
        });
        check_renames(&engine)?;
        engine.keep_datasets();
        engine.set_loading(true);
        let threads = io_thread_count(engine.config());
        let (controller, controls) = control;
        users_file::load_at_start(&mut engine).map_err(StartFault::Users)?;
        let config_file = config_file.filter(|file| file != Path::new("-"));
        let freer = Freer::start().map_err(StartFault::Threads)?;
        let lasting = Lasting { log, saver, freer, folder: folder.clone() };
        let mut shared = Shared::new(engine, lasting, traffic, busy, controller.clone(), stop);
        shared.config_file = config_file;
        let shared = shared.share();
        let doors = Arc::new(Mutex::new(doors));
        live_config::connect(&shared, Arc::clone(&doors), logging);
        let io_threads: Result<Vec<_>, _> =
            (0..threads).map(|number| IoThread::start(number, Arc::clone(&shared))).collect();
        let io_threads = Arc::new(io_threads.map_err(StartFault::Threads)?);
        let gate = Arc::new(Gate::new(Arc::clone(&shared), Arc::clone(&io_threads)));
        let helpers = start_helpers(&shared, gate, opened).map_err(StartFault::Threads)?;
        let http = HttpThread::start(Arc::clone(&shared), web).map_err(StartFault::Threads)?;
        let mut loading =
            Loading { shared: &shared, folder: &folder, on_status: &mut *on_status, controller: &controller };
        let loaded = loading.all(loader)?;
        prepare_reload(&shared, folder.clone(), names.clone());
        let saver_thread = SaverThread::start(&shared, &folder, names, files).map_err(StartFault::Threads)?;
        become_ready(&shared, loaded);
        Ok(Self {
            shared,
            controls,
            doors,
            io_threads,
            helpers,
            http,
            saver_thread,
            log_threads,
            _lock: lock,
        })
    }

    /// The TCP addresses for clients.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.lock().addresses()
    }

    /// The addresses for HTTP.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http.addresses
    }

    /// Asks all threads that serve clients for a sign of life; returns how many each gave so far.
    pub fn beat(&self) -> Vec<u64> {
        // While a script runs for long the timer waits; then the script must go on.
        let timer = self.shared.timer_runs.load(Ordering::Relaxed) + self.shared.busy.looks();
        self.shared.timer.notify_one();
        let io = self.io_threads.iter().map(IoThread::beat);
        std::iter::once(timer).chain(io).collect()
    }

    /// Ends the daemon in order.
    pub fn stop(self) {
        self.shared.request_stop();
        for helper in self.helpers {
            let name = helper.thread().name().unwrap_or_default().to_owned();
            if helper.join().is_err() {
                tracing::error!(name, "a thread ended with a panic");
            }
        }
        if let Ok(threads) = Arc::try_unwrap(self.io_threads) {
            threads.into_iter().for_each(IoThread::join);
        }
        self.http.join();
        // No script can be in the way any more.
        self.shared.flush();
        self.saver_thread.stop();
        self.shared.save_at_end();
        self.shared.note_place_at_end();
        self.log_threads.stop();
    }
}

/// Whether every command that `rename-command` names is there.
fn check_renames(engine: &Engine) -> Result<(), StartFault> {
    let renames = engine.config().renames().iter();
    let wrong = renames.map(|(name, _)| name).find(|name| engine.commands().find(name.as_bytes()).is_none());
    wrong.map_or(Ok(()), |name| {
        Err(StartFault::Users(format!("rename-command: there is no command '{name}'")))
    })
}

/// How the log is called.
fn log_names(config: &Config) -> LogNames {
    LogNames {
        folder: config.text("appenddirname").to_owned(),
        file: config.text("appendfilename").to_owned(),
    }
}

/// Starts the threads of the log, which is closed.
fn start_log(config: &Config, saver: &Arc<Saver>) -> std::io::Result<(Arc<LogDoor>, LogThreads)> {
    let policy = SyncPolicy::named(config.text("appendfsync"));
    let ask = |job: fn() -> Job| {
        let saver = Arc::clone(saver);
        Box::new(move || saver.ask(job()))
    };
    let growth = Growth::new(GrowthLimit::of(config), ask(|| Job::Grown));
    let (door, threads) = LogDoor::start(policy, growth, ask(|| Job::Heal))?;
    door.set_stamped(config.flag("aof-timestamp-enabled"));
    Ok((door, threads))
}

/// Opens the log, if it is on.
fn open_log(
    config: &Config,
    folder: &Path,
    names: &LogNames,
    door: &LogDoor,
) -> Result<Option<(LogFiles, Loader)>, StartFault> {
    if !config.flag("appendonly") {
        return Ok(None);
    }
    let mut disk = RealDisk::new(folder);
    let opened = LogFiles::open(&mut disk, names, config.text("dbfilename"), BaseForm::of(config));
    let (mut files, log, loader) = opened.map_err(StartFault::Load)?;
    if !config.flag("aof-disable-auto-gc") {
        files.remove_history(&mut disk).map_err(StartFault::Folder)?;
    }
    let log = if config.flag("aof-checksums") { log } else { log.without_seals() };
    door.open(Box::new(disk), log, 0).map_err(StartFault::Folder)?;
    Ok(Some((files, loader)))
}

/// Tells inherited sockets for clients from those for HTTP, by their name.
fn sort_out(sockets: Vec<Inherited>) -> (Vec<Socket>, Vec<TcpListener>) {
    let (mut clients, mut web) = (Vec::new(), Vec::new());
    for Inherited { name, socket } in sockets {
        match socket {
            Socket::Tcp(listener) if name.contains("http") => web.push(listener),
            other => clients.push(other),
        }
    }
    (clients, web)
}

fn io_thread_count(config: &Config) -> usize {
    match config.size("io-threads") {
        // More threads than this only wait for each other at the engine.
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4),
        count => count,
    }
}

fn start_helpers(
    shared: &Arc<Shared>,
    gate: Arc<Gate>,
    opened: mpsc::UnboundedReceiver<Door>,
) -> std::io::Result<[JoinHandle<()>; 2]> {
    let control = start_control_thread(Arc::clone(shared), gate, opened)?;
    Ok([control, follower::start(Arc::clone(shared))?])
}

fn start_control_thread(
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    opened: mpsc::UnboundedReceiver<Door>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let alarm = {
        let _context = runtime.enter();
        Alarm::new()?
    };
    let body = move || {
        runtime.block_on(async move {
            let serving = Arc::clone(&shared);
            tokio::spawn(async move {
                // Who connects meanwhile waits for so long, and then is told that data is being loaded.
                let _ = tokio::time::timeout(SHORT_LOAD, serving.became_ready.notified()).await;
                doors::serve(gate, opened, serving.stop.clone()).await;
            });
            if let Err(fault) = timer::run(Arc::clone(&shared), alarm).await {
                // Without a sense of time no promise holds.
                tracing::error!("the timer: {fault}");
                shared.request_stop();
            }
        });
    };
    std::thread::Builder::new().name("control".into()).spawn(body)
}

/// What was there at a start.
struct Loaded {
    /// The place of which history the data is at.
    place: Option<Place>,
    /// Nothing was there.
    is_new: bool,
}

/// A load, step by step, so that clients are answered meanwhile.
struct Loading<'a> {
    shared: &'a Shared,
    folder: &'a Path,
    on_status: &'a mut dyn FnMut(&str),
    controller: &'a Controller,
}

impl Loading<'_> {
    /// Loads the log, or the snapshot if there is no log.
    fn all(&mut self, loader: Option<Loader>) -> Result<Loaded, StartFault> {
        match loader {
            Some(loader) => self.log(loader),
            None => self.snapshot(),
        }
    }

    /// Loads the log.
    fn log(&mut self, mut loader: Loader) -> Result<Loaded, StartFault> {
        let mut disk = RealDisk::new(self.folder);
        let may_cut = self.shared.lock().engine.config().flag("aof-load-truncated");
        let began = Clock.now().mono_ms;
        let report = self.repeat("log", |engine| {
            let report = loader.step(&mut disk, engine, Clock.now(), may_cut)?;
            Ok((report, loader.progress()))
        })?;
        self.shared.log.loaded(&report);
        note_load(&report, Clock.now().mono_ms - began);
        if let Some(snapshot) = &report.snapshot {
            note_snapshot(snapshot);
            self.shared.lock().engine.note_loaded(snapshot.keys, snapshot.expired);
        }
        Ok(Loaded { place: report.place, is_new: report.is_new })
    }

    /// Loads the snapshot, if there is one.
    fn snapshot(&mut self) -> Result<Loaded, StartFault> {
        let mut disk = RealDisk::new(self.folder);
        let began = Clock.now().mono_ms;
        let opened = {
            let mut core = self.shared.lock();
            core.engine.prepare_to_resume();
            // What a replica has past its date is there until its master says otherwise.
            let options = LoadOptions { keep_expired: core.engine.will_follow(), ..LoadOptions::default() };
            let name = core.engine.config().text("dbfilename");
            SnapshotInput::open(&mut disk, &core.engine, name, options)
        };
        let Some(mut input) = opened.map_err(|error| StartFault::Load(error.into()))? else {
            return Ok(Loaded { place: None, is_new: true });
        };
        let loaded = self.repeat("snapshot", |engine| {
            let loaded = input.step(&mut disk, engine, Clock.now())?;
            Ok((loaded, input.progress()))
        });
        let (snapshot, _) = loaded.inspect_err(|fault| {
            if let StartFault::Load(reason) = fault {
                tracing::error!("Terminating server after rdb file reading failure. {reason}");
            }
        })?;
        note_snapshot(&snapshot);
        let ms = Clock.now().mono_ms - began;
        tracing::info!("DB loaded from disk: {}.{:03} seconds", ms / 1000, ms % 1000);
        self.shared.lock().engine.note_loaded(snapshot.keys, snapshot.expired);
        Ok(Loaded { place: Place::of_snapshot(&snapshot), is_new: false })
    }

    /// Takes steps until there is a result, and says how far it is.
    fn repeat<R>(
        &mut self,
        what: &str,
        mut step: impl FnMut(&mut Engine) -> Result<(Option<R>, Progress), LoadFault>,
    ) -> Result<R, StartFault> {
        let mut reported_ms = Clock.now().mono_ms;
        loop {
            let (result, progress) = {
                let mut core = self.shared.lock();
                let stepped = step(&mut core.engine).map_err(StartFault::Load)?;
                // What was left out because of its date.
                core.engine.end_loading_step();
                self.shared.submit_frames(&mut core.engine);
                stepped
            };
            if let Some(result) = result {
                return Ok(result);
            }
            if self.controller.is_ending() {
                return Err(StartFault::Interrupted);
            }
            let now_ms = Clock.now().mono_ms;
            if now_ms - reported_ms >= 500 {
                reported_ms = now_ms;
                let percent = 100 * progress.done / progress.total.max(1);
                (self.on_status)(&format!(
                    "Loading the {what}: {percent} % of {} MB",
                    progress.total / 1_000_000
                ));
            }
        }
    }
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

fn note_snapshot(snapshot: &LoadedSnapshot) {
    for key in &snapshot.empty {
        // In the words of Redis, whose suite counts them.
        tracing::warn!(
            "the snapshot has a key with nothing in it, skipping empty key: {}",
            key.escape_ascii()
        );
    }
    for module in &snapshot.modules {
        tracing::warn!("the snapshot has something of the module '{module}', which is passed over");
    }
    tracing::info!(
        "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
        snapshot.keys,
        snapshot.expired,
        snapshot.empty_count
    );
}

fn prepare_reload(shared: &Arc<Shared>, folder: PathBuf, names: LogNames) {
    shared.set_reload(Box::new(move |engine| {
        let mut disk = RealDisk::new(&folder);
        let mut again = |engine: &mut Engine| {
            let mut loader = LogFiles::load_again(&mut disk, &names)?;
            engine.forget_data();
            while loader.step(&mut disk, engine, Clock.now(), false)?.is_none() {}
            engine.loaded(Clock.now());
            Ok(())
        };
        again(engine).map_err(|fault: LoadFault| fault.to_string())
    }));
}

/// Opens the doors: data is loaded, effects are wanted from now on.
fn become_ready(shared: &Arc<Shared>, loaded: Loaded) {
    let Loaded { place, is_new } = loaded;
    let mut core = shared.lock();
    if let Some(Place { id, offset, .. }) = &place {
        tracing::info!("the data is that of offset {offset} of the history {id}");
    }
    core.engine.resume(place);
    core.engine.set_feed_wanted(shared.log.is_open());
    let weak = Arc::downgrade(shared);
    shared.log.on_sync(move || {
        if let Some(shared) = weak.upgrade() {
            shared.timer.notify_one();
        }
    });
    let weak = Arc::downgrade(shared);
    shared.log.on_news(move || {
        if let Some(shared) = weak.upgrade() {
            shared.timer.notify_one();
        }
    });
    core.engine.follow_configured();
    if is_new {
        core.engine.loaded(shared.clock.now());
    } else {
        core.engine.restarted(shared.clock.now());
    }
    drop(core);
    shared.link.notify_waiters();
    shared.ready.store(true, Ordering::Relaxed);
    shared.became_ready.notify_one();
    tracing::info!("Ready to accept connections");
    shared.timer.notify_one();
}

/// Chance for seeds, from the kernel.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds this from the kernel's source of chance.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
