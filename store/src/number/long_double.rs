//! The 80-bit extended float of x86, in software.
//!
//! INCRBYFLOAT and HINCRBYFLOAT add with it and print with `%.17Lf`, and clients see every digit: a double would turn
//! `1.1 + 2.2` or `1e308 + 1.7e308` into other text. Format: sign, 64-bit mantissa with an explicit top bit, 15-bit
//! exponent (Intel 64 manual, volume 1, 4.2.2). Rounding is to nearest, ties to even.
//!
//! Not here: subnormal precision. Below 2^-16382 the printed seventeen decimals are zeros anyway.

use std::cmp::Ordering;

use num_bigint::BigUint;

/// Largest binary exponent of the last mantissa bit: the value of `LDBL_MAX` is `(2^64 - 1) * 2^16320`.
const EXPONENT_MAX: i64 = 16320;
/// Smallest, below which a value counts as underflown to zero.
const EXPONENT_MIN: i64 = -16445 - 63;
/// Longest text considered, in bytes: Redis' MAX_LONG_DOUBLE_CHARS.
const TEXT_MAX: usize = 5 * 1024;

/// An extended-precision number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exponent`, the top bit of the mantissa set.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Reads a number as `strtold` does: whole text, no leading space, no NaN; what over- or underflows is refused.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity")
        {
            Magnitude::Infinite
        } else if unsigned.len() > 2 && unsigned[..2].eq_ignore_ascii_case(b"0x") {
            let value = super::parse_f64(unsigned)?;
            Self::from_f64(value).magnitude
        } else {
            parse_decimal(unsigned)?
        };
        Some(Self { negative, magnitude })
    }

    /// The exact value of a double.
    pub fn from_f64(value: f64) -> Self {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let exponent = ((bits >> 52) & 0x7ff) as i64;
        let magnitude = match exponent {
            0x7ff => Magnitude::Infinite,
            0 => normalized(fraction, -1074),
            _ => normalized(fraction | 1 << 52, exponent - 1075),
        };
        Self { negative: value.is_sign_negative(), magnitude }
    }

    /// The nearest double, or an infinity; the last bit may be off, which no time-out notices.
    pub fn to_f64(self) -> f64 {
        let magnitude = match self.magnitude {
            Magnitude::Zero => 0.0,
            Magnitude::Infinite => f64::INFINITY,
            Magnitude::Finite { mantissa, exponent } => mantissa as f64 * 2.0_f64.powi(exponent as i32),
        };
        if self.negative { -magnitude } else { magnitude }
    }

    /// Whether the value is a number and not an infinity.
    pub fn is_finite(self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// The sum, correctly rounded; `None` for infinity minus infinity.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        use Magnitude::{Finite, Infinite, Zero};
        match (self.magnitude, other.magnitude) {
            (Infinite, Infinite) if self.negative != other.negative => None,
            (Infinite, _) => Some(self),
            (_, Infinite) => Some(other),
            (Zero, Zero) => Some(Self { negative: self.negative && other.negative, magnitude: Zero }),
            (Zero, _) => Some(other),
            (_, Zero) => Some(self),
            (Finite { mantissa: a, exponent: x }, Finite { mantissa: b, exponent: y }) => {
                let swap = (x, a) < (y, b);
                let (large, small) = if swap { (other, self) } else { (self, other) };
                let ((a, x), (b, y)) = if swap { ((b, y), (a, x)) } else { ((a, x), (b, y)) };
                Some(add_finite(large.negative, small.negative == large.negative, (a, x), (b, y)))
            }
        }
    }

    /// Appends the text of `%.17Lf`, without trailing zeros or a trailing point, and `0` for minus zero.
    pub fn format(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Infinite => out.extend_from_slice(b"inf"),
            Magnitude::Zero => out.push(b'0'),
            Magnitude::Finite { mantissa, exponent } if exponent >= 0 => {
                out.extend_from_slice((BigUint::from(mantissa) << exponent).to_string().as_bytes());
            }
            Magnitude::Finite { mantissa, exponent } => push_fixed(mantissa, exponent.unsigned_abs(), out),
        }
        if &out[start..] == b"-0" {
            out.remove(start);
        }
    }
}

