//! How it is with a log whose disk fails, and may work again later.

/// How it is with the log; whoever drives one goes from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing has failed.
    Sound,
    /// A write has failed, and is tried again.
    Stalled,
    /// The file cannot be trusted: there is none until the log begins anew.
    Lost,
    /// It has begun anew, but does not count yet.
    Proving,
}
