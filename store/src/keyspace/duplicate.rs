//! Copies of values.

use super::{Value, View};
use crate::hash::HashKey;
use crate::types::Thresholds;
use crate::types::list::{End, List};
use crate::types::set::Set;
use crate::types::zset::Zset;

impl Value {
    /// A copy of a value that is as compact as it is. Neither changes with the other.
    pub(crate) fn duplicate(view: View<'_>, limits: &Thresholds, key: HashKey) -> Self {
        let limits = &limits_of_copy(view, limits);
        match view {
            View::Inline(text) => Self::Inline(text.into()),
            View::Integer(value) => Self::Integer(value),
            View::Raw(text) => Self::Raw(text.clone()),
            View::List(list) => {
                let mut copy = List::new();
                list.iter_from(0).for_each(|element| copy.push(End::Right, &element));
                Self::List(Box::new(copy))
            }
            View::Set(set) => {
                let mut copy = Set::new();
                set.iter().for_each(|member| {
                    copy.insert(&member, limits, key);
                });
                Self::Set(copy)
            }
            View::Hash(hash) => Self::Hash(hash.duplicate(limits, key)),
            View::Zset(zset) => {
                let mut copy = Zset::new();
                zset.iter_from(0).for_each(|(member, score)| {
                    copy.set(&member, score, limits, key);
                });
                Self::Zset(copy)
            }
            View::Stream(stream) => Self::Stream(Box::new(stream.duplicate())),
        }
    }
}

/// Limits under which a copy takes the form of the original, which may be of a time with others.
fn limits_of_copy(view: View<'_>, limits: &Thresholds) -> Thresholds {
    let bound = |is_compact: bool| if is_compact { usize::MAX } else { 0 };
    let mut limits = *limits;
    match view {
        View::Hash(hash) => {
            limits.hash_entries = bound(hash.encoding() == "listpack");
            limits.hash_value = limits.hash_entries;
        }
        View::Set(set) => limits.intset_entries = bound(set.encoding() == "intset"),
        View::Zset(zset) => {
            limits.zset_entries = bound(zset.encoding() == "listpack");
            limits.zset_value = limits.zset_entries;
        }
        _ => {}
    }
    limits
}
