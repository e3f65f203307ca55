//! The grammar of a command's arguments, written in one line.
//!
//! ```text
//! argument := name ":" type ["/" TOKEN] ["@" version] ["..."] ["#" key spec]    a value, behind its token if it has
//! one
//!           | name "/" TOKEN ["@" version]                                       a word that stands for itself
//!           | name "=" "(" argument { "|" argument } ")" suffixes                one of several
//!           | name "=" "{" argument { " " argument } "}" suffixes                several together
//!           | "[" argument "]"                                                   one that may be missing
//! type     := k(ey) | s(tring) | i(nteger) | d(ouble) | p(attern) | t (unix time)
//! ```
//! `...` after the token repeats the value, `*...` repeats the token too. COMMAND DOCS, help and the grammar fuzzer
//! read it; handlers check arguments themselves, with the errors clients expect.

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name in documentation.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The word before it, or the word that it is.
    pub token: Option<String>,
    /// First version that had it, if that is later than the command.
    pub since: Option<String>,
    /// Which key specification finds it.
    pub key_spec: Option<usize>,
    /// It may be missing.
    pub optional: bool,
    /// It may be repeated.
    pub multiple: bool,
    /// Its token is repeated with it.
    pub multiple_token: bool,
    /// What it consists of.
    pub arguments: Vec<Argument>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a type of COMMAND DOCS")]
pub enum Kind {
    Key,
    String,
    Integer,
    Double,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// Reads the grammar of a row. Rows are constants and a test reads them all, so a mistake is ours: what does not follow
/// the notation is left out.
pub fn parse(syntax: &str) -> Vec<Argument> {
    Reader { rest: syntax }.sequence(None)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sequence(&mut self, close: Option<&str>) -> Vec<Argument> {
        let mut arguments = Vec::new();
        loop {
            while self.skip(" ") || self.skip("|") {}
            if self.rest.is_empty() || close.is_some_and(|close| self.skip(close)) {
                return arguments;
            }
            let before = self.rest.len();
            arguments.extend(self.argument());
            if self.rest.len() == before {
                return arguments;
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find([':', '/', '@', '=', '[', ']', '(', ')', '{', '}', '|', ' ', '#', '*', '.']);
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn argument(&mut self) -> Option<Argument> {
        if self.skip("[") {
            let mut inner = self.sequence(Some("]"));
            let mut argument = inner.pop()?;
            argument.optional = true;
            return Some(argument);
        }
        let mut argument = Argument {
            name: self.word().to_owned(),
            kind: Kind::PureToken,
            token: None,
            since: None,
            key_spec: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: Vec::new(),
        };
        if self.skip("=(") {
            argument.kind = Kind::OneOf;
            argument.arguments = self.sequence(Some(")"));
        } else if self.skip("={") {
            argument.kind = Kind::Block;
            argument.arguments = self.sequence(Some("}"));
        } else if self.skip(":") {
            argument.kind = match self.word() {
                "k" => Kind::Key,
                "i" => Kind::Integer,
                "d" => Kind::Double,
                "p" => Kind::Pattern,
                "t" => Kind::UnixTime,
                _ => Kind::String,
            };
            argument.key_spec = (argument.kind == Kind::Key).then_some(0);
        }
        self.suffixes(&mut argument);
        Some(argument)
    }

    fn suffixes(&mut self, argument: &mut Argument) {
        loop {
            if self.skip("/") {
                argument.token = Some(self.token());
            } else if self.skip("@") {
                let end = self.rest.find([' ', ']', ')', '}', '|', '*', '#']).unwrap_or(self.rest.len());
                let (version, rest) = self.rest.split_at(end);
                argument.since = Some(version.trim_end_matches("...").to_owned());
                self.rest = if version.ends_with("...") { &self.rest[end - 3..] } else { rest };
            } else if self.skip("*...") {
                argument.multiple = true;
                argument.multiple_token = true;
            } else if self.skip("...") {
                argument.multiple = true;
            } else if self.skip("#") {
                argument.key_spec = self.word().parse().ok();
            } else {
                return;
            }
        }
    }

    /// A token, in quotes if it is unusual (`"="`, `""`).
    fn token(&mut self) -> String {
        if self.skip("\"") {
            let end = self.rest.find('"').unwrap_or(0);
            let token = self.rest[..end].to_owned();
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            return token;
        }
        self.word().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let set = parse(
            "key:k value:s [condition=(nx/NX|xx/XX)] [get/GET@6.2.0] [expiration=(seconds:i/EX|keepttl/KEEPTTL@6.0.0)]",
        );
        assert_eq!(set.len(), 5);
        assert_eq!((set[0].kind, set[0].key_spec), (Kind::Key, Some(0)));
        assert!(set[2].optional && set[2].kind == Kind::OneOf);
        assert_eq!(set[2].arguments[1].token.as_deref(), Some("XX"));
        assert_eq!((set[3].kind, set[3].since.as_deref()), (Kind::PureToken, Some("6.2.0")));
        assert_eq!(
            (set[4].arguments[0].kind, set[4].arguments[1].since.as_deref()),
            (Kind::Integer, Some("6.0.0"))
        );
        let sort = parse("key:k [pattern:p/GET*...] [data={score:d member:s}...] [destination:k/STORE#2]");
        assert!(sort[1].multiple && sort[1].multiple_token);
        assert!(sort[2].multiple && sort[2].arguments.len() == 2);
        assert_eq!(sort[3].key_spec, Some(2));
    }
}
