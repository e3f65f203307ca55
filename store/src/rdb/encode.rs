//! Writing values.
//!
//! Law: what redis-server 7.0.15 would have in memory decides the encoding: a listpack where ours is packed, an intset,
//! a table, a skip list from its end, nodes of lists as appending fills them. Where its choice depends on history
//! (nodes of a list that was edited, the order of a table) any of its choices is taken.

use super::listpack::Builder;
use super::{Output, intset, types};
use crate::keyspace::View;
use crate::number::format_score;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::pack::{Element, Pack};
use crate::types::set::Set;
use crate::types::stream::weight;
use crate::types::text::Text;
use crate::types::zset::Zset;

/// Bytes of a node of a list (`list-max-listpack-size -2`).
const LIST_NODE_MAX: usize = 8192;
/// Bytes that Redis reckons for what stands around an element.
const LIST_ELEMENT_OVERHEAD: usize = 8;
/// From how many bytes on an element of a list stands on its own.
const LIST_PLAIN_MIN: usize = 1 << 30;
/// A node that is one long element.
const NODE_PLAIN: u64 = 1;
/// A node that is a listpack.
const NODE_PACKED: u64 = 2;
/// Packs of more bytes are not written as listpacks, which must stay below 1 GiB.
const PACK_MAX: usize = 1 << 29;

/// What the byte before a value says.
pub(super) fn type_of(view: View<'_>) -> u8 {
    match view {
        View::Inline(_) | View::Integer(_) | View::Raw(_) => types::STRING,
        View::List(_) => types::LIST_QUICKLIST_2,
        View::Set(Set::Integers(_)) => types::SET_INTSET,
        View::Set(_) => types::SET,
        View::Hash(Hash::Packed(pack)) if is_listpack(pack) => types::HASH_LISTPACK,
        View::Hash(hash) if hash.next_date().is_some() => types::HASH_METADATA,
        View::Hash(_) => types::HASH,
        View::Zset(Zset::Packed(pack)) if is_listpack(pack) => types::ZSET_LISTPACK,
        View::Zset(_) => types::ZSET_2,
        View::Stream(_) => types::STREAM_2,
    }
}

fn is_listpack(pack: &Pack) -> bool {
    pack.end() <= PACK_MAX
}

/// Writes a value, without its type.
pub(super) fn value(view: View<'_>, out: &mut Output) {
    match view {
        View::Inline(text) => out.string(text),
        View::Integer(value) => out.integer(value),
        View::Raw(text) => out.string(text.bytes()),
        View::List(list) => write_list(list, out),
        View::Set(Set::Integers(integers)) => {
            intset::write(integers, &mut out.blob);
            out.finish_blob();
        }
        View::Set(set) => {
            out.count(set.len());
            set.iter().for_each(|member| out.text(&member));
        }
        View::Hash(Hash::Packed(pack)) | View::Zset(Zset::Packed(pack)) if is_listpack(pack) => {
            write_pack(pack, out);
        }
        View::Hash(hash) => match hash.next_date() {
            Some(smallest) => write_dated(hash, smallest, out),
            None => write_hash(hash, out),
        },
        View::Zset(zset) => write_zset(zset, out),
        View::Stream(stream) => super::encode_stream::write(stream, out),
    }
}

fn write_pack(pack: &Pack, out: &mut Output) {
    out.listpack(pack.end(), |listpack| {
        for element in pack.iter() {
            match element {
                Element::Bytes(bytes) => listpack.text(&pack.text(bytes)),
                Element::Integer(value) => listpack.integer(value),
                Element::Float(score) => write_score(score, listpack),
            }
        }
    });
}

/// Redis takes integers up to 2^62 for such.
fn write_score(score: f64, listpack: &mut Builder<'_>) {
    if score == score.trunc() && score.abs() <= (1_u64 << 62) as f64 {
        listpack.integer(score as i64);
    } else {
        listpack.text(&Text::Bytes(&format_score(score)));
    }
}

fn write_hash(hash: &Hash, out: &mut Output) {
    out.count(hash.len());
    for (field, value) in hash.iter() {
        out.text(&field);
        out.text(&value);
    }
}

/// The form of Redis 7.4, which older servers refuse rather than forget the dates: before each field how much later
/// than the smallest date its own is, plus one, or nothing for a field without one.
fn write_dated(hash: &Hash, smallest: u64, out: &mut Output) {
    out.raw(&smallest.to_le_bytes());
    out.count(hash.len());
    for (field, value, date) in hash.iter_dated() {
        out.length(date.map_or(0, |date| date.saturating_sub(smallest) + 1));
        out.text(&field);
        out.text(&value);
    }
}

/// The greatest first: so Redis inserts each at the beginning of its skip list.
fn write_zset(zset: &Zset, out: &mut Output) {
    out.count(zset.len());
    let Some(last) = zset.len().checked_sub(1) else { return };
    for (member, score) in zset.iter_back_from(last) {
        out.text(&member);
        out.raw(&score.to_le_bytes());
    }
}

/// The nodes of a list as they fill up when elements are appended.
#[derive(Clone, Copy)]
struct Nodes {
    count: u64,
    /// Bytes of the last node, if something can be added to it.
    last: Option<usize>,
}

impl Nodes {
    fn new() -> Self {
        Self { count: 0, last: None }
    }

    /// Adds an element; says whether a new node begins with it.
    fn add(&mut self, element: &[u8]) -> bool {
        if element.len() >= LIST_PLAIN_MIN {
            self.count += 1;
            self.last = None;
            return true;
        }
        let fits = |bytes: &usize| bytes + element.len() + LIST_ELEMENT_OVERHEAD <= LIST_NODE_MAX;
        let before = self.last.filter(fits);
        self.last = Some(before.unwrap_or(weight::EMPTY) + weight::text(element));
        self.count += u64::from(before.is_none());
        before.is_none()
    }
}

fn write_list(list: &List, out: &mut Output) {
    let mut nodes = Nodes::new();
    for element in list.iter_from(0) {
        nodes.add(&element);
    }
    out.length(nodes.count);
    let (mut nodes, mut elements) = (Nodes::new(), list.iter_from(0).peekable());
    while let Some(first) = elements.next() {
        nodes.add(&first);
        if nodes.last.is_none() {
            out.length(NODE_PLAIN);
            out.text(&first);
            continue;
        }
        out.length(NODE_PACKED);
        out.listpack(first.len(), |listpack| {
            listpack.text(&first);
            while let Some(next) = elements.peek() {
                let mut ahead = nodes;
                if ahead.add(next) {
                    break;
                }
                listpack.text(next);
                nodes = ahead;
                elements.next();
            }
        });
    }
}
