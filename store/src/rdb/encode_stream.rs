//! Writing streams: nodes as listpacks, then what is known of the whole, then groups with what their consumers have not
//! acknowledged.
//!
//! ```text
//! node  := entries, deleted, number of fields, name *, 0, entry *
//! entry := flags, ms - ms of the node, seq - seq of the node,
//!          value * | number of fields, (name, value) *, number of elements of this entry
//! ```
//! Flags: 1 deleted, 2 the names are those of the node. Entries that were deleted are left out: of those, only the ID
//! is left here.

use super::Output;
use super::listpack::Builder;
use crate::types::stream::{Entry, Group, Stream, StreamId};

/// The entry was deleted.
pub(super) const DELETED: i64 = 1;
/// The names of its fields are those of the node.
pub(super) const SAME_NAMES: i64 = 2;

pub(super) fn write(stream: &Stream, out: &mut Output) {
    out.count(stream.nodes_len());
    for node in stream.nodes() {
        out.string(&node.master.to_bytes());
        let mut listpack = Builder::new(&mut out.blob);
        listpack.integer(node.live() as i64);
        listpack.integer(0);
        listpack.integer(node.fields() as i64);
        node.names().for_each(|name| listpack.text(&name));
        listpack.integer(0);
        node.entries().for_each(|entry| write_entry(&mut listpack, node.master, entry));
        listpack.finish();
        out.finish_blob();
    }
    out.length(stream.len());
    write_id(stream.last, out);
    write_id(stream.first, out);
    write_id(stream.max_deleted, out);
    out.length(stream.added);
    out.count(stream.groups().len());
    for (name, group) in stream.groups() {
        out.string(name);
        write_group(group, out);
    }
}

fn write_id(id: StreamId, out: &mut Output) {
    out.length(id.ms);
    out.length(id.seq);
}

fn write_entry(listpack: &mut Builder<'_>, master: StreamId, entry: Entry<'_>) {
    let fields = entry.fields() as i64;
    let same_names = entry.shares_names();
    listpack.integer(if same_names { SAME_NAMES } else { 0 });
    listpack.integer(entry.id.ms.wrapping_sub(master.ms) as i64);
    listpack.integer(entry.id.seq.wrapping_sub(master.seq) as i64);
    if !same_names {
        listpack.integer(fields);
    }
    for (name, value) in entry.pairs() {
        if !same_names {
            listpack.text(&name);
        }
        listpack.text(&value);
    }
    listpack.integer(if same_names { fields + 3 } else { 2 * fields + 4 });
}

fn write_group(group: &Group, out: &mut Output) {
    write_id(group.last, out);
    // What is not known is -1 there.
    out.length(group.read.unwrap_or(u64::MAX));
    out.count(group.pending_len());
    for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX) {
        out.raw(&id.to_bytes());
        out.time(pending.delivered_ms);
        out.length(pending.deliveries);
    }
    out.count(group.consumers_len());
    for consumer in group.consumers() {
        out.string(consumer.name());
        out.time(consumer.seen_ms);
        out.count(consumer.pending_len());
        consumer.pending_ids().for_each(|id| out.raw(&id.to_bytes()));
    }
}
