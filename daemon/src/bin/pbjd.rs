//! The daemon.

use std::process::ExitCode;

use pbj::boot::{Daemon, Options};
use pbj::config_file::CommandLine;
use pbj::exit;

#[global_allocator]
static ALLOCATOR: pbj::allocator::CountedJemalloc = pbj::allocator::CountedJemalloc;

fn main() -> ExitCode {
    let line = CommandLine::parse(std::env::args().skip(1));
    let config = match line.config() {
        Ok(config) => config,
        Err(fault) => {
            eprintln!("pbjd: {fault}");
            return ExitCode::from(exit::CONFIG as u8);
        }
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let queues = pbj_queue::Queues::new(&pbj::host::boot_id());
    match Daemon::start(Options { extension: Some(Box::new(queues)), ..Options::new(config) }) {
        Ok(mut daemon) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                while let Some(control) = runtime.block_on(daemon.next_control()) {
                    if let pbj::shared::Control::Shutdown { .. } = control {
                        break;
                    }
                }
            }
            daemon.stop();
            ExitCode::SUCCESS
        }
        Err(fault) => {
            tracing::error!("{fault}");
            ExitCode::from(fault.exit_code() as u8)
        }
    }
}
