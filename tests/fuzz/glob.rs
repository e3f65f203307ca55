//! Glob patterns, against an implementation that tries everything; and their time, which is counted in
//! nothing but itself.

use pbj_store::glob::{matches, matches_nocase};

use super::Target;
use super::memory::within;

pub(super) const TARGET: Target =
    Target { name: "glob", run, seeds, words: &["*", "?", "[^", "[a-", "]", "\\", "**", "[]", "a*a*", "-"] };

fn seeds() -> Vec<Vec<u8>> {
    [
        "a*b\0aXXb",
        "h?llo\0hello",
        "[a-c]*\0b1",
        "[^a]\\*x\0b*x",
        "[z-a\0m",
        "*a*a*a*a*b\0aaaaaaaaaaaaaaaa",
        "h[\0h[",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Whether a pattern matches, by trying each end of each star, from the end of both. `known[p][t]`: pattern
/// from `p`, text from `t`.
fn tried(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let mut known = vec![vec![false; text.len() + 1]; pattern.len() + 1];
    known[pattern.len()][text.len()] = true;
    for p in (0..pattern.len()).rev() {
        for t in (0..=text.len()).rev() {
            known[p][t] = match (pattern[p], text.get(t)) {
                (b'*', _) => known[p + 1][t] || (t < text.len() && known[p][t + 1]),
                (_, None) => false,
                (_, Some(&byte)) => {
                    let (takes, next) = element(&pattern[p..], byte, fold);
                    takes && known[p + next][t + 1]
                }
            };
        }
    }
    known[0][0]
}

/// Whether the first element of a pattern, which is no star, takes a byte, and how long it is.
fn element(pattern: &[u8], byte: u8, fold: bool) -> (bool, usize) {
    let folded = |byte: u8| if fold { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [b'?', ..] => (true, 1),
        [b'\\', literal, ..] => (folded(*literal) == folded(byte), 2),
        [b'[', class @ ..] => {
            let (negated, mut rest) = match class {
                [b'^', rest @ ..] => (true, rest),
                _ => (false, class),
            };
            let mut found = false;
            loop {
                rest = match rest {
                    [b'\\', literal, rest @ ..] => {
                        // Redis folds no case here.
                        found |= *literal == byte;
                        rest
                    }
                    [b']', rest @ ..] => {
                        let len = pattern.len() - rest.len();
                        return (found != negated, len);
                    }
                    // A class without an end ends with the pattern.
                    [] => return (found != negated, pattern.len()),
                    [from, b'-', to, rest @ ..] => {
                        let (from, to) = (folded(*from), folded(*to));
                        found |= (from.min(to)..=to.max(from)).contains(&folded(byte));
                        rest
                    }
                    [literal, rest @ ..] => {
                        found |= folded(*literal) == folded(byte);
                        rest
                    }
                };
            }
        }
        [literal, ..] => (folded(*literal) == folded(byte), 1),
        [] => (false, 0),
    }
}

fn run(input: &[u8]) {
    let mut halves = input.splitn(2, |&byte| byte == 0);
    let (pattern, text) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    if pattern.len() * text.len() > 1 << 16 {
        return;
    }
    let (exact, folded) = within(0, || (matches(pattern, text), matches_nocase(pattern, text)));
    assert_eq!(exact, tried(pattern, text, false), "{pattern:?} and {text:?}");
    assert_eq!(folded, tried(pattern, text, true), "{pattern:?} and {text:?} without case");
}
