//! One line of a crontab: nothing, a setting, or an entry and its parts.
//!
//! Law: a line is a setting if it begins with a name and an equals sign, and else an entry; so an entry that is
//! misspelt is told about its schedule.

use super::super::expression;
use super::super::fault::ExpressionFault;
use super::command;
use super::{Form, Reason};

/// What a line is.
pub(super) enum Line<'a> {
    /// Blank, or a comment.
    Nothing,
    Setting {
        name: &'a str,
        value: &'a str,
        /// Where the value stands.
        column: usize,
    },
    Entry(Parts<'a>),
}

/// The parts of an entry.
pub(super) struct Parts<'a> {
    pub(super) schedule: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) command: String,
    pub(super) stdin: Option<String>,
    pub(super) quiet: bool,
    pub(super) mail_on_failure_only: bool,
}

const BLANKS: [char; 2] = [' ', '\t'];

/// A place in a line. Where reading stops for a fault, that is its place.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// The place, counted in bytes from 1.
    pub(super) fn column(&self) -> usize {
        self.at + 1
    }

    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.line.len() - self.rest().trim_start_matches(BLANKS).len();
    }

    /// Steps over `text` if it stands here.
    fn take(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text);
        self.at += if here { text.len() } else { 0 };
        here
    }

    /// Steps over everything before the first of `ends`, or to the end of the line.
    fn take_until(&mut self, ends: &[char]) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Steps over a word and the blanks behind it.
    fn word(&mut self) -> &'a str {
        let word = self.take_until(&BLANKS);
        self.skip_blanks();
        word
    }
}

/// Reads a line.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>, form: Form) -> Result<Line<'a>, Reason> {
    cursor.skip_blanks();
    if cursor.rest().is_empty() || cursor.rest().starts_with('#') {
        return Ok(Line::Nothing);
    }
    if let Some((name, behind)) = name(cursor.clone()) {
        *cursor = behind;
        let column = cursor.column();
        return Ok(Line::Setting { name, value: value(cursor)?, column });
    }
    entry(cursor, form).map(Line::Entry)
}

/// The name of a setting, and the place of its value, if this is a setting.
fn name(mut cursor: Cursor<'_>) -> Option<(&str, Cursor<'_>)> {
    let name = match cursor.rest().chars().next()? {
        quote @ ('"' | '\'') => {
            cursor.at += 1;
            let name = cursor.take_until(&[quote]);
            cursor.at += usize::from(!cursor.rest().is_empty());
            name
        }
        'A'..='Z' | 'a'..='z' | '_' => cursor.take_until(&[' ', '\t', '=']),
        _ => return None,
    };
    cursor.skip_blanks();
    if name.is_empty() || name.contains('=') || !cursor.take("=") {
        return None;
    }
    cursor.skip_blanks();
    Some((name, cursor))
}

/// The value of a setting. Quotes around it keep the blanks at its ends; elsewhere they are part of it.
fn value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Reason> {
    let Some(quote) = cursor.rest().chars().next().filter(|&first| first == '"' || first == '\'') else {
        return Ok(cursor.rest().trim_end_matches(BLANKS));
    };
    let mut inside = cursor.clone();
    inside.at += 1;
    let value = inside.take_until(&[quote]);
    if inside.rest().is_empty() {
        return Err(Reason::OpenQuote);
    }
    inside.at += 1;
    inside.skip_blanks();
    *cursor = inside;
    match cursor.rest() {
        "" => Ok(value),
        behind => Err(Reason::BehindQuote { text: behind.to_owned() }),
    }
}

fn entry<'a>(cursor: &mut Cursor<'a>, form: Form) -> Result<Parts<'a>, Reason> {
    let quiet = cursor.take("-");
    let schedule = schedule(cursor)?;
    let user = match form {
        Form::User => None,
        Form::System => Some(user(cursor)?),
    };
    let mail_on_failure_only = flag(cursor)?;
    let (command, stdin) = command::split(cursor.rest());
    if command.is_empty() {
        return Err(Reason::NoCommand);
    }
    Ok(Parts { schedule, user, command, stdin, quiet, mail_on_failure_only })
}

/// Steps over a schedule and checks it.
fn schedule<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Reason> {
    let begin = cursor.clone();
    let mut places = Vec::with_capacity(5);
    let mut end = cursor.at;
    let words = match cursor.clone().word() {
        "@every" => 2,
        word if word.starts_with('@') => 1,
        _ => 5,
    };
    while places.len() < words && !cursor.rest().is_empty() {
        places.push(cursor.clone());
        end = cursor.at + cursor.word().len();
    }
    let text = &begin.line[begin.at..end];
    let checked = match expression::check(text) {
        // A sixth field is a common mistake, and no command or user begins so.
        Ok(()) if cursor.rest().starts_with('*') => Err(ExpressionFault::FieldCount { found: 6 }),
        checked => checked,
    };
    checked.map_err(|fault| {
        let place = fault.field().and_then(|field| places.get(field.index()).cloned());
        *cursor = place.unwrap_or(begin);
        Reason::Schedule(fault)
    })?;
    Ok(text)
}

fn user<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Reason> {
    let begin = cursor.clone();
    let user = cursor.word();
    if user.is_empty() {
        return Err(Reason::NoUser);
    }
    // So begin commands, where a file of a user is read as one of the system.
    if user.starts_with(['-', '*', '/', '%', '&', '|', ';', '"', '\'']) {
        *cursor = begin;
        return Err(Reason::User { text: user.to_owned() });
    }
    Ok(user)
}

/// Steps over `-n`. Nothing else with a `-` may stand before a command.
fn flag(cursor: &mut Cursor<'_>) -> Result<bool, Reason> {
    let mut found = false;
    while cursor.rest().starts_with('-') {
        let begin = cursor.clone();
        let flag = cursor.word();
        if flag != "-n" || found {
            *cursor = begin;
            return Err(Reason::Flag { text: flag.to_owned() });
        }
        found = true;
    }
    Ok(found)
}
