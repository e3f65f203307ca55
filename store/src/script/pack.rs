//! The library `struct` of scripts: values packed as C lays them out.
//!
//! Arithmetic on positions wraps where that of C does; every access is checked against the data.

use pbj_lua::{Kind, Raised, Stack, to_integer};

use super::native::{Context, Functions, Native};

pub(super) static FUNCTIONS: Functions = &[("pack", pack as Native), ("unpack", unpack), ("size", size)];

/// Bytes of an integer at most.
const INTEGER_MAX: usize = 32;
/// What `!` alone aligns to.
const ALIGN_MAX: i32 = 8;

/// A format that is being read.
struct Format {
    text: Vec<u8>,
    at: usize,
    big_endian: bool,
    align: usize,
}

/// One item of a format.
struct Item {
    option: u8,
    size: usize,
    padding: usize,
}

impl Format {
    fn of(stack: &mut Stack<'_>) -> Result<Self, Raised> {
        let mut text = stack.check_text(1)?.into_owned();
        // A text of C ends at the first zero.
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        text.truncate(end);
        Ok(Self { text, at: 0, big_endian: cfg!(target_endian = "big"), align: 1 })
    }

    fn number(&mut self, stack: &mut Stack<'_>, default: i32) -> Result<i32, Raised> {
        let mut number: Option<i32> = None;
        while let Some(digit) = self.text.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            let digit = i32::from(digit - b'0');
            let next = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
            number = Some(next.ok_or_else(|| stack.raise_here(b"integral size overflow"))?);
            self.at += 1;
        }
        Ok(number.unwrap_or(default))
    }

    /// The next item, for a position in the data.
    fn next(&mut self, stack: &mut Stack<'_>, position: usize) -> Result<Option<Item>, Raised> {
        let Some(&option) = self.text.get(self.at) else { return Ok(None) };
        self.at += 1;
        let size = match option {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'f' => 4,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'c' => self.number(stack, 1)? as usize,
            b'i' | b'I' => {
                let size = self.number(stack, 4)?;
                if size as usize > INTEGER_MAX {
                    let text = format!("integral size {size} is larger than limit of {INTEGER_MAX}");
                    return Err(stack.raise_here(text.as_bytes()));
                }
                size as usize
            }
            _ => 0,
        };
        let padding = if size == 0 || option == b'c' {
            0
        } else {
            let unit = size.min(self.align);
            unit.wrapping_sub(position & (unit - 1)) & (unit - 1)
        };
        Ok(Some(Item { option, size, padding }))
    }

    /// An item that is no value but changes how values are laid out.
    fn control(&mut self, stack: &mut Stack<'_>, option: u8) -> Result<(), Raised> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(stack, ALIGN_MAX)?;
                if !(align > 0 && align & (align - 1) == 0) {
                    let text = format!("alignment {align} is not a power of 2");
                    return Err(stack.raise_here(text.as_bytes()));
                }
                self.align = align as usize;
            }
            _ => {
                let text = format!("invalid format option '{}'", char::from(option));
                return Err(stack.argument_error(1, &text));
            }
        }
        Ok(())
    }

    /// Brings little-endian bytes into the order of the format.
    fn order(&self, bytes: &mut [u8]) {
        if self.big_endian {
            bytes.reverse();
        }
    }
}

