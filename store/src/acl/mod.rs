//! Access control: users, what they may run, and which keys and channels they may reach.
//!
//! Law: a user has one root selector and any number of further ones; a command is allowed if one selector alone allows
//! the command, all of its keys and all of its channels. Passwords are kept as SHA-256 and compared without telling by
//! the time it takes how much was right.
//! Not here: who is authenticated as whom, and what happens to the connections of a user that changes
//! ([`crate::engine`]).

mod describe;
mod log;
mod rule;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

pub(crate) use log::{Context, Entry as LogEntry, Log};
pub(crate) use rule::{RuleFault, merge_selectors};

use crate::command::index::Callable;
use crate::command::keys::Key;
use crate::command::{Index, flags};
use crate::glob;

/// The name of the user that every connection begins as.
pub(crate) const DEFAULT: &[u8] = b"default";

/// May read the keys of a pattern.
const READ: u8 = 1;
/// May write the keys of a pattern.
const WRITE: u8 = 1 << 1;

/// Why a command is refused; the worst of several selectors is reported, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denied {
    /// The command itself.
    Command,
    /// The key at this argument.
    Key(usize),
    /// The channel at this argument.
    Channel(usize),
}

/// Keys that a selector reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    All,
    Matching(Vec<(u8, Box<[u8]>)>),
}

/// Channels that a selector reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channels {
    All,
    Matching(Vec<Box<[u8]>>),
}

/// A set of commands, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Commands {
    bits: Vec<u64>,
    /// Commands that do not exist yet are allowed too: it began with `+@all`.
    future: bool,
    /// Nothing was taken away since `+@all`.
    all: bool,
    /// Commands that are allowed with certain first arguments only.
    first_words: BTreeMap<u16, Vec<Box<[u8]>>>,
}

/// A set of rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    keys: Keys,
    channels: Channels,
    commands: Commands,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) enabled: bool,
    /// Any password is right.
    pub(crate) no_password: bool,
    /// `None` until somebody says: payloads are always checked here.
    sanitize: Option<bool>,
    /// SHA-256, in hexadecimal.
    passwords: Vec<String>,
    /// The root selector first.
    selectors: Vec<Selector>,
}

impl Commands {
    fn none() -> Self {
        Self { bits: Vec::new(), future: false, all: false, first_words: BTreeMap::new() }
    }

    fn every() -> Self {
        Self { bits: Vec::new(), future: true, all: true, first_words: BTreeMap::new() }
    }

    fn has(&self, id: u16) -> bool {
        // A command without a bit is as it was when the set began.
        let word =
            self.bits.get(usize::from(id) / 64).copied().unwrap_or(if self.future { u64::MAX } else { 0 });
        word >> (id % 64) & 1 == 1
    }

    fn set(&mut self, id: u16, allowed: bool) {
        let word = usize::from(id) / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, if self.future { u64::MAX } else { 0 });
        }
        let bit = 1 << (id % 64);
        if allowed {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
            self.all = false;
        }
        self.first_words.remove(&id);
    }

    /// A command with all its subcommands.
    fn set_family(&mut self, index: &Index, command: Callable, allowed: bool) {
        self.set(command.id, allowed);
        index.subcommands(command).for_each(|child| self.set(child.id, allowed));
    }

    fn set_category(&mut self, index: &Index, category: u32, allowed: bool) {
        for command in index.top_level() {
            if command.row.all_categories() & category != 0 {
                self.set_family(index, command, allowed);
            }
            for child in index.subcommands(command) {
                if child.row.all_categories() & category != 0 {
                    self.set(child.id, allowed);
                }
            }
        }
    }

    fn allow(&self, command: Callable, args: &[&[u8]]) -> bool {
        self.all || command.row.is(flags::NO_AUTH) || self.has(command.id) || {
            let words = self.first_words.get(&command.id);
            words.is_some_and(|words| {
                args.get(command.words())
                    .is_some_and(|arg| words.iter().any(|word| word.eq_ignore_ascii_case(arg)))
            })
        }
    }
}

impl Selector {
    /// Nothing is allowed, or (as `acl-pubsub-default` may say) nothing but all channels.
    fn new(all_channels: bool) -> Self {
        Self {
            keys: Keys::Matching(Vec::new()),
            channels: if all_channels { Channels::All } else { Channels::Matching(Vec::new()) },
            commands: Commands::none(),
        }
    }

