//! When the log is written and synced, and what may be acknowledged: the decisions, without a clock, a disk or a
//! thread.
//!
//! Law: an offset is *safe* when it is synced (`always`) or written (otherwise); a reply leaves only when what it
//! depends on is safe. Under `everysec` nothing more is written while the oldest byte that is not synced is older than
//! two seconds, so that a power cut takes back at most that much of what was acknowledged, however slow the disk is.
//! A write that fails (a full disk) is tried again; a sync that fails is not, ever: after it nobody knows what of the
//! file is on the disk, and only another file can be trusted. Whoever drives a log (the threads of the daemon, the
//! simulator) asks here what to do next and tells what came out.

/// When frames are synced (`appendfsync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the reply.
    Always,
    /// Once a second.
    EverySecond,
    /// When the kernel likes.
    Never,
}

impl SyncPolicy {
    /// The policy with this name in the configuration.
    pub fn named(name: &str) -> Self {
        match name {
            "always" => Self::Always,
            "no" => Self::Never,
            _ => Self::EverySecond,
        }
    }
}

/// Time between the beginnings of two syncs under `everysec`, in milliseconds.
pub const SYNC_EVERY_MS: u64 = 1000;
/// How old a byte may be that is not synced under `everysec` before writing waits for the disk, in milliseconds.
pub const SYNC_PATIENCE_MS: u64 = 2000;
/// Time after which a write that failed is tried again, in milliseconds.
pub const WRITE_RETRY_MS: u64 = 1000;

/// How far a log has come.
#[derive(Clone, Debug)]
pub struct Pace {
    policy: SyncPolicy,
    submitted: u64,
    written: u64,
    synced: u64,
    /// When the first byte was written that no sync covers, and its offset: before the sync that is going on, and
    /// since.
    unsynced_since_ms: Option<u64>,
    unsynced_after_ms: Option<u64>,
    /// The offset that the sync that is going on will reach.
    syncing_to: Option<u64>,
    last_sync_began_ms: Option<u64>,
    /// When a write that failed is tried again.
    retry_at_ms: Option<u64>,
    failed: bool,
    /// Up to this offset frames were handed over under `always`, before the policy was changed: they are safe when they
    /// are synced.
    promised: u64,
    /// What was safe in the files before, if the base of these does not count yet.
    unproven: Option<u64>,
}

impl Pace {
    /// A log whose stream begins at offset 0. What is in its files is synced.
    pub fn new(policy: SyncPolicy) -> Self {
        Self {
            policy,
            submitted: 0,
            written: 0,
            synced: 0,
            unsynced_since_ms: None,
            unsynced_after_ms: None,
            syncing_to: None,
            last_sync_began_ms: None,
            retry_at_ms: None,
            failed: false,
            promised: 0,
            unproven: None,
        }
    }

    /// This log, when it is opened or closed: its stream goes on at an offset, under the policy that was asked for, and
    /// what is in its files is synced.
    #[must_use]
    pub fn going_on_at(&self, offset: u64) -> Self {
        Self::starting_at(self.policy, offset)
    }

    /// A log whose stream goes on at an offset. What is in its files is synced.
    pub fn starting_at(policy: SyncPolicy, offset: u64) -> Self {
        Self { submitted: offset, written: offset, synced: offset, ..Self::new(policy) }
    }

    /// The same log in other files, in which the stream goes on at an offset. What is in them counts when their base
    /// does, and nothing more is safe before [`Self::prove`].
    #[must_use]
    pub fn beginning_anew(&self, offset: u64) -> Self {
        Self { unproven: Some(self.safe()), ..self.going_on_at(offset) }
    }

    /// The base of the files is whole and counts.
    pub fn prove(&mut self) {
        self.unproven = None;
    }

    /// The policy in force: `always` for as long as something waits that was handed over under it.
    pub fn policy(&self) -> SyncPolicy {
        if self.promised > self.synced { SyncPolicy::Always } else { self.policy }
    }

    /// Changes the policy.
    pub fn set_policy(&mut self, policy: SyncPolicy) {
        if self.policy == SyncPolicy::Always {
            self.promised = self.submitted;
        }
        self.policy = policy;
    }

