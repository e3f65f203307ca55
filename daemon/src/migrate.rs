//! MIGRATE: keys move to another server over connections of our own.
//!
//! Law: one thread does it, outside of the lock of the engine, one migration after the other; it sleeps between them. A
//! connection is kept for the next migration to the same server, and closed when none comes for a while. Whatever the
//! other side does, a migration ends: each step has the time-out that the client gave.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use pbj_store::command::Fault;
use pbj_store::engine::{ClientId, Credentials, Migrated, Migration, restore_request};
use pbj_store::resp::reply::write_command;

use crate::clock::Clock;
use crate::outgoing;
use crate::shared::Shared;

/// Connections that are kept.
const KEPT_MAX: usize = 64;
/// How long a connection is kept for the next migration, in milliseconds.
const KEPT_MS: u64 = 10_000;
/// Longest line of a reply, in bytes.
const LINE_MAX: usize = 1024;

/// Takes migrations over from the engine.
#[derive(Debug, Default)]
pub struct Migrator {
    jobs: Mutex<Option<Sender<Job>>>,
}

/// A migration and who waits for it.
struct Job {
    client: ClientId,
    migration: Migration,
}

impl Migrator {
    /// Begins a migration; its end is told to the engine.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn begin(&self, shared: &Weak<Shared>, client: ClientId, migration: Migration) -> io::Result<()> {
        let mut jobs = self.jobs.lock();
        let sender = match &*jobs {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = channel();
                let worker = Worker { shared: shared.clone(), kept: HashMap::new() };
                std::thread::Builder::new().name("migrate".into()).spawn(move || worker.run(&receiver))?;
                jobs.insert(sender)
            }
        };
        sender
            .send(Job { client, migration })
            .map_err(|_| io::Error::other("the thread that migrates is gone"))
    }
}

/// A connection that is kept.
struct Link {
    stream: TcpStream,
    /// Bytes that came behind the last line.
    rest: Vec<u8>,
    /// The database that is selected, as far as we know.
    db: Option<i64>,
    /// Monotonic milliseconds.
    used_at: u64,
}

struct Worker {
    shared: Weak<Shared>,
    kept: HashMap<(String, String), Link>,
}

/// Why a step with the other side failed.
enum LinkFault {
    /// It cannot be reached.
    Connect,
    /// The connection broke, or nothing came in time. Only a break is worth another try.
    Broken { writing: bool, late: bool },
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = match self.kept.values().map(|link| link.used_at + KEPT_MS).min() {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(Duration::from_millis(due.saturating_sub(now_ms()))),
            };
            match job {
                Ok(Job { client, migration }) => {
                    let migrated = self.migrate(&migration);
                    let Some(shared) = self.shared.upgrade() else { return };
                    self.count();
                    shared.end_migration(client, migrated);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = now_ms();
            self.kept.retain(|_, link| now < link.used_at + KEPT_MS);
            self.count();
        }
    }

