//! Lists: elements in order, quick at both ends.
//!
//! A queue of nodes; a node is up to 2 KiB of packed elements in one allocation. Elements carry their length in front
//! only (one byte less each than in a quicklist), so the last element of a node is found by walking its few cache
//! lines. Removing at the front moves nothing: the node remembers where its first element begins.

mod pieces;
mod place;

use std::collections::VecDeque;

use pieces::{Next, Pieces};
pub(crate) use place::Place;

use crate::limits::{LIST_NODE_BYTES, LIST_NODE_ELEMENTS};
use crate::thin::Thin;
use crate::types::pack::{Encoded, read, skip};
use crate::types::text::Text;
use crate::waiting::{Leftover, Waiting};

/// A list of byte strings.
#[derive(Default)]
pub(crate) struct List {
    nodes: VecDeque<Node>,
    len: usize,
    /// What it was at the instant of a snapshot that is being written, if it changed since.
    kept: Option<Box<Pieces>>,
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of index 0.
    Left,
    /// The end of index -1.
    Right,
}

/// Some consecutive elements.
struct Node(Thin<NodeHead>);

#[derive(Clone, Copy)]
struct NodeHead {
    count: u32,
    /// Where the first element begins.
    start: u32,
}

impl Node {
    fn new() -> Self {
        Self(Thin::new(NodeHead { count: 0, start: 0 }, &[]))
    }

    fn count(&self) -> usize {
        self.0.head().count as usize
    }

    fn start(&self) -> usize {
        self.0.head().start as usize
    }

    fn set_head(&mut self, count: usize, start: usize) {
        self.0.set_head(NodeHead { count: count as u32, start: start as u32 });
    }

    /// The encoded elements.
    fn data(&self) -> &[u8] {
        &self.0.bytes()[self.start()..]
    }

    fn fits(&self, more: usize) -> bool {
        self.count() == 0
            || (self.count() < LIST_NODE_ELEMENTS && self.data().len() + more <= LIST_NODE_BYTES - 32)
    }

    /// Where element `index` begins, counted from the first element.
    fn offset_of(&self, index: usize) -> usize {
        let data = self.data();
        (0..index).fold(0, |at, _| at + skip(&data[at..]))
    }

    fn get(&self, index: usize) -> Text<'_> {
        read(&self.data()[self.offset_of(index)..]).0.text().of(self.0.look())
    }

    fn iter(&self) -> impl Iterator<Item = Text<'_>> {
        let mut rest = self.data();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (element, len) = read(rest);
            rest = &rest[len..];
            Some(element.text().of(self.0.look()))
        })
    }

    fn push_left(&mut self, element: &Encoded<'_>) {
        let (count, start) = (self.count(), self.start());
        let pieces = element.pieces();
        if start < element.len() {
            // Open a gap as large as the node is full, so that a run of pushes moves each byte a few times only.
            let room = (LIST_NODE_BYTES - 32).saturating_sub(self.data().len()).min(self.data().len());
            let gap = room.max(element.len());
            self.0.splice(0, start, &[&vec![0; gap]]);
            self.set_head(count, gap);
            return self.push_left(element);
        }
        let start = start - element.len();
        let (head, body) = self.0.bytes_mut()[start..start + element.len()].split_at_mut(pieces[0].len());
        head.copy_from_slice(pieces[0]);
        body.copy_from_slice(pieces[1]);
        self.set_head(count + 1, start);
    }

    fn insert(&mut self, index: usize, element: &Encoded<'_>) {
        let (count, start) = (self.count(), self.start());
        if index == 0 && count > 0 {
            return self.push_left(element);
        }
        let at = if index == count { self.0.len() } else { start + self.offset_of(index) };
        self.0.splice(at, 0, &element.pieces());
        self.set_head(count + 1, start);
    }

    /// Removes `count` elements from `index` on.
    fn remove(&mut self, index: usize, count: usize) {
        let (from, start) = (self.offset_of(index), self.start());
        let data = self.data();
        let end = (0..count).fold(from, |at, _| at + skip(&data[at..]));
        let left = self.count() - count;
        if index == 0 {
            self.set_head(left, start + end);
        } else {
            self.0.splice(start + from, end - from, &[]);
            self.set_head(left, start);
        }
    }

    fn replace(&mut self, index: usize, element: &Encoded<'_>) {
        let at = self.start() + self.offset_of(index);
        let old = skip(&self.0.bytes()[at..]);
        self.0.splice(at, old, &element.pieces());
    }

    /// Moves the elements from `index` on to a new node.
    fn split_off(&mut self, index: usize) -> Self {
        let at = self.start() + self.offset_of(index);
        let moved = self.count() - index;
        let tail = Thin::new(NodeHead { count: moved as u32, start: 0 }, &self.0.bytes()[at..]);
        self.0.resize(at);
        self.0.shrink();
        self.set_head(index, self.start());
        Self(tail)
    }
}

