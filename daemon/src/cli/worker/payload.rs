//! The payload of a job of type `exec`: which process it asks for.
//!
//! Law: what is not understood is a fault. A misspelt `timeout` must not become a job without one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::reply::Record;

/// What a job asks for.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Variables of its environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// The folder it runs in.
    pub(crate) cwd: Option<String>,
    /// What it finds on its standard input.
    pub(crate) stdin: Option<String>,
    timeout: Option<Timeout>,
    /// As whom it runs.
    pub(crate) user: Option<String>,
    #[serde(default)]
    no_retry: NoRetry,
}

/// Milliseconds, or a duration with a unit.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Timeout {
    Ms(u64),
    Text(String),
}

/// Which failures are final.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum NoRetry {
    All(bool),
    Codes(Vec<i32>),
}

impl Default for NoRetry {
    fn default() -> Self {
        Self::All(false)
    }
}

impl Payload {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is none; with what is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let payload: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("the payload of an exec job is a JSON object such as {{\"argv\": [\"true\"]}}: {error}")
        })?;
        if payload.argv.first().is_none_or(String::is_empty) {
            return Err("the payload has no command: argv is empty".to_owned());
        }
        let texts = payload.argv.iter().chain(payload.env.keys()).chain(payload.env.values());
        if texts.chain(&payload.cwd).chain(&payload.user).any(|text| text.contains('\0')) {
            return Err("the payload has a NUL character where no program can have one".to_owned());
        }
        if let Some(name) = payload.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(format!("the payload has a variable named '{name}'"));
        }
        if payload.timeout_ms() == Some(Err(())) {
            return Err("timeout is a number of milliseconds, or text such as 90s or 5m".to_owned());
        }
        Ok(payload)
    }

    fn timeout_ms(&self) -> Option<Result<u64, ()>> {
        Some(match self.timeout.as_ref()? {
            Timeout::Ms(ms) => Ok(*ms),
            Timeout::Text(text) => pbj_queue::duration::parse_ms(text.as_bytes()).map_err(|_| ()),
        })
    }

    /// After how many milliseconds it is ended; `None` if never.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.timeout_ms().and_then(Result::ok).filter(|&ms| ms > 0)
    }

    /// Whether a failure is final; `code` is the exit code if there was one.
    pub(crate) fn is_final(&self, code: Option<i32>) -> bool {
        match &self.no_retry {
            NoRetry::All(all) => *all,
            NoRetry::Codes(codes) => code.is_some_and(|code| codes.contains(&code)),
        }
    }
}

/// What a job or a schedule does, for people: its command, or its payload if it is none.
pub(crate) fn what(record: &Record) -> String {
    let payload = record.text("payload");
    let command: Option<Payload> = match &*record.text("type") {
        "exec" => serde_json::from_str(&payload).ok(),
        _ => None,
    };
    match command.as_ref().map(|command| command.argv.as_slice()) {
        // A line of a crontab.
        Some([_, flag, line]) if flag == "-c" => line.clone(),
        Some(argv) => argv.join(" "),
        None => payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_strictly() {
        let payload = Payload::parse(br#"{"argv":["a","b"],"timeout":"2s","no_retry":[2]}"#).unwrap();
        assert_eq!((payload.argv.len(), payload.timeout()), (2, Some(2000)));
        assert!(payload.is_final(Some(2)) && !payload.is_final(Some(1)) && !payload.is_final(None));
        let payload = Payload::parse(br#"{"argv":["a"],"timeout":5,"no_retry":true}"#).unwrap();
        assert!(payload.timeout() == Some(5) && payload.is_final(None));
        for (bad, says) in [
            (&b"ls -l"[..], "JSON object"),
            (br#"{"argv":[]}"#, "argv is empty"),
            (br#"{"argv":[""]}"#, "argv is empty"),
            (br#"{"argv":["a"],"timout":5}"#, "unknown field `timout`"),
            (br#"{"argv":["a"],"timeout":"soon"}"#, "timeout is"),
            (br#"{"argv":["a\u0000"]}"#, "NUL"),
            (br#"{"argv":["a"],"env":{"A=B":"c"}}"#, "variable named 'A=B'"),
        ] {
            let fault = Payload::parse(bad).unwrap_err();
            assert!(fault.contains(says), "{fault}");
        }
    }
}
