//! Expressions: five fields, or a word that begins with `@`.
//!
//! Law: an expression keeps the text it was read from, and the same text and seed give the same expression for ever.
//!
//! Not here: the meaning of a single field ([`super::field`]), and instants ([`super::next`]).

use super::calendar::Calendar;
use super::chance::Chance;
use super::fault::ExpressionFault;
use super::field::{self, Field, Reading};
use super::interval::Interval;

/// Longest expression. All sixty minutes written out take 169 bytes.
pub const EXPRESSION_MAX_BYTES: usize = 1_024;

/// The words that abbreviate five fields.
const ABBREVIATIONS: [(&str, &str); 7] = [
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("monthly", "0 0 1 * *"),
    ("weekly", "0 0 * * 0"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("hourly", "0 * * * *"),
];

/// The names of [`ABBREVIATIONS`].
pub(super) const WORDS: [&str; 7] = {
    let mut words = [""; 7];
    let mut at = 0;
    while at < words.len() {
        words[at] = ABBREVIATIONS[at].0;
        at += 1;
    }
    words
};

/// When something is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    source: String,
    kind: Kind,
}

/// What drives an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The wall clock of a zone: five fields, or a word that stands for them.
    Calendar(Calendar),
    /// Time that passes since an anchor: `@every 5m`.
    Every(Interval),
    /// The machine has started: `@reboot`. An event, so there is no next time.
    Reboot,
}

/// What a text says, before a calendar is made of it.
enum Draft {
    Fields([Reading; 5]),
    Every(Interval),
    Reboot,
}

impl Expression {
    /// Reads an expression. `seed` chooses the values of `~`; without a `~` it has no effect.
    ///
    /// # Errors
    /// The text is no expression; the fault says where and what would be allowed.
    pub fn parse(text: &str, seed: u64) -> Result<Self, ExpressionFault> {
        let kind = match read(text, seed)? {
            Draft::Fields(readings) => Kind::Calendar(Calendar::new(&readings)?),
            Draft::Every(interval) => Kind::Every(interval),
            Draft::Reboot => Kind::Reboot,
        };
        Ok(Self { source: trim(text).to_owned(), kind })
    }

    /// The text as it was written, without space around it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What drives it.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The calendar, if a calendar drives it.
    pub fn calendar(&self) -> Option<&Calendar> {
        match &self.kind {
            Kind::Calendar(calendar) => Some(calendar),
            Kind::Every(_) | Kind::Reboot => None,
        }
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.source)
    }
}

/// Finds the faults that [`Expression::parse`] would find, at a fraction of its cost.
pub(super) fn check(text: &str) -> Result<(), ExpressionFault> {
    read(text, 0).map(drop)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The words of a text. Only blanks separate: a line end inside an expression is a mistake to be shown.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}

fn read(text: &str, seed: u64) -> Result<Draft, ExpressionFault> {
    let text = trim(text);
    if text.len() > EXPRESSION_MAX_BYTES {
        return Err(ExpressionFault::TooLong { length_bytes: text.len() });
    }
    match text.strip_prefix('@') {
        Some(word) => read_word(word, seed),
        None => read_fields(text, seed),
    }
}

/// Reads what follows an `@`.
fn read_word(text: &str, seed: u64) -> Result<Draft, ExpressionFault> {
    if let Some((_, fields)) = ABBREVIATIONS.iter().find(|(word, _)| *word == text) {
        return read_fields(fields, seed);
    }
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    match (word, trim(rest)) {
        ("reboot", "") => Ok(Draft::Reboot),
        ("every", duration) => Interval::parse(duration)
            .map(Draft::Every)
            .ok_or_else(|| ExpressionFault::Duration { text: duration.to_owned() }),
        _ => Err(ExpressionFault::Word { text: format!("@{text}") }),
    }
}

