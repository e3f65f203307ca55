//! DEBUG RELOAD: all data as a snapshot and back.

use super::prelude::*;
use crate::engine::{ClientId, Engine, Step};
use crate::limits::RELOAD_KEPT_MAX;
use crate::rdb::{LoadOptions, SnapshotHead, SnapshotLoader};

/// Runs DEBUG RELOAD, behind its name. The snapshot of the last time is what NOSAVE loads, if it was not too large to
/// be kept.
pub(super) fn reload(
    engine: &mut Engine,
    client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    let (mut save, mut flush, mut merge) = (true, true, false);
    while args.left() > 0 {
        let word = args.bytes()?;
        match () {
            () if is_word(word, "MERGE") => merge = true,
            () if is_word(word, "NOFLUSH") => flush = false,
            () if is_word(word, "NOSAVE") => save = false,
            () => {
                return Err(Fault::other(
                    "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    if engine.host.has_files() {
        return engine.hold(client, Step::Reload { save, flush, merge }, reply);
    }
    let snapshot = if save { save_all(engine) } else { std::mem::take(&mut engine.kept_snapshot) };
    if snapshot.is_empty() {
        return Err(failed("there is none"));
    }
    // What was saved just now is what the log comes to; anything else has to be stated.
    let stated = !(save && flush);
    if flush {
        engine.empty_for_load(stated);
    }
    let loaded = load(engine, &snapshot, LoadOptions { replace: merge, stated, ..LoadOptions::default() });
    engine.kept_snapshot = if snapshot.len() <= RELOAD_KEPT_MAX { snapshot } else { Vec::new() };
    loaded?;
    reply.ok();
    Ok(Outcome::Done)
}

fn failed(reason: &str) -> Fault {
    Fault::other(format!("Error trying to load the RDB dump: {reason}"))
}

fn save_all(engine: &Engine) -> Vec<u8> {
    let head = SnapshotHead {
        unix_seconds: engine.now().wall_ms() / 1000,
        used_memory: engine.host.memory_used(),
        ..SnapshotHead::default()
    };
    let mut snapshot = Vec::new();
    let Ok(()) = engine.write_snapshot(&head, |piece| {
        snapshot.extend_from_slice(&piece);
        Ok::<_, std::convert::Infallible>(())
    });
    snapshot
}

fn load(engine: &mut Engine, snapshot: &[u8], options: LoadOptions) -> Result<(), Fault> {
    let mut loader = SnapshotLoader::new(engine, options);
    let now = engine.now();
    let fed = loader.feed(engine, now, snapshot);
    fed.and_then(|_| loader.finish()).map(|_| ()).map_err(|fault| failed(&fault.to_string()))
}