    /// Frames up to `end` were handed over.
    pub fn submit(&mut self, end: u64) {
        debug_assert!(end >= self.submitted, "offsets rise");
        self.submitted = end;
    }

    /// Offset up to which frames were handed over.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Offset up to which frames are written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Offset up to which frames are synced.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Offset up to which everything may be acknowledged.
    pub fn safe(&self) -> u64 {
        let reached = if self.policy() == SyncPolicy::Always { self.synced } else { self.written };
        self.unproven.unwrap_or(reached)
    }

    /// Whether everything up to `offset` may be acknowledged.
    pub fn is_safe(&self, offset: u64) -> bool {
        self.safe() >= offset
    }

    /// Whether a sync is going on.
    pub fn is_syncing(&self) -> bool {
        self.syncing_to.is_some()
    }

    /// Whether what was handed over may be written now.
    pub fn may_write(&self, now_ms: u64) -> bool {
        !self.failed
            && self.submitted > self.written
            && !self.waits_for_disk(now_ms)
            && self.retry_at_ms.is_none_or(|at| now_ms >= at)
    }

    /// Whether writing waits for a sync that takes too long.
    pub fn waits_for_disk(&self, now_ms: u64) -> bool {
        let oldest = self.unsynced_since_ms.or(self.unsynced_after_ms);
        self.policy == SyncPolicy::EverySecond
            && oldest.is_some_and(|since| now_ms.saturating_sub(since) >= SYNC_PATIENCE_MS)
    }

    /// Everything up to `end` was written.
    pub fn wrote(&mut self, end: u64, now_ms: u64) {
        self.written = end;
        self.retry_at_ms = None;
        let since =
            if self.syncing_to.is_some() { &mut self.unsynced_after_ms } else { &mut self.unsynced_since_ms };
        since.get_or_insert(now_ms);
    }

    /// A write has failed: a part of it may be at the end of the file, and has to go before it is tried again.
    pub fn write_failed(&mut self, now_ms: u64) {
        self.retry_at_ms = Some(now_ms + WRITE_RETRY_MS);
    }

    /// When a write that failed is tried again, in milliseconds; nothing if the last one succeeded.
    pub fn retry_at_ms(&self) -> Option<u64> {
        self.retry_at_ms
    }

    /// When the next sync is to begin, in milliseconds; `None` if there is nothing to sync.
    pub fn sync_due_ms(&self, now_ms: u64) -> Option<u64> {
        if self.failed || self.syncing_to.is_some() || self.written == self.synced {
            return None;
        }
        match self.policy() {
            SyncPolicy::Always => Some(now_ms),
            SyncPolicy::EverySecond => {
                Some(self.last_sync_began_ms.map_or(now_ms, |began| now_ms.max(began + SYNC_EVERY_MS)))
            }
            SyncPolicy::Never => None,
        }
    }

    /// A sync begins, of everything that is written.
    pub fn sync_begins(&mut self, now_ms: u64) {
        debug_assert!(self.syncing_to.is_none(), "one sync at a time");
        self.syncing_to = Some(self.written);
        self.last_sync_began_ms = Some(now_ms);
    }

    /// The sync that is going on has succeeded.
    pub fn sync_ends(&mut self) {
        if let Some(end) = self.syncing_to.take() {
            self.synced = self.synced.max(end);
            self.unsynced_since_ms = self.unsynced_after_ms.take();
        }
    }

    /// The file cannot be trusted any more: nothing is written, synced or acknowledged from here on.
    pub fn fail(&mut self) {
        self.failed = true;
        self.syncing_to = None;
    }

    /// Whether the file cannot be trusted any more.
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(policy: SyncPolicy) -> Pace {
        let mut pace = Pace::new(policy);
        pace.submit(10);
        pace.wrote(10, 0);
        pace
    }

    #[test]
    fn always_is_safe_when_synced_and_the_others_when_written() {
        let mut pace = written(SyncPolicy::Always);
        assert!(!pace.is_safe(10));
        assert_eq!(pace.sync_due_ms(0), Some(0));
        pace.sync_begins(0);
        assert!(!pace.is_safe(10));
        pace.sync_ends();
        assert!(pace.is_safe(10) && pace.sync_due_ms(0).is_none());
        assert!(written(SyncPolicy::Never).is_safe(10));
        assert!(written(SyncPolicy::EverySecond).is_safe(10));
    }

