//! `pbj log`: what can be done with the log of a daemon that is stopped.
//!
//! Law: a log is changed only under the lock of its data folder, which no running daemon leaves to others, and only by
//! the user whom the folder belongs to: its daemon must be able to read what is left.
//! Not here: how a log is cut (`store/src/durable/truncate.rs`).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use pbj_store::durable::{CutBack, LoadFault, LogFiles, LogNames, Truncation, TruncationFault};
use serde_json::{Value as Json, json};

use super::fault::{Fault, Kind};
use super::times::stamp;
use super::{print, up};
use crate::disk::{FolderLock, RealDisk};
use crate::exit;

/// Unix seconds beyond this are milliseconds, which somebody has taken for seconds: year 5138.
const SECONDS_MAX: u64 = 100_000_000_000;
const HOW_TO_HAVE_TIMES: &str =
    "Only a log that was written with 'aof-timestamp-enabled yes' can be cut back to an instant.";

/// `pbj log`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Log {
    /// Cut the log back to an instant: what was written later is gone
    Truncate(Truncate),
}

/// `pbj log truncate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Truncate {
    /// The last second that is kept: RFC 3339, or Unix seconds
    #[arg(long, value_name = "TIME")]
    to: String,
    /// The data folder of the daemon [default: /var/lib/pbj for root, else ~/.local/share/pbj]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The folder of the log in it, as the daemon's directive says
    #[arg(long, value_name = "NAME", default_value = "appendonlydir")]
    appenddirname: String,
    /// How the files of the log begin, as the daemon's directive says
    #[arg(long, value_name = "NAME", default_value = "appendonly.aof")]
    appendfilename: String,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

impl Log {
    pub(crate) fn run(self, json: bool) -> Result<i32, Fault> {
        let Self::Truncate(truncate) = self;
        truncate.run(json).map(|()| exit::OK)
    }
}

impl Truncate {
    fn run(self, json: bool) -> Result<(), Fault> {
        let until = seconds(&self.to)?;
        let folder = self.dir.map_or_else(up::default_folder, Ok)?;
        let names = LogNames { folder: self.appenddirname, file: self.appendfilename };
        let mut disk = RealDisk::new(&folder);
        let _lock = if self.dry_run { None } else { Some(lock(&folder)?) };
        let planned = LogFiles::plan_truncation(&mut disk, &names, until);
        let Truncation { kept_until, cut } = planned.map_err(|fault| explain(&fault, &folder))?;
        let Some(cut) = cut else {
            return match json {
                true => print::line(json!({ "kept_until": kept_until, "changed": false })),
                false => print::line(format!(
                    "Nothing to cut: the last time in the log is {}.",
                    stamp(1000 * kept_until)
                )),
            };
        };
        let text = if json {
            as_json(&cut, kept_until, !self.dry_run)
        } else {
            story(&cut, kept_until, self.dry_run)
        };
        if !self.dry_run {
            LogFiles::truncate(&mut disk, &names, cut).map_err(|error| {
                Fault::new(Kind::Io, format!("{}: {error}", folder.display()))
                    .hint("The log is whole, but may have more than it should: do it again.")
            })?;
        }
        print::line(text)
    }
}

/// The second that a text says.
fn seconds(text: &str) -> Result<u64, Fault> {
    if let Ok(seconds) = text.parse::<u64>() {
        return match seconds {
            0..SECONDS_MAX => Ok(seconds),
            _ => Err(Fault::usage(format!("--to {text}: these are no Unix seconds"))
                .hint("Unix milliseconds, perhaps? Leave the last three digits out.")),
        };
    }
    let time = DateTime::parse_from_rfc3339(text).ok().and_then(|time| u64::try_from(time.timestamp()).ok());
    time.ok_or_else(|| {
        Fault::usage(format!("--to {text}: this is no time"))
            .hint("RFC 3339, such as 2027-01-31T08:30:00Z, or Unix seconds.")
    })
}

/// Takes the right to change what is in a data folder.
fn lock(folder: &Path) -> Result<FolderLock, Fault> {
    let metadata = std::fs::metadata(folder).map_err(|error| Fault::file(folder, &error))?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        let text = format!("{} belongs to another user", folder.display());
        let hint = format!(
            "The daemon could not read what is left. Become its owner: sudo -u '#{}' pbj log ...",
            metadata.uid()
        );
        return Err(Fault::new(Kind::Denied, text).hint(hint));
    }
    FolderLock::take(folder).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Fault::new(Kind::Unreachable, error.to_string())
            .hint("Stop the daemon first; --dry-run only looks, and may be used while it runs."),
        _ => Fault::file(folder, &error),
    })
}

fn explain(fault: &TruncationFault, folder: &Path) -> Fault {
    let in_folder = |text: &dyn std::fmt::Display| format!("{}: {text}", folder.display());
    match fault {
        TruncationFault::NoLog { .. } => Fault::new(Kind::NoInput, in_folder(fault))
            .hint("Is this the data folder of the daemon? Say --dir, as its configuration does."),
        TruncationFault::NoStamps => Fault::failed(in_folder(fault)).hint(HOW_TO_HAVE_TIMES),
        TruncationFault::TooEarly(earliest) => {
            let text =
                format!("the earliest time it can be cut back to is {} ({earliest})", stamp(1000 * earliest));
            Fault::failed(in_folder(&text)).hint(
                "What was before lies in the base of the log, or no time stands beside it. \
                 Take a backup that is older.",
            )
        }
        TruncationFault::Load(LoadFault::Io(error)) => Fault::file(folder, error),
        TruncationFault::Load(_) => Fault::new(Kind::Input, in_folder(fault)),
    }
}

fn story(cut: &CutBack, kept_until: u64, dry_run: bool) -> String {
    let (would, were) = if dry_run { ("would end", "would be") } else { ("ends", "is") };
    let mut text = format!(
        "The log {would} with {}; what was written from {} on {were} gone.\n  {}  cut at {}, without {} bytes\n",
        stamp(1000 * kept_until),
        stamp(1000 * cut.first_cut),
        cut.file,
        cut.offset,
        cut.bytes,
    );
    for (file, bytes) in &cut.dropped {
        text += &format!("  {file}  removed, {bytes} bytes\n");
    }
    text + if dry_run { "Nothing was changed." } else { "Done." }
}

fn as_json(cut: &CutBack, kept_until: u64, changed: bool) -> String {
    let dropped: Vec<Json> =
        cut.dropped.iter().map(|(file, bytes)| json!({ "file": file, "bytes": bytes })).collect();
    json!({
        "kept_until": kept_until, "first_cut": cut.first_cut, "file": cut.file, "offset": cut.offset,
        "bytes": cut.bytes, "dropped": dropped, "changed": changed,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_unix_seconds() {
        assert_eq!(seconds("1628217473").unwrap(), 1_628_217_473);
        assert_eq!(seconds("2021-08-06T04:37:53Z").unwrap(), 1_628_224_673);
        assert_eq!(seconds("2021-08-06T06:37:53.9+02:00").unwrap(), 1_628_224_673);
        for text in ["", "yesterday", "-1", "1628217473000", "2021-08-06", "1960-01-01T00:00:00Z"] {
            assert_eq!(seconds(text).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }
}
