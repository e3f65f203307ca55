//! How readily the kernel ends this process when memory runs out: `oom-score-adj`.
//!
//! Law: the value that the process began with is remembered when it is first changed, and put back when the directive
//! is switched off.

use std::io;

use pbj_store::config::Config;

/// Where the kernel keeps the value.
const FILE: &str = "/proc/self/oom_score_adj";
/// The least and the greatest value.
const RANGE: std::ops::RangeInclusive<i64> = -1000..=1000;

/// What was there before the directive.
#[derive(Debug, Default)]
pub struct OomScore {
    base: Option<i64>,
}

impl OomScore {
    /// Brings the value in line with the configuration. The first of `oom-score-adj-values` counts for a master, the
    /// second for a replica; the third is for child processes, of which there are none.
    ///
    /// # Errors
    /// The kernel does not allow it; everything is as before then.
    pub fn apply(&mut self, config: &Config) -> io::Result<()> {
        let mode = config.text("oom-score-adj");
        if mode == "no" {
            return self.base.take().map_or(Ok(()), write);
        }
        let base = match self.base {
            Some(base) => base,
            None => read()?,
        };
        let values = config.text("oom-score-adj-values").split_ascii_whitespace();
        let is_replica = !config.text("replicaof").is_empty();
        let value: i64 =
            values.map(|word| word.parse().unwrap_or(0)).nth(usize::from(is_replica)).unwrap_or(0);
        let value = if mode == "absolute" { value } else { base + value };
        write(value.clamp(*RANGE.start(), *RANGE.end()))?;
        self.base = Some(base);
        Ok(())
    }
}

fn read() -> io::Result<i64> {
    let text = std::fs::read_to_string(FILE)?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn write(value: i64) -> io::Result<()> {
    std::fs::write(FILE, value.to_string())
}
