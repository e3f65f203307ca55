//! Sorted sets: members with scores, ordered by score and then by bytes.
#![allow(unsafe_code)] // The tree shares member bytes with the table; see `Large`. Tested under Miri.

mod tree;

use crate::hash::HashKey;
use crate::table::{Keyed, Table};
use crate::thin::{Thin, ThinRef};
use crate::types::Thresholds;
use crate::types::pack::{Encoded, Pack, skip};
use crate::types::text::Text;
use crate::waiting::{Leftover, Waiting};
use tree::{Ranked, Tree, compare_scores};

/// A sorted set: packed in order while it is small, a table and a tree from then on.
pub(crate) enum Zset {
    /// Member, score, member, score, ascending.
    Packed(Pack),
    /// Indexed by member and by order.
    Large(Box<Large>),
}

/// Law: every member of `order` points at an allocation that `members` owns. An item leaves `order` before its
/// allocation is dropped or its score changes, and otherwise an allocation never moves: the table moves only pointers,
/// and bytes never change.
pub(crate) struct Large {
    members: Table<Member>,
    order: Tree,
}

/// A member in its own allocation; the header is its score.
pub(crate) struct Member(Thin<f64>);

/// A look at a member.
#[derive(Clone, Copy)]
pub(crate) struct MemberRef<'a>(ThinRef<'a, f64>);

impl<'a> MemberRef<'a> {
    fn scored(self) -> Scored<'a> {
        (Text::within(self.0, self.0.bytes()), self.0.head())
    }
}

impl<'a> Keyed<'a> for MemberRef<'a> {
    fn key(self) -> &'a [u8] {
        self.0.bytes()
    }
}

crate::table::thin_item!(Member(Thin<f64>), MemberRef);

