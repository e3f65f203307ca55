//! Loads a snapshot into an engine of ours, says what is in it, and writes it again:
//! `snapshot --now 1700000000000 dump.rdb [--copy again.rdb]`. Exit status 1: it cannot be loaded.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use pbj_store::config::Config;
use pbj_store::engine::{Engine, EngineOptions, NoHost};
use pbj_store::rdb::{LoadOptions, LoadedSnapshot, SnapshotHead, SnapshotLoader};
use pbj_store::time::Now;

/// Bytes that are read at once.
const PIECE: usize = 1 << 16;

/// Loads a snapshot, says what is in it, and writes it again.
#[derive(Parser)]
struct Arguments {
    /// The snapshot.
    file: PathBuf,
    /// What is written.
    #[arg(long)]
    copy: Option<PathBuf>,
    /// The time, in Unix milliseconds: keys whose date has passed are left out.
    #[arg(long, default_value_t = 0)]
    now: u64,
    /// Directives, as NAME=VALUE.
    #[arg(long)]
    set: Vec<String>,
}

fn engine(arguments: &Arguments, now: Now) -> Result<Engine, String> {
    let mut config = Config::default();
    for directive in &arguments.set {
        let (name, value) = directive.split_once('=').ok_or("a directive is NAME=VALUE")?;
        config.set(name, &[value]).map_err(|fault| fault.to_string())?;
    }
    Ok(Engine::new(EngineOptions { config, seed: 1, extension: None, host: Box::new(NoHost), now }))
}

fn load(engine: &mut Engine, now: Now, path: &Path) -> Result<LoadedSnapshot, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut loader = SnapshotLoader::new(engine, LoadOptions::default());
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).map_err(|error| error.to_string())?;
        if read == 0 {
            return loader.finish().map(|(loaded, _)| loaded).map_err(|fault| fault.to_string());
        }
        loader.feed(engine, now, &piece[..read]).map_err(|fault| fault.to_string())?;
    }
}

fn write(engine: &Engine, now: Now, path: &Path) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    let head = SnapshotHead { unix_seconds: now.wall_ms() / 1000, ..SnapshotHead::default() };
    engine.write_snapshot(&head, |piece| file.write_all(&piece))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let now = Now { wall_us: 1000 * arguments.now, mono_ms: 0 };
    let mut engine = engine(arguments, now)?;
    let loaded = load(&mut engine, now, &arguments.file)?;
    println!("digest {}", engine.digest().to_hex());
    println!("keys {}", loaded.keys);
    println!("expired {}", loaded.expired);
    println!("empty {}", loaded.empty_count);
    println!("libraries {}", loaded.libraries);
    loaded.modules.iter().for_each(|name| println!("module {name}"));
    loaded.facts.iter().for_each(|(name, value)| println!("fact {name} {value}"));
    match &arguments.copy {
        Some(copy) => write(&engine, now, copy).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
