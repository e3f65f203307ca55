//! Epochs: what keeps numbers apart that two masters gave out.
//!
//! Law: a master that was a replica does not know the last tokens of the master before it, because they may not have
//! come across. So it begins an epoch, the high bits of all tokens: each of its own is larger than each of theirs. The
//! epoch is in the keyspace before the first token of it is given out.

use pbj_store::command::Fault;
use pbj_store::txn::Txn;

use crate::keys::KeyName;
use crate::limits::{EPOCH_BITS_BELOW, JOBS_PER_FAILOVER};
use crate::queues::Queues;
use crate::record::{Fields, parse_number};

/// Field of the epoch, beside the counters of locks.
const EPOCH: &[u8] = b"epoch";

impl Queues {
    /// Reads the epoch that the keys belong to.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn read_epoch(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let (mut txn, key) = (txn.in_db(0), KeyName::Locks.to_key());
        // Looking for what is not there would be a miss, which clients can count and hear of.
        let text = if txn.exists(&key) { txn.hash_field(&key, EPOCH)? } else { None };
        let text = text.and_then(|text| parse_number(&text));
        self.epoch = self.epoch.max(text.unwrap_or(0));
        Ok(())
    }

    /// No token is given out up to this one.
    pub(crate) fn epoch_floor(&self) -> u64 {
        self.epoch << EPOCH_BITS_BELOW
    }

    /// Begins an epoch: another server was the master until now.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn begin_epoch(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let highest = self.all.iter().map(|queue| queue.tokens.last()).chain([self.locks.last_token()]).max();
        self.epoch = self.epoch.max(highest.unwrap_or(0) >> EPOCH_BITS_BELOW) + 1;
        let floor = self.epoch_floor();
        Fields::default().number(EPOCH, self.epoch).write(&mut txn.in_db(0), &KeyName::Locks.to_key())?;
        for queue in &mut self.all {
            queue.tokens.raise(floor);
            // Jobs that were pushed there and did not come across keep their ids to themselves.
            let last = queue.jobs.last();
            queue.jobs.raise(last + JOBS_PER_FAILOVER);
        }
        self.locks.raise_tokens(floor);
        Ok(())
    }
}