fn read_fields(text: &str, seed: u64) -> Result<Draft, ExpressionFault> {
    let found: Vec<&str> = words(text).collect();
    let [minute, hour, day, month, weekday] = found[..] else {
        return Err(match found.len() {
            0 => ExpressionFault::Empty,
            found => ExpressionFault::FieldCount { found },
        });
    };
    // One sequence for all fields, in the order of the text.
    let mut chance = Chance::new(seed);
    Ok(Draft::Fields([
        field::read(Field::Minute, minute, &mut chance)?,
        field::read(Field::Hour, hour, &mut chance)?,
        field::read(Field::DayOfMonth, day, &mut chance)?,
        field::read(Field::Month, month, &mut chance)?,
        field::read(Field::DayOfWeek, weekday, &mut chance)?,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Expression {
        Expression::parse(text, 0).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn fault(text: &str) -> String {
        let fault =
            Expression::parse(text, 0).map(|expression| panic!("{text} is {expression:?}")).unwrap_err();
        assert_eq!(check(text), Err(fault.clone()), "both readings agree");
        fault.to_string()
    }

    #[test]
    fn keeps_its_text() {
        assert_eq!(parse(" \t*/5  0-12\t* * Mon ").source(), "*/5  0-12\t* * Mon");
        assert_eq!(parse("@daily").to_string(), "@daily");
    }

    #[test]
    fn words_stand_for_fields() {
        for (word, fields) in ABBREVIATIONS {
            assert_eq!(parse(&format!("@{word}")).kind(), parse(fields).kind(), "{word}");
        }
        assert_eq!(parse("@reboot").kind(), &Kind::Reboot);
        assert_eq!(parse("@reboot ").kind(), &Kind::Reboot);
        let Kind::Every(interval) = *parse("@every \t 5m").kind() else { panic!("an interval") };
        assert_eq!(interval.length_ms(), 300_000);
    }

    /// cronie: a job is a wildcard job if its minute or hour begins with a star; days do not count.
    #[test]
    fn knows_wildcard_jobs() {
        for (text, expected) in [
            ("* * * * *", true),
            ("*/20 2 * * *", true),
            ("30 * * * *", true),
            ("30 */2 * * *", true),
            ("@hourly", true),
            ("30 2 * * *", false),
            ("0-59 0-23 * * *", false),
            ("@daily", false),
            ("@midnight", false),
            ("@weekly", false),
            ("@monthly", false),
            ("@yearly", false),
        ] {
            assert_eq!(parse(text).calendar().map(Calendar::is_wildcard), Some(expected), "{text}");
        }
        assert_eq!(parse("@reboot").calendar(), None);
    }

    #[test]
    fn the_seed_chooses_random_values() {
        let with = |seed| Expression::parse("~ ~ * * *", seed).unwrap();
        assert_eq!(with(1), with(1));
        assert!((2..20).any(|seed| with(seed).kind() != with(1).kind()));
        assert_eq!(parse("5 4 * * *"), Expression::parse("5 4 * * *", 99).unwrap());
        // Written down, so that no release changes what a schedule in the log means.
        assert_eq!(with(42).kind(), parse("44 3 * * *").kind());
    }

    #[test]
    fn faults_are_worded_for_people() {
        for (text, expected) in [
            ("  ", "no schedule given; write five fields, as in '0 5 * * *', or '@daily'"),
            ("5", "1 field found, 5 expected: minute, hour, day of month, month, day of week"),
            ("5 4 * *", "4 fields found, 5 expected: minute, hour, day of month, month, day of week"),
            (
                "0 */10 * * * *",
                "6 fields found, 5 expected: minute, hour, day of month, month, day of week. Seconds and years are \
                 not understood (programs disagree on where they stand): leave them out, or use '@every 10s' below a \
                 minute",
            ),
            (
                "61 4 * * *",
                "minute: '61' is not allowed; allowed are 0-59, '*', and lists (1,4), ranges (1-5), steps (*/2) and \
                 random values (1~5) of them",
            ),
            (
                "0 4 * * fry",
                "day of week: 'fry' is not allowed; allowed are 0-7 and sun-sat (0 and 7 are Sunday), '*', and lists \
                 (1,4), ranges (1-5), steps (*/2) and random values (1~5) of them",
            ),
            (
                "0 4 -5 * *",
                "day of month: a value is missing; allowed are 1-31, '*', and lists (1,4), ranges (1-5), steps (*/2) \
                 and random values (1~5) of them",
            ),
            ("0,5, 4 * * *", "minute: a value is missing around a comma in '0,5,'"),
            ("0 22-4 * * *", "hour: '22-4' ends before it begins; to wrap around, write '22-23,0-4'"),
            (
                "0 0 * nov-feb/2 *",
                "month: 'nov-feb' ends before it begins; to wrap around, write 'nov-12,1-feb'",
            ),
            ("0 9~5 * * *", "hour: '9~5' ends before it begins; write the lower end first"),
            ("*/0 * * * *", "minute: '0' is no step; write a number above 0, as in '*/5'"),
            ("5/15 * * * *", "minute: '5/15': a step needs a range or '*' before it; write '5-59/15'"),
            ("~/15 * * * *", "minute: '~/15': a random value takes no step; write '0~9' or '0-59/10'"),
            (
                "@fortnightly",
                "'@fortnightly' is no known word; known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, \
                 @hourly, @reboot, and @every with a duration",
            ),
            (
                "@every",
                "@every: '' is no duration; write a number above 0 with ms, s, m, h or d, as in '@every 5m'",
            ),
            (
                "@every 5 m",
                "@every: '5 m' is no duration; write a number above 0 with ms, s, m, h or d, as in '@every 5m'",
            ),
        ] {
            assert_eq!(fault(text), expected, "{text}");
        }
        for word in ["@", "@Daily", "@daily x", "@daily 0 5 * * *", "@reboot now", "@every5m", "@ daily"] {
            assert!(fault(word).starts_with(&format!("'{word}' is no known word")), "{word}");
        }
        assert!(fault("0 5\n * * *").starts_with("hour: '5\\n' is not allowed"), "lines are no blanks");
        assert!(fault(&"1".repeat(90)).starts_with("1 field found"));
        let long = format!("{} * * * *", "1".repeat(90));
        assert!(fault(&long).starts_with(&format!("minute: '{}...' is not allowed", "1".repeat(40))));
        assert_eq!(fault(&"1 ".repeat(600)), "the schedule is 1199 bytes long, at most 1024 are allowed");
    }
}
