//! Bytes that are being written, and long ones among them that are not copied before they are taken.
//!
//! Purpose: whoever writes a value while others wait must not copy an element of a gigabyte. It holds the element where
//! it is, and copies a page of it with every piece that is taken.

use std::collections::VecDeque;

use crate::limits::HUGE_TEXT;
use crate::thin::Held;
use crate::types::text::Text;

/// Bytes of a long text that are copied into one piece.
const PAGE: usize = 64 << 10;
/// Room behind a long text. Without it the next byte would move it all.
const SLACK: usize = 4096;

/// Bytes, some of which are elsewhere.
#[derive(Default)]
pub(crate) struct Rope {
    here: Vec<u8>,
    /// Texts that are elsewhere, in order, and how many of the bytes here stand before them.
    elsewhere: VecDeque<(usize, Held)>,
    elsewhere_len: usize,
    /// Texts of which nothing is left.
    spent: Vec<Held>,
}

impl Rope {
    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.here.len() + self.elsewhere_len
    }

    /// Whether all of them are taken at once.
    pub(crate) fn is_short(&self) -> bool {
        self.elsewhere.is_empty()
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() > HUGE_TEXT {
            self.here.reserve(bytes.len() + SLACK);
        }
        self.here.extend_from_slice(bytes);
    }

    /// Appends a text.
    #[inline]
    pub(crate) fn text(&mut self, text: &Text<'_>) {
        match text {
            Text::Long(long) => {
                self.elsewhere_len += long.bytes().len();
                self.elsewhere.push_back((self.here.len(), long.hold()));
            }
            Text::Bytes(_) | Text::Digits(_) => self.extend(text),
        }
    }

    /// Appends what another one has.
    pub(crate) fn append(&mut self, other: Self) {
        let before = self.here.len();
        self.elsewhere.extend(other.elsewhere.into_iter().map(|(at, text)| (before + at, text)));
        self.elsewhere_len += other.elsewhere_len;
        self.spent.extend(other.spent);
        self.extend(&other.here);
    }

    /// Where bytes are appended.
    pub(crate) fn end_mut(&mut self) -> &mut Vec<u8> {
        &mut self.here
    }

    /// A place in front of what is appended next.
    #[inline]
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.here.len(), len: self.len() }
    }

    /// How many bytes stand behind a place.
    #[inline]
    pub(super) fn len_since(&self, mark: Mark) -> usize {
        self.len() - mark.len
    }

    /// Replaces bytes that were appended as such behind a place.
    pub(super) fn patch(&mut self, mark: Mark, bytes: &[u8]) {
        self.here[mark.at..mark.at + bytes.len()].copy_from_slice(bytes);
    }

    /// Takes the next piece: all that is left, or what stands before a long text and a page of it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let Some((at, text)) = self.elsewhere.front_mut() else { return std::mem::take(&mut self.here) };
        let (before, page) = (std::mem::take(at), text.len().min(PAGE));
        let rest = self.here.split_off(before);
        let mut piece = std::mem::replace(&mut self.here, rest);
        piece.extend_from_slice(&text[..page]);
        text.advance(page);
        self.elsewhere_len -= page;
        if text.is_empty() {
            self.spent.extend(self.elsewhere.pop_front().map(|(_, text)| text));
        }
        self.elsewhere.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(before));
        piece
    }

    /// Takes the long texts of which nothing is left: to free one that nobody else has takes long.
    pub(crate) fn take_spent(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.spent)
    }

    /// All bytes.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        if self.is_short() {
            return self.here;
        }
        let mut all = Vec::with_capacity(self.len() + SLACK);
        let mut at = 0;
        for (before, text) in self.elsewhere.drain(..) {
            all.extend_from_slice(&self.here[at..before]);
            all.extend_from_slice(&text);
            at = before;
        }
        all.extend_from_slice(&self.here[at..]);
        all
    }
}

/// A place in a rope of which nothing was taken since.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thin::Thin;

    /// Short and long texts, and the rope of them.
    fn woven() -> (Rope, Vec<u8>) {
        let lens = [3, HUGE_TEXT, 0, HUGE_TEXT + PAGE + 5, 100_000, HUGE_TEXT - 1];
        let (mut rope, mut all) = (Rope::default(), Vec::new());
        for (fill, len) in (1..).zip(lens) {
            let thin = Thin::new((), &vec![fill; len]);
            rope.text(&Text::within(thin.look(), thin.bytes()));
            rope.extend(b"then");
            all.extend([thin.bytes(), b"then"].concat());
        }
        (rope, all)
    }

    #[test]
    fn pieces_are_short_and_make_up_the_whole() {
        let (mut rope, mut all) = woven();
        let (other, others) = woven();
        rope.append(other);
        all.extend(others);
        let (mut read, mut pieces) = (Vec::new(), 0);
        while rope.len() > 0 {
            let left = rope.len();
            let piece = rope.take();
            assert_eq!(rope.len(), left - piece.len());
            assert!(rope.is_short() || piece.len() < 2 * HUGE_TEXT);
            read.extend(piece);
            pieces += 1;
        }
        assert!(read == all && pieces > 4 * HUGE_TEXT / PAGE);
        assert_eq!((rope.take_spent().len(), rope.take_spent().len()), (4, 0));
    }

    #[test]
    fn what_is_behind_a_place_is_counted_and_patched() {
        let (mut rope, mut all) = woven();
        let mark = rope.mark();
        rope.extend(b"????");
        rope.append(woven().0);
        assert_eq!(rope.len_since(mark), 4 + all.len());
        rope.patch(mark, b"here");
        all = [&all[..], b"here", &all].concat();
        assert!(rope.into_bytes() == all);
    }
}
