//! `pbj up`: everything on one machine in one command: a daemon, a worker, a crontab.
//!
//! Order of start: daemon, crontab, worker. Order of end: the worker finishes, then the daemon ends.
//!
//! The daemon is a child under a keeper, so that it ends in order (SIGTERM) even if `pbj up` is killed. If it dies by
//! itself it is started again, after a pause that doubles; its worker waits for it meanwhile. It is given up when the
//! exit code says that trying again is of no use (configuration, port, damaged data), or after five deaths in a minute.
//! Exit code 0 of the daemon means that a client shut it down: then everything ends.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use redis::cmd;
use tokio::sync::watch;

use super::address::Address;
use super::crontab::Load;
use super::fault::{Fault, Kind};
use super::link::Link;
use super::print::{self, Ink};
use super::times::now_ms;
use super::worker::keeper::{Order, Report};
use super::worker::outcome::End;
use super::worker::process::Kept;
use super::worker::{self, Phase, WorkerArgs, reached};

/// How long a daemon may take to end; a large snapshot takes its time.
const DAEMON_GRACE_MS: u64 = 600_000;
/// First and longest pause before a daemon that died is started again.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(8);
/// So many deaths in so much time, and the daemon is given up.
const DEATHS_MAX: usize = 5;
const DEATHS_WITHIN_MS: u64 = 60_000;
/// Between looks whether a daemon that starts answers already.
const LOOK: Duration = Duration::from_millis(20);
/// Exit codes after which starting again is of no use.
const HOPELESS: [i32; 6] = [
    crate::exit::USAGE,
    crate::exit::DATA,
    crate::exit::NO_INPUT,
    crate::exit::UNAVAILABLE,
    crate::exit::NO_PERMISSION,
    crate::exit::CONFIG,
];

/// `pbj up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Where data is kept [default: /var/lib/pbj for root, else ~/.local/share/pbj]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Port for Redis clients, on this machine only
    #[arg(long, default_value_t = 6379, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port for metrics and health; 0 for none
    #[arg(long, default_value_t = 9180)]
    http_port: u16,
    /// Load this crontab, and delete what an earlier version of it said
    #[arg(long, value_name = "FILE")]
    crontab: Option<PathBuf>,
    /// The crontab has a column for users, as /etc/crontab has
    #[arg(long, requires = "crontab")]
    system: bool,
    /// The zone of its times, unless it says CRON_TZ [default: the zone of this machine]
    #[arg(long, value_name = "ZONE", requires = "crontab")]
    tz: Option<String>,
    /// Jobs at the same time [default: the processors of this machine]
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// The queues of the worker, the first one first
    #[arg(long = "queue", value_name = "QUEUE", value_delimiter = ',', default_value = "default,cron")]
    queues: Vec<String>,
    /// How long running jobs may finish at the end
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    grace: String,
    /// Directives for pbjd: -- --appendfsync always
    #[arg(last = true, value_name = "DIRECTIVE")]
    directives: Vec<String>,
}

/// How a daemon ended.
enum DaemonEnd {
    /// A client shut it down, or we did.
    InOrder,
    /// Starting it again is of no use.
    Hopeless(Fault),
}