/// Seventeen decimals of `mantissa / 2^shift`, trimmed.
fn push_fixed(mantissa: u64, shift: u64, out: &mut Vec<u8>) {
    let scaled = BigUint::from(mantissa) * BigUint::from(10_u32).pow(17);
    let text = shift_right_to_even(&scaled, shift).to_string();
    let padded = format!("{text:0>18}");
    let (whole, fraction) = padded.split_at(padded.len() - 17);
    out.extend_from_slice(whole.as_bytes());
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

fn shift_right_to_even(value: &BigUint, shift: u64) -> BigUint {
    let quotient = value >> shift;
    let rest = value - (&quotient << shift);
    let half = BigUint::from(1_u32) << (shift - 1);
    let up = match rest.cmp(&half) {
        Ordering::Less => false,
        Ordering::Equal => quotient.bit(0),
        Ordering::Greater => true,
    };
    quotient + u32::from(up)
}

/// `a * 2^x` plus or minus the smaller `b * 2^y`, with the sign of the larger.
fn add_finite(negative: bool, same_sign: bool, (a, x): (u64, i64), (b, y): (u64, i64)) -> LongDouble {
    // 62 spare bits keep every bit of the smaller one that can matter; what falls below them is remembered as sticky.
    const SPARE: i64 = 62;
    let distance = x - y;
    let wide_a = u128::from(a) << SPARE;
    let (wide_b, lost) = match distance {
        0..=SPARE => (u128::from(b) << (SPARE - distance), false),
        _ if distance - SPARE < 64 => {
            let cut = distance - SPARE;
            (u128::from(b >> cut), b & ((1 << cut) - 1) != 0)
        }
        _ => (0, true),
    };
    let sum = if same_sign {
        wide_a + wide_b
    } else {
        // A lost part makes the true difference a little smaller: borrow one unit, `lost` stands for the rest of it.
        wide_a - wide_b - u128::from(lost)
    };
    let exponent = x - SPARE;
    let magnitude = if sum == 0 { Magnitude::Zero } else { round_u128(sum, exponent, lost) };
    LongDouble { negative: negative && sum != 0, magnitude }
}

fn round_u128(value: u128, exponent: i64, lost: bool) -> Magnitude {
    let bits = i64::from(128 - value.leading_zeros());
    if bits <= 64 {
        return normalized(value as u64, exponent);
    }
    let cut = bits - 64;
    let kept = (value >> cut) as u64;
    let rest = value & ((1_u128 << cut) - 1);
    let half = 1_u128 << (cut - 1);
    let up = rest > half || (rest == half && (lost || kept & 1 == 1));
    carry(kept, up, exponent + cut)
}

fn carry(kept: u64, up: bool, exponent: i64) -> Magnitude {
    match kept.checked_add(u64::from(up)) {
        Some(mantissa) => normalized(mantissa, exponent),
        None => normalized(1 << 63, exponent + 1),
    }
}

fn normalized(mantissa: u64, exponent: i64) -> Magnitude {
    if mantissa == 0 {
        return Magnitude::Zero;
    }
    let shift = mantissa.leading_zeros();
    let exponent = exponent - i64::from(shift);
    if exponent > EXPONENT_MAX {
        Magnitude::Infinite
    } else if exponent < EXPONENT_MIN {
        Magnitude::Zero
    } else {
        Magnitude::Finite { mantissa: mantissa << shift, exponent }
    }
}

/// Digits, an optional point, an optional exponent; `None` for anything else or for a value out of range.
fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, mut scale) = match text.iter().position(|b| b.eq_ignore_ascii_case(&b'e')) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut significant = Vec::with_capacity(digits.len());
    let (mut seen_point, mut seen_digit) = (false, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                significant.push(byte);
                scale -= i64::from(seen_point);
            }
            b'.' if !seen_point => seen_point = true,
            _ => return None,
        }
    }
    if !seen_digit {
        return None;
    }
    let number = BigUint::parse_bytes(&significant, 10)?;
    if number == BigUint::ZERO {
        return Some(Magnitude::Zero);
    }
    let size = significant.len() as i64 + scale;
    if !(-5100..=5100).contains(&size) {
        return None;
    }
    let magnitude = round_decimal(number, scale);
    matches!(magnitude, Magnitude::Finite { .. }).then_some(magnitude)
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Six digits are far beyond every range already; more of them must not overflow.
    let trimmed = &digits[digits.iter().position(|&d| d != b'0').unwrap_or(digits.len() - 1)..];
    let value = super::parse_i64(&trimmed[..trimmed.len().min(6)])?;
    Some(if text[0] == b'-' { -value } else { value })
}

