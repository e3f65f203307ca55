//! What is fuzzed: functions over bytes that must neither panic, nor hang, nor take more memory than their
//! bound.
//!
//! Law: what a target finds depends on its input alone. Two drivers use them: `cargo test`, which plays the
//! seeds and some hundreds of mutations of them, and libFuzzer (`tests/fuzz/run`). Both install
//! [`memory::Counted`].

mod directive;
mod glob;
pub mod memory;
mod mutate;
mod request;
mod restore;
mod script;
mod session;
mod world;

pub use mutate::Mutator;

/// Something that is fuzzed.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Looks at one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that mean something in its inputs.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 6] =
    [request::TARGET, session::TARGET, restore::TARGET, script::TARGET, glob::TARGET, directive::TARGET];

/// Numbers where arithmetic goes wrong.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "-0",
    "1.5",
    "nan",
    "-inf",
    "1e308",
    "4294967295",
    "4294967296",
    "2147483648",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "0x10",
];

/// The numbers and these words.
const fn with_numbers<const N: usize, const ALL: usize>(words: [&'static str; N]) -> [&'static str; ALL] {
    let mut all = [""; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < N { words[at] } else { NUMBERS[at - N] };
        at += 1;
    }
    all
}
