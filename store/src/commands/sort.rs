//! SORT: the elements of a list, a set or a sorted set in another order, or something that their names lead to.

use std::cmp::Ordering;

use super::prelude::*;
use crate::keyspace::Value;
use crate::number::parse_range_end;
use crate::txn::Expiry;
use crate::types::list::{End, List};

pub(super) const ROWS: &[Command] = &[SORT, SORT_RO];

const COST: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).";

/// Keys that the patterns of BY and GET lead to.
const BY_PATTERN: KeySpec =
    KeySpec { begin: Begin::Unknown, find: Find::Unknown, flags: Key::RO | Key::ACCESS };

const SORT: Command = Command::data("sort", Group::Generic, sort)
    .arity(-2)
    .flags(WRITE | DENYOOM)
    .categories(OWN_CATEGORIES | SET | SORTEDSET | LIST | DANGEROUS)
    .keys(&[
        Key::at(1, Key::RO | Key::ACCESS),
        BY_PATTERN,
        KeySpec { begin: Begin::Unknown, find: Find::Custom(stored_at), flags: Key::OW | Key::UPDATE },
    ])
    .verbatim()
    .since("1.0.0")
    .cost(COST)
    .summary("Returns or stores the elements of a list, a set or a sorted set in order.")
    .syntax("key:k [pattern:p/BY] [offset_count={offset:i count:i}/LIMIT] [pattern:p/GET*...] [order=(asc/ASC|desc/DESC)] [sorting/ALPHA] [destination:k/STORE#2]");

fn sort(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(txn, args, reply, true)
}

const SORT_RO: Command = Command::data("sort_ro", Group::Generic, sort_ro)
    .arity(-2)
    .flags(READONLY)
    .categories(OWN_CATEGORIES | SET | SORTEDSET | LIST | DANGEROUS)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS), BY_PATTERN])
    .since("7.0.0")
    .cost(COST)
    .summary("Returns the elements of a list, a set or a sorted set in order.")
    .syntax("key:k [pattern:p/BY] [offset_count={offset:i count:i}/LIMIT] [pattern:p/GET*...] [order=(asc/ASC|desc/DESC)] [sorting/ALPHA]");

fn sort_ro(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(txn, args, reply, false)
}

/// Where the key behind the last STORE stands.
fn stored_at(args: &[&[u8]]) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(word) = args.get(at) {
        at += match () {
            () if is_word(word, "LIMIT") => 3,
            () if is_word(word, "GET") || is_word(word, "BY") => 2,
            () if is_word(word, "STORE") && at + 1 < args.len() => {
                found = Some(at + 1);
                1
            }
            () => 1,
        };
    }
    found
}

/// Something that the name of an element leads to: `weight_*`, `object_*->field`, or `#`, the element itself.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    text: &'a [u8],
    parts: Option<Parts<'a>>,
}

/// Before the star, behind it up to the arrow, behind the arrow.
type Parts<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Self {
        let star = text.iter().position(|&byte| byte == b'*');
        let parts = star.map(|star| {
            let (before, behind) = (&text[..star], &text[star + 1..]);
            let arrow = behind.windows(2).position(|pair| pair == b"->");
            match arrow.filter(|arrow| arrow + 2 < behind.len()) {
                Some(arrow) => (before, &behind[..arrow], Some(&behind[arrow + 2..])),
                None => (before, behind, None),
            }
        });
        Self { text, parts }
    }

    /// What the pattern leads to for an element. What is `stored` must not depend on fields that are hidden now, but
    /// not yet removed: the log repeats the command.
    fn look_up(self, txn: &mut Txn<'_>, element: &[u8], stored: bool) -> Option<Vec<u8>> {
        if self.text == b"#" {
            return Some(element.to_vec());
        }
        let (before, behind, field) = self.parts?;
        let key = [before, element, behind].concat();
        match field {
            None => txn.text(&key).ok()?.map(|text| text.to_vec()),
            Some(field) => {
                if stored {
                    txn.expire_field_if_due(&key, field).ok()?;
                }
                txn.hash(&key).ok()??.get(field).map(|value| value.to_vec())
            }
        }
    }
}

#[derive(Default)]
struct Options<'a> {
    descending: bool,
    alphabetic: bool,
    limit: Option<(i64, i64)>,
    by: Option<Pattern<'a>>,
    /// Nothing is sorted: the pattern is the same for all elements.
    unsorted: bool,
    get: Vec<Pattern<'a>>,
    target: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(txn: &Txn<'_>, args: &mut Args<'a>, may_store: bool) -> Result<Self, Fault> {
        let denied = |word: &str| {
            Fault::other(format!("{word} option of SORT denied due to insufficient ACL permissions."))
        };
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            let left = args.left();
            match () {
                () if is_word(word, "ASC") => options.descending = false,
                () if is_word(word, "DESC") => options.descending = true,
                () if is_word(word, "ALPHA") => options.alphabetic = true,
                () if is_word(word, "LIMIT") && left >= 2 => {
                    options.limit = Some((args.integer()?, args.integer()?));
                }
                () if may_store && is_word(word, "STORE") && left >= 1 => options.target = Some(args.key()?),
                () if is_word(word, "BY") && left >= 1 => {
                    let pattern = Pattern::new(args.bytes()?);
                    options.unsorted |= pattern.parts.is_none();
                    if pattern.parts.is_some() && !txn.may_read_all_keys() {
                        return Err(denied("BY"));
                    }
                    options.by = Some(pattern);
                }
                () if is_word(word, "GET") && left >= 1 => {
                    if !txn.may_read_all_keys() {
                        return Err(denied("GET"));
                    }
                    options.get.push(Pattern::new(args.bytes()?));
                }
                () => return Err(Fault::Syntax),
            }
        }
        Ok(options)
    }

    /// Which of `len` elements are wanted.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start).unwrap_or(0).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }
}

