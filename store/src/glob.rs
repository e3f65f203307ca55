//! Glob patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET know them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! Law: time is at most the product of the two lengths. Only the last `*` is ever tried again: whatever an earlier one
//! could still swallow, the last one can swallow as well. A pattern with more stars than [`STARS_MAX`] matches nothing
//! that reaches the star beyond them, as in Redis.

use crate::limits::STARS_MAX;

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Matcher { pattern, fold_case: false }.run(text)
}

/// Whether `text` matches `pattern`, letters compared without case.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    Matcher { pattern, fold_case: true }.run(text)
}

struct Matcher<'a> {
    pattern: &'a [u8],
    fold_case: bool,
}

impl Matcher<'_> {
    fn run(&self, text: &[u8]) -> bool {
        let (mut at, mut read) = (0, 0);
        let mut retry = None;
        let mut stars = 0;
        loop {
            if self.pattern.get(at) == Some(&b'*') {
                at += self.pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
                if at == self.pattern.len() {
                    return true;
                }
                stars += 1;
                if stars > STARS_MAX {
                    return false;
                }
                retry = Some((at, read));
                continue;
            }
            if read == text.len() {
                return at == self.pattern.len();
            }
            if let Some(next) = self.step(at, text[read]) {
                (at, read) = (next, read + 1);
            } else if let Some((after_star, swallowed)) = retry {
                (at, read) = (after_star, swallowed + 1);
                retry = Some((after_star, swallowed + 1));
            } else {
                return false;
            }
        }
    }

    /// Where the pattern goes on after its element at `at` took `byte`; `None` if it does not take it.
    fn step(&self, at: usize, byte: u8) -> Option<usize> {
        match *self.pattern.get(at)? {
            b'?' => Some(at + 1),
            b'[' => {
                let (inside, next) = self.class(at + 1, byte);
                inside.then_some(next)
            }
            b'\\' if at + 1 < self.pattern.len() => self.same(self.pattern[at + 1], byte).then_some(at + 2),
            literal => self.same(literal, byte).then_some(at + 1),
        }
    }

    /// Whether `byte` is in the class that begins at `at`, and where the pattern goes on behind it.
    fn class(&self, mut at: usize, byte: u8) -> (bool, usize) {
        let negated = self.pattern.get(at) == Some(&b'^');
        at += usize::from(negated);
        let mut inside = false;
        loop {
            match self.pattern[at.min(self.pattern.len())..] {
                [] => return (inside != negated, at),
                [b']', ..] => return (inside != negated, at + 1),
                [b'\\', escaped, ..] => {
                    inside |= escaped == byte;
                    at += 2;
                }
                [low, b'-', high, ..] => {
                    let (low, high) = (self.fold(low), self.fold(high));
                    inside |= (low.min(high)..=low.max(high)).contains(&self.fold(byte));
                    at += 3;
                }
                [literal, ..] => {
                    inside |= self.same(literal, byte);
                    at += 1;
                }
            }
        }
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.fold_case { byte.to_ascii_lowercase() } else { byte }
    }

    fn same(&self, a: u8, b: u8) -> bool {
        self.fold(a) == self.fold(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_element() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[a-e]llo", "hello", true),
            ("h[e-a]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a[", "ab", false),
            ("[ab", "a", true),
            ("[\\]]", "]", true),
            ("ab\\", "ab\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
        assert!(matches_nocase(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn stars_beyond_the_bound_match_nothing() {
        let pattern = |stars: usize| [b"*?".repeat(stars), b"*".to_vec()].concat();
        let text = b"a".repeat(3000);
        assert!(matches(&pattern(STARS_MAX), &text));
        assert!(!matches(&pattern(STARS_MAX + 1), &text));
        assert!(matches(&b"*".repeat(3000), b"runs of stars are one"));
    }

    /// CVE-2022-36021: nested stars once took exponential time.
    #[test]
    fn many_stars_stay_fast() {
        let pattern = [b"a*".repeat(30), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(60)));
    }
}
