//! Rules: the words of ACL SETUSER and of ACL files, applied to a user one by one.

use std::fmt;

use super::{Channels, Commands, Keys, READ, Selector, User, WRITE, has_spaces, hash_password};
use crate::command::Index;
use crate::command::args::is_word;
use crate::command::flags;

/// Why a rule cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleFault {
    UnknownName,
    Syntax,
    KeysAfterAll,
    ChannelsAfterAll,
    NoSuchPassword,
    BadHash,
    FirstWordOfSubcommand,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::UnknownName => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstWordOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Joins the words of selectors, which are written in parentheses, into one word each.
///
/// # Errors
/// A parenthesis that is never closed: the number of its word.
pub(crate) fn merge_selectors(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, usize> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, &word) in words.iter().enumerate() {
        let closes = word.last() == Some(&b')');
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if closes && let Some((_, whole)) = open.take() {
                    merged.push(whole);
                }
            }
            None if word.first() == Some(&b'(') && !closes => open = Some((at, word.to_vec())),
            None => merged.push(word.to_vec()),
        }
    }
    match open {
        Some((at, _)) => Err(at),
        None => Ok(merged),
    }
}

fn checked_hash(text: &[u8]) -> Result<String, RuleFault> {
    let hexadecimal = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == 64 && hexadecimal {
        Ok(String::from_utf8_lossy(text).into_owned())
    } else {
        Err(RuleFault::BadHash)
    }
}

