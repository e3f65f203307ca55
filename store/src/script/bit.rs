//! The library `bit` of scripts: operations on 32 bits, as BitOp of LuaJIT has them.

use pbj_lua::{Raised, Stack};

use super::native::{Context, Functions, Native};

pub(super) static FUNCTIONS: Functions = &[
    ("tobit", tobit as Native),
    ("bnot", bnot),
    ("band", band),
    ("bor", bor),
    ("bxor", bxor),
    ("lshift", lshift),
    ("rshift", rshift),
    ("arshift", arshift),
    ("rol", rol),
    ("ror", ror),
    ("bswap", bswap),
    ("tohex", tohex),
];

/// Added to a number, this moves its lowest 32 bits to the end of the mantissa.
const SHIFTER: f64 = 6_755_399_441_055_744.0;

fn argument(stack: &mut Stack<'_>, index: i32) -> Result<u32, Raised> {
    let value = stack.number(index).ok_or_else(|| stack.type_error(index, "number"))?;
    Ok((value + SHIFTER).to_bits() as u32)
}

fn done(stack: &mut Stack<'_>, bits: u32) -> Result<i32, Raised> {
    stack.push_number(f64::from(bits.cast_signed()));
    Ok(1)
}

fn tobit(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let bits = argument(stack, 1)?;
    done(stack, bits)
}

fn bnot(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let bits = argument(stack, 1)?;
    done(stack, !bits)
}

fn fold(stack: &mut Stack<'_>, join: fn(u32, u32) -> u32) -> Result<i32, Raised> {
    let mut bits = argument(stack, 1)?;
    for index in (2..=stack.len()).rev() {
        bits = join(bits, argument(stack, index)?);
    }
    done(stack, bits)
}

fn band(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    fold(stack, |a, b| a & b)
}

fn bor(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    fold(stack, |a, b| a | b)
}

fn bxor(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    fold(stack, |a, b| a ^ b)
}

fn shift(stack: &mut Stack<'_>, shift: fn(u32, u32) -> u32) -> Result<i32, Raised> {
    let bits = argument(stack, 1)?;
    let count = argument(stack, 2)? & 31;
    done(stack, shift(bits, count))
}

fn lshift(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    shift(stack, |bits, count| bits << count)
}

fn rshift(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    shift(stack, |bits, count| bits >> count)
}

fn arshift(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    shift(stack, |bits, count| (bits.cast_signed() >> count).cast_unsigned())
}

fn rol(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    shift(stack, u32::rotate_left)
}

fn ror(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    shift(stack, u32::rotate_right)
}

fn bswap(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let bits = argument(stack, 1)?;
    done(stack, bits.swap_bytes())
}

fn tohex(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let bits = argument(stack, 1)?;
    let digits = if stack.len() < 2 { 8 } else { argument(stack, 2)?.cast_signed() };
    let text = if digits < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
    let shown = digits.unsigned_abs().min(8) as usize;
    stack.push_bytes(&text.as_bytes()[8 - shown..]);
    Ok(1)
}
