//! The command line `pbj`.
//!
//! Law: whatever goes wrong is one sentence about what happened and one about what to do, and an exit code that is
//! documented. No password is ever shown. What a script may want to read has `--json`.
//!
//! A tour: [`address`] and [`link`] are the way to the daemon, [`reply`] takes its answers apart, [`print`] and
//! [`times`] show them; [`push`], [`run`], [`jobs`], [`queues`], [`crontab`] and [`shell`] are the commands; [`worker`]
//! runs jobs; [`up`] is all of it on one machine. [`log`] is for files, while no daemon runs.

mod address;
mod crontab;
mod fault;
mod jobs;
mod link;
mod log;
mod print;
mod push;
mod queues;
mod reply;
mod run;
mod shell;
mod stop_signals;
mod times;
mod up;
mod worker;
mod zone;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::address::{Address, DEFAULT_URL};
use self::fault::{Fault, Kind};
use self::link::Link;
use crate::exit;

const EXIT_CODES: &str = "\
Exit codes:
   0  done                               69  the daemon cannot be reached
   1  not there, or refused              74  a file or a terminal failed
  64  the command line makes no sense    75  try again later
  65  a file that is given is wrong      77  not allowed
  66  a file is not there
  pbj run --wait exits as the command did: 128+N after signal N, 124 after
  its time-out, 125 if it was cancelled or its workers were lost, 126 if it
  could not be started, 127 if it was not found.";

/// Persistent background jobs: push them, run them, look at them
#[derive(Debug, Parser)]
#[command(name = "pbj", version, after_help = EXIT_CODES, propagate_version = true)]
struct CommandLine {
    /// The daemon: redis://[user:password@]host:port/db, unix:///path?db=n
    #[arg(long, global = true, env = "PBJ_URL", hide_env_values = true, default_value = DEFAULT_URL)]
    url: String,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Push a job, or many
    Push(Box<push::Push>),
    /// Run a command as a job
    Run(Box<run::Run>),
    /// Fetch jobs that are commands and run them
    Worker(worker::WorkerArgs),
    /// Start daemon, worker and crontab on this machine
    Up(up::Up),
    /// Schedules and crontabs
    #[command(subcommand)]
    Cron(crontab::Cron),
    /// List jobs
    Jobs(jobs::Jobs),
    /// Show everything about a job
    Job(jobs::Job),
    /// Call jobs off
    Cancel(jobs::Cancel),
    /// Let jobs that are over begin again
    Retry(jobs::Retry),
    /// List queues
    Queues(queues::Queues),
    /// Send any command to the daemon
    Cli(shell::Shell),
    /// The log of a daemon that is stopped
    #[command(subcommand)]
    Log(log::Log),
    /// Write completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Not for people, so it is in no help and no completion: workers start us so.
    if std::env::args_os().nth(1).is_some_and(|word| word == worker::process::KEEPER) {
        return ExitCode::from(worker::keeper::main() as u8);
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // A closed terminal cannot be told.
            let _ = error.print();
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            return ExitCode::from(code as u8);
        }
    };
    let json = line.json;
    let code = line.run().unwrap_or_else(|fault| {
        fault.report(json);
        fault.exit_code()
    });
    ExitCode::from(code as u8)
}

impl CommandLine {
    fn run(self) -> Result<i32, Fault> {
        if let Action::Completions { shell } = &self.action {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Self::command(), "pbj", &mut script);
            return print::raw(&script).map(|()| exit::OK);
        }
        if let Action::Log(log) = self.action {
            return log.run(self.json);
        }
        let address = Address::parse(&self.url)?;
        if let Action::Cli(shell) = self.action {
            return shell.run(&address, self.json);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::new(Kind::Io, format!("no runtime: {error}")))?;
        let code = runtime.block_on(act(self.action, address, self.json));
        // What waits for a terminal must not hold us up.
        runtime.shutdown_background();
        code
    }
}

async fn act(action: Action, address: Address, json: bool) -> Result<i32, Fault> {
    let link = Link::new(address.clone());
    let link = &link;
    let done = |()| exit::OK;
    match action {
        Action::Push(push) => push.run(link, json).await.map(done),
        Action::Run(run) => run.run(link, json).await,
        Action::Worker(args) => work(args, address).await.map(done),
        Action::Up(up) => {
            start_logging()?;
            up.run(stop_signals::listen()?).await
        }
        Action::Cron(cron) => cron.run(link, json).await.map(done),
        Action::Jobs(jobs) => jobs.run(link, json).await.map(done),
        Action::Job(job) => job.run(link, json).await.map(done),
        Action::Cancel(cancel) => cancel.run(link, json).await,
        Action::Retry(retry) => retry.run(link, json).await,
        Action::Queues(queues) => queues.run(link, json).await.map(done),
        Action::Cli(_) | Action::Log(_) | Action::Completions { .. } => Ok(exit::OK),
    }
}

async fn work(args: worker::WorkerArgs, address: Address) -> Result<(), Fault> {
    let options = args.options()?;
    start_logging()?;
    worker::try_out(&Link::new(address.clone())).await?;
    let phase = stop_signals::listen()?;
    tracing::info!("worker {}, daemon {}", options.describe(), address.shown);
    let mut manager = pbj_systemd::Notifier::new();
    // A manager that does not listen is no reason not to work.
    let _ = manager.ready(&options.describe());
    let worked = worker::run(address, options, phase).await;
    let _ = manager.stopping("stopped");
    worked
}

fn start_logging() -> Result<(), Fault> {
    let level = std::env::var("PBJ_LOG_LEVEL").unwrap_or_else(|_| "notice".to_owned());
    let started = crate::logging::Logging::start(&level, None);
    started.map(|_| ()).map_err(|error| Fault::new(Kind::Io, format!("log: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
