//! Who calls which script, and what is known of it while it runs.

use crate::engine::ClientId;
use crate::time::Now;

/// The client that commands of scripts run as. No connection ever has this number.
pub(super) const SCRIPT_CLIENT: ClientId = ClientId(0);

/// What the engine knows about the script that runs now.
#[derive(Debug)]
pub(crate) struct Running {
    /// Whose it is.
    pub(crate) client: ClientId,
    pub(crate) is_eval: bool,
    /// When it began.
    pub(crate) started: Now,
    /// It wrote something, so it cannot be ended halfway.
    pub(crate) wrote: bool,
    /// It is to end.
    pub(crate) killed: bool,
    /// The server ends, and the script with it, whatever it has done.
    pub(crate) abandoned: bool,
    /// Libraries and functions at its beginning.
    pub(crate) counts: (usize, usize),
    /// A log or a master says that it ran: as all that is repeated, it happens again exactly so.
    pub(crate) repeated: bool,
    /// Its name and its command, once somebody may ask.
    pub(crate) detail: Option<Box<Detail>>,
}

/// What FUNCTION STATS shows.
#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) name: Vec<u8>,
    pub(crate) command: Vec<Box<[u8]>>,
}

/// Which script a client calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// This text.
    Body(&'a [u8]),
    /// The script with this digest.
    Digest(&'a [u8]),
    /// The function with this name.
    Function(&'a [u8]),
}

/// A call of a client.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) client: ClientId,
    pub(crate) target: Target<'a>,
    /// The command with all arguments: name, script, number of keys, keys, others.
    pub(crate) args: &'a [&'a [u8]],
    /// It may not write.
    pub(crate) read_only: bool,
    /// The database, if no client calls it: a log or a master says that it ran there.
    pub(crate) repeated_in: Option<usize>,
}

impl<'a> Call<'a> {
    /// A call that a log or a master says was made in this database.
    pub(super) fn repeated(target: Target<'a>, args: &'a [&'a [u8]], db: usize) -> Self {
        Self { client: SCRIPT_CLIENT, target, args, read_only: false, repeated_in: Some(db) }
    }
}
