//! What a stream was at one instant, kept while it changes, and read in steps.
//!
//! Law: nodes stand in the order of their IDs, so a position among them is an ID, and it can be said of any node
//! whether it was read. Before the first change of a node that was not, it is copied, whole; a node that is new is
//! noted, to be passed over. What is known of the whole is copied at once, with the groups, whose copies share what is
//! pending in them as long as it does not change.

use std::collections::BTreeMap;

use super::node::{Node, NodeRef};
use super::{Stream, StreamId};
use crate::waiting::{Leftover, Waiting};

/// How far the nodes of an instant were read, and what changed before.
pub(super) struct Kept {
    /// The ID from which nodes were not read; nothing at the end.
    position: Option<StreamId>,
    /// Nodes as they were; nothing for those that were not there.
    nodes: BTreeMap<StreamId, Option<Node>>,
    /// Everything but the nodes.
    rest: Stream,
    waiting: Waiting,
}

impl Kept {
    /// A node with this ID is about to change, or to come if there is none.
    pub(super) fn before_change(&mut self, master: StreamId, node: Option<&Node>) {
        if self.position.is_some_and(|position| master >= position) {
            self.nodes.entry(master).or_insert_with(|| {
                self.waiting.add(node.map_or(0, Node::footprint));
                node.cloned()
            });
        }
    }
}

impl Stream {
    /// The stream without its entries.
    fn without_nodes(&self) -> Self {
        Self {
            nodes: std::collections::VecDeque::new(),
            len: self.len,
            last: self.last,
            first: self.first,
            max_deleted: self.max_deleted,
            added: self.added,
            groups: self.groups.clone(),
            kept: None,
        }
    }

    /// A copy. Neither changes with the other.
    pub(crate) fn duplicate(&self) -> Self {
        Self { nodes: self.nodes.clone(), ..self.without_nodes() }
    }

    /// Keeps nodes as they are from an ID on, if any is left, and the rest, until [`Self::let_go`].
    pub(crate) fn keep_from(&mut self, position: Option<StreamId>, waiting: &Waiting) {
        // What waits is reckoned as if nothing were shared: all of it may change.
        let (rest, mut waiting) = (self.without_nodes(), waiting.another());
        waiting.add(rest.footprint(0));
        self.kept = Some(Box::new(Kept { position, nodes: BTreeMap::new(), rest, waiting }));
    }

    /// Whether it keeps what it was.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Visits so many nodes from an ID on, as they were if they are kept. Says where it goes on.
    pub(crate) fn walk_nodes(
        &mut self,
        position: StreamId,
        count: usize,
        mut visit: impl FnMut(NodeRef<'_>),
    ) -> Option<StreamId> {
        let (nodes, mut kept) = (&self.nodes, self.kept.as_deref_mut());
        let mut next = Some(position);
        for _ in 0..count {
            let at = nodes.partition_point(|(master, _)| Some(*master) < next);
            let there = nodes.get(at).map(|(master, node)| (*master, node));
            let copy = kept.as_ref().and_then(|kept| kept.nodes.first_key_value()).map(|(master, _)| *master);
            let is_copied = copy.is_some_and(|copy| there.is_none_or(|(master, _)| copy <= master));
            let master = if is_copied { copy } else { there.map(|(master, _)| master) };
            let Some(master) = master else {
                next = None;
                break;
            };
            if !is_copied {
                there.into_iter().for_each(|(master, node)| visit(NodeRef { master, node }));
            } else if let Some(kept) = &mut kept
                && let Some(node) = kept.nodes.remove(&master).flatten()
            {
                kept.waiting.subtract(node.footprint());
                visit(NodeRef { master, node: &node });
            }
            next = master.next();
            if next.is_none() {
                break;
            }
        }
        if let Some(kept) = kept {
            kept.position = next;
        }
        next
    }

    /// Everything but the nodes, as it was if it is kept.
    pub(crate) fn rest(&self) -> &Self {
        self.kept.as_ref().map_or(self, |kept| &kept.rest)
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover> {
        self.kept.take().map(|kept| kept as Leftover)
    }

    /// The node at a place is about to change.
    #[inline]
    pub(super) fn before_change_at(&mut self, at: usize) {
        if let Some(kept) = &mut self.kept
            && let Some((master, node)) = self.nodes.get(at)
        {
            kept.before_change(*master, Some(node));
        }
    }

    /// A node with this ID is about to come.
    #[inline]
    pub(super) fn before_coming(&mut self, master: StreamId) {
        if let Some(kept) = &mut self.kept {
            kept.before_change(master, None);
        }
    }
}