    /// Seed 3284: somebody who had waited got what a crash then took back: the files it was in did not count yet.
    #[test]
    fn nothing_is_safe_behind_a_base_that_does_not_count() {
        let mut pace = written(SyncPolicy::EverySecond);
        pace.submit(30);
        pace.fail();
        let mut anew = pace.beginning_anew(30);
        anew.submit(40);
        anew.wrote(40, 5);
        assert!(anew.is_safe(10) && !anew.is_safe(30) && !anew.is_safe(40));
        anew.fail();
        assert_eq!(anew.beginning_anew(40).safe(), 10);
        anew.prove();
        assert!(anew.is_safe(40));
    }

    /// What was written under another policy must be synced before a reply under `always` may depend on it, also if
    /// nothing is ever written again.
    #[test]
    fn a_change_to_always_syncs_what_is_written() {
        for policy in [SyncPolicy::EverySecond, SyncPolicy::Never] {
            let mut pace = written(policy);
            pace.set_policy(SyncPolicy::Always);
            assert!(!pace.is_safe(10));
            assert_eq!(pace.sync_due_ms(5), Some(5));
        }
    }

    /// Seed 2277: a slow disk had not synced for seconds when the policy was changed, and then the power went.
    #[test]
    fn what_was_handed_over_under_always_waits_for_its_sync() {
        for policy in [SyncPolicy::EverySecond, SyncPolicy::Never] {
            let mut pace = written(SyncPolicy::Always);
            pace.submit(20);
            pace.set_policy(policy);
            pace.submit(30);
            pace.wrote(30, 5);
            assert!(!pace.is_safe(1));
            // Who syncs under `always` has to go on with it, and nobody else begins to.
            assert_eq!((pace.policy(), pace.sync_due_ms(7)), (SyncPolicy::Always, Some(7)));
            pace.sync_begins(7);
            pace.submit(40);
            pace.wrote(40, 8);
            pace.sync_ends();
            assert_eq!(pace.policy(), policy);
            assert!(pace.is_safe(40));
        }
    }

    #[test]
    fn every_second_means_beginnings_a_second_apart() {
        let mut pace = written(SyncPolicy::EverySecond);
        pace.sync_begins(100);
        pace.sync_ends();
        pace.submit(20);
        pace.wrote(20, 300);
        assert_eq!(pace.sync_due_ms(300), Some(1100));
        assert_eq!(pace.sync_due_ms(1500), Some(1500));
    }

    /// Two slow syncs in a row: the age of the oldest byte counts, not how long the second sync has taken.
    #[test]
    fn writing_waits_when_a_byte_is_unsynced_for_too_long() {
        let mut pace = written(SyncPolicy::EverySecond);
        pace.sync_begins(0);
        pace.submit(20);
        assert!(pace.may_write(1));
        pace.wrote(20, 1);
        pace.submit(30);
        assert!(pace.may_write(1999) && !pace.may_write(2000));
        pace.sync_ends();
        assert!(pace.may_write(2000) && !pace.may_write(2001), "byte 20 is two seconds old");
        pace.sync_begins(2000);
        assert!(!pace.may_write(2001));
        pace.sync_ends();
        assert!(pace.may_write(2001));
        pace.fail();
        assert!(!pace.may_write(2001));
    }

    /// A disk that is full has room again at some time. What is in the file already is synced meanwhile.
    #[test]
    fn a_write_that_failed_is_tried_again_a_second_later() {
        let mut pace = written(SyncPolicy::EverySecond);
        pace.submit(20);
        pace.write_failed(100);
        assert!(!pace.may_write(1099) && pace.may_write(1100));
        assert_eq!(pace.retry_at_ms(), Some(1100));
        assert!(pace.sync_due_ms(100).is_some());
        pace.wrote(20, 1100);
        pace.submit(30);
        assert!(pace.retry_at_ms().is_none() && pace.may_write(1100));
    }
}
