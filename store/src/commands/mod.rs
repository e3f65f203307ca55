//! The commands, by family: rows and handlers side by side.
//!
//! Law: a handler checks all its arguments before it changes anything, changes data only through its transaction, and
//! writes its reply in typed calls. Adding a command touches one file here.

mod acl;
mod bitfield;
mod bitmap;
mod client;
mod client_tracking;
mod cluster;
mod command;
mod config;
mod connection;
mod debug;
mod dump;
mod expire;
mod function;
mod geo;
mod geo_search;
mod hash;
mod hash_ex;
mod hash_expiry;
mod help;
mod hyperloglog;
mod info;
mod key;
mod latency;
mod lcs;
mod list;
mod list_wait;
mod memory;
mod migrate;
mod module;
mod multi;
mod object;
mod persistence;
mod prelude;
mod pubsub;
mod ranges;
mod reload;
mod replication;
mod scan;
mod script;
mod server;
mod set;
mod set_random;
mod slowlog;
mod sort;
mod stream;
mod stream_claim;
mod stream_group;
mod stream_info;
mod stream_read;
mod string;
mod string_if;
mod zset;
mod zset_combine;
mod zset_pop;
mod zset_range;

use std::collections::BTreeSet;

pub(crate) use help::help_of;
pub(crate) use scan::walk;

use crate::command::{Args, Command, Fault};
use crate::limits::{REPEATED_BYTES_MAX, REPEATED_ELEMENTS_MAX};
use crate::resp::reply::{Protocol, Reply};

/// All rows of the store.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    [
        string::ROWS,
        string_if::ROWS,
        lcs::ROWS,
        bitmap::ROWS,
        bitfield::ROWS,
        hyperloglog::ROWS,
        geo::ROWS,
        geo_search::ROWS,
        sort::ROWS,
        stream::ROWS,
        stream_read::ROWS,
        stream_group::ROWS,
        stream_claim::ROWS,
        stream_info::ROWS,
        list::ROWS,
        list_wait::ROWS,
        set::ROWS,
        set_random::ROWS,
        hash::ROWS,
        hash_ex::ROWS,
        hash_expiry::ROWS,
        zset::ROWS,
        zset_range::ROWS,
        zset_pop::ROWS,
        zset_combine::ROWS,
        key::ROWS,
        expire::ROWS,
        dump::ROWS,
        object::ROWS,
        connection::ROWS,
        client::ROWS,
        acl::ROWS,
        multi::ROWS,
        pubsub::ROWS,
        command::ROWS,
        config::ROWS,
        debug::ROWS,
        info::ROWS,
        server::ROWS,
        persistence::ROWS,
        script::ROWS,
        function::ROWS,
        slowlog::ROWS,
        latency::ROWS,
        memory::ROWS,
        replication::ROWS,
        migrate::ROWS,
        module::ROWS,
        cluster::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The count and the option of HRANDFIELD and ZRANDMEMBER; nothing if there is no count.
fn random_args(args: &mut Args<'_>, word: &str) -> Result<Option<(i64, bool)>, Fault> {
    if args.left() == 0 {
        return Ok(None);
    }
    let count = args.integer_between(-i64::MAX, i64::MAX)?;
    let with_values = args.word(word);
    args.end()?;
    if with_values && count.abs() > i64::MAX / 2 {
        return Err(Fault::OutOfRange);
    }
    Ok(Some((count, with_values)))
}

/// Writes `count` elements, which may repeat, behind what `open` writes; refused if that is more than a reply can hold,
/// and ended early if its client is cut off before.
fn repeat(
    reply: &mut Reply<'_>,
    count: usize,
    open: impl FnOnce(&mut Reply<'_>),
    mut write_one: impl FnMut(&mut Reply<'_>),
) -> Result<(), Fault> {
    if count > REPEATED_ELEMENTS_MAX && !reply.is_limited() {
        return Err(Fault::OutOfRange);
    }
    let start = reply.position();
    open(reply);
    for _ in 0..count {
        if reply.is_lost() {
            break;
        }
        write_one(reply);
        if reply.position() - start > REPEATED_BYTES_MAX {
            reply.truncate(start);
            return Err(Fault::OutOfRange);
        }
    }
    Ok(())
}

/// `count` different numbers below `len` (all, if there are fewer), each choice equally likely (Floyd's algorithm).
fn choose_indices(count: usize, len: usize, rng: &mut fastrand::Rng) -> BTreeSet<usize> {
    let count = count.min(len);
    let mut chosen = BTreeSet::new();
    for last in len - count..len {
        let drawn = rng.usize(..=last);
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen
}

/// Opens an array of members, with room for their scores if they go along.
fn open_scored(reply: &mut Reply<'_>, members: usize, with_scores: bool) {
    reply.array(if with_scores && reply.protocol() == Protocol::V2 { 2 * members } else { members });
}

/// Writes a member, and its score behind it (RESP2) or with it in a pair (RESP3).
fn write_scored(reply: &mut Reply<'_>, member: &[u8], score: f64, with_score: bool) {
    if with_score && reply.protocol() == Protocol::V3 {
        reply.array(2);
    }
    reply.bulk(member);
    if with_score {
        reply.double(score);
    }
}
