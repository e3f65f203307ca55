//! A place in a list, from which it is read on without counting elements from an end.

/// A node of a list, by its number, and the index of its first element.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(super) node: usize,
    pub(super) start: usize,
}

impl Place {
    /// Elements came in or went at the left end, and nodes with them; the place is the beginning if its node went, or
    /// there was none yet.
    pub(super) fn left_end_moved(&mut self, elements: (usize, usize), nodes: (usize, usize)) {
        let moved = |at: usize, (before, after): (usize, usize)| (at + after).checked_sub(before);
        let node = moved(self.node, nodes).filter(|node| (1..nodes.1).contains(node));
        *self = match (node, moved(self.start, elements)) {
            (Some(node), Some(start)) => Self { node, start },
            _ => Self::default(),
        };
    }

    /// Elements came, went or changed at this index; the place is the beginning if that was in front of it.
    pub(super) fn middle_moved(&mut self, index: usize) {
        if index < self.start {
            *self = Self::default();
        }
    }

    /// Elements went at the right end, so many are left; the place is the beginning if its node may have gone.
    pub(super) fn right_end_moved(&mut self, len: usize) {
        if len <= self.start {
            *self = Self::default();
        }
    }
}
