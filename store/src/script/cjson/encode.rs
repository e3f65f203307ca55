//! Values of Lua to JSON.

use pbj_lua::{Kind, Raised, Stack, format_number};

use super::Settings;
use crate::limits::NESTING_MAX;
use crate::number::Digits;
use crate::script::native::Context;

/// `cjson.encode`.
pub(super) fn encode(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if stack.len() != 1 {
        return Err(stack.argument_error(1, "expected 1 argument"));
    }
    let settings = Settings::of(context, stack);
    let mut encoder = Encoder { settings, limit: stack.limit().unwrap_or(usize::MAX), out: Vec::new() };
    encoder.value(stack, 0)?;
    stack.push_bytes(&encoder.out);
    Ok(1)
}

struct Encoder {
    settings: Settings,
    /// Bytes of output: tables may be in themselves many times over, so the output may be far larger than they are.
    limit: usize,
    out: Vec<u8>,
}

fn refuse(stack: &mut Stack<'_>, index: i32, why: &str) -> Raised {
    let kind = stack.kind(index).name();
    stack.raise_here(format!("Cannot serialise {kind}: {why}").as_bytes())
}

impl Encoder {
    /// Writes the value on top, which stays there.
    fn value(&mut self, stack: &mut Stack<'_>, depth: i32) -> Result<(), Raised> {
        if self.out.len() > self.limit {
            return Err(stack.raise(b"not enough memory"));
        }
        match stack.kind(-1) {
            Kind::String => self.string(stack.bytes(-1).unwrap_or_default()),
            Kind::Number => self.number(stack, -1)?,
            Kind::Boolean => {
                self.out.extend_from_slice(if stack.boolean(-1) { b"true" } else { b"false" });
            }
            Kind::Table => self.table(stack, depth + 1)?,
            Kind::Nil | Kind::None => self.out.extend_from_slice(b"null"),
            Kind::LightUserdata if stack.is_null(-1) => self.out.extend_from_slice(b"null"),
            _ => return Err(refuse(stack, -1, "type not supported")),
        }
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
            self.out.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' | b'/' => byte,
            _ => return self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    fn number(&mut self, stack: &mut Stack<'_>, index: i32) -> Result<(), Raised> {
        let value = stack.number(index).unwrap_or(0.0);
        if !value.is_finite() {
            match self.settings.encode_invalid {
                0 => return Err(refuse(stack, index, "must not be NaN or Inf")),
                1 if value.is_nan() => self.out.extend_from_slice(b"nan"),
                1 => self.out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" }),
                _ => self.out.extend_from_slice(b"null"),
            }
            return Ok(());
        }
        // Most numbers are whole, and look the same in every precision that holds them.
        let is_whole = value == value.trunc() && value.abs() < 1e14 && self.settings.precision == 14;
        if is_whole && !(value == 0.0 && value.is_sign_negative()) {
            self.out.extend_from_slice(Digits::of(value as i64).as_bytes());
        } else {
            self.out.extend_from_slice(&format_number(value, self.settings.precision));
        }
        Ok(())
    }

    fn table(&mut self, stack: &mut Stack<'_>, depth: i32) -> Result<(), Raised> {
        let max = self.settings.encode_max_depth.min(NESTING_MAX);
        if depth > max || !stack.reserve_exactly(3) {
            return Err(stack.raise_here(format!("Cannot serialise, excessive nesting ({depth})").as_bytes()));
        }
        match self.array_length(stack)? {
            Some(len) if len > 0 => self.array(stack, len, depth),
            _ => self.object(stack, depth),
        }
    }

    /// The highest index of a table that has nothing but indexes; nothing for all others.
    fn array_length(&self, stack: &mut Stack<'_>) -> Result<Option<i32>, Raised> {
        let (mut max, mut items, mut position) = (0_i32, 0_i32, 0);
        while let Some(next) = stack.next(-1, position) {
            position = next;
            let key = if stack.kind(-2) == Kind::Number { stack.number(-2) } else { None };
            stack.pop(2);
            match key {
                Some(key) if key >= 1.0 && key == key.floor() => {
                    if key > f64::from(max) {
                        max = to_c_int(key);
                    }
                    items += 1;
                }
                _ => return Ok(None),
            }
        }
        let Settings { sparse_ratio, sparse_safe, sparse_convert, .. } = self.settings;
        if sparse_ratio > 0 && max > items.wrapping_mul(sparse_ratio) && max > sparse_safe {
            if !sparse_convert {
                return Err(refuse(stack, -1, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn array(&mut self, stack: &mut Stack<'_>, len: i32, depth: i32) -> Result<(), Raised> {
        self.out.push(b'[');
        for number in 1..=len {
            if number > 1 {
                self.out.push(b',');
            }
            stack.get_element(-1, number);
            self.value(stack, depth)?;
            stack.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, stack: &mut Stack<'_>, depth: i32) -> Result<(), Raised> {
        self.out.push(b'{');
        let mut position = 0;
        while let Some(next) = stack.next(-1, position) {
            if position > 0 {
                self.out.push(b',');
            }
            position = next;
            match stack.kind(-2) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(stack, -2)?;
                    self.out.extend_from_slice(b"\":");
                }
                Kind::String => {
                    self.string(stack.bytes(-2).unwrap_or_default());
                    self.out.push(b':');
                }
                _ => return Err(refuse(stack, -2, "table key must be a number or string")),
            }
            self.value(stack, depth)?;
            stack.pop(2);
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'/' | 0x7f)
}

/// A number as the C of x86 makes an `int` of it.
fn to_c_int(value: f64) -> i32 {
    if value < (1_u32 << 31) as f64 { value as i32 } else { i32::MIN }
}
