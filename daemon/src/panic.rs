//! What happens when the code itself is wrong: the process ends, and says where.
//!
//! Law: a panic in any thread ends the whole daemon at once. A thread that is gone while the others go on would leave a
//! daemon that answers and no longer keeps its promises; a state that was left in the middle of a change must not reach
//! the log. What was acknowledged is in the log, and the service manager starts anew.

use std::backtrace::Backtrace;

/// Makes every panic of this process end it (SIGABRT, so that a core can be taken), after a line and a backtrace in the
/// log and on standard error.
pub fn end_process_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::force_capture();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        eprintln!("pbjd: thread {name}: {panic}\n{trace}");
        tracing::error!(
            "a mistake in pbjd itself, in thread {name}: {panic}; the process ends, nothing acknowledged is lost"
        );
        std::process::abort();
    }));
}
