//! What every family of verbs uses.

pub(super) use pbj_store::command::args::is_word;
pub(super) use pbj_store::command::flags::{BLOCKING, DENYOOM, FAST, READONLY, WRITE};
pub(super) use pbj_store::command::{Args, Command, Fault, Group, Handler, Outcome, Run};
pub(super) use pbj_store::resp::reply::Reply;
pub(super) use pbj_store::txn::Txn;

pub(super) use super::{Verb, invalid};
pub(super) use crate::change::Change;
pub(super) use crate::queues::{Found, Queues};
pub(super) use crate::record::field;

/// A row with nothing but a name and a family.
pub(super) const fn row(name: &'static str, group: Group) -> Command {
    Command::new(name, group, Handler::Container)
}
