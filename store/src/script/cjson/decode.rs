//! JSON to values of Lua.

use pbj_lua::{Raised, Stack, read_number};

use super::Settings;
use crate::limits::NESTING_MAX;
use crate::script::native::Context;

/// Values between two looks at the memory that they take.
const VALUES_BETWEEN_CHECKS: u32 = 1024;

/// `cjson.decode`.
pub(super) fn decode(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if stack.len() != 1 {
        return Err(stack.argument_error(1, "expected 1 argument"));
    }
    let settings = Settings::of(context, stack);
    let text = stack.check_text(1)?.into_owned();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(stack.raise_here(b"JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder { settings, text: &text, at: 0, depth: 0, values: 0 };
    let token = decoder.next();
    decoder.value(stack, token)?;
    let end = decoder.next();
    if !matches!(end.kind, Kind::End) {
        return Err(unexpected(stack, "the end", &end));
    }
    Ok(1)
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

struct Token {
    kind: Kind,
    at: usize,
}

impl Kind {
    /// What errors call it.
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(text) => text,
        }
    }
}

fn unexpected(stack: &mut Stack<'_>, expected: &str, token: &Token) -> Raised {
    let text = format!("Expected {expected} but found {} at character {}", token.kind.name(), token.at + 1);
    stack.raise_here(text.as_bytes())
}

struct Decoder<'a> {
    settings: Settings,
    text: &'a [u8],
    at: usize,
    depth: i32,
    values: u32,
}

impl Decoder<'_> {
    /// The byte at a distance; 0 behind the end, as a text of C ends.
    fn peek(&self, distance: usize) -> u8 {
        self.text.get(self.at + distance).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.peek(0) {
            b'{' => Some(Kind::ObjectBegin),
            b'}' => Some(Kind::ObjectEnd),
            b'[' => Some(Kind::ArrayBegin),
            b']' => Some(Kind::ArrayEnd),
            b':' => Some(Kind::Colon),
            b',' => Some(Kind::Comma),
            0 => return Token { kind: Kind::End, at },
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Token { kind, at };
        }
        let kind = self.long_token();
        // An error is where the reader stopped.
        let at = if matches!(kind, Kind::Error(_)) { self.at } else { at };
        Token { kind, at }
    }

    fn long_token(&mut self) -> Kind {
        let rest = &self.text[self.at..];
        match rest[0] {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.settings.decode_invalid && is_invalid_number(rest) {
                    return Kind::Error("invalid number");
                }
                return self.number();
            }
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => {}
            _ => return Kind::Error("invalid token"),
        }
        for (word, kind) in
            [(&b"true"[..], Kind::Boolean(true)), (b"false", Kind::Boolean(false)), (b"null", Kind::Null)]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return kind;
            }
        }
        if self.settings.decode_invalid && is_invalid_number(rest) {
            return self.number();
        }
        Kind::Error("invalid token")
    }

    fn number(&mut self) -> Kind {
        match read_number(&self.text[self.at..]) {
            Some((value, used)) => {
                self.at += used;
                Kind::Number(value)
            }
            None => Kind::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Kind {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek(0) {
                b'"' => {
                    self.at += 1;
                    return Kind::String(out);
                }
                b'\\' => {
                    let escaped = match self.peek(1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        b'u' => {
                            if !self.unicode_escape(&mut out) {
                                return Kind::Error("invalid unicode escape code");
                            }
                            continue;
                        }
                        _ => return Kind::Error("invalid escape code"),
                    };
                    out.push(escaped);
                    self.at += 2;
                }
                _ => return Kind::Error("unexpected end of string"),
            }
        }
    }

    fn hex4(&self, distance: usize) -> Option<u32> {
        (0..4).try_fold(0, |value, digit| {
            char::from(self.peek(distance + digit)).to_digit(16).map(|digit| value << 4 | digit)
        })
    }

    /// Reads `\u` with its four digits, or two of them that are one character.
    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut code) = self.hex4(2) else { return false };
        let mut len = 6;
        if code & 0xF800 == 0xD800 {
            if code & 0x400 != 0 || self.peek(6) != b'\\' || self.peek(7) != b'u' {
                return false;
            }
            let Some(low) = self.hex4(8).filter(|low| low & 0xFC00 == 0xDC00) else { return false };
            code = ((code & 0x3FF) << 10 | low & 0x3FF) + 0x1_0000;
            len = 12;
        }
        let Some(character) = char::from_u32(code) else { return false };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        true
    }

    fn descend(&mut self, stack: &mut Stack<'_>, slots: i32) -> Result<(), Raised> {
        self.depth += 1;
        if self.depth <= self.settings.decode_max_depth.min(NESTING_MAX) && stack.reserve_exactly(slots) {
            return Ok(());
        }
        let text = format!("Found too many nested data structures ({}) at character {}", self.depth, self.at);
        Err(stack.raise_here(text.as_bytes()))
    }

    fn value(&mut self, stack: &mut Stack<'_>, token: Token) -> Result<(), Raised> {
        self.values += 1;
        if self.values.is_multiple_of(VALUES_BETWEEN_CHECKS) && stack.is_over_limit() {
            return Err(stack.raise(b"not enough memory"));
        }
        match token.kind {
            Kind::String(bytes) => stack.push_bytes(&bytes),
            Kind::Number(value) => stack.push_number(value),
            Kind::Boolean(value) => stack.push_boolean(value),
            Kind::Null => stack.push_null(),
            Kind::ObjectBegin => self.object(stack)?,
            Kind::ArrayBegin => self.array(stack)?,
            _ => return Err(unexpected(stack, "value", &token)),
        }
        Ok(())
    }

    fn object(&mut self, stack: &mut Stack<'_>) -> Result<(), Raised> {
        self.descend(stack, 3)?;
        stack.new_table(0, 0);
        let mut token = self.next();
        if !matches!(token.kind, Kind::ObjectEnd) {
            loop {
                let Kind::String(key) = &token.kind else {
                    return Err(unexpected(stack, "object key string", &token));
                };
                stack.push_bytes(key);
                let colon = self.next();
                if !matches!(colon.kind, Kind::Colon) {
                    return Err(unexpected(stack, "colon", &colon));
                }
                let value = self.next();
                self.value(stack, value)?;
                stack.set(-3);
                token = self.next();
                match token.kind {
                    Kind::ObjectEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(unexpected(stack, "comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, stack: &mut Stack<'_>) -> Result<(), Raised> {
        self.descend(stack, 2)?;
        stack.new_table(0, 0);
        let mut token = self.next();
        if !matches!(token.kind, Kind::ArrayEnd) {
            for number in 1.. {
                self.value(stack, token)?;
                stack.set_element(-2, number);
                token = self.next();
                match token.kind {
                    Kind::ArrayEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => return Err(unexpected(stack, "comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// Whether a text begins like a number that C reads and JSON does not know.
fn is_invalid_number(text: &[u8]) -> bool {
    let at = |index: usize| text.get(index).copied().unwrap_or(0);
    if at(0) == b'+' {
        return true;
    }
    let start = usize::from(at(0) == b'-');
    if at(start) == b'0' {
        return at(start + 1) | 0x20 == b'x' || at(start + 1).is_ascii_digit();
    }
    if at(start) <= b'9' {
        return false;
    }
    let rest = text.get(start..start + 3).unwrap_or_default();
    rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"nan")
}
