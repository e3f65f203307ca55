//! Sorted sets: members and their scores. Ranges, popping and combining have files of their own.

use super::prelude::*;
use super::ranges::{lex_bound, score_bound};
use super::scan::Walk;
use crate::number::{format_score, parse_f64};
use crate::types::zset::Zset;

pub(super) const ROWS: &[Command] =
    &[ZADD, ZINCRBY, ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT, ZSCAN, ZRANDMEMBER];

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
pub(super) struct AddOptions {
    pub(super) only_new: bool,
    pub(super) only_old: bool,
    only_greater: bool,
    only_less: bool,
    pub(super) changed: bool,
    increment: bool,
}

impl AddOptions {
    fn read(args: &mut Args<'_>) -> Result<Self, Fault> {
        let mut options = Self::default();
        while let Some(word) = args.peek() {
            match () {
                () if is_word(word, "NX") => options.only_new = true,
                () if is_word(word, "XX") => options.only_old = true,
                () if is_word(word, "GT") => options.only_greater = true,
                () if is_word(word, "LT") => options.only_less = true,
                () if is_word(word, "CH") => options.changed = true,
                () if is_word(word, "INCR") => options.increment = true,
                () => break,
            }
            args.bytes()?;
        }
        if args.left() == 0 || !args.left().is_multiple_of(2) {
            return Err(Fault::Syntax);
        }
        if options.only_new && options.only_old {
            return Err(Fault::other("XX and NX options at the same time are not compatible"));
        }
        if [options.only_greater, options.only_less, options.only_new].iter().filter(|&&set| set).count() > 1
        {
            return Err(Fault::other("GT, LT, and/or NX options at the same time are not compatible"));
        }
        if options.increment && args.left() > 2 {
            return Err(Fault::other("INCR option supports a single increment-element pair"));
        }
        Ok(options)
    }

    /// The score that a member with the score `old` gets, if any.
    fn apply(self, old: Option<f64>, given: f64) -> Result<Option<f64>, Fault> {
        let Some(old) = old else { return Ok((!self.only_old).then_some(given)) };
        if self.only_new {
            return Ok(None);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(Fault::ScoreNan);
        }
        let refused = (self.only_greater && new <= old) || (self.only_less && new >= old);
        Ok((!refused).then_some(new))
    }
}

