//! What became of a process, as the job says it: the result of a success, the text of a failure.
//!
//! A failure is text for people, because people read it in every client:
//! ```text
//! exit code 3 after 1.2s
//!
//! stderr (13 bytes):
//! no such file
//!
//! stdout (5 bytes):
//! some
//! ```
//! The numbers make it exact for programs too; what is empty is left out.

use serde_json::{Value as Json, json};

use super::capture::Capture;
use super::payload::Payload;
use crate::cli::times::duration;

/// Longest error text that a job keeps, in bytes, with room for the rest of the text.
const OUTPUT_IN_FAILURE_MAX: usize = pbj_queue::limits::ERROR_BYTES_MAX / 2 - 512;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What is known of a process that ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Unix milliseconds.
    pub(crate) started_ms: u64,
    /// Unix milliseconds.
    pub(crate) ended_ms: u64,
    pub(crate) usage: Usage,
    pub(crate) stdout: Capture,
    pub(crate) stderr: Capture,
}

/// What a process took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Usage {
    /// Processor time outside of the kernel.
    pub(crate) user_ms: u64,
    /// Processor time in the kernel.
    pub(crate) system_ms: u64,
    /// Largest resident memory of one of its processes.
    pub(crate) max_rss_kib: u64,
}

/// Why a process was ended by its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It took too long: so many milliseconds were allowed.
    Timeout(u64),
    /// Somebody called the job off.
    Cancelled,
    /// The worker stops.
    Shutdown,
    /// Somebody else may hold the job now.
    Stale,
}

/// What a worker says about a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is done; with its result.
    Done(String),
    /// It failed.
    Failed {
        /// The class of the failure.
        kind: String,
        /// What happened.
        text: String,
        /// No further attempt makes sense.
        is_final: bool,
        /// When to try again, in milliseconds, if not by the backoff of the job.
        retry_ms: Option<u64>,
    },
    /// It goes back to its place.
    Released,
    /// Nothing is to be said: the job is not ours any more.
    Nothing,
}

impl Verdict {
    /// A failure that is tried again by the backoff of the job.
    pub(crate) fn failed(kind: &str, text: impl Into<String>) -> Self {
        Self::Failed { kind: kind.to_owned(), text: text.into(), is_final: false, retry_ms: None }
    }

    /// A failure that no further attempt can mend.
    pub(crate) fn hopeless(kind: &str, text: impl Into<String>) -> Self {
        Self::Failed { kind: kind.to_owned(), text: text.into(), is_final: true, retry_ms: None }
    }
}

/// The exit code that asks for another attempt even if failures are final (EX_TEMPFAIL).
pub(crate) const TRY_AGAIN: i32 = crate::exit::TRY_AGAIN;

impl Ended {
    /// What to say about it; `cause` is why the worker ended it, if it did.
    pub(crate) fn verdict(&self, cause: Option<Cause>, payload: &Payload, worker: &str) -> Verdict {
        let took = duration(self.ended_ms.saturating_sub(self.started_ms));
        match (cause, self.end) {
            (Some(Cause::Stale), _) => Verdict::Nothing,
            // Whatever happened first: a process that did its work has done it.
            (_, End::Code(0)) => Verdict::Done(self.result(worker).to_string()),
            (Some(Cause::Shutdown), _) => Verdict::Released,
            (Some(Cause::Timeout(limit)), _) => self.failure(
                "timeout".to_owned(),
                &format!("ended after {took}: it may take {}", duration(limit)),
                payload.is_final(None),
            ),
            (Some(Cause::Cancelled), _) => {
                self.failure("cancelled".to_owned(), &format!("cancelled after {took}"), true)
            }
            (None, End::Signal(signal)) => {
                let name =
                    nix::sys::signal::Signal::try_from(signal).map_or("unknown", |known| known.as_str());
                let text = format!("ended by signal {signal} ({name}) after {took}");
                self.failure(format!("signal-{signal}"), &text, payload.is_final(None))
            }
            (None, End::Code(code)) => {
                let is_final = code != TRY_AGAIN && payload.is_final(Some(code));
                self.failure(format!("exit-{code}"), &format!("exit code {code} after {took}"), is_final)
            }
        }
    }

    fn result(&self, worker: &str) -> Json {
        let (code, signal) = match self.end {
            End::Code(code) => (Some(code), None),
            End::Signal(signal) => (None, Some(signal)),
        };
        json!({
            "exit": code,
            "signal": signal,
            "started_at": self.started_ms,
            "ended_at": self.ended_ms,
            "wall_ms": self.ended_ms.saturating_sub(self.started_ms),
            "user_ms": self.usage.user_ms,
            "system_ms": self.usage.system_ms,
            "max_rss_kib": self.usage.max_rss_kib,
            "worker": worker,
            "stdout": self.stdout.text(),
            "stdout_bytes": self.stdout.total(),
            "stdout_omitted": self.stdout.omitted(),
            "stderr": self.stderr.text(),
            "stderr_bytes": self.stderr.total(),
            "stderr_omitted": self.stderr.omitted(),
        })
    }

