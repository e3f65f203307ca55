//! The values of all directives, checked.
//!
//! Law: a [`Config`] never holds a value its directive does not allow. Several values are set at once or not at all.

mod registry;
mod special;

use std::collections::BTreeMap;

pub use registry::{DIRECTIVES, Directive, Kind, REFUSED, Status};

use crate::glob;
use crate::number::parse_i64;
use crate::spelling::distance;
use crate::txn::EventMask;
use crate::types::Thresholds;

/// Why a directive cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFault {
    /// There is no such directive; the nearest name, if one is near.
    Unknown {
        /// As it was written.
        name: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// The directive exists in Redis and is not available here.
    Refused {
        /// Its name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// The value is not allowed.
    Invalid {
        /// The directive.
        name: String,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for ConfigFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { name, nearest: Some(nearest) } => {
                write!(out, "unknown directive '{name}', did you mean '{nearest}'?")
            }
            Self::Unknown { name, nearest: None } => write!(out, "unknown directive '{name}'"),
            Self::Refused { name, reason } => write!(out, "'{name}' is not available: {reason}"),
            Self::Invalid { name, reason } => write!(out, "'{name}': {reason}"),
        }
    }
}

impl std::error::Error for ConfigFault {}

/// The values of all directives.
#[derive(Clone, Debug)]
pub struct Config {
    values: BTreeMap<&'static str, String>,
    maxmemory: u64,
    slower_than: Option<u64>,
    latency_threshold: Option<u64>,
    client_memory: Option<usize>,
    /// Limits of what waits for clients: normal, replica, pubsub.
    output_limits: [OutputLimit; 3],
    script_memory: usize,
    deprecated_api: bool,
    /// How many replicas have to follow for a write, and with how much lag in seconds; `None` if none has to.
    min_replicas: Option<(usize, u64)>,
    replica_ignores_memory: bool,
    backlog_size: u64,
    log_checksums: bool,
    users: Vec<String>,
    renames: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        let values =
            DIRECTIVES.iter().map(|directive| (directive.name, directive.default.to_owned())).collect();
        let mut config = Self {
            values,
            maxmemory: 0,
            slower_than: None,
            latency_threshold: None,
            client_memory: None,
            output_limits: [OutputLimit::default(); 3],
            script_memory: 0,
            deprecated_api: false,
            min_replicas: None,
            replica_ignores_memory: true,
            backlog_size: 0,
            log_checksums: true,
            users: Vec::new(),
            renames: Vec::new(),
        };
        config.read_hot();
        config
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static LOOKUPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often this thread has looked a directive up by its name. That costs as much as a GET, so what is asked for every
/// command is kept as a number or a flag, and a test sees to it.
#[cfg(debug_assertions)]
pub fn lookups() -> u64 {
    LOOKUPS.get()
}

/// The directive with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    DIRECTIVES.iter().find(|directive| is(directive.name) || directive.alias.is_some_and(is))
}

impl Config {
    /// The value of a directive, as CONFIG GET prints it. Names are ours, so an unknown one is a mistake of ours.
    pub fn text(&self, name: &str) -> &str {
        debug_assert!(self.values.contains_key(name), "no directive {name}");
        #[cfg(debug_assertions)]
        LOOKUPS.set(LOOKUPS.get() + 1);
        self.values.get(name).map_or("", String::as_str)
    }

    /// The value of a flag.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }

    /// The value of a number.
    pub fn integer(&self, name: &str) -> i64 {
        parse_i64(self.text(name).as_bytes()).unwrap_or(0)
    }

