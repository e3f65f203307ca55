//! Users as text: the rules that lead to them, as short as they get.

use super::{Channels, Commands, Keys, READ, Selector, User, WRITE};
use crate::command::Index;
use crate::command::flags::CATEGORIES;

/// A selector as ACL GETUSER shows it.
pub(crate) struct Description {
    pub(crate) commands: Vec<u8>,
    pub(crate) keys: Vec<u8>,
    pub(crate) channels: Vec<u8>,
}

impl Commands {
    /// Rules that make this set: all or nothing, then the categories that fit, then what is left one by one.
    fn describe(&self, index: &Index) -> Vec<u8> {
        let additive = !self.future;
        let mut rules = if additive { b"-@all".to_vec() } else { b"+@all".to_vec() };
        let mut built = if additive { Self::none() } else { Self::every() };
        let mut left = self.clone();
        let mut applied = vec![false; CATEGORIES.len()];
        while let Some(best) = left.best_category(index, &applied, additive) {
            let (name, category) = CATEGORIES[best];
            built.set_category(index, category, additive);
            left.set_category(index, category, !additive);
            rules.extend_from_slice(if additive { b" +@" } else { b" -@" });
            rules.extend_from_slice(name.as_bytes());
            applied[best] = true;
        }
        for command in index.top_level() {
            self.describe_one(&mut built, command.id, &command.full_name(), &mut rules, || {
                index.subcommands(command).map(|child| child.id).collect()
            });
            for child in index.subcommands(command) {
                self.describe_one(&mut built, child.id, &child.full_name(), &mut rules, Vec::new);
            }
        }
        for (id, words) in &self.first_words {
            let name = index.all()[usize::from(*id)].full_name();
            for word in words {
                rules.extend_from_slice(&[b" +", name.as_bytes(), b"|", word].concat());
            }
        }
        rules
    }

    fn describe_one(
        &self,
        built: &mut Self,
        id: u16,
        name: &str,
        rules: &mut Vec<u8>,
        children: impl FnOnce() -> Vec<u16>,
    ) {
        let wanted = self.has(id);
        if built.has(id) != wanted {
            rules.extend_from_slice(if wanted { b" +" } else { b" -" });
            rules.extend_from_slice(name.as_bytes());
            // Naming a command names its subcommands too.
            built.set(id, wanted);
            children().into_iter().for_each(|child| built.set(child, wanted));
        }
    }

    /// The category that has more in common with this set than not, and differs least.
    fn best_category(&self, index: &Index, applied: &[bool], additive: bool) -> Option<usize> {
        let mut best = None;
        let (mut fewest, mut most) = (usize::MAX, 0);
        for (at, &(_, category)) in CATEGORIES.iter().enumerate().filter(|(at, _)| !applied[*at]) {
            let members = index.all().iter().filter(|command| command.row.all_categories() & category != 0);
            let (on, off): (Vec<bool>, Vec<bool>) =
                members.map(|command| self.has(command.id)).partition(|on| *on);
            let (same, different) = if additive { (on.len(), off.len()) } else { (off.len(), on.len()) };
            if same > different && (different < fewest || (different == fewest && same > most)) {
                (best, fewest, most) = (Some(at), different, same);
            }
        }
        best
    }
}

impl Selector {
    fn description(&self, index: &Index) -> Description {
        let keys = match &self.keys {
            Keys::All => b"~*".to_vec(),
            Keys::Matching(patterns) => {
                let words: Vec<Vec<u8>> = patterns
                    .iter()
                    .map(|(rights, pattern)| {
                        let sign: &[u8] = match *rights {
                            READ => b"%R~",
                            WRITE => b"%W~",
                            _ => b"~",
                        };
                        [sign, pattern].concat()
                    })
                    .collect();
                words.join(&b' ')
            }
        };
        let channels = match &self.channels {
            Channels::All => b"&*".to_vec(),
            Channels::Matching(patterns) => {
                let words: Vec<Vec<u8>> =
                    patterns.iter().map(|pattern| [b"&", &**pattern].concat()).collect();
                words.join(&b' ')
            }
        };
        Description { commands: self.commands.describe(index), keys, channels }
    }

    fn describe(&self, index: &Index) -> Vec<u8> {
        let Description { commands, keys, channels } = self.description(index);
        let reset: &[u8] = if self.channels == Channels::All { b"" } else { b"resetchannels" };
        let parts: Vec<&[u8]> =
            [&keys, reset, &channels, &commands].into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(&b' ')
    }
}

impl User {
    /// The names of what is switched on.
    pub(crate) fn flag_names(&self) -> Vec<&'static str> {
        let mut names = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            names.push("nopass");
        }
        match self.sanitize {
            Some(true) => names.push("sanitize-payload"),
            Some(false) => names.push("skip-sanitize-payload"),
            None => {}
        }
        names
    }

    /// The hashes of the passwords.
    pub(crate) fn password_hashes(&self) -> &[String] {
        &self.passwords
    }

    /// The selectors, the root first.
    pub(crate) fn descriptions(&self, index: &Index) -> Vec<Description> {
        self.selectors.iter().map(|selector| selector.description(index)).collect()
    }

    /// The rules that make this user, as ACL LIST and ACL files have them.
    pub(crate) fn describe(&self, index: &Index) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flag_names().iter().map(|name| name.as_bytes().to_vec()).collect();
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        for (at, selector) in self.selectors.iter().enumerate() {
            let text = selector.describe(index);
            words.push(if at == 0 { text } else { [b"(", &*text, b")"].concat() });
        }
        words.join(&b' ')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(rules: &[&str]) -> String {
        let index = Index::new(crate::commands::all());
        let mut user = User::new(false);
        rules.iter().for_each(|rule| user.apply(&index, rule.as_bytes(), false).unwrap());
        let text = String::from_utf8(user.describe(&index)).unwrap();
        // What is described leads to the same user.
        let mut again = User::new(false);
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        for rule in super::super::merge_selectors(&words).unwrap() {
            again.apply(&index, &rule, false).unwrap();
        }
        assert_eq!(again.describe(&index), user.describe(&index));
        text
    }

    #[test]
    fn a_description_is_short_and_leads_back() {
        assert_eq!(described(&[]), "off resetchannels -@all");
        assert_eq!(described(&["on", "nopass", "~*", "&*", "+@all"]), "on nopass ~* &* +@all");
        assert_eq!(
            described(&["+@all", "-@dangerous", "+debug|digest", "~a", "%R~b", "&c"]),
            "off ~a %R~b resetchannels &c +@all -@dangerous +debug|digest"
        );
        assert_eq!(
            described(&["+get", "+config|get", "(~x +set)"]),
            "off resetchannels -@all +get +config|get (~x resetchannels -@all +set)"
        );
    }
}
