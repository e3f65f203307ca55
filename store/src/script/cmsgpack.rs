//! The library `cmsgpack` of scripts: MessagePack, as lua-cmsgpack 0.4.0 in Redis does it.

use pbj_lua::{Kind, Raised, Stack, to_integer};

use super::native::{Context, Functions, Native};
use crate::limits::NESTING_MAX;

pub(super) static FUNCTIONS: Functions = &[
    ("pack", pack as Native),
    ("unpack", unpack),
    ("unpack_one", unpack_one),
    ("unpack_limit", unpack_limit),
];

/// Tables nested deeper than this are packed as nil.
const PACK_NESTING_MAX: u32 = 16;
/// Values between two looks at the memory that they take.
const VALUES_BETWEEN_CHECKS: u32 = 1024;

/// Sets what is no function in the table on top.
pub(super) fn add_fields(stack: &mut Stack<'_>) {
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        stack.push_bytes(text.as_bytes());
        stack.set_field(-2, name.as_bytes());
    }
}

fn pack(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let count = stack.len();
    if count == 0 {
        return Err(stack.argument_error(0, "MessagePack pack needs input."));
    }
    if !stack.reserve_exactly(count) {
        return Err(stack.argument_error(0, "Too many arguments for MessagePack pack."));
    }
    let mut packer = Packer { limit: stack.limit().unwrap_or(usize::MAX), out: Vec::new() };
    for index in 1..=count {
        stack.push_copy(index);
        packer.value(stack, 0)?;
    }
    stack.push_bytes(&packer.out);
    Ok(1)
}

struct Packer {
    /// Bytes of output: a table may be in others many times over.
    limit: usize,
    out: Vec<u8>,
}

impl Packer {
    /// Packs the value on top and takes it.
    fn value(&mut self, stack: &mut Stack<'_>, level: u32) -> Result<(), Raised> {
        if self.out.len() > self.limit || !stack.reserve(4) {
            return Err(stack.raise(b"not enough memory"));
        }
        match stack.kind(-1) {
            Kind::String => self.bytes(stack.bytes(-1).unwrap_or_default()),
            Kind::Boolean => self.out.push(if stack.boolean(-1) { 0xc3 } else { 0xc2 }),
            Kind::Number => self.number(stack.number(-1).unwrap_or(0.0)),
            Kind::Table if level < PACK_NESTING_MAX => self.table(stack, level)?,
            _ => self.out.push(0xc0),
        }
        stack.pop(1);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        match len {
            0..32 => self.out.push(0xa0 | len as u8),
            32..0x100 => self.out.extend_from_slice(&[0xd9, len as u8]),
            _ => self.length(0xda, len),
        }
        self.out.extend_from_slice(bytes);
    }

