//! Sorted sets: unions, intersections and differences of several, sets included.

use super::prelude::*;
use super::set::intersection_limit;
use super::zset_range::store;
use crate::hash::ByteMap;
use crate::number::parse_f64;
use crate::types::Thresholds;
use crate::types::set::Set;
use crate::types::zset::Zset;

pub(super) const ROWS: &[Command] =
    &[ZUNION, ZINTER, ZDIFF, ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE, ZINTERCARD];

/// One of the inputs: a set counts as a sorted set with scores of 1.
#[derive(Clone, Copy)]
enum Input<'a> {
    Nothing,
    Set(&'a Set),
    Zset(&'a Zset),
}

impl<'a> Input<'a> {
    fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::Zset(zset) => zset.score(member),
        }
    }

    fn for_each(self, mut visit: impl FnMut(&[u8], f64)) {
        match self {
            Self::Nothing => {}
            Self::Set(set) => set.iter().for_each(|member| visit(&member, 1.0)),
            Self::Zset(zset) => zset.iter_from(0).for_each(|(member, score)| visit(&member, score)),
        }
    }
}

/// How inputs are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combination {
    Union,
    Intersection,
    Difference,
}

impl Combination {
    fn name(self, stored: bool) -> &'static str {
        match (self, stored) {
            (Self::Union, true) => "zunionstore",
            (Self::Intersection, true) => "zinterstore",
            (Self::Difference, true) => "zdiffstore",
            (Self::Union, false) => "zunion",
            (Self::Intersection, false) => "zinter",
            (Self::Difference, false) => "zdiff",
        }
    }
}

/// How scores of the same member are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => or_zero(a + b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// Infinity minus infinity, and zero times infinity, count as nothing.
fn or_zero(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number }
}

