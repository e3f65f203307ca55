//! How further commands come into the engine without the engine knowing them.

use crate::command::{Args, Command, Run};
use crate::resp::reply::Reply;
use crate::time::Now;
use crate::txn::Txn;

/// A set of commands with state of its own.
///
/// Law: what must survive is in keys, written through the [`Txn`]; what the extension holds in memory is derived from
/// them, and `loaded` derives it again. Keys that begin with its prefix are its own: no other command may write them,
/// so that what is derived stays true.
pub trait Extension: Send {
    /// The rows of its commands; a row's handler is `Handler::Extension(verb)`.
    fn rows(&self) -> &'static [Command];

    /// The prefix of its keys.
    fn prefix(&self) -> &'static [u8];

    /// Runs the command with this number.
    ///
    /// # Errors
    /// Whatever the client did wrong; nothing is changed then.
    fn call(&mut self, verb: u16, txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run;

    /// Does what is due, within a bound; [`Self::deadline`] says whether something is left.
    fn tick(&mut self, txn: &mut Txn<'_>);

    /// When the next thing is due, in monotonic milliseconds.
    fn deadline(&self, now: Now) -> Option<u64>;

    /// All keys were loaded: derives everything from them, and takes up what happened while nobody was there.
    fn loaded(&mut self, txn: &mut Txn<'_>);

    /// As `loaded`, where another process served this data before, which may have given out more than its disk has kept.
    /// Makes sure that no number which that one gave out is given out again.
    fn restarted(&mut self, txn: &mut Txn<'_>);

    /// This server followed another and is a master now. Derives everything, and makes sure that no number it gives out
    /// was given out by the master before, even if the last of those never came here.
    fn promoted(&mut self, txn: &mut Txn<'_>);

    /// Databases were emptied or exchanged: derives everything again.
    fn emptied(&mut self, txn: &mut Txn<'_>);

    /// A key of ours is gone because of its date.
    fn expired(&mut self, db: usize, key: &[u8]);

    /// For a host that knows the concrete type and wants to look into it.
    fn as_any(&self) -> &dyn std::any::Any;
}
