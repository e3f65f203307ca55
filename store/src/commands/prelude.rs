//! What every family of commands uses.

pub(super) use crate::command::args::is_word;
pub(super) use crate::command::flags::*;
pub(super) use crate::command::keys::{Begin, Find};
pub(super) use crate::command::{Args, Command, Fault, Group, Key, KeySpec, Outcome, Run};
pub(super) use crate::number::Digits;
pub(super) use crate::resp::reply::{Protocol, Reply};
pub(super) use crate::txn::{EventClass, Txn, ValueType};