/// Keys and options of a combination.
struct Plan<'a> {
    how: Combination,
    keys: &'a [&'a [u8]],
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl<'a> Plan<'a> {
    fn read(txn: &mut Txn<'_>, args: &mut Args<'a>, how: Combination, stored: bool) -> Result<Self, Fault> {
        let keys = input_keys(txn, args, how.name(stored))?;
        let weights = vec![1.0; keys.len()];
        let mut plan = Self { how, keys, weights, aggregate: Aggregate::Sum, with_scores: false };
        while args.left() > 0 {
            let word = args.bytes()?;
            if how != Combination::Difference && is_word(word, "WEIGHTS") && args.left() >= keys.len() {
                let weights = args.take(keys.len())?.iter().map(|text| parse_f64(text));
                plan.weights =
                    weights.collect::<Option<_>>().ok_or(Fault::other("weight value is not a float"))?;
            } else if how != Combination::Difference && is_word(word, "AGGREGATE") && args.left() >= 1 {
                let word = args.bytes()?;
                plan.aggregate = match () {
                    () if is_word(word, "SUM") => Aggregate::Sum,
                    () if is_word(word, "MIN") => Aggregate::Min,
                    () if is_word(word, "MAX") => Aggregate::Max,
                    () => return Err(Fault::Syntax),
                };
            } else if !stored && is_word(word, "WITHSCORES") {
                plan.with_scores = true;
            } else {
                return Err(Fault::Syntax);
            }
        }
        Ok(plan)
    }

    fn run(&self, txn: &Txn<'_>, limits: &Thresholds) -> Zset {
        let (_, key) = txn.table_setup();
        let inputs = inputs(txn, self.keys);
        let mut scores: ByteMap<f64> = ByteMap::with_hasher(key);
        match self.how {
            Combination::Union => self.unite(&inputs, &mut scores),
            Combination::Intersection => {
                intersect(&inputs, usize::MAX, |member| {
                    let products = self
                        .smallest_first(&inputs)
                        .filter_map(|n| Some(self.weights[n] * inputs[n].score(member)?))
                        .enumerate();
                    // Only the first product is kept from being NaN; the others are when they are summed up.
                    let products =
                        products.map(|(nth, product)| if nth == 0 { or_zero(product) } else { product });
                    if let Some(score) = products.reduce(|a, b| self.aggregate.of(a, b)) {
                        scores.insert(member.into(), score);
                    }
                });
            }
            Combination::Difference => {
                if let Some((first, others)) = inputs.split_first() {
                    first.for_each(|member, score| {
                        if others.iter().all(|other| other.score(member).is_none()) {
                            scores.insert(member.into(), score);
                        }
                    });
                }
            }
        }
        let mut result = Zset::new();
        for (member, score) in &scores {
            result.set(member, *score, limits, key);
        }
        result
    }

    fn unite(&self, inputs: &[Input<'_>], scores: &mut ByteMap<f64>) {
        for n in self.smallest_first(inputs) {
            inputs[n].for_each(|member, score| {
                let score = or_zero(self.weights[n] * score);
                match scores.get_mut(member) {
                    Some(old) => *old = self.aggregate.of(*old, score),
                    None => {
                        scores.insert(member.into(), score);
                    }
                }
            });
        }
    }

    /// The order in which scores are added up, as in Redis: sums of floats depend on it.
    fn smallest_first(&self, inputs: &[Input<'_>]) -> impl Iterator<Item = usize> {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&n| inputs[n].len());
        order.into_iter()
    }
}

/// Takes the number of inputs and their keys, and checks what is there; options come later.
fn input_keys<'a>(txn: &mut Txn<'_>, args: &mut Args<'a>, command: &str) -> Result<&'a [&'a [u8]], Fault> {
    let numkeys = args.integer()?;
    if numkeys < 1 {
        return Err(Fault::other(format!("at least 1 input key is needed for '{command}' command")));
    }
    let keys = args.take(usize::try_from(numkeys).map_err(|_| Fault::Syntax)?)?;
    for key in keys {
        if let Some(entry) = txn.entry_for_reading(key)
            && !matches!(ValueType::of(entry.view()), ValueType::Set | ValueType::Zset)
        {
            return Err(Fault::WrongType);
        }
    }
    Ok(keys)
}

/// The inputs at these keys, which were checked.
fn inputs<'t>(txn: &'t Txn<'_>, keys: &[&[u8]]) -> Vec<Input<'t>> {
    keys.iter()
        .map(|key| match (txn.peek_set(key), txn.peek_zset(key)) {
            (Some(set), _) => Input::Set(set),
            (_, Some(zset)) => Input::Zset(zset),
            _ => Input::Nothing,
        })
        .collect()
}

/// Visits up to `limit` members that all inputs have.
fn intersect(inputs: &[Input<'_>], limit: usize, mut visit: impl FnMut(&[u8])) -> usize {
    let Some(smallest) = inputs.iter().min_by_key(|input| input.len()) else { return 0 };
    let mut count = 0;
    smallest.for_each(|member, _| {
        if count < limit && inputs.iter().all(|input| input.score(member).is_some()) {
            count += 1;
            visit(member);
        }
    });
    count
}

fn reply_combined(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, how: Combination) -> Run {
    let plan = Plan::read(txn, &mut args, how, false)?;
    // What is stored compactly forgets the sign of a zero; what is only returned does not.
    let limits = Thresholds { zset_entries: 0, ..txn.table_setup().0 };
    let result = plan.run(txn, &limits);
    super::open_scored(reply, result.len(), plan.with_scores);
    for (member, score) in result.iter_from(0) {
        super::write_scored(reply, &member, score, plan.with_scores);
    }
    Ok(Outcome::Done)
}

fn store_combined(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, how: Combination) -> Run {
    let target = args.key()?;
    let plan = Plan::read(txn, &mut args, how, true)?;
    let result = plan.run(txn, &txn.table_setup().0);
    store(txn, target, result, how.name(true), reply);
    Ok(Outcome::Done)
}

const ZUNION: Command = Command::data("zunion", Group::SortedSet, zunion)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::counted(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N)+O(M*log(M))")
    .summary("Returns the members that any of the sorted sets has, with combined scores.")
    .syntax("numkeys:i key:k... [weight:i/WEIGHTS...] [aggregate=(sum/SUM|min/MIN|max/MAX)/AGGREGATE] [withscores/WITHSCORES]");

fn zunion(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Union)
}

const ZINTER: Command = Command::data("zinter", Group::SortedSet, zinter)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::counted(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N*K)+O(M*log(M)) worst case")
    .summary("Returns the members that all sorted sets have, with combined scores.")
    .syntax("numkeys:i key:k... [weight:i/WEIGHTS...] [aggregate=(sum/SUM|min/MIN|max/MAX)/AGGREGATE] [withscores/WITHSCORES]");

fn zinter(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Intersection)
}

const ZDIFF: Command = Command::data("zdiff", Group::SortedSet, zdiff)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::counted(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(L + (N-K)log(N)) worst case")
    .summary("Returns the members of the first sorted set that are in none of the others.")
    .syntax("numkeys:i key:k... [withscores/WITHSCORES]");

fn zdiff(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_combined(txn, args, reply, Combination::Difference)
}

const ZUNIONSTORE: Command = Command::data("zunionstore", Group::SortedSet, zunionstore)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::counted(2, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("2.0.0")
    .cost("O(N)+O(M log(M))")
    .summary("Stores the members that any of the sorted sets has, with combined scores.")
    .syntax("destination:k numkeys:i key:k...#1 [weight:i/WEIGHTS...] [aggregate=(sum/SUM|min/MIN|max/MAX)/AGGREGATE]");

fn zunionstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Union)
}

const ZINTERSTORE: Command = Command::data("zinterstore", Group::SortedSet, zinterstore)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::counted(2, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("2.0.0")
    .cost("O(N*K)+O(M*log(M)) worst case")
    .summary("Stores the members that all sorted sets have, with combined scores.")
    .syntax("destination:k numkeys:i key:k...#1 [weight:i/WEIGHTS...] [aggregate=(sum/SUM|min/MIN|max/MAX)/AGGREGATE]");

fn zinterstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Intersection)
}

const ZDIFFSTORE: Command = Command::data("zdiffstore", Group::SortedSet, zdiffstore)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::counted(2, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("6.2.0")
    .cost("O(L + (N-K)log(N)) worst case")
    .summary("Stores the members of the first sorted set that are in none of the others.")
    .syntax("destination:k numkeys:i key:k...#1");

fn zdiffstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    store_combined(txn, args, reply, Combination::Difference)
}

const ZINTERCARD: Command = Command::data("zintercard", Group::SortedSet, zintercard)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::counted(1, Key::RO | Key::ACCESS)])
    .since("7.0.0")
    .cost("O(N*K) worst case")
    .summary("Returns how many members all sorted sets have.")
    .syntax("numkeys:i key:k... [limit:i/LIMIT]");

fn zintercard(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let keys = input_keys(txn, &mut args, "zintercard")?;
    let limit = intersection_limit(&mut args)?;
    reply.count(intersect(&inputs(txn, keys), limit, |_| {}));
    Ok(Outcome::Done)
}
