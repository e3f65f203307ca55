//! Sorted sets: ranges of members, by index, score or member: read, stored, removed.

use super::prelude::*;
use super::ranges::{index_range, lex_bound, score_bound};
use crate::keyspace::Value;
use crate::txn::Expiry;
use crate::types::zset::{LexBound, ScoreBound, Zset};

pub(super) const ROWS: &[Command] = &[
    ZRANGE,
    ZREVRANGE,
    ZRANGEBYSCORE,
    ZREVRANGEBYSCORE,
    ZRANGEBYLEX,
    ZREVRANGEBYLEX,
    ZRANGESTORE,
    ZREMRANGEBYRANK,
    ZREMRANGEBYSCORE,
    ZREMRANGEBYLEX,
];

/// What a range is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Index,
    Score,
    Lex,
}

/// The two ends of a range, lowest first.
enum Ends<'a> {
    Index(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// A range of members, as a client asks for it.
struct Selection<'a> {
    ends: Ends<'a>,
    reverse: bool,
    offset: i64,
    count: i64,
    with_scores: bool,
}

impl<'a> Selection<'a> {
    /// Reads the ends and the options. `fixed` is what the name of an old command says; else the options say it.
    fn read(args: &mut Args<'a>, fixed: Option<(By, bool)>, stored: bool) -> Result<Self, Fault> {
        let (start, stop) = (args.bytes()?, args.bytes()?);
        let (mut by, mut reverse) = fixed.unzip();
        let (mut limit, mut with_scores) = (None, false);
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if !stored && is_word(word, "WITHSCORES") => with_scores = true,
                () if is_word(word, "LIMIT") && args.left() >= 2 => {
                    limit = Some((args.integer()?, args.integer()?));
                }
                () if reverse.is_none() && is_word(word, "REV") => reverse = Some(true),
                () if by.is_none() && is_word(word, "BYSCORE") => by = Some(By::Score),
                () if by.is_none() && is_word(word, "BYLEX") => by = Some(By::Lex),
                () => return Err(Fault::Syntax),
            }
        }
        let (by, reverse) = (by.unwrap_or(By::Index), reverse.unwrap_or(false));
        // Redis takes a count of -1 for no limit at all, also here.
        if limit.is_some_and(|(_, count)| count != -1) && by == By::Index {
            return Err(Fault::other(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Fault::other("syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (low, high) = if reverse && by != By::Index { (stop, start) } else { (start, stop) };
        let integer = |text: &[u8]| crate::number::parse_i64(text).ok_or(Fault::NotInteger);
        let ends = match by {
            By::Index => Ends::Index(integer(low)?, integer(high)?),
            By::Score => Ends::Score(score_bound(low)?, score_bound(high)?),
            By::Lex => Ends::Lex(lex_bound(low)?, lex_bound(high)?),
        };
        let (offset, count) = limit.unwrap_or((0, -1));
        Ok(Self { ends, reverse, offset, count, with_scores })
    }

    /// The ranks that are selected, ascending.
    fn ranks(&self, zset: &Zset) -> std::ops::Range<usize> {
        let len = zset.len();
        let range = match self.ends {
            Ends::Index(start, stop) => {
                let range = index_range(start, stop, len);
                return if self.reverse { len - range.end..len - range.start } else { range };
            }
            Ends::Score(min, max) => zset.score_range(min, max),
            Ends::Lex(min, max) => zset.lex_range(min, max),
        };
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let offset = offset.min(range.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(range.len() - offset);
        if self.reverse {
            let end = range.end - offset;
            end - count..end
        } else {
            let start = range.start + offset;
            start..start + count
        }
    }

    fn reply(&self, zset: Option<&Zset>, reply: &mut Reply<'_>) {
        let Some(zset) = zset else {
            reply.array(0);
            return;
        };
        let ranks = self.ranks(zset);
        super::open_scored(reply, ranks.len(), self.with_scores);
        if ranks.is_empty() {
            return;
        }
        let members =
            if self.reverse { zset.iter_back_from(ranks.end - 1) } else { zset.iter_from(ranks.start) };
        for (member, score) in members.take(ranks.len()) {
            super::write_scored(reply, &member, score, self.with_scores);
        }
    }
}

fn reply_range(
    txn: &mut Txn<'_>,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    fixed: Option<(By, bool)>,
) -> Run {
    let key = args.key()?;
    let selection = Selection::read(&mut args, fixed, false)?;
    selection.reply(txn.zset(key)?, reply);
    Ok(Outcome::Done)
}

const ZRANGE: Command = Command::data("zrange", Group::SortedSet, zrange)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.2.0")
    .cost("O(log(N)+M)")
    .summary("Returns a range of members, by index, score or member.")
    .syntax("key:k start:s stop:s [sortby=(byscore/BYSCORE|bylex/BYLEX)@6.2.0] [rev/REV@6.2.0] [offset_count={offset:i count:i}/LIMIT@6.2.0] [withscores/WITHSCORES]");

fn zrange(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, None)
}

const ZREVRANGE: Command = Command::data("zrevrange", Group::SortedSet, zrevrange)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.2.0")
    .cost("O(log(N)+M)")
    .summary("Returns the members between two indices, counted from the highest score.")
    .syntax("key:k start:i stop:i [withscores/WITHSCORES]");

fn zrevrange(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, Some((By::Index, true)))
}

const ZRANGEBYSCORE: Command = Command::data("zrangebyscore", Group::SortedSet, zrangebyscore)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.5")
    .cost("O(log(N)+M)")
    .summary("Returns the members with scores within a range.")
    .syntax("key:k min:d max:d [withscores/WITHSCORES@2.0.0] [offset_count={offset:i count:i}/LIMIT]");

fn zrangebyscore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, Some((By::Score, false)))
}

