//! What a job is, and which moves it can make.
//!
//! ```text
//!   push ──► ready ◄──────┐          ready: may be fetched
//!     │        │ fetch    │ release  delayed: becomes ready at its due time, without a record: the time says it
//!     ▼        ▼          │ lost     leased: a worker holds it until a deadline, under a token
//!  delayed  leased ───────┤          done, dead, cancelled: over; kept for a while
//!     ▲        │ fail     │
//!     └────────┼──────────┘
//!              ├─ ack ──► done
//!              ├─ fail, lost too often ──► dead
//!              └─ cancel ──► cancelled (from any state that is not over)
//! ```

use std::fmt;

use crate::duration::parse_ms;
use crate::limits::DELAY_MAX_MS;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for a worker.
    Ready,
    /// Waits for its time.
    Delayed,
    /// A worker holds it.
    Leased,
    /// Finished well.
    Done,
    /// Given up.
    Dead,
    /// Called off.
    Cancelled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Delayed, Self::Leased, Self::Done, Self::Dead, Self::Cancelled];

    /// The name in replies and in the hash of a job.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|state| name.eq_ignore_ascii_case(state.name().as_bytes()))
    }

    /// Whether the job is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }

    /// Whether a job may go from here to there.
    pub fn may_become(self, next: Self) -> bool {
        use State::{Cancelled, Dead, Delayed, Done, Leased, Ready};
        match self {
            Ready => matches!(next, Leased | Cancelled),
            Delayed => matches!(next, Ready | Cancelled),
            Leased => matches!(next, Leased | Done | Delayed | Ready | Dead | Cancelled),
            Done | Dead | Cancelled => next == Ready,
        }
    }
}

/// The right to settle one delivery of a job: larger than every token its queue gave out before.
///
/// It counts from one, and after a failover from the date of that on, in microseconds, so that tokens rise over a
/// failover too. It stays below 2^53, exact in every language, until the year 2255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// How long a failed job waits before its next attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// Always this many milliseconds.
    Fixed(u64),
    /// Doubling from `base_ms` up to `max_ms`, give or take a part of `jitter` by chance.
    Exponential {
        /// First wait in milliseconds.
        base_ms: u64,
        /// Longest wait in milliseconds.
        max_ms: u64,
        /// Part of the wait that chance adds or takes away, 0 to 1.
        jitter: f64,
    },
    /// These waits in milliseconds, the last one again and again.
    List(Vec<u64>),
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { base_ms: 1000, max_ms: 3_600_000, jitter: 0.1 }
    }
}

/// A text that is no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffFault;

impl fmt::Display for BackoffFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a backoff is fixed:DURATION, exp:BASE:MAX[:JITTER] with a jitter of 0 to 1, or list:DURATION,...")
    }
}

impl Backoff {
    /// Reads `fixed:5s`, `exp:1s:1h:0.1` or `list:1s,10s,1m`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &[u8]) -> Result<Self, BackoffFault> {
        let text = std::str::from_utf8(text).map_err(|_| BackoffFault)?;
        let duration =
            |text: &str| parse_ms(text.as_bytes()).ok().filter(|&ms| ms <= DELAY_MAX_MS).ok_or(BackoffFault);
        let (kind, rest) = text.split_once(':').ok_or(BackoffFault)?;
        match kind {
            "fixed" => Ok(Self::Fixed(duration(rest)?)),
            "list" => Ok(Self::List(rest.split(',').map(duration).collect::<Result<_, _>>()?)),
            "exp" => {
                let parts: Vec<&str> = rest.split(':').collect();
                let (base, max, jitter) = match *parts {
                    [base, max] => (base, max, 0.1),
                    [base, max, jitter] => (base, max, jitter.parse().map_err(|_| BackoffFault)?),
                    _ => return Err(BackoffFault),
                };
                if !(0.0..=1.0).contains(&jitter) {
                    return Err(BackoffFault);
                }
                Ok(Self::Exponential { base_ms: duration(base)?, max_ms: duration(max)?, jitter })
            }
            _ => Err(BackoffFault),
        }
    }

    /// The wait in milliseconds after the `failures`-th failure (from 1); `chance` is between 0 and 1.
    pub fn wait_ms(&self, failures: u32, chance: f64) -> u64 {
        let nth = failures.saturating_sub(1);
        match self {
            Self::Fixed(ms) => *ms,
            Self::List(waits) => waits.get(nth as usize).or(waits.last()).copied().unwrap_or(0),
            Self::Exponential { base_ms, max_ms, jitter } => {
                let doubled = 1_u64.checked_shl(nth).and_then(|factor| base_ms.checked_mul(factor));
                let wait = doubled.unwrap_or(*max_ms).min(*max_ms);
                let spread = wait as f64 * jitter * (2.0 * chance - 1.0);
                (wait as f64 + spread).max(0.0) as u64
            }
        }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ms) => write!(out, "fixed:{ms}"),
            Self::Exponential { base_ms, max_ms, jitter } => write!(out, "exp:{base_ms}:{max_ms}:{jitter}"),
            Self::List(waits) => {
                let waits: Vec<String> = waits.iter().map(u64::to_string).collect();
                write!(out, "list:{}", waits.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_only_begins_again() {
        for state in State::ALL {
            for next in State::ALL {
                if state.is_terminal() {
                    assert_eq!(state.may_become(next), next == State::Ready);
                }
            }
        }
        assert!(State::Leased.may_become(State::Done) && !State::Ready.may_become(State::Done));
    }

    #[test]
    fn backoffs_come_back_and_grow() {
        for text in ["fixed:5000", "exp:1000:60000:0.5", "list:1000,2000"] {
            assert_eq!(Backoff::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for bad in
            ["", "5s", "fixed:", "fixed:-1", "exp:1s", "exp:1s:2s:2", "exp:1s:2s:nan", "list:", "other:1"]
        {
            assert_eq!(Backoff::parse(bad.as_bytes()), Err(BackoffFault), "{bad}");
        }
        let backoff = Backoff::Exponential { base_ms: 1000, max_ms: 10_000, jitter: 0.1 };
        assert_eq!(
            (backoff.wait_ms(1, 0.5), backoff.wait_ms(3, 0.5), backoff.wait_ms(99, 0.5)),
            (1000, 4000, 10_000)
        );
        assert_eq!((backoff.wait_ms(1, 0.0), backoff.wait_ms(1, 1.0)), (900, 1100));
        let list = Backoff::List(vec![10, 20]);
        assert_eq!((list.wait_ms(1, 0.0), list.wait_ms(2, 0.0), list.wait_ms(9, 0.0)), (10, 20, 20));
    }
}