    fn check(&self, command: Callable, args: &[&[u8]], keys: &KeyRefs) -> Result<(), Denied> {
        if !self.commands.allow(command, args) {
            return Err(Denied::Command);
        }
        if let Keys::Matching(patterns) = &self.keys {
            for &(at, wanted) in &keys.0 {
                if !may_touch(patterns, args[at], wanted) {
                    return Err(Denied::Key(at));
                }
            }
        }
        if let Channels::Matching(patterns) = &self.channels
            && let Some((range, is_pattern)) = channels_of(command, args.len())
        {
            for at in range {
                if !may_reach(patterns, args[at], is_pattern) {
                    return Err(Denied::Channel(at));
                }
            }
        }
        Ok(())
    }
}

impl Selector {
    fn reads_all_keys(&self) -> bool {
        match &self.keys {
            Keys::All => true,
            Keys::Matching(patterns) => {
                patterns.iter().any(|(rights, pattern)| rights & READ != 0 && **pattern == *b"*")
            }
        }
    }
}

fn may_touch(patterns: &[(u8, Box<[u8]>)], key: &[u8], wanted: u8) -> bool {
    patterns.iter().any(|(rights, pattern)| rights & wanted == wanted && glob::matches(pattern, key))
}

fn may_reach(patterns: &[Box<[u8]>], channel: &[u8], is_pattern: bool) -> bool {
    // A pattern to listen to must be listed itself: it could match more than any listed one.
    patterns.iter().any(|known| if is_pattern { **known == *channel } else { glob::matches(known, channel) })
}

/// The arguments of a command that are channels it publishes or listens to, and whether they are patterns.
fn channels_of(command: Callable, len: usize) -> Option<(std::ops::Range<usize>, bool)> {
    match command.row.name {
        "publish" | "spublish" => Some((1..2, false)),
        "subscribe" | "ssubscribe" => Some((1..len, false)),
        "psubscribe" => Some((1..len, true)),
        _ => None,
    }
}

/// The keys of a request, with what happens to each.
pub(crate) struct KeyRefs(Vec<(usize, u8)>);

impl KeyRefs {
    /// Finds the keys of a request.
    pub(crate) fn of(command: Callable, args: &[&[u8]]) -> Self {
        let mut found = Vec::new();
        for (at, key_flags) in command.row.key_positions(args) {
            if key_flags & Key::NOT_KEY != 0 {
                continue;
            }
            let mut wanted = 0;
            if key_flags & Key::ACCESS != 0 {
                wanted |= READ;
            }
            if key_flags & (Key::INSERT | Key::DELETE | Key::UPDATE) != 0 {
                wanted |= WRITE;
            }
            found.push((at, wanted));
        }
        Self(found)
    }
}

impl User {
    /// A user who may do nothing.
    pub(crate) fn new(all_channels: bool) -> Self {
        Self {
            enabled: false,
            no_password: false,
            sanitize: None,
            passwords: Vec::new(),
            selectors: vec![Selector::new(all_channels)],
        }
    }

    /// The user everybody begins as, who may do everything.
    pub(crate) fn everything() -> Self {
        Self {
            enabled: true,
            no_password: true,
            sanitize: None,
            passwords: Vec::new(),
            selectors: vec![Selector {
                keys: Keys::All,
                channels: Channels::All,
                commands: Commands::every(),
            }],
        }
    }

    /// Whether no command of this user needs to be checked.
    pub(crate) fn may_everything(&self) -> bool {
        self.selectors.iter().any(|selector| {
            selector.commands.all && selector.keys == Keys::All && selector.channels == Channels::All
        })
    }