const ZREVRANGEBYSCORE: Command = Command::data("zrevrangebyscore", Group::SortedSet, zrevrangebyscore)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.2.0")
    .cost("O(log(N)+M)")
    .summary("Returns the members with scores within a range, the highest first.")
    .syntax("key:k max:d min:d [withscores/WITHSCORES] [offset_count={offset:i count:i}/LIMIT]");

fn zrevrangebyscore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, Some((By::Score, true)))
}

const ZRANGEBYLEX: Command = Command::data("zrangebylex", Group::SortedSet, zrangebylex)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.9")
    .cost("O(log(N)+M)")
    .summary("Returns the members within a range, if all scores are equal.")
    .syntax("key:k min:s max:s [offset_count={offset:i count:i}/LIMIT]");

fn zrangebylex(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, Some((By::Lex, false)))
}

const ZREVRANGEBYLEX: Command = Command::data("zrevrangebylex", Group::SortedSet, zrevrangebylex)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.9")
    .cost("O(log(N)+M)")
    .summary("Returns the members within a range backwards, if all scores are equal.")
    .syntax("key:k max:s min:s [offset_count={offset:i count:i}/LIMIT]");

fn zrevrangebylex(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_range(txn, args, reply, Some((By::Lex, true)))
}

const ZRANGESTORE: Command = Command::data("zrangestore", Group::SortedSet, zrangestore)
    .arity(-5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::at(2, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("6.2.0")
    .cost("O(log(N)+M)")
    .summary("Stores a range of members of a sorted set.")
    .syntax("dst:k src:k#1 min:s max:s [sortby=(byscore/BYSCORE|bylex/BYLEX)] [rev/REV] [offset_count={offset:i count:i}/LIMIT]");

fn zrangestore(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (target, source) = (args.key()?, args.key()?);
    let selection = Selection::read(&mut args, None, true)?;
    txn.zset(source)?;
    let (limits, hash_key) = txn.table_setup();
    let mut result = Zset::new();
    if let Some(zset) = txn.peek_zset(source) {
        let ranks = selection.ranks(zset);
        for (member, score) in zset.iter_from(ranks.start).take(ranks.len()) {
            result.set(&member, score, &limits, hash_key);
        }
    }
    store(txn, target, result, "zrangestore", reply);
    Ok(Outcome::Done)
}

/// Puts a computed sorted set at a key, or removes the key if there is nothing to put.
pub(super) fn store(
    txn: &mut Txn<'_>,
    target: &[u8],
    result: Zset,
    event: &'static str,
    reply: &mut Reply<'_>,
) {
    let len = result.len();
    if len > 0 {
        txn.entry(target);
        txn.put_value(target, Value::Zset(result), Expiry::Never);
        txn.changed(target, EventClass::Zset, event);
    } else if txn.exists(target) {
        txn.discard(target);
        txn.changed(target, EventClass::Generic, "del");
    }
    reply.count(len);
}

const ZREMRANGEBYRANK: Command = Command::data("zremrangebyrank", Group::SortedSet, zremrangebyrank)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("2.0.0")
    .cost("O(log(N)+M)")
    .summary("Removes the members between two indices.")
    .syntax("key:k start:i stop:i");

fn zremrangebyrank(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    remove_range(txn, key, &Ends::Index(start, stop), "zremrangebyrank", reply)
}

const ZREMRANGEBYSCORE: Command = Command::data("zremrangebyscore", Group::SortedSet, zremrangebyscore)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("1.2.0")
    .cost("O(log(N)+M)")
    .summary("Removes the members with scores within a range.")
    .syntax("key:k min:d max:d");

fn zremrangebyscore(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, min, max) = (args.key()?, score_bound(args.bytes()?)?, score_bound(args.bytes()?)?);
    remove_range(txn, key, &Ends::Score(min, max), "zremrangebyscore", reply)
}

const ZREMRANGEBYLEX: Command = Command::data("zremrangebylex", Group::SortedSet, zremrangebylex)
    .arity(4)
    .flags(WRITE)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("2.8.9")
    .cost("O(log(N)+M)")
    .summary("Removes the members within a range, if all scores are equal.")
    .syntax("key:k min:s max:s");

fn zremrangebylex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, min, max) = (args.key()?, lex_bound(args.bytes()?)?, lex_bound(args.bytes()?)?);
    remove_range(txn, key, &Ends::Lex(min, max), "zremrangebylex", reply)
}

fn remove_range(
    txn: &mut Txn<'_>,
    key: &[u8],
    ends: &Ends<'_>,
    event: &'static str,
    reply: &mut Reply<'_>,
) -> Run {
    let Some(zset) = txn.zset_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let ranks = match *ends {
        Ends::Index(start, stop) => index_range(start, stop, zset.len()),
        Ends::Score(min, max) => zset.score_range(min, max),
        Ends::Lex(min, max) => zset.lex_range(min, max),
    };
    let members: Vec<_> =
        zset.iter_from(ranks.start).take(ranks.len()).map(|(member, _)| member.to_vec()).collect();
    members.iter().for_each(|member| {
        zset.remove(member);
    });
    if !members.is_empty() {
        txn.changed(key, EventClass::Zset, event);
        txn.changed_more(members.len() - 1);
        txn.drop_if_empty(key);
    }
    reply.count(members.len());
    Ok(Outcome::Done)
}
