//! MIGRATE: keys go to another server, and are gone here once that one has said that it has them.
//!
//! Law: until then nothing here changes: other clients may read, and their writes wait, so that a key is never changed
//! in one place after it was copied to the other. The host moves the bytes (`Step::Migrate`) and reports what the other
//! side accepted; only those keys go.

use super::prelude::*;
use crate::engine::{ClientId, Credentials, Engine, Migration, Moving};

pub(super) const ROWS: &[Command] = &[MIGRATE];

/// How long the other side may be silent, if the request says no time, in milliseconds.
const TIMEOUT_MS: u64 = 1000;

const MIGRATE: Command = Command::system("migrate", Group::Generic, migrate)
    .arity(-6)
    .flags(WRITE)
    .categories(DANGEROUS)
    .keys(&[
        Key::at(3, Key::RW | Key::ACCESS | Key::DELETE),
        KeySpec {
            begin: Begin::Keyword("KEYS", -2),
            find: Find::Range { last: -1, step: 1, limit: 0 },
            flags: Key::RW | Key::ACCESS | Key::DELETE | Key::INCOMPLETE,
        },
    ])
    .exact_keys(keys)
    .since("2.6.0")
    .cost("This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.")
    .summary("Moves keys to another server.")
    .syntax("host:s port:i key_or_empty_string=(key:k|empty_string/\"\") destination-db:i timeout:i [copy/COPY@3.0.0] [replace/REPLACE@3.0.0] [authentication=([password:s/AUTH@4.0.7]|[username_password={username:s password:s}/AUTH2@6.0.0])] [key:k/KEYS@3.0.6...#1]")
    .tips(&["nondeterministic_output"]);

/// The arguments that are keys: one, or all behind KEYS.
fn keys(args: &[&[u8]]) -> Vec<usize> {
    let mut at = 6;
    while let Some(word) = args.get(at) {
        at += match () {
            () if is_word(word, "KEYS") => {
                // With a key in its own place too it is refused.
                return if args[3].is_empty() { (at + 1..args.len()).collect() } else { Vec::new() };
            }
            () if is_word(word, "AUTH") => 2,
            () if is_word(word, "AUTH2") => 3,
            () => 1,
        };
    }
    if args.len() > 3 { vec![3] } else { Vec::new() }
}

/// The words behind the time-out.
#[derive(Default)]
struct Options<'a> {
    copy: bool,
    replace: bool,
    credentials: Option<Credentials>,
    keys: Option<&'a [&'a [u8]]>,
}

impl<'a> Options<'a> {
    fn read(args: &mut Args<'a>, key: &[u8]) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "COPY") => options.copy = true,
                () if is_word(word, "REPLACE") => options.replace = true,
                () if is_word(word, "AUTH") => {
                    options.credentials = Some(Credentials { user: None, password: args.bytes()?.into() });
                }
                () if is_word(word, "AUTH2") => {
                    let (user, password) = (Some(args.bytes()?.into()), args.bytes()?.into());
                    options.credentials = Some(Credentials { user, password });
                }
                () if is_word(word, "KEYS") && key.is_empty() => options.keys = Some(args.rest()),
                () if is_word(word, "KEYS") => {
                    return Err(Fault::other(
                        "When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                () => return Err(Fault::Syntax),
            }
        }
        Ok(options)
    }
}

fn migrate(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (host, port, key) = (args.bytes()?, args.bytes()?, args.key()?);
    let (db, timeout) = (args.bytes()?, args.bytes()?);
    let options = Options::read(&mut args, key)?;
    let integer = |word: &[u8]| crate::number::parse_i64(word).ok_or(Fault::NotInteger);
    let timeout_ms = u64::try_from(integer(timeout)?).ok().filter(|&ms| ms > 0).unwrap_or(TIMEOUT_MS);
    let target_db = integer(db)?;
    let single = [key];
    let moved = copies(engine, client, options.keys.unwrap_or(&single))?;
    if moved.is_empty() {
        reply.status("NOKEY");
        return Ok(Outcome::Done);
    }
    if engine.session_mut(client)?.in_exec || engine.running.is_some() {
        return Err(Fault::other(
            "MIGRATE waits for another server, and cannot be part of a transaction or a script",
        ));
    }
    let migration = Migration {
        host: String::from_utf8_lossy(host).into_owned(),
        port: String::from_utf8_lossy(port).into_owned(),
        source: engine.config().text("bind-source-addr").to_owned(),
        db: target_db,
        timeout_ms,
        credentials: options.credentials,
        replace: options.replace,
        moved,
    };
    engine.begin_migration(client, migration, options.copy)
}

/// The values of those keys that are there.
fn copies(engine: &mut Engine, client: ClientId, keys: &[&[u8]]) -> Result<Vec<Moving>, Fault> {
    let db = engine.session_mut(client)?.db;
    let now = engine.now().wall_ms();
    let mut txn = engine.txn(db);
    let mut moved = Vec::new();
    for &key in keys {
        txn.entry_for_reading(key);
        let Some(payload) = txn.dump(key) else { continue };
        let date = txn.raw_entry(key).and_then(|entry| entry.expires_at());
        let ttl_ms = date.map_or(0, |date| date.saturating_sub(now).max(1));
        moved.push(Moving { key: key.into(), ttl_ms, payload });
    }
    Ok(moved)
}