    fn failure(&self, kind: String, summary: &str, is_final: bool) -> Verdict {
        let section = |name: &str, capture: &Capture| {
            let text = capture.last(OUTPUT_IN_FAILURE_MAX);
            match capture.total() {
                0 => String::new(),
                total if total > text.len() as u64 => {
                    format!("\n\n{name} (last {} of {total} bytes):\n{text}", text.len())
                }
                _ => format!("\n\n{name} ({} bytes):\n{text}", text.len()),
            }
        };
        let text = format!("{summary}{}{}", section("stderr", &self.stderr), section("stdout", &self.stdout));
        Verdict::Failed { kind, text, is_final, retry_ms: None }
    }
}

/// The text of a failure, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureText {
    pub(crate) summary: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl FailureText {
    /// Takes a text apart; one that another worker made is all summary.
    pub(crate) fn parse(text: &str) -> Self {
        let (summary, mut rest) = text.find("\n\n").map_or((text, ""), |at| text.split_at(at));
        let mut section_of = |name| {
            let (text, behind) = section(rest, name)?;
            rest = behind;
            Some(text.to_owned())
        };
        let (stderr, stdout) = (section_of("stderr"), section_of("stdout"));
        if !rest.is_empty() {
            return Self { summary: text.to_owned(), ..Self::default() };
        }
        Self {
            summary: summary.to_owned(),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        }
    }
}

/// A section of this name: its text, and what follows.
fn section<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let head = text.strip_prefix("\n\n")?.strip_prefix(name)?.strip_prefix(" (")?;
    let (head, rest) = head.split_once("):\n")?;
    let mut words = head.split(' ');
    let length = match words.next()? {
        "last" => words.next()?,
        length => length,
    };
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: End, stdout: &[u8], stderr: &[u8]) -> Ended {
        let mut ended = Ended {
            end,
            started_ms: 1000,
            ended_ms: 2500,
            usage: Usage::default(),
            stdout: Capture::new(64 << 10),
            stderr: Capture::new(64 << 10),
        };
        ended.stdout.take(stdout);
        ended.stderr.take(stderr);
        ended
    }

    fn payload(more: &str) -> Payload {
        Payload::parse(format!(r#"{{"argv":["x"]{more}}}"#).as_bytes()).unwrap()
    }

    fn is_final(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Failed { is_final: true, .. })
    }

    #[test]
    fn exit_codes_decide() {
        let plain = payload("");
        assert!(matches!(ended(End::Code(0), b"", b"").verdict(None, &plain, "w"), Verdict::Done(_)));
        let no_retry = payload(r#","no_retry":true"#);
        for (code, payload, expected) in
            [(3, &plain, false), (75, &plain, false), (3, &no_retry, true), (75, &no_retry, false)]
        {
            let verdict = ended(End::Code(code), b"", b"").verdict(None, payload, "w");
            assert_eq!(is_final(&verdict), expected, "{code}");
        }
        assert!(is_final(&ended(End::Signal(9), b"", b"").verdict(None, &no_retry, "w")));
        let killed = ended(End::Signal(15), b"", b"");
        assert_eq!(killed.verdict(Some(Cause::Shutdown), &plain, "w"), Verdict::Released);
        assert_eq!(killed.verdict(Some(Cause::Stale), &plain, "w"), Verdict::Nothing);
        assert!(is_final(&killed.verdict(Some(Cause::Cancelled), &plain, "w")));
    }

    /// Output that looks like our own text must come back as it was.
    #[test]
    fn failures_can_be_taken_apart() {
        let tricky = "stdout (3 bytes):\nabc\n\nstderr (1 bytes):\n";
        for (stdout, stderr) in [(tricky, "ö\n"), (tricky, ""), ("", tricky), ("", "")] {
            let ended = ended(End::Code(3), stdout.as_bytes(), stderr.as_bytes());
            let Verdict::Failed { kind, text, .. } = ended.verdict(None, &payload(""), "w") else { panic!() };
            assert_eq!(kind, "exit-3");
            let parts = FailureText::parse(&text);
            assert_eq!(parts.summary, "exit code 3 after 1.5s");
            assert_eq!((&*parts.stdout, &*parts.stderr), (stdout, stderr));
        }
        for foreign in ["its workers were lost", "Traceback\n\nstderr (1 bytes):\nab", "a\n\nb"] {
            assert_eq!(FailureText::parse(foreign).summary, foreign);
        }
    }

    #[test]
    fn a_failure_with_much_output_fits() {
        let ended = ended(End::Code(3), &[b'a'; 100_000], &[b'b'; 100_000]);
        let Verdict::Failed { text, .. } = ended.verdict(None, &payload(""), "w") else { panic!() };
        assert!(text.len() <= pbj_queue::limits::ERROR_BYTES_MAX, "{}", text.len());
        assert!(text.contains("of 100000 bytes"));
        let parts = FailureText::parse(&text);
        assert_eq!((parts.stdout.len(), parts.stderr.len()), (OUTPUT_IN_FAILURE_MAX, OUTPUT_IN_FAILURE_MAX));
    }
}
