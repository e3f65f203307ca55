//! Strings that are set or removed only if something holds: DELIFEQ, DELEX, MSETEX. Redis 7.0 does not have them; the
//! log says what they came to in its words.

use super::prelude::*;
use super::string::{Unit, store};
use crate::txn::Expiry;

pub(super) const ROWS: &[Command] = &[DELIFEQ, DELEX, MSETEX];

const DELIFEQ: Command = Command::data("delifeq", Group::String, delifeq)
    .arity(3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RM | Key::DELETE | Key::ACCESS)])
    .since("9.0.0")
    .cost("O(1)")
    .summary("Deletes a key if it holds this string.")
    .syntax("key:k value:s");

fn delifeq(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, value) = (args.key()?, args.bytes()?);
    let equal = txn.text_before_write(key)?.is_some_and(|text| *text == *value);
    reply.flag(equal && remove(txn, key));
    Ok(Outcome::Done)
}

const DELEX: Command = Command::data("delex", Group::String, delex)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RM | Key::DELETE | Key::ACCESS)])
    .since("8.4.0")
    .cost("O(1)")
    .summary("Deletes a key if it holds this string, or another one.")
    .syntax("key:k [condition=(ifeq-value:s/IFEQ|ifne-value:s/IFNE)]");

fn delex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let holds = if args.left() == 0 {
        txn.exists(key)
    } else {
        let wants_equal = match args.bytes()? {
            word if is_word(word, "IFEQ") => true,
            word if is_word(word, "IFNE") => false,
            _ => return Err(Fault::Syntax),
        };
        let value = args.bytes()?;
        args.end()?;
        txn.text_before_write(key)?.is_some_and(|text| (*text == *value) == wants_equal)
    };
    reply.flag(holds && remove(txn, key));
    Ok(Outcome::Done)
}

fn remove(txn: &mut Txn<'_>, key: &[u8]) -> bool {
    let removed = txn.discard(key);
    if removed {
        txn.changed(key, EventClass::Generic, "del");
        txn.effect(&[b"DEL", key]);
    }
    removed
}

const MSETEX: Command = Command::data("msetex", Group::String, msetex)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .keys(&[KeySpec {
        begin: Begin::Index(1),
        find: Find::Count { count: 0, first: 1, step: 2 },
        flags: Key::OW | Key::UPDATE,
    }])
    .since("8.4.0")
    .cost("O(N) where N is the number of keys to set.")
    .summary("Sets keys to strings, all of them or none, with one date.")
    .syntax("numkeys:i data={key:k value:s}... [condition=(nx/NX|xx/XX)] [expiration=(seconds:i/EX|milliseconds:i/PX|unix-time-seconds:t/EXAT|unix-time-milliseconds:t/PXAT|keepttl/KEEPTTL)]");

fn msetex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let count = args.integer_in(1..=i64::from(i32::MAX), "numkeys should be greater than 0")? as usize;
    let pairs = args.take(2 * count)?;
    let (mut expected, mut expiry) = (None, Expiry::Never);
    while args.left() > 0 {
        let word = args.bytes()?;
        match (Unit::of(word), expiry) {
            (Some(unit), Expiry::Never) => {
                expiry = Expiry::At(unit.date(args.bytes()?, txn.now().wall_ms(), "msetex")?);
            }
            (None, Expiry::Never) if is_word(word, "KEEPTTL") => expiry = Expiry::Keep,
            (None, _) if is_word(word, "NX") && expected.is_none() => expected = Some(false),
            (None, _) if is_word(word, "XX") && expected.is_none() => expected = Some(true),
            _ => return Err(Fault::Syntax),
        }
    }
    let holds = expected.is_none_or(|exists| pairs.chunks_exact(2).all(|pair| txn.exists(pair[0]) == exists));
    if holds {
        pairs.chunks_exact(2).for_each(|pair| store(txn, pair[0], pair[1], expiry));
    }
    reply.flag(holds);
    Ok(Outcome::Done)
}
