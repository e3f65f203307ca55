//! Epochs: what keeps numbers apart that two masters gave out.
//!
//! Law: a master that was a replica does not know the last numbers of the masters before it. Some may not have come
//! across, and of a master that it never followed it knows nothing at all. What all of them have is a clock. So an
//! epoch begins with its date, in microseconds: each number of a master is larger than the date at which it took over,
//! and smaller than every later date, because no queue gives out a million numbers a second. Whoever takes over later
//! gives out larger numbers, without having heard of anybody. The date is in the keyspace before the first number of
//! the epoch is given out.
//!
//! The same holds for one server. What its disk has after a power cut may lack the last seconds, and with them what was
//! said about numbers then (unless `appendfsync` is `always`); a log that was cut back, or files of yesterday that were
//! put in place, lack more. So each process that takes over data from another begins an epoch, too.
//!
//! Clocks of two machines may differ by less than the time between the two promotions. A clock that is behind numbers
//! that are known here is not believed: the epoch begins well above those.

use pbj_store::command::Fault;
use pbj_store::txn::Txn;

use crate::keys::KeyName;
use crate::limits::NUMBERS_PER_FAILOVER;
use crate::queues::Queues;
use crate::record::{Fields, parse_number};

/// Field of the epoch, beside the counters of locks.
const EPOCH: &[u8] = b"epoch";

/// Where an epoch begins, by the clock and by the highest number that is known.
fn begins_at(wall_us: u64, known: u64) -> u64 {
    if wall_us > known { wall_us } else { known.saturating_add(NUMBERS_PER_FAILOVER) }
}

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

    /// The highest number that is known here.
    fn known_number(&self) -> u64 {
        let given = self.all.iter().flat_map(|queue| [queue.tokens.last(), queue.jobs.last()]);
        given.chain([self.locks.last_token(), self.epoch]).max().unwrap_or(0)
    }

    /// Begins an epoch: another server was the master until now.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn begin_epoch(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        self.rise(txn.now().wall_us);
        Fields::default().number(EPOCH, self.epoch).write(&mut txn.in_db(0), &KeyName::Locks.to_key())
    }

    /// Begins an epoch: another process served this data until now, and may have given out numbers of which the disk
    /// knows nothing.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn begin_epoch_after_losses(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        if self.known_number() > 0 {
            return self.begin_epoch(txn);
        }
        // Who never used a queue finds no key that he did not write. The first block that is reserved is behind the
        // clock, and so says the same.
        self.rise(txn.now().wall_us);
        Ok(())
    }

    fn rise(&mut self, wall_us: u64) {
        self.epoch = begins_at(wall_us, self.known_number());
        for queue in &mut self.all {
            queue.tokens.raise(self.epoch);
            // Jobs that were pushed there and did not come across keep their ids to themselves.
            queue.jobs.raise(self.epoch);
        }
        self.locks.raise_tokens(self.epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first day of 2026, in microseconds.
    const NEW_YEAR_US: u64 = 1_767_225_600_000_000;

    /// Two replicas of the same master take over one after the other, and the second has not heard of the first.
    #[test]
    fn a_later_epoch_is_higher_without_having_heard_of_the_earlier_one() {
        let known = 4711;
        let first = begins_at(NEW_YEAR_US, known);
        let given = first + 1_000;
        assert!(begins_at(NEW_YEAR_US + 2_000, known) > given);
    }

    #[test]
    fn a_clock_that_is_behind_does_not_lower_numbers() {
        let first = begins_at(NEW_YEAR_US, 0);
        assert!(begins_at(1_000_000, first + 17) >= first + 17 + NUMBERS_PER_FAILOVER);
        assert!(begins_at(first, first) > first);
    }

    #[test]
    fn a_double_holds_every_number_for_two_centuries() {
        let years = |count: u64| count * 366 * 86_400 * 1_000_000;
        assert!(begins_at(NEW_YEAR_US + years(200), 0) < 1 << 53);
    }
}
