//! Everything that goes to standard output: text, tables, JSON, with colours only for people.

use std::io::{IsTerminal, Write};

use super::fault::{Fault, Kind};

/// Writes a text to standard output as it is.
///
/// # Errors
/// Nobody reads any more, or the disk is full.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Fault::new(Kind::Quiet, "nobody reads"),
        _ => Fault::new(Kind::Io, format!("standard output: {error}")),
    })
}

/// Writes a line.
///
/// # Errors
/// As [`raw`].
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Fault> {
    raw(format!("{text}\n").as_bytes())
}

/// Whether people look at standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A colour, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
}

impl Ink {
    /// The ink for a state of a job.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "done" => Self::Green,
            "dead" => Self::Red,
            "leased" => Self::Blue,
            "delayed" => Self::Yellow,
            "cancelled" => Self::Dim,
            _ => Self::Plain,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
        }
    }

    /// The text in this ink, if people look and did not ask for none.
    pub(crate) fn paint(self, text: &str) -> String {
        let plain = self.code().is_empty() || !is_terminal() || std::env::var_os("NO_COLOR").is_some();
        if plain { text.to_owned() } else { format!("\x1b[{}m{text}\x1b[0m", self.code()) }
    }
}

/// A table with aligned columns.
pub(crate) struct Table {
    /// Names of the columns; those that begin with `>` are aligned to the right.
    heads: &'static [&'static str],
    rows: Vec<Vec<(String, Ink)>>,
}

impl Table {
    pub(crate) fn new(heads: &'static [&'static str]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<(String, Ink)>) {
        self.rows.push(cells);
    }

    /// The whole table, a line for each row.
    pub(crate) fn render(&self) -> String {
        let heads: Vec<(String, Ink)> =
            self.heads.iter().map(|head| (head.trim_start_matches('>').to_owned(), Ink::Bold)).collect();
        let all = || std::iter::once(&heads).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let mut text = String::new();
        for row in all() {
            let mut cells = Vec::with_capacity(row.len());
            for (column, (cell, ink)) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                let painted = ink.paint(cell);
                let right = self.heads[column].starts_with('>');
                let last = column + 1 == row.len();
                cells.push(match (right, last) {
                    (true, _) => format!("{pad}{painted}"),
                    (false, true) => painted,
                    (false, false) => format!("{painted}{pad}"),
                });
            }
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text on one line and not longer than this, for a table.
pub(crate) fn brief(text: &str, chars_max: usize) -> String {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if line.chars().count() <= chars_max {
        return line;
    }
    line.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// Number and name, with an s where English has one.
pub(crate) fn count(number: usize, name: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {name}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", ">COUNT", "NOTE"]);
        table.row(vec![
            ("öl".to_owned(), Ink::Plain),
            ("5".to_owned(), Ink::Plain),
            ("x".to_owned(), Ink::Plain),
        ]);
        table.row(vec![
            ("longer".to_owned(), Ink::Red),
            ("12345".to_owned(), Ink::Plain),
            (String::new(), Ink::Plain),
        ]);
        assert_eq!(table.render(), "NAME    COUNT  NOTE\nöl          5  x\nlonger  12345\n");
    }

    #[test]
    fn texts_are_made_brief() {
        assert_eq!(brief("one\ntwo", 10), "one two");
        assert_eq!(brief("0123456789", 5), "0123…");
        assert_eq!((count(1, "job"), count(2, "job")), ("1 job".to_owned(), "2 jobs".to_owned()));
    }
}