// SAFETY: the tree's shared pointers lead into allocations owned by the table beside it, so both move together.
unsafe impl Send for Large {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Large {}

/// A member with its score, on the way out.
pub(crate) type Scored<'a> = (Text<'a>, f64);

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScoreBound {
    /// The score.
    pub(crate) score: f64,
    /// Whether the score itself is outside.
    pub(crate) exclusive: bool,
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LexBound<'a> {
    /// Before everything.
    Min,
    /// From this member on, or up to it.
    Inclusive(&'a [u8]),
    /// Behind this member, or below it.
    Exclusive(&'a [u8]),
    /// Behind everything.
    Max,
}

impl ScoreBound {
    /// Whether `score` lies before a range that begins here.
    fn excludes_below(self, score: f64) -> bool {
        if self.exclusive { score <= self.score } else { score < self.score }
    }

    /// Whether `score` still lies in a range that ends here.
    fn includes_up_to(self, score: f64) -> bool {
        if self.exclusive { score < self.score } else { score <= self.score }
    }
}

impl LexBound<'_> {
    fn excludes_below(self, member: &[u8]) -> bool {
        match self {
            Self::Min => false,
            Self::Inclusive(bound) => member < bound,
            Self::Exclusive(bound) => member <= bound,
            Self::Max => true,
        }
    }

    fn includes_up_to(self, member: &[u8]) -> bool {
        match self {
            Self::Min => false,
            Self::Inclusive(bound) => member <= bound,
            Self::Exclusive(bound) => member < bound,
            Self::Max => true,
        }
    }
}

impl Large {
    fn insert(&mut self, score: f64, bytes: &[u8]) {
        let hash = self.members.hash(bytes);
        let member = Member(Thin::new(score, bytes));
        // SAFETY: the law of this type: the allocation lives in `members` for as long as this item is in `order`.
        let shared = unsafe { member.0.share() };
        self.members.insert_new(hash, member);
        self.order.insert(Ranked { score, member: shared });
    }

    fn rescore(&mut self, old: f64, new: f64, bytes: &[u8]) {
        let hash = self.members.hash(bytes);
        let Some(mut found) = self.members.find_mut(hash, bytes) else { return };
        self.order.remove(old, bytes);
        let shared = found.update(|member| {
            // If a walk has the old score, this is another allocation from now on.
            member.0.set_head(new);
            // SAFETY: as in `insert`.
            unsafe { member.0.share() }
        });
        self.order.insert(Ranked { score: new, member: shared });
    }

    fn remove(&mut self, bytes: &[u8]) -> Option<f64> {
        let hash = self.members.hash(bytes);
        let score = self.members.find(hash, bytes)?.0.head();
        self.order.remove(score, bytes);
        self.members.remove(hash, bytes);
        Some(score)
    }
}

impl Zset {
    /// An empty sorted set.
    pub(crate) fn new() -> Self {
        Self::Packed(Pack::new())
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.len() / 2,
            Self::Large(large) => large.order.len(),
        }
    }

    /// The name OBJECT ENCODING reports.
    pub(crate) fn encoding(&self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Large(_) => "skiplist",
        }
    }

    /// The score of `member`.
    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(pack) => {
                let at = pack.find(&Encoded::text(member), 2)?;
                let [_, score] = pack.read_at(at);
                Some(score.score())
            }
            Self::Large(large) => {
                large.members.find(large.members.hash(member), member).map(|found| found.0.head())
            }
        }
    }

    /// Gives `member` a score, which is not NaN, and returns the one it had.
    pub(crate) fn set(
        &mut self,
        member: &[u8],
        score: f64,
        limits: &Thresholds,
        key: HashKey,
    ) -> Option<f64> {
        let old = self.score(member);
        if old == Some(score) {
            return old;
        }
        if let Self::Packed(pack) = self {
            let grows =
                old.is_none() && pack.len() / 2 >= limits.zset_entries.min(super::pack::ELEMENTS_MAX / 2 - 1);
            if !grows && member.len() <= limits.zset_value {
                if old.is_some() {
                    Self::remove_packed(pack, member);
                }
                Self::insert_packed(pack, member, score);
                return old;
            }
            self.enlarge(key);
        }
        if let Self::Large(large) = self {
            match old {
                Some(old) => large.rescore(old, score, member),
                None => large.insert(score, member),
            }
        }
        old
    }

    /// Removes `member` and returns its score.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(pack) => Self::remove_packed(pack, member),
            Self::Large(large) => large.remove(member),
        }
    }

    fn remove_packed(pack: &mut Pack, member: &[u8]) -> Option<f64> {
        let at = pack.find(&Encoded::text(member), 2)?;
        let [_, score] = pack.read_at(at);
        let score = score.score();
        pack.remove(at, 2);
        Some(score)
    }

    fn insert_packed(pack: &mut Pack, member: &[u8], score: f64) {
        let mut at = pack.start();
        while at < pack.end() {
            let [other, other_score] = pack.read_at(at);
            let order = compare_scores(other_score.score(), score);
            if order.then_with(|| (*other.text()).cmp(member)).is_gt() {
                break;
            }
            at += skip(pack.from(at));
            at += skip(pack.from(at));
        }
        pack.insert(at, &[&Encoded::text(member), &Encoded::score(score)]);
    }

    fn enlarge(&mut self, key: HashKey) {
        let mut large = Large { members: Table::new(key), order: Tree::default() };
        for (member, score) in self.iter_from(0) {
            large.insert(score, &member);
        }
        *self = Self::Large(Box::new(large));
    }

    /// How many members stand before `member`.
    pub(crate) fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        match self {
            Self::Packed(_) => self.iter_from(0).position(|(other, _)| *other == *member),
            Self::Large(large) => Some(large.order.rank(score, member)),
        }
    }

    /// The members from `rank` on, ascending.
    pub(crate) fn iter_from(&self, rank: usize) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        match self {
            Self::Packed(pack) => {
                let mut elements = pack.iter();
                let pairs =
                    std::iter::from_fn(move || Some((elements.next()?.text(), elements.next()?.score())));
                Box::new(pairs.skip(rank))
            }
            Self::Large(large) => Box::new(large.order.iter_from(rank).map(scored)),
        }
    }

    /// The members from `rank` downwards, descending; `rank` must exist.
    pub(crate) fn iter_back_from(&self, rank: usize) -> Box<dyn Iterator<Item = Scored<'_>> + '_> {
        match self {
            Self::Packed(_) => {
                let ascending: Vec<_> = self.iter_from(0).take(rank + 1).collect();
                Box::new(ascending.into_iter().rev())
            }
            Self::Large(large) => Box::new(large.order.iter_back_from(rank).map(scored)),
        }
    }

    /// The ranks of the members whose scores lie between the two bounds.
    pub(crate) fn score_range(&self, min: ScoreBound, max: ScoreBound) -> std::ops::Range<usize> {
        self.range(|_, score| min.excludes_below(score), |_, score| max.includes_up_to(score))
    }

    /// The ranks of the members between the two bounds, if all scores are equal.
    pub(crate) fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> std::ops::Range<usize> {
        self.range(|member, _| min.excludes_below(member), |member, _| max.includes_up_to(member))
    }

    /// The ranks behind those that are `below` and up to the last that is `within`; both hold for a prefix.
    fn range(
        &self,
        below: impl Fn(&[u8], f64) -> bool,
        within: impl Fn(&[u8], f64) -> bool,
    ) -> std::ops::Range<usize> {
        let (start, end) = match self {
            Self::Packed(_) => (
                self.iter_from(0).take_while(|(member, score)| below(member, *score)).count(),
                self.iter_from(0).take_while(|(member, score)| within(member, *score)).count(),
            ),
            Self::Large(large) => (
                large.order.count_before(|item| below(item.member.bytes(), item.score)),
                large.order.count_before(|item| within(item.member.bytes(), item.score)),
            ),
        };
        start..end.max(start)
    }

    /// Visits the members at `position` of a walk and says where it goes on; see [`Table::walk`]. A packed set is
    /// visited at once.
    pub(crate) fn walk<'a>(&'a self, position: u64, mut visit: impl FnMut(Text<'a>, f64)) -> Option<u64> {
        match self {
            Self::Packed(_) => {
                self.iter_from(0).for_each(|(member, score)| visit(member, score));
                None
            }
            Self::Large(large) => large.members.walk(position, |member: MemberRef<'a>| {
                let (text, score) = member.scored();
                visit(text, score);
            }),
        }
    }

    /// Keeps all members of a large set as they are; see [`Table::keep_from`].
    pub(crate) fn keep(&mut self, waiting: &Waiting) {
        if let Self::Large(large) = self {
            let copy = |member: MemberRef<'_>| Member(member.0.to_owned());
            large.members.keep_from(0, copy, |member| member.footprint(), waiting);
        }
    }

    /// Visits some of the members that are kept, in no order; says whether any may be left.
    pub(crate) fn walk_kept(&mut self, count: usize, mut visit: impl FnMut(Text<'_>, f64)) -> bool {
        match self {
            Self::Large(large) => large.members.walk_kept(count, |member| {
                let (text, score) = member.scored();
                visit(text, score);
            }),
            Self::Packed(_) => false,
        }
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover> {
        if let Self::Large(large) = self { large.members.let_go() } else { None }
    }

    /// A member chosen with equal chances for all; `None` if the set is empty.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<Scored<'_>> {
        (self.len() > 0).then(|| rng.usize(..self.len())).and_then(|rank| self.iter_from(rank).next())
    }

    /// Bytes taken from the allocator; members are measured on `samples` of them (0: on all) and extrapolated.
    pub(crate) fn footprint(&self, samples: usize) -> usize {
        match self {
            Self::Packed(pack) => pack.footprint(),
            Self::Large(large) => {
                let sizes = large.members.iter().map(|member| member.footprint());
                large.members.footprint()
                    + large.order.footprint()
                    + super::extrapolate(sizes, samples, large.members.len())
            }
        }
    }
}