    /// Says in INFO how many connections are kept.
    fn count(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.traffic.kept_links.store(self.kept.len() as u64, Ordering::Relaxed);
        }
    }

    /// Moves keys; a connection that was kept and has broken since is opened again, once.
    fn migrate(&mut self, migration: &Migration) -> Migrated {
        let mut migrated = Migrated::default();
        let mut retried = false;
        loop {
            let name = (migration.host.clone(), migration.port.clone());
            let attempt = self.attempt(migration, &mut migrated);
            match attempt {
                Ok(link) => {
                    if self.kept.len() >= KEPT_MAX {
                        self.drop_oldest();
                    }
                    self.kept.insert(name, link);
                    return migrated;
                }
                Err(LinkFault::Broken { late: false, .. })
                    if !retried && migrated.arrived.is_empty() && migrated.fault.is_none() =>
                {
                    retried = true;
                }
                Err(fault) => {
                    migrated.fault.get_or_insert_with(|| text_of(&fault));
                    return migrated;
                }
            }
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.kept.iter().min_by_key(|(_, link)| link.used_at).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.kept.remove(&name);
        }
    }

    /// Sends everything and reads all replies; the connection, if it can be kept.
    fn attempt(&mut self, migration: &Migration, migrated: &mut Migrated) -> Result<Link, LinkFault> {
        let timeout = Duration::from_millis(migration.timeout_ms);
        let mut link = match self.kept.remove(&(migration.host.clone(), migration.port.clone())) {
            Some(link) => link,
            None => Link::open(migration, timeout).map_err(|_| LinkFault::Connect)?,
        };
        let selects = link.db != Some(migration.db);
        link.write(&opening(migration, selects), timeout)?;
        for moving in &migration.moved {
            let mut request = Vec::new();
            restore_request(&mut request, moving, migration.replace);
            link.write(&request, timeout)?;
        }
        let mut refusal = None;
        for _ in 0..usize::from(migration.credentials.is_some()) + usize::from(selects) {
            let line = link.read_line(timeout)?;
            if line.starts_with(b"-") {
                refusal.get_or_insert(line);
            }
        }
        for moving in &migration.moved {
            let line = link.read_line(timeout)?;
            let refused = refusal.as_ref().or_else(|| line.starts_with(b"-").then_some(&line));
            match refused {
                None => migrated.arrived.push(moving.key.clone()),
                Some(words) => {
                    migrated.fault.get_or_insert_with(|| refused_by_target(words));
                }
            }
        }
        link.db = Some(migration.db).filter(|_| migrated.fault.is_none());
        link.used_at = now_ms();
        Ok(link)
    }
}

fn refused_by_target(line: &[u8]) -> Fault {
    let words = String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line)).into_owned();
    Fault::other(format!("Target instance replied with error: {words}"))
}

fn text_of(fault: &LinkFault) -> Fault {
    Fault::coded(match fault {
        LinkFault::Connect => "IOERR error or timeout connecting to the client",
        LinkFault::Broken { writing: true, .. } => "IOERR error or timeout writing to target instance",
        LinkFault::Broken { writing: false, .. } => "IOERR error or timeout reading to target instance",
    })
}

/// What comes before the keys.
fn opening(migration: &Migration, selects: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(Credentials { user, password }) = &migration.credentials {
        let words: Vec<&[u8]> =
            [Some(&b"AUTH"[..]), user.as_deref(), Some(password)].into_iter().flatten().collect();
        write_command(&mut out, &words);
    }
    if selects {
        write_command(&mut out, &[b"SELECT", migration.db.to_string().as_bytes()]);
    }
    out
}

impl Link {
    fn open(to: &Migration, timeout: Duration) -> io::Result<Self> {
        let port: u16 = to.port.parse().map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        let stream = outgoing::connect_blocking(&to.host, port, &to.source, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new(), db: None, used_at: now_ms() })
    }

    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), LinkFault> {
        let fault = |error: &io::Error| LinkFault::Broken { writing: true, late: is_late(error) };
        self.stream.set_write_timeout(Some(timeout)).map_err(|error| fault(&error))?;
        self.stream.write_all(bytes).map_err(|error| fault(&error))
    }

    /// A line without its end; all of it has to come in time.
    fn read_line(&mut self, timeout: Duration) -> Result<Vec<u8>, LinkFault> {
        let until = now_ms() + timeout.as_millis() as u64;
        let fault = |late: bool| LinkFault::Broken { writing: false, late };
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            let left = Duration::from_millis(until.saturating_sub(now_ms()));
            if left.is_zero() || self.rest.len() > LINE_MAX {
                return Err(fault(true));
            }
            self.stream.set_read_timeout(Some(left)).map_err(|_| fault(false))?;
            let mut chunk = [0; LINE_MAX];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(fault(false)),
                Ok(count) => self.rest.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault(is_late(&error))),
            }
        }
    }
}

fn now_ms() -> u64 {
    Clock.now().mono_ms
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