    /// The value of a number that is not negative.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(0)
    }

    /// Sets a directive from the words of a line of a file, an argument of the command line, or CONFIG SET.
    ///
    /// # Errors
    /// The directive or the value is not allowed; nothing is changed then.
    pub fn set(&mut self, name: &str, words: &[&str]) -> Result<&'static Directive, ConfigFault> {
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused.eq_ignore_ascii_case(name)) {
            return Err(ConfigFault::Refused { name: name.to_owned(), reason });
        }
        if name.eq_ignore_ascii_case("user") {
            self.add_user(words)?;
            return Ok(&registry::USER);
        }
        if name.eq_ignore_ascii_case("rename-command") {
            let [command, other] = words else {
                let reason = "wrong number of arguments".to_owned();
                return Err(ConfigFault::Invalid { name: "rename-command".to_owned(), reason });
            };
            self.renames.push(((*command).to_owned(), (*other).to_owned()));
            return Ok(&registry::RENAME);
        }
        let Some(directive) = find(name) else {
            return Err(ConfigFault::Unknown { name: name.to_owned(), nearest: nearest(name) });
        };
        let mut value = canonical(directive, words)
            .map_err(|reason| ConfigFault::Invalid { name: directive.name.to_owned(), reason })?;
        if let Status::Refused(reason) = directive.status
            && value != directive.default
        {
            return Err(ConfigFault::Refused { name: directive.name.to_owned(), reason });
        }
        if directive.name == "client-output-buffer-limit" {
            value = special::merge_buffer_limits(self.text(directive.name), &value);
        }
        self.values.insert(directive.name, value);
        self.read_hot();
        Ok(directive)
    }

    fn add_user(&mut self, words: &[&str]) -> Result<(), ConfigFault> {
        let line = user_line(words)?;
        let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        if self.users.iter().any(|known| name(known) == name(&line)) {
            let reason = "Duplicate user found. A user can only be defined once in config files".to_owned();
            return Err(ConfigFault::Invalid { name: "user".to_owned(), reason });
        }
        self.users.push(line);
        Ok(())
    }

    /// Keeps as numbers what is looked at for every command.
    fn read_hot(&mut self) {
        let clients = self.text("maxmemory-clients");
        let bytes = match clients.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().unwrap_or(0);
                usize::try_from(self.integer("maxmemory")).unwrap_or(0) / 100 * percent
            }
            None => clients.parse().unwrap_or(0),
        };
        self.client_memory = (bytes > 0).then_some(bytes);
        self.output_limits = ["normal", "slave", "pubsub"].map(|class| self.limit_of_class(class));
        self.maxmemory = u64::try_from(self.integer("maxmemory")).unwrap_or(0);
        self.script_memory = self.size("script-memory-limit");
        self.deprecated_api = self.flag("lua-enable-deprecated-api");
        self.min_replicas =
            Some((self.size("min-replicas-to-write"), self.size("min-replicas-max-lag") as u64))
                .filter(|&(wanted, lag_max)| wanted > 0 && lag_max > 0);
        self.replica_ignores_memory = self.flag("replica-ignore-maxmemory");
        self.backlog_size = self.size("repl-backlog-size") as u64;
        self.log_checksums = self.flag("aof-checksums");
        self.slower_than = u64::try_from(self.integer("slowlog-log-slower-than")).ok();
        self.latency_threshold =
            u64::try_from(self.integer("latency-monitor-threshold")).ok().filter(|&ms| ms > 0);
    }

    /// Takes the value of one directive over from another configuration.
    pub fn take(&mut self, directive: &Directive, from: &Self) {
        self.values.insert(directive.name, from.text(directive.name).to_owned());
        self.read_hot();
    }

    /// The directives whose name or alias matches a pattern, under the name that matched, with their values.
    pub fn matching(&self, pattern: &str) -> Vec<(&'static str, &str)> {
        let exact = !pattern.contains(['*', '?', '[']);
        let names = DIRECTIVES.iter().flat_map(|directive| {
            let names = [Some(directive.name), directive.alias];
            names.into_iter().flatten().map(move |name| (name, directive))
        });
        names
            .filter(|(name, directive)| {
                let matches = glob::matches_nocase(pattern.as_bytes(), name.as_bytes());
                matches && (exact || !directive.hidden)
            })
            .map(|(name, directive)| (name, self.text(directive.name)))
            .collect()
    }

    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.size("databases").max(1)
    }

    /// The password of the default user, if there is one.
    pub fn password(&self) -> Option<&str> {
        Some(self.text("requirepass")).filter(|password| !password.is_empty())
    }

    /// The memory limit in bytes; 0 for none.
    pub fn maxmemory(&self) -> u64 {
        self.maxmemory
    }

    /// How many replicas have to follow for a write to be accepted, and with at most how many seconds of lag; `None`
    /// if none has to.
    pub(crate) fn min_replicas(&self) -> Option<(usize, u64)> {
        self.min_replicas
    }

    /// Whether a replica leaves `maxmemory` to its master.
    pub(crate) fn replica_ignores_memory(&self) -> bool {
        self.replica_ignores_memory
    }

    /// Bytes of the stream of replication that are kept for those who come back.
    pub(crate) fn backlog_size(&self) -> u64 {
        self.backlog_size
    }

    /// Whether there are lines of ours in the log.
    pub(crate) fn log_checksums(&self) -> bool {
        self.log_checksums
    }

    /// How many bytes an interpreter of scripts may take.
    pub(crate) fn script_memory(&self) -> usize {
        self.script_memory
    }

    /// Whether scripts see functions of Lua that are on their way out.
    pub(crate) fn script_deprecated_api(&self) -> bool {
        self.deprecated_api
    }

    /// Longest string in bytes.
    pub fn bulk_max(&self) -> usize {
        self.size("proto-max-bulk-len")
    }

    /// Up to where collections stay compact.
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds {
            hash_entries: self.size("hash-max-listpack-entries"),
            hash_value: self.size("hash-max-listpack-value"),
            intset_entries: self.size("set-max-intset-entries"),
            zset_entries: self.size("zset-max-listpack-entries"),
            zset_value: self.size("zset-max-listpack-value"),
            hll_sparse_bytes: self.size("hll-sparse-max-bytes"),
            stream_node_bytes: self.size("stream-node-max-bytes"),
            stream_node_entries: self.size("stream-node-max-entries"),
        }
    }

    pub(crate) fn events(&self) -> EventMask {
        EventMask::parse(self.text("notify-keyspace-events").as_bytes()).unwrap_or_default()
    }

    /// Whether a protected command (`debug`, `module`) may be used by a client of this machine, or of any other.
    pub fn allows_protected(&self, command: &str, is_local: bool) -> bool {
        self.allows(
            if command == "module" { "enable-module-command" } else { "enable-debug-command" },
            is_local,
        )
    }

    /// Whether protected directives may be set by a client of this machine, or of any other.
    pub(crate) fn allows_protected_directives(&self, is_local: bool) -> bool {
        self.allows("enable-protected-configs", is_local)
    }

    fn allows(&self, name: &str, is_local: bool) -> bool {
        match self.text(name) {
            "no" => false,
            "local" => is_local,
            _ => true,
        }
    }

    /// Microseconds above which a command is slow; `None` if none is.
    pub fn slower_than(&self) -> Option<u64> {
        self.slower_than
    }

    /// Milliseconds above which something is noted by the latency monitor; `None` if nothing is.
    pub fn latency_threshold_ms(&self) -> Option<u64> {
        self.latency_threshold
    }

    /// Bytes that all clients together may take; `None` if there is no limit.
    pub fn client_memory_limit(&self) -> Option<usize> {
        self.client_memory
    }

    /// The limit of what may wait for clients of a class (`normal`, `replica`, `pubsub`).
    pub fn output_limit(&self, class: &str) -> OutputLimit {
        let [normal, replica, pubsub] = self.output_limits;
        match class {
            "pubsub" => pubsub,
            "replica" => replica,
            _ => normal,
        }
    }

    /// The same as it is written, where replicas are called slaves.
    fn limit_of_class(&self, class: &str) -> OutputLimit {
        let mut words = self.text("client-output-buffer-limit").split_ascii_whitespace();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
            let limit = OutputLimit { hard: number(), soft: number(), soft_ms: 1000 * number() as u64 };
            if word == class {
                return limit;
            }
        }
        OutputLimit::default()
    }

    /// Bytes at which a client of a class is cut off; `None` if it never is.
    pub(crate) fn output_bytes_max(&self, class: &str) -> Option<usize> {
        Some(self.output_limit(class).hard).filter(|&bytes| bytes > 0)
    }

    /// The commands that get another name, or none: `rename-command`.
    pub fn renames(&self) -> &[(String, String)] {
        &self.renames
    }

    /// The users that stand in the configuration itself: a name and rules each.
    pub fn users(&self) -> &[String] {
        &self.users
    }
}

