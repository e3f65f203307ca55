//! Commands: what is before a `%` is for the shell, what is behind it is for the command to read.
//!
//! Law: the two halves are read as cronie reads them, which is not quite alike. Before the `%` a backslash guards any
//! character that follows it, behind it only a `%`: `\\%` is a backslash pair and an end before it, and a backslash
//! and a percent sign behind it.

/// The command, and what it finds on its standard input, if there is anything.
pub(super) fn split(text: &str) -> (String, Option<String>) {
    let mut command = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let input = input(rest.as_str());
                return (command, Some(input).filter(|input| !input.is_empty()));
            }
            '\\' => match rest.next() {
                Some('%') => command.push('%'),
                Some(guarded) => command.extend(['\\', guarded]),
                None => command.push('\\'),
            },
            _ => command.push(c),
        }
    }
    (command, None)
}

/// Lines are separated by `%`, and the last one is ended too.
fn input(text: &str) -> String {
    let mut input = String::with_capacity(text.len() + 1);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next_if_eq(&'%').is_some() => input.push('%'),
            '%' => input.push('\n'),
            _ => input.push(c),
        }
    }
    if !input.is_empty() && !input.ends_with('\n') {
        input.push('\n');
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_begin_and_separate_lines() {
        for (text, command, input) in [
            ("date", "date", None),
            ("mail joe%Joe,%%Where are your kids?%", "mail joe", Some("Joe,\n\nWhere are your kids?\n")),
            ("cat%one%two", "cat", Some("one\ntwo\n")),
            (r"date +\%F", "date +%F", None),
            (r"date +\%F%100\%", "date +%F", Some("100%\n")),
            ("true%", "true", None),
            ("true%%", "true", Some("\n")),
            (r"echo \n \\", r"echo \n \\", None),
            (r"end\", r"end\", None),
            (r"a\\%b\\%c\d\", r"a\\", Some("b\\%c\\d\\\n")),
            ("grüße %ü", "grüße ", Some("ü\n")),
        ] {
            assert_eq!(split(text), (command.to_owned(), input.map(str::to_owned)), "{text}");
        }
    }
}