fn is_integer(option: u8) -> bool {
    matches!(option, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I')
}

/// A number as the C of x86 makes an unsigned 64-bit integer of it.
fn to_unsigned(value: f64) -> u64 {
    let half = (1_u64 << 63) as f64;
    if value >= half {
        to_integer(value - half).cast_unsigned() ^ 1 << 63
    } else {
        to_integer(value).cast_unsigned()
    }
}

fn pack(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let mut format = Format::of(stack)?;
    // Behind the arguments stands nil, so that errors say so of one that is missing.
    stack.push_nil();
    let mut out = Vec::new();
    let mut argument = 2;
    let mut total = 0_usize;
    let limit = stack.limit().unwrap_or(usize::MAX);
    while let Some(Item { option, mut size, padding }) = format.next(stack, total)? {
        if out.len() > limit {
            return Err(stack.raise(b"not enough memory"));
        }
        total = total.wrapping_add(padding);
        out.resize(out.len() + padding, 0);
        match option {
            _ if is_integer(option) => {
                let value = stack.check_number(argument)?;
                argument += 1;
                let mut bytes = [0; INTEGER_MAX];
                bytes[..8].copy_from_slice(&to_unsigned(value).to_le_bytes());
                format.order(&mut bytes[..size]);
                out.extend_from_slice(&bytes[..size]);
            }
            b'x' => out.push(0),
            b'f' | b'd' => {
                let value = stack.check_number(argument)?;
                argument += 1;
                let mut bytes = value.to_le_bytes();
                if option == b'f' {
                    bytes[..4].copy_from_slice(&(value as f32).to_le_bytes());
                }
                format.order(&mut bytes[..size]);
                out.extend_from_slice(&bytes[..size]);
            }
            b'c' | b's' => {
                let text = stack.check_text(argument)?.into_owned();
                argument += 1;
                if size == 0 {
                    size = text.len();
                }
                let Some(taken) = text.get(..size) else {
                    return Err(stack.argument_error(argument, "string too short"));
                };
                out.extend_from_slice(taken);
                if option == b's' {
                    out.push(0);
                    size += 1;
                }
            }
            _ => format.control(stack, option)?,
        }
        total = total.wrapping_add(size);
    }
    stack.push_bytes(&out);
    Ok(1)
}

fn read_integer(bytes: &[u8], signed: bool) -> f64 {
    // Little-endian; of longer integers the lowest 64 bits count.
    let value = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    if !signed {
        return value as f64;
    }
    let sign = (bytes.len() as u32 * 8).wrapping_sub(1);
    let mask = u64::MAX.wrapping_shl(sign);
    (if value & mask == 0 { value } else { value | mask }).cast_signed() as f64
}

fn unpack(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let mut format = Format::of(stack)?;
    let data = stack.check_text(2)?.into_owned();
    let position = match stack.kind(3) {
        Kind::None | Kind::Nil => 1,
        _ => stack.check_integer(3)?,
    };
    let mut at = position.cast_unsigned() as usize;
    if at == 0 {
        return Err(stack.argument_error(3, "offset must be 1 or greater"));
    }
    at -= 1;
    let arguments = stack.len();
    while let Some(Item { option, mut size, padding }) = format.next(stack, at)? {
        at = at.wrapping_add(padding);
        let fits = |at: usize, size: usize| size <= data.len() && at <= data.len() - size;
        if !fits(at, size) {
            return Err(stack.argument_error(2, "data string too short"));
        }
        if !stack.reserve_exactly(2) {
            return Err(stack.raise_here(b"stack overflow (too many results)"));
        }
        match option {
            _ if is_integer(option) => {
                let mut bytes = [0; INTEGER_MAX];
                bytes[..size].copy_from_slice(&data[at..at + size]);
                format.order(&mut bytes[..size]);
                stack.push_number(read_integer(&bytes[..size], option.is_ascii_lowercase()));
            }
            b'x' => {}
            b'f' | b'd' => {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(&data[at..at + size]);
                format.order(&mut bytes[..size]);
                let [a, b, c, d, ..] = bytes;
                let single = f64::from(f32::from_le_bytes([a, b, c, d]));
                stack.push_number(if option == b'f' { single } else { f64::from_le_bytes(bytes) });
            }
            b'c' => {
                if size == 0 {
                    let previous = if stack.len() > arguments { stack.number(-1) } else { None };
                    let Some(previous) = previous else {
                        return Err(stack.raise_here(b"format 'c0' needs a previous size"));
                    };
                    size = to_unsigned(previous) as usize;
                    stack.pop(1);
                    if !fits(at, size) {
                        return Err(stack.argument_error(2, "data string too short"));
                    }
                }
                stack.push_bytes(&data[at..at + size]);
            }
            b's' => {
                let Some(end) = data[at..].iter().position(|&byte| byte == 0) else {
                    return Err(stack.raise_here(b"unfinished string in data"));
                };
                stack.push_bytes(&data[at..at + end]);
                size = end + 1;
            }
            _ => format.control(stack, option)?,
        }
        at = at.wrapping_add(size);
    }
    stack.push_number(at.wrapping_add(1).cast_signed() as f64);
    Ok(stack.len() - arguments)
}

fn size(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let mut format = Format::of(stack)?;
    let mut position = 0_usize;
    while let Some(Item { option, size, padding }) = format.next(stack, position)? {
        position = position.wrapping_add(padding);
        if option == b's' {
            return Err(stack.argument_error(1, "option 's' has no fixed size"));
        }
        if option == b'c' && size == 0 {
            return Err(stack.argument_error(1, "option 'c0' has no fixed size"));
        }
        if !option.is_ascii_alphanumeric() {
            format.control(stack, option)?;
        }
        position = position.wrapping_add(size);
    }
    stack.push_number(position.cast_signed() as f64);
    Ok(1)
}