/// Limits of the bytes that may wait for a client (`client-output-buffer-limit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is cut off at once; 0 for none.
    pub hard: usize,
    /// Bytes at which it is cut off if it stays above them for a time; 0 for none.
    pub soft: usize,
    /// That time, in milliseconds.
    pub soft_ms: u64,
}

/// A user as the configuration keeps it: words in quotes.
fn user_line(words: &[&str]) -> Result<String, ConfigFault> {
    if words.is_empty() {
        let reason = "a user has a name".to_owned();
        return Err(ConfigFault::Invalid { name: "user".to_owned(), reason });
    }
    let quoted = words.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    Ok(quoted.collect::<Vec<_>>().join(" "))
}

/// The known name that differs least from `name`, if it differs little.
fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let names = DIRECTIVES.iter().filter(|directive| !directive.hidden).map(|directive| directive.name);
    let best = names.map(|known| (distance(&lower, known), known)).min()?;
    (best.0 <= 2 + name.len() / 6).then_some(best.1)
}

/// A number of bytes: `1024`, `1k` (thousand), `1kb` (1024), and so on up to `g`.
pub fn parse_memory(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let factor = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1000 * 1000,
        "mb" => 1 << 20,
        "g" => 1000 * 1000 * 1000,
        "gb" => 1 << 30,
        _ => return None,
    };
    parse_i64(&text.as_bytes()[..digits])?.checked_mul(factor).filter(|&bytes| bytes >= 0)
}

