//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    pbj::cli::main()
}