fn scored(item: &Ranked) -> Scored<'_> {
    (Text::within(item.member, item.member.bytes()), item.score)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Scores as they compare: total order over the integers used here.
    fn sorted(model: &BTreeMap<Vec<u8>, i32>) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> =
            model.iter().map(|(member, &score)| (member.clone(), f64::from(score))).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    fn check(set: &Zset, model: &BTreeMap<Vec<u8>, i32>) {
        let expected = sorted(model);
        let owned = |(member, score): Scored<'_>| (member.to_vec(), score);
        assert_eq!(set.len(), expected.len());
        assert_eq!(set.iter_from(0).map(owned).collect::<Vec<_>>(), expected);
        for (rank, (member, score)) in expected.iter().enumerate() {
            assert_eq!(set.rank(member), Some(rank));
            assert_eq!(set.score(member), Some(*score));
        }
        if let Some(last) = expected.len().checked_sub(1) {
            let middle = last / 2;
            let back: Vec<_> = set.iter_back_from(middle).map(owned).collect();
            assert_eq!(back, expected[..=middle].iter().rev().cloned().collect::<Vec<_>>());
            assert_eq!(set.iter_from(middle).map(owned).next(), Some(expected[middle].clone()));
        }
        let (low, high) = (3.0, 9.0);
        let range = set.score_range(
            ScoreBound { score: low, exclusive: true },
            ScoreBound { score: high, exclusive: false },
        );
        let inside = expected.iter().filter(|(_, score)| *score > low && *score <= high).count();
        assert_eq!(range.len(), inside);
    }

    /// A long member is shared with what is kept until its score changes: then it is another allocation, also in the
    /// order.
    #[test]
    fn a_long_member_that_is_kept_gets_another_score() {
        let (limits, key) = (Thresholds::default(), HashKey::new(1, 2));
        let long = vec![b'm'; crate::limits::HUGE_TEXT];
        let mut set = Zset::new();
        for (member, score) in [(&long[..], 1.0), (b"a", 2.0), (b"b", 3.0)] {
            set.set(member, score, &limits, key);
        }
        let waiting = Waiting::default();
        set.keep(&waiting);
        assert_eq!(set.set(&long, 5.0, &limits, key), Some(1.0));
        let mut kept = Vec::new();
        while set.walk_kept(1, |member, score| kept.push((member.len(), score))) {}
        kept.sort_by(|a, b| a.1.total_cmp(&b.1));
        assert_eq!(kept, [(long.len(), 1.0), (1, 2.0), (1, 3.0)]);
        let now: Vec<_> = set.iter_from(0).map(|(member, score)| (member.len(), score)).collect();
        assert_eq!(now, [(1, 2.0), (1, 3.0), (long.len(), 5.0)]);
        assert_eq!((set.remove(&long), set.len(), waiting.sum()), (Some(5.0), 2, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 2 } else { 48 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Both forms agree with a plain map, through growth, change of scores and removal.
        #[test]
        fn behaves_as_a_sorted_map(
            steps in proptest::collection::vec(
                (0..400_u16, 0..20_i32, 0..4_u8),
                1..if cfg!(miri) { 120 } else { 3000 },
            ),
            packed in 0..3_usize,
        ) {
            let limits = Thresholds { zset_entries: packed * 64, ..Thresholds::default() };
            let (mut set, mut model) = (Zset::new(), BTreeMap::new());
            for (member, score, action) in steps {
                let member = format!("member:{member}").into_bytes();
                if action == 0 {
                    prop_assert_eq!(set.remove(&member), model.remove(&member).map(f64::from));
                } else {
                    let old = set.set(&member, f64::from(score), &limits, HashKey::new(3, 4));
                    prop_assert_eq!(old, model.insert(member, score).map(f64::from));
                }
            }
            check(&set, &model);
        }
    }

    #[test]
    fn ascending_and_descending_growth_and_decay() {
        let count = if cfg!(miri) { 300 } else { 40_000 };
        for ascending in [true, false] {
            let limits = Thresholds::default();
            let mut set = Zset::new();
            for n in 0..count {
                let score = if ascending { n } else { count - n };
                set.set(format!("m{n}").as_bytes(), f64::from(score), &limits, HashKey::default());
            }
            assert_eq!(set.len(), count as usize);
            assert_eq!(set.rank(b"m7"), Some(if ascending { 7 } else { count as usize - 8 }));
            for n in (0..count).step_by(2).chain((1..count).step_by(2)) {
                assert!(set.remove(format!("m{n}").as_bytes()).is_some());
            }
            assert_eq!(set.len(), 0);
        }
    }

    #[test]
    fn a_full_leaf_ends_where_the_next_begins() {
        let limits = Thresholds { zset_entries: 0, ..Thresholds::default() };
        let mut set = Zset::new();
        for n in 0..1000 {
            set.set(format!("{n:04}").as_bytes(), 0.0, &limits, HashKey::default());
        }
        assert_eq!(set.lex_range(LexBound::Inclusive(b"0064"), LexBound::Exclusive(b"0128")), 64..128);
        assert_eq!(set.lex_range(LexBound::Min, LexBound::Max), 0..1000);
        assert_eq!(set.lex_range(LexBound::Max, LexBound::Min).len(), 0);
    }
}
