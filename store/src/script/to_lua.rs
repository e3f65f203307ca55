//! Replies of commands on their way into a script.

use pbj_lua::{Raised, Stack};

use crate::limits::REPLY_DEPTH_MAX;
use crate::number::parse_i64;

/// Elements between two looks at the memory that they take.
const ELEMENTS_BETWEEN_CHECKS: usize = 1024;

/// Pushes a reply as the value it is to scripts.
///
/// # Errors
/// It needs more memory than the script may take.
pub(super) fn push_reply(stack: &mut Stack<'_>, bytes: &[u8]) -> Result<(), Raised> {
    let mut reader = Reader { rest: bytes, built: 0 };
    reader.push(stack, REPLY_DEPTH_MAX)
}

/// Pushes the table that is an error to scripts: the text, and that it was counted already.
pub(super) fn push_counted_error(stack: &mut Stack<'_>, text: &[u8]) {
    stack.new_table(0, 2);
    stack.push_bytes(text);
    stack.set_field(-2, b"err");
    stack.push_boolean(true);
    stack.set_field(-2, b"ignore_error_stats_update");
}

/// The replies are our own, so what does not fit the protocol is left out rather than reported.
struct Reader<'a> {
    rest: &'a [u8],
    built: usize,
}

impl<'a> Reader<'a> {
    /// The rest of the line.
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'\r').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(2..).unwrap_or_default();
        line
    }

    fn number(&mut self) -> i64 {
        parse_i64(self.line()).unwrap_or(0)
    }

    fn bulk(&mut self, len: i64) -> &'a [u8] {
        let len = usize::try_from(len).unwrap_or(0).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest.get(2..).unwrap_or_default();
        bytes
    }

    fn check(&mut self, stack: &mut Stack<'_>) -> Result<(), Raised> {
        self.built += 1;
        if self.built.is_multiple_of(ELEMENTS_BETWEEN_CHECKS) && stack.is_over_limit() {
            return Err(stack.raise(b"not enough memory"));
        }
        Ok(())
    }

    fn push(&mut self, stack: &mut Stack<'_>, depth: usize) -> Result<(), Raised> {
        self.check(stack)?;
        if depth == 0 || !stack.reserve(8) {
            return Err(stack.raise(b"a reply is nested too deep"));
        }
        let Some((&kind, rest)) = self.rest.split_first() else {
            stack.push_nil();
            return Ok(());
        };
        self.rest = rest;
        match kind {
            b'$' => match self.number() {
                -1 => stack.push_boolean(false),
                len => stack.push_bytes(self.bulk(len)),
            },
            b':' => {
                let value = self.number();
                stack.push_number(value as f64);
            }
            b'+' => {
                stack.new_table(0, 1);
                stack.push_bytes(self.line());
                stack.set_field(-2, b"ok");
            }
            b'-' => push_error(stack, self.line()),
            b'*' => match self.number() {
                -1 => stack.push_boolean(false),
                len => self.array(stack, len, depth)?,
            },
            b'_' => {
                self.line();
                stack.push_nil();
            }
            b'#' => stack.push_boolean(self.line() == b"t"),
            b',' => {
                let value = double(self.line());
                push_field(stack, b"double", |stack| stack.push_number(value));
            }
            b'(' => {
                let text = self.line();
                push_field(stack, b"big_number", |stack| stack.push_bytes(text));
            }
            b'=' => self.verbatim(stack),
            b'%' => self.map(stack, depth)?,
            b'~' => self.set(stack, depth)?,
            b'|' => {
                // Attributes are not shown to scripts.
                for _ in 0..self.number().saturating_mul(2) {
                    self.push(stack, depth - 1)?;
                    stack.pop(1);
                }
                self.push(stack, depth - 1)?;
            }
            _ => stack.push_nil(),
        }
        Ok(())
    }

    fn array(&mut self, stack: &mut Stack<'_>, len: i64, depth: usize) -> Result<(), Raised> {
        stack.new_table(usize::try_from(len).unwrap_or(0), 0);
        for number in 1..=i32::try_from(len).unwrap_or(i32::MAX) {
            self.push(stack, depth - 1)?;
            stack.set_element(-2, number);
        }
        Ok(())
    }

    fn map(&mut self, stack: &mut Stack<'_>, depth: usize) -> Result<(), Raised> {
        let len = self.number();
        stack.new_table(0, 1);
        stack.new_table(0, usize::try_from(len).unwrap_or(0));
        for _ in 0..len {
            self.push(stack, depth - 1)?;
            self.push(stack, depth - 1)?;
            stack.set(-3);
        }
        stack.set_field(-2, b"map");
        Ok(())
    }

    fn set(&mut self, stack: &mut Stack<'_>, depth: usize) -> Result<(), Raised> {
        let len = self.number();
        stack.new_table(0, 1);
        stack.new_table(0, usize::try_from(len).unwrap_or(0));
        for _ in 0..len {
            self.push(stack, depth - 1)?;
            stack.push_boolean(true);
            stack.set(-3);
        }
        stack.set_field(-2, b"set");
        Ok(())
    }

    fn verbatim(&mut self, stack: &mut Stack<'_>) {
        let len = self.number();
        let (format, text) = self.bulk(len).split_at_checked(4).unwrap_or_default();
        stack.new_table(0, 1);
        stack.new_table(0, 2);
        stack.push_bytes(text);
        stack.set_field(-2, b"string");
        stack.push_bytes(format.get(..3).unwrap_or_default());
        stack.set_field(-2, b"format");
        stack.set_field(-2, b"verbatim_string");
    }
}

fn push_field(stack: &mut Stack<'_>, name: &[u8], push: impl FnOnce(&mut Stack<'_>)) {
    stack.new_table(0, 1);
    push(stack);
    stack.set_field(-2, name);
}

fn push_error(stack: &mut Stack<'_>, line: &[u8]) {
    // Every error has a class.
    if line.contains(&b' ') {
        push_counted_error(stack, line);
    } else {
        push_counted_error(stack, &[b"ERR ", line].concat());
    }
}

fn double(text: &[u8]) -> f64 {
    match text {
        b"inf" => f64::INFINITY,
        b"-inf" => f64::NEG_INFINITY,
        b"nan" => f64::NAN,
        _ => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0),
    }
}