fn canonical(directive: &Directive, words: &[&str]) -> Result<String, String> {
    if matches!(directive.kind, Kind::Special) {
        return special::canonical(directive.name, words);
    }
    let [word] = words else { return Err("wrong number of arguments".to_owned()) };
    let within = |value: i64, min: i64, max: i64| {
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(format!("argument must be between {min} and {max} inclusive"))
        }
    };
    match directive.kind {
        Kind::Flag => match word.to_ascii_lowercase().as_str() {
            "yes" => Ok("yes".to_owned()),
            "no" => Ok("no".to_owned()),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        },
        Kind::Integer(min, max) => parse_i64(word.as_bytes())
            .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())
            .and_then(|value| within(value, min, max))
            .map(|value| value.to_string()),
        Kind::Memory(min, max) => parse_memory(word)
            .ok_or_else(|| "argument must be a memory value".to_owned())
            .and_then(|value| within(value, min, max))
            .map(|value| value.to_string()),
        Kind::Octal(min, max) => i64::from_str_radix(word, 8)
            .map_err(|_| "argument couldn't be parsed into an integer".to_owned())
            .and_then(|value| within(value, min, max))
            .map(|value| format!("{value:o}")),
        Kind::Choice(choices) => {
            let found = choices.iter().find(|choice| choice.eq_ignore_ascii_case(word));
            found
                .map(|choice| (*choice).to_owned())
                .ok_or_else(|| format!("argument(s) must be one of the following: {}", choices.join(", ")))
        }
        Kind::Text | Kind::Special => Ok((*word).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_canonical() {
        for directive in DIRECTIVES {
            let words: Vec<&str> = match directive.kind {
                Kind::Special => directive.default.split_ascii_whitespace().collect(),
                _ => vec![directive.default],
            };
            if directive.name == "dir" {
                continue;
            }
            assert_eq!(canonical(directive, &words).as_deref(), Ok(directive.default), "{}", directive.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> =
            DIRECTIVES.iter().flat_map(|d| [Some(d.name), d.alias]).flatten().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn values_are_checked_and_named() {
        let mut config = Config::default();
        assert!(config.set("MAXMEMORY", &["100mb"]).is_ok());
        assert_eq!((config.maxmemory(), config.text("maxmemory")), (100 << 20, "104857600"));
        assert_eq!(config.set("slave-priority", &["5"]).map(|d| d.name), Ok("replica-priority"));
        let reason = |name: &str, value: &str| config.clone().set(name, &[value]).unwrap_err().to_string();
        assert_eq!(reason("port", "70000"), "'port': argument must be between 0 and 65535 inclusive");
        assert_eq!(reason("port", "x"), "'port': argument couldn't be parsed into an integer");
        assert_eq!(reason("appendonly", "maybe"), "'appendonly': argument must be 'yes' or 'no'");
        assert_eq!(reason("maxmemry", "1"), "unknown directive 'maxmemry', did you mean 'maxmemory'?");
        assert!(reason("loadmodule", "x").contains("not supported"));
    }

    #[test]
    fn patterns_find_names_and_aliases() {
        let config = Config::default();
        let names: Vec<_> = config.matching("*ziplist-entries").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["hash-max-ziplist-entries", "zset-max-ziplist-entries"]);
        assert!(config.matching("key-load-delay").len() == 1 && config.matching("key-load*").is_empty());
    }

    #[test]
    fn a_class_that_is_not_named_keeps_its_limits() {
        let mut config = Config::default();
        config.set("client-output-buffer-limit", &["pubsub 1mb 512kb 10"]).unwrap();
        assert_eq!(
            config.text("client-output-buffer-limit"),
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 524288 10"
        );
    }
}