    /// Whether this user may run a command.
    pub(crate) fn check(&self, command: Callable, args: &[&[u8]]) -> Result<(), Denied> {
        if self.may_everything() {
            return Ok(());
        }
        let keys = KeyRefs::of(command, args);
        let mut worst = Denied::Command;
        for selector in &self.selectors {
            match selector.check(command, args, &keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether a selector that allows a command also lets read every key.
    pub(crate) fn may_read_all_keys(&self, command: Callable, args: &[&[u8]]) -> bool {
        let keys = KeyRefs::of(command, args);
        self.selectors
            .iter()
            .any(|selector| selector.reads_all_keys() && selector.check(command, args, &keys).is_ok())
    }

    /// Whether a password is right.
    pub(crate) fn knows(&self, password: &[u8]) -> bool {
        let hash = hash_password(password);
        // All are compared, so that the time says nothing.
        let right =
            self.passwords.iter().fold(false, |found, known| found | equal_in_constant_time(known, &hash));
        self.no_password || right
    }

    /// Sets the password of `requirepass`, or none.
    pub(crate) fn set_only_password(&mut self, password: Option<&str>) {
        self.passwords = password.iter().map(|password| hash_password(password.as_bytes())).collect();
        self.no_password = password.is_none();
    }

    fn reaches_all_channels(&self) -> bool {
        self.selectors.iter().any(|selector| selector.channels == Channels::All)
    }

    fn channel_patterns(&self) -> Vec<Box<[u8]>> {
        let lists = self.selectors.iter().filter_map(|selector| match &selector.channels {
            Channels::All => None,
            Channels::Matching(patterns) => Some(patterns),
        });
        lists.flatten().cloned().collect()
    }

    /// Whether somebody who listens as this user may have to be cut off when the user becomes `new`.
    pub(crate) fn loses_channels(&self, new: &Self) -> bool {
        let left = new.channel_patterns();
        !new.reaches_all_channels()
            && (self.reaches_all_channels()
                || self.channel_patterns().iter().any(|known| !left.contains(known)))
    }

    /// Whether any selector lets listen to a channel or a pattern.
    pub(crate) fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.reaches_all_channels() || may_reach(&self.channel_patterns(), channel, is_pattern)
    }
}

/// The SHA-256 of a password, in hexadecimal.
fn hash_password(password: &[u8]) -> String {
    Sha256::digest(password).iter().fold(String::with_capacity(64), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
        text
    })
}

fn equal_in_constant_time(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && differences == 0
}

/// Whether a name or a pattern would break the form of a line.
pub(crate) fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0 || *byte == 0x0b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::new(crate::commands::all())
    }

    fn user(index: &Index, rules: &[&str]) -> User {
        let mut user = User::new(false);
        for rule in rules {
            user.apply(index, rule.as_bytes(), false).unwrap();
        }
        user
    }

    fn check(index: &Index, user: &User, request: &str) -> Result<(), Denied> {
        let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        user.check(index.resolve(&args).unwrap(), &args)
    }

    #[test]
    fn commands_keys_and_channels_must_all_be_allowed_by_one_selector() {
        let index = index();
        let user = user(&index, &["+@read", "%R~in:*", "%W~out:*", "+copy", "+publish", "&news"]);
        assert_eq!(check(&index, &user, "GET in:1"), Ok(()));
        assert_eq!(check(&index, &user, "GET out:1"), Err(Denied::Key(1)));
        assert_eq!(check(&index, &user, "COPY in:1 out:1"), Ok(()));
        assert_eq!(check(&index, &user, "COPY out:1 in:1"), Err(Denied::Key(1)));
        assert_eq!(check(&index, &user, "SET out:1 x"), Err(Denied::Command));
        assert_eq!(check(&index, &user, "PUBLISH news x"), Ok(()));
        assert_eq!(check(&index, &user, "PUBLISH other x"), Err(Denied::Channel(1)));
    }

    #[test]
    fn the_worst_reason_of_all_selectors_is_told() {
        let index = index();
        let user = user(&index, &["+get", "~a", "(+set ~b)"]);
        assert_eq!(check(&index, &user, "GET a"), Ok(()));
        assert_eq!(check(&index, &user, "SET b 1"), Ok(()));
        assert_eq!(check(&index, &user, "GET b"), Err(Denied::Key(1)));
        assert_eq!(check(&index, &user, "DEL a"), Err(Denied::Command));
    }

    #[test]
    fn passwords_are_compared_as_hashes() {
        let index = index();
        let mut someone = user(&index, &["on", ">secret"]);
        assert!(someone.knows(b"secret") && !someone.knows(b"Secret") && !someone.knows(b""));
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(someone.passwords, [hash]);
        someone.apply(&index, format!("!{hash}").as_bytes(), false).unwrap();
        assert!(!someone.knows(b"secret"));
    }
}
