//! The link to the master: bytes in, bytes out, and another attempt when it breaks.
//!
//! Law: what is said and what is made of it is the engine's business; here it only moves. One thread, which sleeps as
//! long as nobody is followed. A dataset that is to be kept until it is whole waits in a file, which is written without
//! the engine's lock.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pbj_store::engine::{Keep, LinkFault, MasterAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;

use crate::kept_dataset::KeptDataset;
use crate::outgoing;
use crate::shared::Shared;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Time between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread.
///
/// # Errors
/// There is none to be had.
pub fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("follower".into()).spawn(move || runtime.block_on(run(shared)))
}

async fn run(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let mut changed = std::pin::pin!(shared.link.notified());
        changed.as_mut().enable();
        let Some(address) = shared.with_engine(|engine| engine.wanted_master()) else {
            tokio::select! {
                () = changed => {}
                () = shared.stop.cancelled() => {}
            }
            continue;
        };
        let attempt = address.attempt;
        let began = shared.clock.now().mono_ms;
        tokio::select! {
            () = follow(&shared, address) => {}
            () = shared.stop.cancelled() => return,
        }
        let wanted = shared.with_engine(|engine| engine.wanted_master());
        // Another master, or a link that was good for some time: a new one is made at once.
        let lasted = shared.clock.now().mono_ms - began >= RETRY.as_millis() as u64;
        if lasted || wanted.is_none_or(|address| address.attempt != attempt + 1) {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

/// One attempt: as long as it lasts.
async fn follow(shared: &Arc<Shared>, address: MasterAddress) {
    let attempt = address.attempt;
    shared.with_data(|engine| engine.reaching_master(shared.clock.now(), attempt));
    tracing::info!(host = address.host, port = address.port, "connecting to the master");
    let source = shared.with_engine(|engine| engine.config().text("bind-source-addr").to_owned());
    let connecting = outgoing::connect(&address.host, address.port, &source);
    let stream = tokio::select! {
        stream = connecting => stream,
        () = until_outdated(shared, attempt) => return,
    };
    let reason = match stream {
        Ok(stream) => talk(shared, stream, attempt).await,
        Err(error) => {
            tracing::warn!(%error, host = address.host, port = address.port, "the master cannot be reached");
            None
        }
    };
    shared.with_data(|engine| engine.master_lost(shared.clock.now(), attempt, reason.as_ref()));
    shared.flush();
}

/// Returns when this attempt is not wanted any more.
async fn until_outdated(shared: &Arc<Shared>, attempt: u64) {
    loop {
        let mut changed = std::pin::pin!(shared.link.notified());
        changed.as_mut().enable();
        let wanted = shared.with_engine(|engine| engine.wanted_master());
        if wanted.is_none_or(|address| address.attempt != attempt) {
            return;
        }
        changed.await;
    }
}

/// Moves bytes until one side ends the link; says why it ended, if there is more to say.
async fn talk(shared: &Arc<Shared>, mut stream: TcpStream, attempt: u64) -> Option<LinkFault> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the link to the master keeps its delay");
    }
    shared.with_data(|engine| engine.master_reached(shared.clock.now(), attempt));
    let mut room = vec![0; READ_BYTES];
    let (mut reader, mut writer) = stream.split();
    let mut kept = KeptDataset::new(shared.folder());
    loop {
        let mut changed = std::pin::pin!(shared.link.notified());
        changed.as_mut().enable();
        let words = shared.with_engine(move |engine| engine.words_to_master(attempt))?;
        if !words.is_empty() && writer.write_all(&words).await.is_err() {
            return None;
        }
        let read = tokio::select! {
            read = reader.read(&mut room) => read,
            () = changed => continue,
        };
        let Ok(count) = read else { return None };
        if count == 0 {
            return None;
        }
        shared.traffic.input.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
        let heard = shared.with_data(|engine| {
            engine.hear_master(shared.clock.now(), attempt, &room[..count])?;
            Ok(engine.bytes_to_keep(attempt))
        });
        shared.flush();
        let heard = match heard {
            Ok(Keep::Nothing) => Ok(()),
            Ok(Keep::More(bytes)) => kept.append(&bytes),
            Ok(Keep::Last(bytes)) => match kept.append(&bytes) {
                Ok(()) => load_kept(shared, &mut writer, attempt, &mut kept).await,
                refused => refused,
            },
            Err(fault) => Err(fault),
        };
        match heard {
            Ok(()) => {}
            Err(LinkFault::Outdated) => return None,
            Err(fault) => {
                tracing::warn!(%fault, "the link to the master ends");
                return Some(fault);
            }
        }
    }
}

/// Hands a dataset that is whole to the engine, and what came behind it. The master is told that there is progress.
async fn load_kept(
    shared: &Arc<Shared>,
    writer: &mut WriteHalf<'_>,
    attempt: u64,
    kept: &mut KeptDataset,
) -> Result<(), LinkFault> {
    let rest = shared.with_data(|engine| engine.begin_kept(shared.clock.now(), attempt))?;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = kept.read(&mut piece)?;
        let bytes = if read == 0 { &rest[..] } else { &piece[..read] };
        let words = shared.with_data(|engine| {
            engine.hear_kept(shared.clock.now(), attempt, bytes)?;
            engine.words_to_master(attempt).ok_or(LinkFault::Outdated)
        })?;
        shared.flush();
        if writer.write_all(&words).await.is_err() {
            // The next read says so.
            return Ok(());
        }
        if read == 0 {
            kept.remove();
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}
