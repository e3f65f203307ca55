//! The last things that happened, for whoever has to find out why.

use std::cell::RefCell;
use std::collections::VecDeque;

/// Lines kept.
const KEPT: usize = 60;
/// Longest line, in characters.
const LINE_MAX: usize = 400;

thread_local! {
    /// Outside of the world, so that it is still there when a step has panicked.
    static LINES: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// Forgets everything.
pub fn clear() {
    LINES.with_borrow_mut(VecDeque::clear);
}

/// Notes that something happened.
pub fn note(mono_ms: u64, what: &str) {
    let short: String = what.chars().take(LINE_MAX).collect();
    LINES.with_borrow_mut(|lines| {
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(format!("{:>9}.{:03}  {short}", mono_ms / 1000, mono_ms % 1000));
    });
}

/// Adds to the last note.
pub fn append(what: &str) {
    LINES.with_borrow_mut(|lines| {
        if let Some(line) = lines.back_mut() {
            line.extend(what.chars().take(LINE_MAX));
        }
    });
}

/// What was noted, the oldest first.
pub fn lines() -> Vec<String> {
    LINES.with_borrow(|lines| lines.iter().cloned().collect())
}
