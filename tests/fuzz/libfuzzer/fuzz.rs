//! A target of tests/fuzz, named by FUZZ_TARGET, under libFuzzer.
//!
//! With FUZZ_EXPORT the seeds of every target are written into FOLDER/TARGET, and its words into
//! FOLDER/TARGET.words, as libFuzzer reads them; the names of the targets are printed, and that is all.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use pbj_tests::fuzz::memory::Counted;
use pbj_tests::fuzz::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

static TARGET: OnceLock<&Target> = OnceLock::new();

fn target() -> &'static Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET names no target: '{name}'"))
}

fn export(folder: &Path) -> std::io::Result<()> {
    for target in TARGETS {
        let seeds = folder.join(target.name);
        std::fs::create_dir_all(&seeds)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(seeds.join(format!("seed-{number}")), seed)?;
        }
        let escaped = |word: &&str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let words: String = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
        std::fs::write(folder.join(format!("{}.words", target.name)), words)?;
        println!("{}", target.name);
    }
    Ok(())
}

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("FUZZ_EXPORT") {
            let done = export(Path::new(&folder));
            std::process::exit(done.map_or_else(|error| panic!("{error}"), |()| 0));
        }
    },
    |input: &[u8]| (TARGET.get_or_init(target).run)(input)
);