impl List {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The name OBJECT ENCODING reports.
    pub(crate) fn encoding(&self) -> &'static str {
        "quicklist"
    }

    /// Adds an element at an end.
    pub(crate) fn push(&mut self, end: End, element: &[u8]) {
        let encoded = Encoded::text(element);
        self.inserted(if end == End::Left { 0 } else { self.len });
        let (len, nodes) = (self.len, self.nodes.len());
        let last = match end {
            End::Left => self.nodes.front_mut(),
            End::Right => self.nodes.back_mut(),
        };
        match last {
            Some(node) if node.fits(encoded.len()) => {
                node.insert(if end == End::Left { 0 } else { node.count() }, &encoded);
            }
            full => {
                if let (Some(node), End::Right) = (full, end) {
                    node.0.shrink();
                }
                let mut node = Node::new();
                node.insert(0, &encoded);
                match end {
                    End::Left => self.nodes.push_front(node),
                    End::Right => self.nodes.push_back(node),
                }
            }
        }
        self.len += 1;
        if end == End::Left {
            self.left_end_moved(len, nodes);
        }
    }

    /// The element at an end.
    pub(crate) fn peek(&self, end: End) -> Option<Text<'_>> {
        match end {
            End::Left => self.nodes.front().map(|node| node.get(0)),
            End::Right => self.nodes.back().map(|node| node.get(node.count() - 1)),
        }
    }

    /// Removes the element at an end.
    pub(crate) fn drop_end(&mut self, end: End) {
        let at = match end {
            End::Left => 0,
            End::Right => self.nodes.len().wrapping_sub(1),
        };
        if let Some(node) = self.nodes.get(at) {
            let index = if end == End::Left { 0 } else { node.count() - 1 };
            self.before_removal(if end == End::Left { 0 } else { self.len - 1 }, 1);
            let (len, nodes) = (self.len, self.nodes.len());
            self.remove_in(at, index, 1);
            match end {
                End::Left => self.left_end_moved(len, nodes),
                End::Right => self.right_end_moved(),
            }
        }
    }

    fn remove_in(&mut self, at: usize, index: usize, count: usize) {
        let node = &mut self.nodes[at];
        self.len -= count;
        if node.count() == count {
            self.nodes.remove(at);
        } else {
            node.remove(index, count);
        }
    }

    /// The node that holds `index`, and the place within it; counted from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut before = 0;
            for (at, node) in self.nodes.iter().enumerate() {
                if index < before + node.count() {
                    return Some((at, index - before));
                }
                before += node.count();
            }
        } else {
            let mut after = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                after -= node.count();
                if index >= after {
                    return Some((at, index - after));
                }
            }
        }
        None
    }

    /// The element at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<Text<'_>> {
        let (at, within) = self.locate(index)?;
        Some(self.nodes[at].get(within))
    }

    /// Replaces the element at `index`; says whether there is one.
    pub(crate) fn set(&mut self, index: usize, element: &[u8]) -> bool {
        let Some((at, within)) = self.locate(index) else { return false };
        self.before_removal(index, 1);
        if let Some(kept) = &mut self.kept {
            kept.inserted(index, self.len - 1);
            kept.place.middle_moved(index);
        }
        self.nodes[at].replace(within, &Encoded::text(element));
        self.split_if_large(at);
        true
    }

    /// Inserts an element before the one at `index`, or at the end.
    pub(crate) fn insert(&mut self, index: usize, element: &[u8]) {
        match self.locate(index) {
            None => self.push(End::Right, element),
            Some((0, 0)) => self.push(End::Left, element),
            Some((at, within)) => {
                self.inserted(index);
                self.middle_moved(index);
                self.nodes[at].insert(within, &Encoded::text(element));
                self.len += 1;
                self.split_if_large(at);
            }
        }
    }

    fn split_if_large(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.count() > 1 && (node.data().len() > LIST_NODE_BYTES || node.count() > LIST_NODE_ELEMENTS) {
            let tail = node.split_off(node.count() / 2);
            self.nodes.insert(at + 1, tail);
            self.split_if_large(at + 1);
            self.split_if_large(at);
        }
    }

    /// Removes `count` elements from `index` on.
    pub(crate) fn remove_range(&mut self, index: usize, count: usize) {
        self.before_removal(index, count);
        let (len, nodes) = (self.len, self.nodes.len());
        let mut left = count;
        while left > 0 {
            let Some((at, within)) = self.locate(index) else { return };
            let here = left.min(self.nodes[at].count() - within);
            self.remove_in(at, within, here);
            left -= here;
        }
        if index == 0 {
            self.left_end_moved(len, nodes);
        } else if index == self.len {
            self.right_end_moved();
        } else {
            self.middle_moved(index);
        }
    }

    /// An element is about to come in.
    #[inline]
    fn inserted(&mut self, index: usize) {
        if let Some(kept) = &mut self.kept {
            kept.inserted(index, self.len);
        }
    }

    /// Elements are about to leave.
    #[inline]
    fn before_removal(&mut self, index: usize, count: usize) {
        if let Some(mut kept) = self.kept.take() {
            let count = count.min(self.len.saturating_sub(index));
            kept.before_removal(index, count, self.len, self.iter_from(index));
            self.kept = Some(kept);
        }
    }

    /// The left end has moved; so many elements and nodes there were before.
    fn left_end_moved(&mut self, len: usize, nodes: usize) {
        if let Some(kept) = &mut self.kept {
            kept.place.left_end_moved((len, self.len), (nodes, self.nodes.len()));
        }
    }

    fn right_end_moved(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.place.right_end_moved(self.len);
        }
    }

    fn middle_moved(&mut self, index: usize) {
        if let Some(kept) = &mut self.kept {
            kept.place.middle_moved(index);
        }
    }

    /// Visits so many elements from `index` on, which is at this place or behind it; the place goes along.
    pub(crate) fn walk(&self, place: &mut Place, index: usize, count: usize, visit: impl FnMut(Text<'_>)) {
        while place.node + 1 < self.nodes.len() && place.start + self.nodes[place.node].count() <= index {
            place.start += self.nodes[place.node].count();
            place.node += 1;
        }
        let nodes = self.nodes.range(place.node.min(self.nodes.len())..);
        nodes.flat_map(Node::iter).skip(index - place.start).take(count).for_each(visit);
    }

    /// Keeps the elements as they are from an index on, until [`Self::walk_kept`] has visited all of them.
    pub(crate) fn keep_from(&mut self, index: usize, waiting: &Waiting) {
        self.kept = Some(Box::new(Pieces::new(index, self.len, waiting)));
    }

    /// Visits the next ones of the elements that are kept, about so many; says whether any may be left.
    pub(crate) fn walk_kept(&mut self, count: usize, mut visit: impl FnMut(Text<'_>)) -> bool {
        let Some(mut kept) = self.kept.take() else { return false };
        let mut left = count;
        while left > 0 {
            match kept.next(left) {
                Some(Next::Taken(element)) => {
                    visit(element.text());
                    left -= 1;
                }
                Some(Next::There(from, count)) => {
                    // What changed in front of it takes it back to the beginning.
                    self.walk(&mut kept.place, from, count, &mut visit);
                    left -= count;
                }
                None => return false,
            }
        }
        self.kept = Some(kept);
        true
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover> {
        self.kept.take().map(|kept| kept as Leftover)
    }

    /// The elements from `index` on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = Text<'_>> {
        let (at, within) = self.locate(index).unwrap_or((self.nodes.len(), 0));
        self.nodes.range(at..).flat_map(Node::iter).skip(within)
    }

    /// All elements, the last one first.
    pub(crate) fn iter_reversed(&self) -> impl Iterator<Item = Text<'_>> {
        self.nodes.iter().rev().flat_map(|node| {
            let elements: Vec<_> = node.iter().collect();
            elements.into_iter().rev()
        })
    }

    /// Bytes taken from the allocator; measured on `samples` nodes (0: on all) and extrapolated.
    pub(crate) fn footprint(&self, samples: usize) -> usize {
        let nodes = self.nodes.len();
        let sizes = self.nodes.iter().map(|node| node.0.footprint());
        size_of::<Self>()
            + self.nodes.capacity() * size_of::<Node>()
            + super::extrapolate(sizes, samples, nodes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(list: &List) -> Vec<Vec<u8>> {
        list.iter_from(0).map(|element| element.to_vec()).collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(bool, Vec<u8>),
        Drop(bool),
        Insert(usize, Vec<u8>),
        Set(usize, Vec<u8>),
        Remove(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let element = prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 0..40),
            2 => (-70_000..70_000_i64).prop_map(|n| n.to_string().into_bytes()),
            1 => proptest::collection::vec(any::<u8>(), 1500..3000),
        ];
        prop_oneof![
            6 => (any::<bool>(), element.clone()).prop_map(|(left, e)| Step::Push(left, e)),
            2 => any::<bool>().prop_map(Step::Drop),
            2 => (any::<usize>(), element.clone()).prop_map(|(at, e)| Step::Insert(at, e)),
            1 => (any::<usize>(), element).prop_map(|(at, e)| Step::Set(at, e)),
            1 => (any::<usize>(), 0..30_usize).prop_map(|(at, n)| Step::Remove(at, n)),
        ]
    }

    fn end(left: bool) -> End {
        if left { End::Left } else { End::Right }
    }

    fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, step: Step) {
        match step {
            Step::Push(left, element) => {
                list.push(end(left), &element);
                if left { model.push_front(element) } else { model.push_back(element) }
            }
            Step::Drop(left) => {
                list.drop_end(end(left));
                if left {
                    model.pop_front()
                } else {
                    model.pop_back()
                };
            }
            Step::Insert(at, element) => {
                let at = at % (model.len() + 1);
                list.insert(at, &element);
                model.insert(at, element);
            }
            Step::Set(at, element) if !model.is_empty() => {
                let at = at % model.len();
                assert!(list.set(at, &element));
                model[at] = element;
            }
            Step::Remove(at, count) if !model.is_empty() => {
                let at = at % model.len();
                let count = count.min(model.len() - at);
                list.remove_range(at, count);
                model.drain(at..at + count);
            }
            Step::Set(..) | Step::Remove(..) => {}
        }
    }

    /// Reads on in what is kept. The place from which it goes on is where it says.
    fn read_on(list: &mut List, count: usize, read: &mut Vec<Vec<u8>>) -> bool {
        if let Some(Pieces { place, .. }) = list.kept.as_deref() {
            let before: usize = list.nodes.range(..place.node).map(Node::count).sum();
            assert_eq!(place.start, before);
        }
        list.walk_kept(count, |element| read.push(element.to_vec()))
    }

    /// The place was behind the first node of a list that had become empty, and the next element went in front of it.
    #[test]
    fn a_list_that_was_emptied_is_read_from_its_beginning() {
        let (mut list, mut read) = (List::new(), Vec::new());
        list.push(End::Right, b"a");
        list.keep_from(0, &Waiting::default());
        list.drop_end(End::Right);
        list.push(End::Left, b"b");
        list.push(End::Right, b"c");
        while read_on(&mut list, 1, &mut read) {}
        assert_eq!(read, [b"a"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 128 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// The list does whatever a `VecDeque` does.
        #[test]
        fn behaves_as_a_deque(steps in proptest::collection::vec(step(), 1..300)) {
            let (mut list, mut model) = (List::new(), VecDeque::new());
            for step in steps {
                apply(&mut list, &mut model, step);
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.peek(End::Left).map(|e| e.to_vec()), model.front().cloned());
                prop_assert_eq!(list.peek(End::Right).map(|e| e.to_vec()), model.back().cloned());
            }
            prop_assert_eq!(contents(&list), model.iter().cloned().collect::<Vec<_>>());
            for (index, element) in model.iter().enumerate() {
                prop_assert_eq!(&*list.get(index).unwrap(), &element[..]);
            }
            let reversed: Vec<_> = list.iter_reversed().map(|e| e.to_vec()).collect();
            prop_assert_eq!(reversed, model.iter().rev().cloned().collect::<Vec<_>>());
        }

        /// What is kept is the list of the instant, from a certain index on, whatever happens while it is read.
        #[test]
        fn keeps_what_it_was(
            before in proptest::collection::vec(step(), 1..100),
            index in 0..20_usize,
            steps in proptest::collection::vec((step(), 0..4_usize), 1..200),
        ) {
            let (mut list, mut model) = (List::new(), VecDeque::new());
            before.into_iter().for_each(|step| apply(&mut list, &mut model, step));
            let wanted: Vec<_> = contents(&list).into_iter().skip(index).collect();
            let (waiting, mut read) = (Waiting::default(), Vec::new());
            list.keep_from(index, &waiting);
            for (step, count) in steps {
                apply(&mut list, &mut model, step);
                read_on(&mut list, count, &mut read);
            }
            while read_on(&mut list, 3, &mut read) {}
            prop_assert_eq!(read, wanted);
            prop_assert_eq!((list.kept.is_none(), waiting.sum()), (true, 0));
            prop_assert_eq!(contents(&list), model.into_iter().collect::<Vec<_>>());
        }
    }
}