/// By what an element is sorted.
enum Rank {
    Number(f64),
    Text(Option<Vec<u8>>),
    /// By itself.
    Own,
}

/// A number as C reads it, which an element has to be unless it is sorted as text.
fn number(text: &[u8]) -> Result<f64, Fault> {
    let out_of_range = |value: &f64| {
        let named = text.iter().any(u8::is_ascii_alphabetic) && !text.iter().any(u8::is_ascii_digit);
        value.is_subnormal() || (value.is_infinite() && !named)
    };
    let number = parse_range_end(text).filter(|value| !out_of_range(value));
    number.ok_or_else(|| Fault::other("One or more scores can't be converted into double"))
}

fn compare(a: &(Vec<u8>, Rank), b: &(Vec<u8>, Rank)) -> Ordering {
    match (&a.1, &b.1) {
        // What is equal is told apart, so that the order does not depend on how elements are kept.
        (Rank::Number(x), Rank::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(&b.0))
        }
        (Rank::Text(x), Rank::Text(y)) => x.cmp(y).then_with(|| a.0.cmp(&b.0)),
        _ => a.0.cmp(&b.0),
    }
}

/// The elements at a key in their own order, and whether they are a set.
fn elements(txn: &mut Txn<'_>, key: &[u8]) -> Result<(Vec<Vec<u8>>, bool), Fault> {
    match txn.type_of(key) {
        Some(ValueType::Set) => {
            Ok((txn.set(key)?.map(|set| set.iter().map(|m| m.to_vec()).collect()).unwrap_or_default(), true))
        }
        Some(ValueType::Zset) => {
            let members = txn.zset(key)?.map(|zset| zset.iter_from(0).map(|(m, _)| m.to_vec()).collect());
            Ok((members.unwrap_or_default(), false))
        }
        _ => {
            let elements = txn.list(key)?.map(|list| list.iter_from(0).map(|e| e.to_vec()).collect());
            Ok((elements.unwrap_or_default(), false))
        }
    }
}

/// The wanted elements, in order.
fn sorted(txn: &mut Txn<'_>, key: &[u8], options: &Options<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let (mut elements, is_set) = elements(txn, key)?;
    let range = options.range(elements.len());
    let (mut by, mut alphabetic) = (options.by, options.alphabetic);
    if options.unsorted {
        if !(is_set && (options.target.is_some() || txn.data.in_script)) {
            if options.descending && !is_set {
                elements.reverse();
            }
            return Ok(elements.drain(range).collect());
        }
        // What is stored, and what a script does with it, must not depend on how the set is kept.
        (by, alphabetic) = (None, true);
    }
    let mut ranked = Vec::with_capacity(elements.len());
    for element in elements {
        let rank = match by {
            None if alphabetic => Rank::Own,
            None => Rank::Number(number(&element)?),
            Some(pattern) => match (pattern.look_up(txn, &element, options.target.is_some()), alphabetic) {
                (text, true) => Rank::Text(text),
                (Some(text), false) => Rank::Number(number(&text)?),
                (None, false) => Rank::Number(0.0),
            },
        };
        ranked.push((element, rank));
    }
    if options.descending {
        ranked.sort_by(|a, b| compare(b, a));
    } else {
        ranked.sort_by(compare);
    }
    Ok(ranked.drain(range).map(|(element, _)| element).collect())
}

fn run(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, may_store: bool) -> Run {
    let key = args.key()?;
    let options = Options::read(txn, &mut args, may_store)?;
    let elements = sorted(txn, key, &options)?;
    let mut output = Vec::with_capacity(elements.len() * options.get.len().max(1));
    for element in elements {
        if options.get.is_empty() {
            output.push(Some(element));
        } else {
            output.extend(
                options.get.iter().map(|pattern| pattern.look_up(txn, &element, options.target.is_some())),
            );
        }
    }
    let Some(target) = options.target else {
        reply.array(output.len());
        output.iter().for_each(|text| reply.bulk_or_null(text.as_deref()));
        return Ok(Outcome::Done);
    };
    if output.is_empty() {
        if txn.exists(target) {
            txn.discard(target);
            txn.changed(target, EventClass::Generic, "del");
        }
    } else {
        let mut list = List::new();
        output.iter().for_each(|text| list.push(End::Right, text.as_deref().unwrap_or_default()));
        txn.entry(target);
        txn.put_value(target, Value::List(Box::new(list)), Expiry::Never);
        txn.changed(target, EventClass::List, "sortstore");
        txn.changed_more(output.len() - 1);
    }
    reply.count(output.len());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart() {
        let parts = |text: &'static str| Pattern::new(text.as_bytes()).parts;
        assert_eq!(parts("weight_*"), Some((&b"weight_"[..], &b""[..], None)));
        assert_eq!(parts("o_*_x->name"), Some((&b"o_"[..], &b"_x"[..], Some(&b"name"[..]))));
        assert_eq!(parts("o_*->"), Some((&b"o_"[..], &b"->"[..], None)));
        assert_eq!(parts("constant"), None);
    }

    #[test]
    fn the_last_store_counts() {
        let at = |request: &str| stored_at(&request.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(at("SORT k BY store STORE a GET store STORE b"), Some(9));
        assert_eq!(at("SORT k LIMIT 0 store STORE"), None);
    }

    #[test]
    fn numbers_are_what_c_takes_for_numbers() {
        for (text, value) in [("", 0.0), (" 1.5", 1.5), ("-inf", f64::NEG_INFINITY), ("0x10", 16.0)] {
            assert_eq!(number(text.as_bytes()), Ok(value), "{text}");
        }
        for bad in ["a", "1a", "nan", "1e400", "1e-320"] {
            assert!(number(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