    /// A length in two bytes behind `code`, or in four behind the code after it.
    fn length(&mut self, code: u8, len: usize) {
        match u16::try_from(len) {
            Ok(len) => {
                self.out.push(code);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                self.out.push(code + 1);
                self.out.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
    }

    fn number(&mut self, value: f64) {
        let whole = to_integer(value);
        if value.is_finite() && whole as f64 == value && value < (1_u64 << 63) as f64 {
            return self.integer(whole);
        }
        if f64::from(value as f32) == value {
            self.out.push(0xca);
            self.out.extend_from_slice(&(value as f32).to_be_bytes());
        } else {
            self.out.push(0xcb);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn integer(&mut self, value: i64) {
        let bytes = value.to_be_bytes();
        let (code, len) = match value {
            -32..=127 => return self.out.push(value as u8),
            128..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -128..=-33 => (0xd0, 1),
            -0x8000..=-129 => (0xd1, 2),
            -0x8000_0000..=-0x8001 => (0xd2, 4),
            ..=-0x8000_0001 => (0xd3, 8),
        };
        self.out.push(code);
        self.out.extend_from_slice(&bytes[8 - len..]);
    }

    fn table(&mut self, stack: &mut Stack<'_>, level: u32) -> Result<(), Raised> {
        let (entries, is_array) = survey(stack);
        if is_array {
            let len = stack.raw_len(-1);
            match len {
                0..16 => self.out.push(0x90 | len as u8),
                _ => self.length(0xdc, len),
            }
            for number in 1..=i32::try_from(len).unwrap_or(i32::MAX) {
                stack.get_element(-1, number);
                self.value(stack, level + 1)?;
            }
            return Ok(());
        }
        match entries {
            0..16 => self.out.push(0x80 | entries as u8),
            _ => self.length(0xde, entries),
        }
        let mut position = 0;
        while let Some(next) = stack.next(-1, position) {
            position = next;
            // The key comes first, so it must be on top first.
            stack.push_copy(-2);
            self.value(stack, level + 1)?;
            self.value(stack, level + 1)?;
            stack.pop(1);
        }
        Ok(())
    }
}

/// How many entries the table on top has, and whether their keys are 1 to that number.
fn survey(stack: &mut Stack<'_>) -> (usize, bool) {
    let (mut entries, mut max, mut is_array, mut position) = (0_usize, 0.0_f64, true, 0);
    while let Some(next) = stack.next(-1, position) {
        position = next;
        let key = if stack.kind(-2) == Kind::Number { stack.number(-2) } else { None };
        stack.pop(2);
        entries += 1;
        match key {
            Some(key) if key > 0.0 && key <= f64::from(i32::MAX) && key == key.trunc() => max = max.max(key),
            _ => is_array = false,
        }
    }
    (entries, is_array && max == entries as f64)
}

fn unpack(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    unpack_values(stack, 0, 0)
}

fn optional_integer(stack: &mut Stack<'_>, argument: i32) -> Result<i64, Raised> {
    match stack.kind(argument) {
        Kind::None | Kind::Nil => Ok(0),
        _ => stack.check_integer(argument),
    }
}

fn unpack_one(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let offset = optional_integer(stack, 2)?;
    stack.truncate(stack.len().min(1));
    unpack_values(stack, 1, offset)
}

fn unpack_limit(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let limit = stack.check_integer(2)?;
    let offset = optional_integer(stack, 3)?;
    stack.truncate(stack.len().min(1));
    unpack_values(stack, limit, offset)
}

/// Unpacks up to `limit` values from an offset on, or all of them if both are 0; pushes the offset behind them first,
/// unless all were asked for.
fn unpack_values(stack: &mut Stack<'_>, limit: i64, offset: i64) -> Result<i32, Raised> {
    let all = limit == 0 && offset == 0;
    let input = stack.check_text(1)?.into_owned();
    let len = input.len();
    let start = usize::try_from(offset).ok().filter(|_| limit >= 0);
    let Some(start) = start else {
        let text = format!(
            "Invalid request to unpack with offset of {} and limit of {}.",
            offset as i32, len as i32
        );
        return Err(stack.raise_here(text.as_bytes()));
    };
    let Some(rest) = input.get(start..) else {
        let text = format!("Start offset {} greater than input length {}.", offset as i32, len as i32);
        return Err(stack.raise_here(text.as_bytes()));
    };
    let limit = if all { i64::from(i32::MAX) } else { limit };
    let mut unpacker = Unpacker { rest, values: 0 };
    let mut count = 0;
    while !unpacker.rest.is_empty() && i64::from(count) < limit {
        if let Err(fault) = unpacker.value(stack, NESTING_MAX) {
            return Err(match fault {
                Fault::Missing => stack.raise_here(b"Missing bytes in input."),
                Fault::Format => stack.raise_here(b"Bad data format in input."),
                Fault::Raised(raised) => raised,
            });
        }
        count += 1;
    }
    if !all {
        let left = unpacker.rest.len();
        stack.push_number(if left == 0 { -1.0 } else { (len - left) as f64 });
        stack.insert(2);
        count += 1;
    }
    Ok(count)
}

enum Fault {
    Missing,
    Format,
    Raised(Raised),
}

struct Unpacker<'a> {
    rest: &'a [u8],
    values: u32,
}

impl<'a> Unpacker<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of `N` bytes behind the code.
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(1 + N)?[1..].try_into().map_err(|_| Fault::Missing)
    }

    fn value(&mut self, stack: &mut Stack<'_>, depth: i32) -> Result<(), Fault> {
        let code = *self.rest.first().ok_or(Fault::Missing)?;
        self.values += 1;
        if self.values.is_multiple_of(VALUES_BETWEEN_CHECKS) && stack.is_over_limit() {
            return Err(Fault::Raised(stack.raise(b"not enough memory")));
        }
        if depth == 0 {
            let text = b"stack overflow (in function mp_decode_to_lua_array)";
            return Err(Fault::Raised(stack.raise_here(text)));
        }
        if !stack.reserve(4) {
            let text =
                b"stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
            return Err(Fault::Raised(stack.raise_here(text)));
        }
        match code {
            0x00..=0x7f | 0xe0..=0xff => {
                self.take(1)?;
                stack.push_number(f64::from(code.cast_signed()));
            }
            0x80..=0x8f => {
                self.take(1)?;
                self.map(stack, usize::from(code & 15), depth)?;
            }
            0x90..=0x9f => {
                self.take(1)?;
                self.array(stack, usize::from(code & 15), depth)?;
            }
            0xa0..=0xbf => stack.push_bytes(&self.take(1 + usize::from(code & 31))?[1..]),
            0xc0 => {
                self.take(1)?;
                stack.push_nil();
            }
            0xc2 | 0xc3 => {
                self.take(1)?;
                stack.push_boolean(code == 0xc3);
            }
            0xca..=0xd3 => {
                let value = self.number(code)?;
                stack.push_number(value);
            }
            0xd9..=0xdf => self.long(stack, code, depth)?,
            _ => return Err(Fault::Format),
        }
        Ok(())
    }

    fn number(&mut self, code: u8) -> Result<f64, Fault> {
        Ok(match code {
            0xca => f64::from(f32::from_be_bytes(self.fixed()?)),
            0xcb => f64::from_be_bytes(self.fixed()?),
            0xcc => f64::from(u8::from_be_bytes(self.fixed()?)),
            0xcd => f64::from(u16::from_be_bytes(self.fixed()?)),
            0xce => f64::from(u32::from_be_bytes(self.fixed()?)),
            0xd0 => f64::from(i8::from_be_bytes(self.fixed()?)),
            0xd1 => f64::from(i16::from_be_bytes(self.fixed()?)),
            0xd2 => f64::from(i32::from_be_bytes(self.fixed()?)),
            // Unsigned ones go through a signed integer of Lua.
            _ => i64::from_be_bytes(self.fixed()?) as f64,
        })
    }

    /// Bytes and collections whose length stands behind the code.
    fn long(&mut self, stack: &mut Stack<'_>, code: u8, depth: i32) -> Result<(), Fault> {
        let len = match code {
            0xd9 => usize::from(u8::from_be_bytes(self.fixed()?)),
            0xda | 0xdc | 0xde => usize::from(u16::from_be_bytes(self.fixed()?)),
            _ => u32::from_be_bytes(self.fixed()?) as usize,
        };
        match code {
            0xd9..=0xdb => stack.push_bytes(self.take(len)?),
            0xdc | 0xdd => self.array(stack, len, depth)?,
            _ => self.map(stack, len, depth)?,
        }
        Ok(())
    }

    fn array(&mut self, stack: &mut Stack<'_>, len: usize, depth: i32) -> Result<(), Fault> {
        stack.new_table(0, 0);
        for number in 1..=i32::try_from(len).unwrap_or(i32::MAX) {
            self.value(stack, depth - 1)?;
            stack.set_element(-2, number);
        }
        Ok(())
    }

    fn map(&mut self, stack: &mut Stack<'_>, len: usize, depth: i32) -> Result<(), Fault> {
        stack.new_table(0, 0);
        for _ in 0..len {
            self.value(stack, depth - 1)?;
            self.value(stack, depth - 1)?;
            let key_is_nil = stack.kind(-2) == Kind::Nil;
            if !stack.set(-3) {
                let text: &[u8] = if key_is_nil { b"table index is nil" } else { b"table index is NaN" };
                return Err(Fault::Raised(stack.raise(text)));
            }
        }
        Ok(())
    }
}
