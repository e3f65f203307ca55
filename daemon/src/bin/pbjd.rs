//! The daemon.

use std::path::Path;
use std::process::ExitCode;

use pbj::boot::{Daemon, Options, StartFault};
use pbj::config_file::CommandLine;
use pbj::logging::Logging;
use pbj::supervise::Supervisor;
use pbj::{control, exit, host, panic, signals};
use pbj_systemd::Notifier;

#[global_allocator]
static ALLOCATOR: pbj::allocator::CountedJemalloc = pbj::allocator::CountedJemalloc;

const HELP: &str = "\
pbjd: persistent background jobs, and a store that Redis clients can use

Usage: pbjd [FILE] [--DIRECTIVE VALUE]...

FILE is a configuration in the language of redis.conf; '-' reads standard input. Directives on the command line come
after it. A few of them:

  --port 6379             port for Redis clients; 0 for none
  --bind '127.0.0.1'      addresses for them
  --dir FOLDER            where data is kept
  --appendfsync everysec  when writes are synced: always, everysec, no
  --http-port 9180        port for /metrics, /healthz and /readyz; 0 for none
  --check-config          only check the configuration

`pbj up` starts a daemon and a worker on this machine. All directives: CONFIG GET '*'.
";

fn main() -> ExitCode {
    let line = CommandLine::parse(std::env::args().skip(1));
    if line.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if line.version {
        println!("pbjd {} (speaks as redis {})", env!("CARGO_PKG_VERSION"), pbj_store::COMPATIBLE_WITH);
        return ExitCode::SUCCESS;
    }
    panic::end_process_on_panic();
    ExitCode::from(run(line) as u8)
}

fn run(line: CommandLine) -> i32 {
    let mut notifier = Notifier::new();
    let mut fail = |code: i32, text: String| {
        eprintln!("pbjd: {text}");
        if let Err(error) = notifier.failed(&text, None) {
            eprintln!("pbjd: the service manager cannot be told: {error}");
        }
        code
    };
    let config = match line.config() {
        Ok(config) => config,
        Err(fault) => return fail(exit::CONFIG, fault.to_string()),
    };
    if line.check_only {
        println!("The configuration is fine.");
        return exit::OK;
    }
    let file = Some(config.text("logfile")).filter(|file| !file.is_empty()).map(Path::new);
    let logging = match Logging::start(config.text("loglevel"), file) {
        Ok(logging) => logging,
        Err(error) => return fail(exit::CONFIG, format!("cannot write log lines: {error}")),
    };
    match live(line, config, logging) {
        Ok(()) => exit::OK,
        Err(fault) => {
            tracing::error!("{fault}");
            if let Err(error) = notifier.failed(&fault.to_string(), None) {
                tracing::warn!(%error, "the service manager cannot be told");
            }
            fault.exit_code()
        }
    }
}

fn live(line: CommandLine, config: pbj_store::config::Config, logging: Logging) -> Result<(), StartFault> {
    let sockets = pbj_systemd::inherit().map_err(|fault| StartFault::Listen(std::io::Error::other(fault)))?;
    let control = control::channel();
    signals::listen(control.0.clone()).map_err(StartFault::Threads)?;
    let mut starting = Notifier::new();
    let options = Options {
        config_file: line.file.clone(),
        extension: Some(Box::new(pbj_queue::Queues::new(&host::boot_id()))),
        supervised: if pbj_systemd::is_supervised() { "systemd" } else { "no" },
        sockets,
        on_status: Box::new(move |status| {
            tracing::debug!("{status}");
            if let Err(error) = starting.progress(status, std::time::Duration::from_secs(10)) {
                tracing::warn!(%error, "the service manager cannot be told");
            }
        }),
        logging: Some(logging.clone()),
        control,
        ..Options::new(config)
    };
    let daemon = Daemon::start(options)?;
    let watchdog = pbj_systemd::watchdog_limit();
    Supervisor { line, notifier: Notifier::new(), watchdog, logging }.run(daemon)
}