/// Where data is kept, unless somebody says otherwise.
pub(super) fn default_folder() -> Result<PathBuf, Fault> {
    if nix::unistd::getuid().is_root() {
        return Ok(PathBuf::from("/var/lib/pbj"));
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    Ok(data.ok_or_else(|| Fault::usage("there is no home folder: say --dir"))?.join("pbj"))
}

impl Up {
    fn folder(&self) -> Result<PathBuf, Fault> {
        let folder = self.dir.clone().map_or_else(default_folder, Ok)?;
        std::fs::create_dir_all(&folder).map_err(|error| Fault::file(&folder, &error))?;
        std::path::absolute(&folder).map_err(|error| Fault::file(&folder, &error))
    }

    fn order(&self, folder: &std::path::Path) -> Result<Order, Fault> {
        let path = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|_| Fault::usage("a path is no UTF-8"))
        };
        let mut argv = vec![path(daemon_program())?];
        for (name, value) in [
            ("--port", self.port.to_string()),
            ("--http-port", self.http_port.to_string()),
            ("--dir", path(folder.to_owned())?),
        ] {
            argv.extend([name.to_owned(), value]);
        }
        argv.extend(self.directives.iter().cloned());
        Ok(Order { argv, env: std::env::vars().collect(), grace_ms: DAEMON_GRACE_MS, ..Order::default() })
    }

    /// Directives that are options here too would leave worker and daemon of two minds.
    fn check_directives(&self) -> Result<(), Fault> {
        match self.directives.iter().find(|word| ["--port", "--http-port", "--dir"].contains(&word.as_str()))
        {
            Some(word) => Err(Fault::usage(format!("{word} belongs before the --: pbj up {word} ..."))),
            None => Ok(()),
        }
    }

    fn worker_args(&self) -> WorkerArgs {
        WorkerArgs {
            queues: self.queues.clone(),
            concurrency: self.concurrency,
            grace: self.grace.clone(),
            ..WorkerArgs::default()
        }
    }

    /// Runs everything until a signal comes, or the daemon is given up.
    pub(crate) async fn run(self, phase: watch::Sender<Phase>) -> Result<i32, Fault> {
        self.check_directives()?;
        let options = self.worker_args().options()?;
        let folder = self.folder()?;
        let address = Address::local(self.port)?;
        let link = Link::new(address.clone());
        if link.call(&cmd("PING")).await.is_ok_and(|_| true) {
            let text = format!("something answers at {} already", address.shown);
            return Err(Fault::new(Kind::Unreachable, text)
                .hint("Use that one (pbj worker, pbj cron load), stop it, or choose another --port."));
        }
        let order = self.order(&folder)?;
        let mut daemon = start(&order).await?;
        tokio::select! {
            ready = ready(&link) => ready?,
            report = daemon.report() => {
                let (end, _) = daemon.ended(report).await;
                return Err(gave_up(end));
            }
            () = reached(phase.subscribe(), Phase::Drain) => {
                stop(&mut daemon).await;
                return Ok(crate::exit::OK);
            }
        }
        let loaded = match self.load_crontab(&link).await {
            Ok(loaded) => loaded,
            Err(fault) => {
                stop(&mut daemon).await;
                return Err(fault);
            }
        };
        self.banner(&address, &folder, &options.describe(), loaded).await?;
        // The daemon must outlive its worker: it is told to end when the worker is over.
        let (worker_over, over) = watch::channel(Phase::Run);
        let watching = tokio::spawn(watch_daemon(daemon, order, over, phase.clone()));
        let worked = worker::run(address, options, phase).await;
        worker_over.send_replace(Phase::Gone);
        let ended = watching.await.map_err(|error| Fault::failed(error.to_string()))?;
        worked?;
        match ended {
            DaemonEnd::InOrder => Ok(crate::exit::OK),
            DaemonEnd::Hopeless(fault) => Err(fault),
        }
    }

    async fn load_crontab(&self, link: &Link) -> Result<Option<usize>, Fault> {
        let Some(file) = &self.crontab else { return Ok(None) };
        let load = Load {
            file: file.clone(),
            user: !self.system,
            system: self.system,
            replace: true,
            source: None,
            queue: "cron".to_owned(),
            tz: self.tz.clone(),
        };
        Ok(Some(load.run(link).await?.len()))
    }

    async fn banner(
        &self,
        address: &Address,
        folder: &std::path::Path,
        worker: &str,
        loaded: Option<usize>,
    ) -> Result<(), Fault> {
        let mut lines = vec![("redis", address.shown.clone()), ("data", folder.display().to_string())];
        if self.http_port > 0 {
            lines.push(("metrics", format!("http://127.0.0.1:{}/metrics", self.http_port)));
        }
        lines.push(("worker", worker.to_owned()));
        if let (Some(file), Some(loaded)) = (&self.crontab, loaded) {
            lines.push(("crontab", format!("{}: {}", file.display(), print::count(loaded, "schedule"))));
        }
        print::line(Ink::Bold.paint("PBJ is up."))?;
        for (name, value) in lines {
            print::line(format_args!("  {name:<9}{value}"))?;
        }
        let url = if self.port == 6379 { String::new() } else { format!("--url {} ", address.shown) };
        print::line(format_args!("Try: pbj {url}run --wait -- echo hello     Stop: Ctrl-C"))
    }
}

