//! What can go wrong for somebody at a command line: what happened, what to do about it, and the exit code.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::exit;

/// Who or what is to blame; decides the exit code, and whether it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line makes no sense.
    Usage,
    /// A file or a text that was given makes no sense.
    Input,
    /// A file is not there.
    NoInput,
    /// A file or a terminal failed.
    Io,
    /// The daemon does not answer.
    Unreachable,
    /// The daemon answers that it cannot serve yet.
    Later,
    /// The daemon does not let us.
    Denied,
    /// Somebody else holds the job, or nobody does any more.
    Stale,
    /// Whatever was asked for is not there, or was refused.
    Failed,
    /// Nobody reads what we write; nothing is to be said about it.
    Quiet,
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    text: String,
    hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Kind::Failed, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// The same, with what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NoInput,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Io,
        };
        Self::new(kind, format!("{}: {error}", path.display()))
    }

    /// What the daemon answered, or that it did not; `shown` says which daemon.
    pub(crate) fn from_redis(error: &RedisError, shown: &str) -> Self {
        let code = error.code().unwrap_or("ERR");
        let detail = error.detail().unwrap_or_default();
        let answer = |kind| Self::new(kind, format!("{code} {detail}").trim_end().to_owned());
        match (error.kind(), code) {
            (_, "STALE") => answer(Kind::Stale),
            (_, "DUP") => Self::failed(format!("there is a job {detail} already: nothing was pushed")),
            (_, "NOAUTH" | "WRONGPASS" | "NOPERM") | (ErrorKind::AuthenticationFailed, _) => {
                answer(Kind::Denied)
                    .hint("Give user and password in the URL: PBJ_URL=redis://user:password@host:port/0")
            }
            (_, "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "OOM") => answer(Kind::Later),
            (ErrorKind::Server(ServerErrorKind::ResponseError), _) | (ErrorKind::Extension, _) => {
                answer(Kind::Failed)
            }
            (ErrorKind::Server(_), _) => answer(Kind::Failed),
            (ErrorKind::InvalidClientConfig, _) => Self::usage(format!("{shown}: {error}")),
            _ if error.is_timeout() => {
                Self::new(Kind::Unreachable, format!("pbjd at {shown} does not answer in time"))
            }
            _ => Self::new(Kind::Unreachable, format!("pbjd at {shown} cannot be reached: {error}")).hint(
                "Is it running? Start it: systemctl start pbjd, or pbj up on this terminal. \
                 Another address: --url or PBJ_URL.",
            ),
        }
    }

    /// Whether the same may work later, with the same daemon.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Later)
    }

    pub(crate) fn exit_code(&self) -> i32 {
        match self.kind {
            Kind::Usage => exit::USAGE,
            Kind::Input => exit::DATA,
            Kind::NoInput => exit::NO_INPUT,
            Kind::Io => exit::IO_ERROR,
            Kind::Unreachable => exit::UNAVAILABLE,
            Kind::Later => exit::TRY_AGAIN,
            Kind::Denied => exit::NO_PERMISSION,
            Kind::Stale | Kind::Failed => exit::FAILURE,
            Kind::Quiet => exit::OK,
        }
    }

    /// Says it on standard error: two lines for people, one object for programs.
    pub(crate) fn report(&self, json: bool) {
        if self.kind == Kind::Quiet {
            return;
        }
        if json {
            let report = serde_json::json!({
                "error": self.text, "hint": self.hint, "exit": self.exit_code(),
            });
            eprintln!("{report}");
            return;
        }
        eprintln!("pbj: {}", self.text);
        if let Some(hint) = &self.hint {
            eprintln!("     {hint}");
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