fn round_decimal(number: BigUint, scale: i64) -> Magnitude {
    let power = BigUint::from(10_u32).pow(scale.unsigned_abs() as u32);
    if scale >= 0 {
        return round_big(&(number * power), 0, false);
    }
    // Enough extra bits that the quotient has more than 64 of them; the remainder only says "a little more".
    let shift = (power.bits() + 66).saturating_sub(number.bits());
    let scaled = number << shift;
    let quotient = &scaled / &power;
    let inexact = quotient.clone() * power != scaled;
    round_big(&quotient, -(shift as i64), inexact)
}

fn round_big(value: &BigUint, exponent: i64, inexact: bool) -> Magnitude {
    let bits = value.bits();
    if bits <= 64 {
        return normalized(value.iter_u64_digits().next().unwrap_or(0), exponent);
    }
    let cut = bits - 64;
    let top: BigUint = value >> cut;
    let kept = top.iter_u64_digits().next().unwrap_or(0);
    let rest = value - (top << cut);
    let half = BigUint::from(1_u32) << (cut - 1);
    let up = match rest.cmp(&half) {
        Ordering::Less => false,
        Ordering::Equal => inexact || kept & 1 == 1,
        Ordering::Greater => true,
    };
    carry(kept, up, exponent + cut as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let total = LongDouble::parse(a.as_bytes())
            .unwrap()
            .checked_add(LongDouble::parse(b.as_bytes()).unwrap())
            .unwrap();
        let mut out = Vec::new();
        total.format(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Each expectation is what redis-server 7.0.15 replies to SET then INCRBYFLOAT.
    #[test]
    fn adds_and_prints_as_redis() {
        for (a, b, expected) in [
            ("0", "1e-7", "0.0000001"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("-0", "0", "0"),
            ("3", "-3", "0"),
            ("0.1", "0.2", "0.3"),
            ("1", "1.123456789012345678", "2.12345678901234568"),
            ("17179869184", "1.5", "17179869185.5"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
        assert!(sum("0", "1e300").starts_with("10000000000000000000089973"));
        assert_eq!(sum("0", "1e300").len(), 301);
        assert_eq!(sum("1e308", "1.7e308").len(), 309);
        assert_eq!(sum("0", "1e-400"), "0");
    }

    #[test]
    fn refuses_what_strtold_refuses() {
        for bad in ["", " 1", "1 ", "nan", "abc", "1e5000", "1e-6000", ".", "1..2", "1e", "--1", "e5"] {
            assert!(LongDouble::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(!LongDouble::parse(b"inf").unwrap().is_finite());
    }

    #[test]
    fn infinity_minus_infinity_is_no_number() {
        let infinity = LongDouble::parse(b"inf").unwrap();
        assert!(infinity.checked_add(LongDouble::parse(b"-inf").unwrap()).is_none());
    }
}