/// The daemon beside this program, or the one that the shell would find.
fn daemon_program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("pbjd"));
    beside.filter(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("pbjd"))
}

async fn start(order: &Order) -> Result<Kept, Fault> {
    Kept::start("pbjd", order, Stdio::inherit).await.map_err(|fault| {
        Fault::failed(format!("pbjd: {}", fault.text)).hint("pbjd belongs beside pbj, or into the PATH.")
    })
}

/// Waits until the daemon has loaded its data and serves.
async fn ready(link: &Link) -> Result<(), Fault> {
    loop {
        match link.call(&cmd("PING")).await {
            Err(fault) if fault.may_pass() => tokio::time::sleep(LOOK).await,
            answer => return answer.map(|_| ()),
        }
    }
}

/// Ends a daemon in order; says how it ended.
async fn stop(daemon: &mut Kept) -> End {
    daemon.stop().await;
    let report = daemon.report().await;
    daemon.ended(report).await.0
}

fn says(end: End) -> String {
    match end {
        End::Code(code) => format!("exited with {code}"),
        End::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

fn gave_up(end: End) -> Fault {
    let kind = match end {
        End::Code(crate::exit::USAGE | crate::exit::CONFIG) => Kind::Usage,
        End::Code(crate::exit::DATA) => Kind::Input,
        End::Code(crate::exit::NO_INPUT) => Kind::NoInput,
        End::Code(crate::exit::UNAVAILABLE) => Kind::Unreachable,
        End::Code(crate::exit::NO_PERMISSION) => Kind::Denied,
        _ => Kind::Failed,
    };
    Fault::new(kind, format!("pbjd {}; what it said is above", says(end)))
}

/// Keeps a daemon running until its worker is over, or it is of no use to try.
async fn watch_daemon(
    mut daemon: Kept,
    order: Order,
    over: watch::Receiver<Phase>,
    phase: watch::Sender<Phase>,
) -> DaemonEnd {
    let mut deaths: VecDeque<u64> = VecDeque::new();
    loop {
        let report: Option<Report> = tokio::select! {
            report = daemon.report() => report,
            () = reached(over.clone(), Phase::Gone) => {
                let end = stop(&mut daemon).await;
                tracing::info!("pbjd {}", says(end));
                return DaemonEnd::InOrder;
            }
        };
        let (end, _) = daemon.ended(report).await;
        let ending = *phase.borrow() > Phase::Run;
        let fault = match end {
            End::Code(0) => {
                tracing::info!("pbjd was shut down");
                None
            }
            End::Code(code) if HOPELESS.contains(&code) => Some(gave_up(end)),
            _ => {
                let now = now_ms();
                deaths.push_back(now);
                deaths.retain(|&death| death + DEATHS_WITHIN_MS > now);
                let pause = PAUSE_FIRST * 2_u32.pow(deaths.len() as u32 - 1);
                if deaths.len() < DEATHS_MAX {
                    tracing::error!("pbjd {}; starting it again", says(end));
                    tokio::select! {
                        () = tokio::time::sleep(pause.min(PAUSE_LAST)) => {}
                        () = reached(over.clone(), Phase::Gone) => return DaemonEnd::InOrder,
                    }
                    match start(&order).await {
                        Ok(new) => {
                            daemon = new;
                            continue;
                        }
                        Err(fault) => Some(fault),
                    }
                } else {
                    Some(Fault::failed(format!(
                        "pbjd {} for the fifth time in a minute: given up",
                        says(end)
                    )))
                }
            }
        };
        // Without a daemon nothing that runs can be settled: what runs is ended at once.
        phase.send_modify(|phase| *phase = Phase::Gone);
        return match fault {
            Some(fault) if !ending => DaemonEnd::Hopeless(fault),
            _ => DaemonEnd::InOrder,
        };
    }
}
