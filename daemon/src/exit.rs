//! Exit codes: a contract with the service manager (sysexits.h).

/// Everything went as asked.
pub const OK: i32 = 0;
/// Something failed.
pub const FAILURE: i32 = 1;
/// The command line makes no sense.
pub const USAGE: i32 = 64;
/// A data file is damaged.
pub const DATA: i32 = 65;
/// A file is missing.
pub const NO_INPUT: i32 = 66;
/// A port is taken, or a service is not there.
pub const UNAVAILABLE: i32 = 69;
/// The disk failed.
pub const IO_ERROR: i32 = 74;
/// It may work later.
pub const TRY_AGAIN: i32 = 75;
/// Not allowed.
pub const NO_PERMISSION: i32 = 77;
/// The configuration is wrong.
pub const CONFIG: i32 = 78;

/// Ends the process at once, without unwinding and without running what waits.
pub fn now(code: i32) -> ! {
    std::process::exit(code)
}
