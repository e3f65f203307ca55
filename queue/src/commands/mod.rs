//! The verbs of the queue, by family: rows and handlers side by side.
//!
//! Law: a verb checks everything before it changes anything. A worker verb with an old token, or for a job that is over
//! or unknown, is STALE and changes nothing. Adding a verb touches one file here and the list below.

mod cron;
mod fetch;
mod lock;
mod manage;
mod prelude;
mod push;
mod settle;
mod stats;

use pbj_store::command::{Args, Command, Fault, Handler, Run};
use pbj_store::resp::reply::Reply;
use pbj_store::txn::Txn;

use crate::queues::Queues;

/// A verb: its row, and what runs.
#[derive(Clone, Copy)]
pub(crate) struct Verb {
    row: Command,
    pub(crate) run: fn(&mut Queues, &mut Txn<'_>, Args<'_>, &mut Reply<'_>) -> Run,
}

/// All verbs. Their order is their numbers, which never leave the process.
pub(crate) const VERBS: [Verb; 24] = [
    push::PUSH,
    push::MPUSH,
    fetch::FETCH,
    settle::ACK,
    settle::MACK,
    settle::FAIL,
    settle::EXTEND,
    settle::RELEASE,
    manage::GET,
    manage::CANCEL,
    manage::RETRY,
    manage::SCAN,
    stats::LIST,
    stats::STATS,
    cron::SET,
    cron::GET,
    cron::LIST,
    cron::DEL,
    cron::NEXT,
    cron::LOAD,
    lock::TAKE,
    lock::EXTEND,
    lock::DROP,
    lock::INFO,
];

/// The rows of all verbs, for the engine.
pub(crate) static ROWS: [Command; VERBS.len()] = rows();

const fn rows() -> [Command; VERBS.len()] {
    let mut rows = [VERBS[0].row; VERBS.len()];
    let mut number = 0;
    while number < rows.len() {
        rows[number] = Command { handler: Handler::Extension(number as u16), ..VERBS[number].row };
        number += 1;
    }
    rows
}

/// A fault with a text of ours.
fn invalid(text: impl std::fmt::Display) -> Fault {
    Fault::other(text.to_string())
}
