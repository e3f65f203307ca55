//! The names of a history: what a stream of effects is called now, and what it was called before.

use crate::txn::Feed;

/// Digits of a name.
const ID_LEN: usize = 40;

/// The name of the stream, and the one that it had up to some offset.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) id: String,
    /// The name before, and the first offset that it does not cover.
    pub(crate) former: Option<(String, u64)>,
    /// The data belongs to the history; it does not while a whole dataset comes in.
    pub(crate) is_whole: bool,
}

/// Forty digits, by chance.
pub(crate) fn new_id(rng: &mut fastrand::Rng) -> String {
    (0..ID_LEN).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect()
}

/// Whether a name can be one.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl History {
    pub(super) fn new(id: String) -> Self {
        Self { id, former: None, is_whole: true }
    }

    /// Whether somebody who is at `offset` of the history named `id` shares everything before it with this one.
    pub(super) fn covers(&self, id: &[u8], offset: u64) -> bool {
        id == self.id.as_bytes()
            || self.former.as_ref().is_some_and(|(former, end)| id == former.as_bytes() && offset < *end)
    }

    /// Goes on under another name; who knows the old one may still join, with what came under it.
    pub(super) fn rename(&mut self, id: String, feed: &Feed) {
        // One more than the last offset, as Redis counts: whoever has all of the old history asks for the next byte.
        let former = std::mem::replace(&mut self.id, id);
        self.former = Some((former, feed.replica_offset() + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_name_is_good_for_what_came_under_it() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (first, second) = (new_id(&mut rng), new_id(&mut rng));
        let mut feed = Feed::default();
        feed.set_replica_offset(500);
        let mut history = History::new(first.clone());
        assert!(is_id(&first) && history.covers(first.as_bytes(), 9999) && !history.covers(b"?", 0));
        history.rename(second.clone(), &feed);
        assert!(history.covers(second.as_bytes(), 9999) && history.covers(first.as_bytes(), 500));
        assert!(!history.covers(first.as_bytes(), 501));
    }
}
