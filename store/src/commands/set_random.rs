//! Sets: random members.

use super::prelude::*;
use crate::types::set::Set;

pub(super) const ROWS: &[Command] = &[SPOP, SRANDMEMBER];

/// `count` different members (all, if there are fewer), each choice equally likely.
fn distinct(set: &Set, count: usize, rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    if count >= set.len() {
        return set.iter().map(|member| member.to_vec()).collect();
    }
    if count * 3 > set.len() {
        let mut all: Vec<_> = set.iter().map(|member| member.to_vec()).collect();
        // The beginning of a Fisher-Yates shuffle.
        for n in 0..count {
            let other = rng.usize(n..all.len());
            all.swap(n, other);
        }
        all.truncate(count);
        return all;
    }
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < count {
        chosen.extend(set.sample(rng).map(|member| member.to_vec()));
    }
    let mut chosen: Vec<_> = chosen.into_iter().collect();
    rng.shuffle(&mut chosen);
    chosen
}

const SPOP: Command = Command::data("spop", Group::Set, spop)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("1.0.0")
    .cost("Without the count argument O(1)")
    .summary("Removes random members of a set and returns them.")
    .syntax("key:k [count:i@3.2.0]")
    .tips(&["nondeterministic_output"]);

fn spop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    if args.left() > 1 {
        return Err(Fault::Syntax);
    }
    let count = if args.left() == 1 { Some(args.positive()? as usize) } else { None };
    let mut rng = txn.rng().fork();
    let Some(set) = txn.set_mut(key)? else {
        match count {
            None => reply.null(),
            Some(_) => reply.set(0),
        }
        return Ok(Outcome::Done);
    };
    let popped = match count {
        None => set.sample(&mut rng).map(|member| member.to_vec()).into_iter().collect(),
        Some(count) => distinct(set, count, &mut rng),
    };
    popped.iter().for_each(|member| {
        set.remove(member);
    });
    match (count, popped.first()) {
        (None, Some(member)) => reply.bulk(member),
        _ => {
            reply.set(popped.len());
            popped.iter().for_each(|member| reply.bulk(member));
        }
    }
    if !popped.is_empty() {
        txn.changed(key, EventClass::Set, "spop");
        txn.changed_more(popped.len() - 1);
        txn.drop_if_empty(key);
        state_removal(txn, key, &popped, count.is_some());
    }
    Ok(Outcome::Done)
}

/// Chance is over: the effect names the members, or the key if all are gone.
fn state_removal(txn: &mut Txn<'_>, key: &[u8], members: &[Vec<u8>], many: bool) {
    if many && !txn.exists(key) {
        txn.effect(&[b"DEL", key]);
        return;
    }
    let mut effect: Vec<&[u8]> = vec![b"SREM", key];
    effect.extend(members.iter().map(|member| &**member));
    txn.effect(&effect);
}

const SRANDMEMBER: Command = Command::data("srandmember", Group::Set, srandmember)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("Without the count argument O(1)")
    .summary("Returns random members of a set.")
    .syntax("key:k [count:i@2.6.0]")
    .tips(&["nondeterministic_output"]);

fn srandmember(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    if args.left() > 1 {
        return Err(Fault::Syntax);
    }
    let count = if args.left() == 1 { Some(args.integer_between(-i64::MAX, i64::MAX)?) } else { None };
    let mut rng = txn.rng().fork();
    let set = txn.set(key)?;
    match (set, count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.array(0),
        (Some(set), None) => reply.bulk_or_null(set.sample(&mut rng).as_deref()),
        (Some(set), Some(count)) if count >= 0 => {
            let members = distinct(set, count as usize, &mut rng);
            reply.array(members.len());
            members.iter().for_each(|member| reply.bulk(member));
        }
        (Some(set), Some(count)) => {
            let count = count.unsigned_abs() as usize;
            let write = |reply: &mut Reply<'_>| reply.bulk_or_null(set.sample(&mut rng).as_deref());
            super::repeat(reply, count, |reply| reply.array(count), write)?;
        }
    }
    Ok(Outcome::Done)
}