impl User {
    /// Applies one rule. `all_channels` is what `acl-pubsub-default` says about new users.
    ///
    /// # Errors
    /// The rule makes no sense; the user may be changed in part only by rules before it.
    pub(crate) fn apply(&mut self, index: &Index, rule: &[u8], all_channels: bool) -> Result<(), RuleFault> {
        let is = |word| is_word(rule, word);
        match rule {
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("skip-sanitize-payload") => self.sanitize = Some(false),
            _ if is("sanitize-payload") => self.sanitize = Some(true),
            _ if is("nopass") => {
                self.no_password = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => {
                self.no_password = false;
                self.passwords.clear();
            }
            [b'>', password @ ..] => self.add_password(hash_password(password)),
            [b'#', hash @ ..] => self.add_password(checked_hash(hash)?),
            [b'<', password @ ..] => self.remove_password(&hash_password(password))?,
            [b'!', hash @ ..] => self.remove_password(&checked_hash(hash)?)?,
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(all_channels);
                for rule in inner.split(|&byte| byte == b' ').filter(|rule| !rule.is_empty()) {
                    selector.apply(index, rule)?;
                }
                self.selectors.push(selector);
            }
            _ if is("clearselectors") => self.selectors.truncate(1),
            _ if is("reset") => *self = Self { sanitize: Some(true), ..Self::new(all_channels) },
            _ => self.selectors[0].apply(index, rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: String) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, hash: &str) -> Result<(), RuleFault> {
        let at = self.passwords.iter().position(|known| known == hash).ok_or(RuleFault::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }
}

impl Selector {
    pub(super) fn apply(&mut self, index: &Index, rule: &[u8]) -> Result<(), RuleFault> {
        let is = |word| is_word(rule, word);
        match rule {
            _ if is("allkeys") || is("~*") => self.keys = Keys::All,
            _ if is("resetkeys") => self.keys = Keys::Matching(Vec::new()),
            _ if is("allchannels") || is("&*") => self.channels = Channels::All,
            _ if is("resetchannels") => self.channels = Channels::Matching(Vec::new()),
            _ if is("allcommands") || is("+@all") => self.commands = Commands::every(),
            _ if is("nocommands") || is("-@all") => self.commands = Commands::none(),
            [b'~', pattern @ ..] => self.add_keys(READ | WRITE, pattern)?,
            [b'%', rest @ ..] => {
                // Without a pattern, the rights are to the key without a name.
                let tilde = rest.iter().position(|&byte| byte == b'~').unwrap_or(rest.len());
                self.add_keys(rights(&rest[..tilde])?, rest.get(tilde + 1..).unwrap_or_default())?;
            }
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                let name = String::from_utf8_lossy(category).to_ascii_lowercase();
                let category = flags::category(&name).ok_or(RuleFault::UnknownName)?;
                self.commands.set_category(index, category, *sign == b'+');
            }
            [b'+', name @ ..] => self.allow(index, name)?,
            [b'-', name @ ..] => {
                let command = index.find_full(name).ok_or(RuleFault::UnknownName)?;
                self.commands.set_family(index, command, false);
            }
            _ => return Err(RuleFault::Syntax),
        }
        Ok(())
    }

    fn add_keys(&mut self, rights: u8, pattern: &[u8]) -> Result<(), RuleFault> {
        let Keys::Matching(patterns) = &mut self.keys else { return Err(RuleFault::KeysAfterAll) };
        if has_spaces(pattern) {
            return Err(RuleFault::Syntax);
        }
        match patterns.iter_mut().find(|(_, known)| **known == *pattern) {
            Some((known_rights, _)) => *known_rights |= rights,
            None => patterns.push((rights, pattern.into())),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleFault> {
        let Channels::Matching(patterns) = &mut self.channels else {
            return Err(RuleFault::ChannelsAfterAll);
        };
        if has_spaces(pattern) {
            return Err(RuleFault::Syntax);
        }
        if !patterns.iter().any(|known| **known == *pattern) {
            patterns.push(pattern.into());
        }
        Ok(())
    }

    fn allow(&mut self, index: &Index, name: &[u8]) -> Result<(), RuleFault> {
        let Some(bar) = name.iter().rposition(|&byte| byte == b'|') else {
            let command = index.find(name).ok_or(RuleFault::UnknownName)?;
            self.commands.set_family(index, command, true);
            return Ok(());
        };
        let (outer, word) = (&name[..bar], &name[bar + 1..]);
        let command = index.find_full(outer).ok_or(RuleFault::UnknownName)?;
        if command.container.is_some() {
            return Err(RuleFault::FirstWordOfSubcommand);
        }
        if word.is_empty() {
            return Err(RuleFault::Syntax);
        }
        if command.row.subcommands.is_empty() {
            let words = self.commands.first_words.entry(command.id).or_default();
            let word = word.to_ascii_lowercase();
            if !words.iter().any(|known| **known == *word) {
                words.push(word.into());
            }
            return Ok(());
        }
        let child = index.find_sub(command, word).ok_or(RuleFault::UnknownName)?;
        self.commands.set(child.id, true);
        Ok(())
    }
}

/// The letters between `%` and `~`.
fn rights(letters: &[u8]) -> Result<u8, RuleFault> {
    let mut rights = 0;
    for letter in letters {
        let right = match letter.to_ascii_uppercase() {
            b'R' => READ,
            b'W' => WRITE,
            _ => return Err(RuleFault::Syntax),
        };
        if rights & right != 0 {
            return Err(RuleFault::Syntax);
        }
        rights |= right;
    }
    if rights == 0 { Err(RuleFault::Syntax) } else { Ok(rights) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_words_of_redis() {
        let index = Index::new(crate::commands::all());
        let fault = |rules: &[&str]| {
            let mut user = User::new(false);
            rules.iter().find_map(|rule| user.apply(&index, rule.as_bytes(), false).err())
        };
        assert_eq!(fault(&["+nope"]), Some(RuleFault::UnknownName));
        assert_eq!(fault(&["+@nope"]), Some(RuleFault::UnknownName));
        assert_eq!(fault(&["nope"]), Some(RuleFault::Syntax));
        assert_eq!(fault(&["%~x"]), Some(RuleFault::Syntax));
        assert_eq!(fault(&["%RR~x"]), Some(RuleFault::Syntax));
        assert_eq!(fault(&["allkeys", "~x"]), Some(RuleFault::KeysAfterAll));
        assert_eq!(fault(&["&*", "&x"]), Some(RuleFault::ChannelsAfterAll));
        assert_eq!(fault(&["<x"]), Some(RuleFault::NoSuchPassword));
        assert_eq!(fault(&["#zz"]), Some(RuleFault::BadHash));
        assert_eq!(fault(&["+config|get|x"]), Some(RuleFault::FirstWordOfSubcommand));
        assert_eq!(fault(&["+debug|"]), Some(RuleFault::Syntax));
        assert_eq!(fault(&["+select|0", "on", "(%R~a +get)", "clearselectors"]), None);
    }

    #[test]
    fn parentheses_hold_together() {
        let merged = merge_selectors(&[b"on", b"(+get", b"~a)", b"(+set)"]).unwrap();
        assert_eq!(merged, [&b"on"[..], b"(+get ~a)", b"(+set)"]);
        assert_eq!(merge_selectors(&[b"on", b"(+get", b"~a"]), Err(1));
    }
}