const ZADD: Command = Command::data("zadd", Group::SortedSet, zadd)
    .arity(-4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("1.2.0")
    .cost("O(log(N)) for each item added, where N is the number of elements in the sorted set.")
    .summary("Adds members with scores to a sorted set, or changes the scores of those that are there.")
    .syntax("key:k [condition=(nx/NX|xx/XX)@3.0.2] [comparison=(gt/GT|lt/LT)@6.2.0] [change/CH@3.0.2] [increment/INCR@3.0.2] score_member={score:d member:s}...");

fn zadd(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let options = AddOptions::read(&mut args)?;
    add(txn, key, options, args.rest(), reply)
}

const ZINCRBY: Command = Command::data("zincrby", Group::SortedSet, zincrby)
    .arity(4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.2.0")
    .cost("O(log(N)) where N is the number of elements in the sorted set.")
    .summary("Increments the score of a member; an absent member counts as 0.")
    .syntax("key:k increment:i member:s");

fn zincrby(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    // As in Redis, a word of ZADD in the place of the increment leaves too little behind it.
    let options = AddOptions { increment: true, ..AddOptions::read(&mut args)? };
    add(txn, key, options, args.rest(), reply)
}

/// Adds members, given as scores and members in turn.
pub(super) fn add(
    txn: &mut Txn<'_>,
    key: &[u8],
    options: AddOptions,
    pairs: &[&[u8]],
    reply: &mut Reply<'_>,
) -> Run {
    let scores = pairs.iter().step_by(2).map(|text| parse_f64(text).ok_or(Fault::NotFloat));
    let scores: Vec<f64> = scores.collect::<Result<_, _>>()?;
    let (limits, hash_key) = txn.table_setup();
    if txn.zset_mut(key)?.is_none() && options.only_old {
        if options.increment {
            reply.null();
        } else {
            reply.integer(0);
        }
        return Ok(Outcome::Done);
    }
    let zset = txn.zset_or_new(key)?;
    let (mut added, mut updated, mut last) = (0, 0, None);
    for (pair, score) in pairs.chunks_exact(2).zip(scores) {
        let old = zset.score(pair[1]);
        last = options.apply(old, score)?;
        if let Some(new) = last {
            zset.set(pair[1], new, &limits, hash_key);
            added += usize::from(old.is_none());
            updated += usize::from(old.is_some_and(|old| old != new));
        }
    }
    if added + updated > 0 {
        txn.changed(key, EventClass::Zset, if options.increment { "zincr" } else { "zadd" });
        txn.changed_more(added + updated - 1);
    }
    match last {
        _ if !options.increment => reply.count(if options.changed { added + updated } else { added }),
        Some(score) => reply.double(score),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

const ZREM: Command = Command::data("zrem", Group::SortedSet, zrem)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("1.2.0")
    .cost("O(M*log(N))")
    .summary("Removes members of a sorted set.")
    .syntax("key:k member:s...");

fn zrem(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(zset) = txn.zset_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let removed = args.rest().iter().filter(|member| zset.remove(member).is_some()).count();
    if removed > 0 {
        txn.changed(key, EventClass::Zset, "zrem");
        txn.changed_more(removed - 1);
        txn.drop_if_empty(key);
    }
    reply.count(removed);
    Ok(Outcome::Done)
}

const ZCARD: Command = Command::data("zcard", Group::SortedSet, zcard)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("1.2.0")
    .cost("O(1)")
    .summary("Returns the number of members of a sorted set.")
    .syntax("key:k");

fn zcard(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.count(txn.zset(key)?.map_or(0, Zset::len));
    Ok(Outcome::Done)
}

const ZSCORE: Command = Command::data("zscore", Group::SortedSet, zscore)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.2.0")
    .cost("O(1)")
    .summary("Returns the score of a member.")
    .syntax("key:k member:s");

fn zscore(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, member) = (args.key()?, args.bytes()?);
    reply_score(txn.zset(key)?.and_then(|zset| zset.score(member)), reply);
    Ok(Outcome::Done)
}

fn reply_score(score: Option<f64>, reply: &mut Reply<'_>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

const ZMSCORE: Command = Command::data("zmscore", Group::SortedSet, zmscore)
    .arity(-3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N) where N is the number of members being requested.")
    .summary("Returns the scores of several members.")
    .syntax("key:k member:s...");

fn zmscore(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let zset = txn.zset(key)?;
    let members = args.rest();
    reply.array(members.len());
    members.iter().for_each(|member| reply_score(zset.and_then(|zset| zset.score(member)), reply));
    Ok(Outcome::Done)
}

const ZRANK: Command = Command::data("zrank", Group::SortedSet, zrank)
    .arity(-3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(log(N))")
    .summary("Returns the index of a member, counted from the lowest score.")
    .syntax("key:k member:s [withscore/WITHSCORE@7.2.0]");

fn zrank(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    rank(txn, args, reply, false)
}

const ZREVRANK: Command = Command::data("zrevrank", Group::SortedSet, zrevrank)
    .arity(-3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(log(N))")
    .summary("Returns the index of a member, counted from the highest score.")
    .syntax("key:k member:s [withscore/WITHSCORE@7.2.0]");

fn zrevrank(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    rank(txn, args, reply, true)
}

fn rank(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, from_highest: bool) -> Run {
    if args.all().len() > 4 {
        return Err(Fault::Arity(if from_highest { "zrevrank" } else { "zrank" }.into()));
    }
    let (key, member) = (args.key()?, args.bytes()?);
    let with_score = args.word("WITHSCORE");
    args.end()?;
    let zset = txn.zset(key)?;
    match zset.and_then(|zset| Some((zset.rank(member)?, zset.score(member)?, zset.len()))) {
        None if with_score => reply.null_array(),
        None => reply.null(),
        Some((rank, score, len)) => {
            let rank = if from_highest { len - 1 - rank } else { rank };
            if with_score {
                reply.array(2);
            }
            reply.count(rank);
            if with_score {
                reply.double(score);
            }
        }
    }
    Ok(Outcome::Done)
}

const ZCOUNT: Command = Command::data("zcount", Group::SortedSet, zcount)
    .arity(4)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(log(N)) with N being the number of elements in the sorted set.")
    .summary("Returns how many members have scores within a range.")
    .syntax("key:k min:d max:d");

fn zcount(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, min, max) = (args.key()?, score_bound(args.bytes()?)?, score_bound(args.bytes()?)?);
    reply.count(txn.zset(key)?.map_or(0, |zset| zset.score_range(min, max).len()));
    Ok(Outcome::Done)
}

const ZLEXCOUNT: Command = Command::data("zlexcount", Group::SortedSet, zlexcount)
    .arity(4)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.9")
    .cost("O(log(N)) with N being the number of elements in the sorted set.")
    .summary("Returns how many members lie within a range, if all scores are equal.")
    .syntax("key:k min:s max:s");

fn zlexcount(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, min, max) = (args.key()?, lex_bound(args.bytes()?)?, lex_bound(args.bytes()?)?);
    reply.count(txn.zset(key)?.map_or(0, |zset| zset.lex_range(min, max).len()));
    Ok(Outcome::Done)
}

const ZSCAN: Command = Command::data("zscan", Group::SortedSet, zscan)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.0")
    .cost("O(1) for every call")
    .summary("Walks over the members of a sorted set.")
    .syntax("key:k cursor:i [pattern:p/MATCH] [count:i/COUNT]")
    .tips(&["nondeterministic_output"]);

fn zscan(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let mut walk = Walk::cursor(&mut args)?;
    let Some(zset) = txn.zset(key)? else {
        Walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    walk.options(&mut args, false, Some("NOSCORES"))?;
    let mut found = Vec::new();
    let cursor = walk.run(|position| {
        let mut seen = 0;
        let next = zset.walk(position, |member, score| {
            seen += 1;
            if walk.accepts(&member) {
                found.push(member.to_vec());
                if !walk.bare {
                    found.push(kept_score(zset, score));
                }
            }
        });
        (next, seen)
    });
    Walk::reply(cursor, &found, reply);
    Ok(Outcome::Done)
}

/// A score as it is kept: a compact sorted set keeps integers as such, and walks show what is kept.
fn kept_score(zset: &Zset, score: f64) -> Vec<u8> {
    let is_integer = score == score.trunc() && score.abs() < (1_u64 << 62) as f64;
    if is_integer && matches!(zset, Zset::Packed(_)) {
        return Digits::of(score as i64).as_bytes().to_vec();
    }
    format_score(score)
}

const ZRANDMEMBER: Command = Command::data("zrandmember", Group::SortedSet, zrandmember)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N) where N is the number of elements returned")
    .summary("Returns random members of a sorted set.")
    .syntax("key:k [options={count:i [withscores/WITHSCORES]}]")
    .tips(&["nondeterministic_output"]);

fn zrandmember(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let options = super::random_args(&mut args, "WITHSCORES")?;
    let mut rng = txn.rng().fork();
    let zset = txn.zset(key)?;
    let Some((count, with_scores)) = options else {
        let member = zset.and_then(|zset| zset.sample(&mut rng)).map(|(member, _)| member);
        reply.bulk_or_null(member.as_deref());
        return Ok(Outcome::Done);
    };
    let Some(zset) = zset else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let wanted = count.unsigned_abs() as usize;
    if count < 0 {
        let open = |reply: &mut Reply<'_>| super::open_scored(reply, wanted, with_scores);
        super::repeat(reply, wanted, open, |reply| {
            if let Some((member, score)) = zset.sample(&mut rng) {
                super::write_scored(reply, &member, score, with_scores);
            }
        })?;
        return Ok(Outcome::Done);
    }
    let chosen = super::choose_indices(wanted, zset.len(), &mut rng);
    super::open_scored(reply, chosen.len(), with_scores);
    for (index, (member, score)) in zset.iter_from(0).enumerate() {
        if chosen.contains(&index) {
            super::write_scored(reply, &member, score, with_scores);
        }
    }
    Ok(Outcome::Done)
}
