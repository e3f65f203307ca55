//! Double-precision numbers: scores, weights, distances.

use super::{Digits, parse_i64};

/// Reads a double as C's `strtod` does, whole text, no leading space; NaN and overflow are refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    if text.len() <= 15
        && let Some(integer) = parse_i64(text)
    {
        return Some(integer as f64);
    }
    let text = std::str::from_utf8(text).ok()?;
    let value = c_double(text)?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let named = unsigned.starts_with(['i', 'I']);
    let nothing_but_zeros = !named && !mantissa(unsigned).bytes().any(|b| b.is_ascii_digit() && b != b'0');
    let out_of_range = (value.is_infinite() && !named) || (value == 0.0 && !nothing_but_zeros);
    (!out_of_range).then_some(value)
}

/// Reads an end of a range of scores. Redis asks less of it than of a score: space may stand before the number, nothing
/// at all is 0, what overflows is infinite, and a NUL byte ends the text.
pub fn parse_range_end(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_space(byte))?;
    c_double(std::str::from_utf8(&text[start..]).ok()?)
}

/// A text that is a C double from its first byte to its last, and not NaN.
fn c_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let value = match unsigned.get(..2) {
        Some("0x" | "0X") => {
            hexadecimal(&unsigned[2..]).map(|v| if text.starts_with('-') { -v } else { v })?
        }
        _ => text.parse::<f64>().ok()?,
    };
    (!value.is_nan()).then_some(value)
}

fn mantissa(text: &str) -> &str {
    text.split(['e', 'E', 'p', 'P']).next().unwrap_or(text)
}

/// The part of a C hexadecimal float after `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let scale = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2.0_f64.powi(scale))
}

/// Appends `value` as C's `%.17g` prints it.
pub fn format_g17(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    if value == value.trunc() && value.abs() < 1e17 {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        out.extend_from_slice(Digits::of(value as i64).as_bytes());
        return;
    }
    if !push_short_fraction(value, out) {
        push_rounded(value, out);
    }
}

/// Appends a number that is not zero, by its first seventeen digits.
fn push_rounded(value: f64, out: &mut Vec<u8>) {
    use std::io::Write;
    let mut scientific = [0_u8; 32];
    let mut cursor = &mut scientific[..];
    // Seventeen significant digits, correctly rounded: one before the point and sixteen behind it.
    if write!(cursor, "{:.16e}", value.abs()).is_err() {
        debug_assert!(false, "32 bytes hold any %.16e");
    }
    let used = 32 - cursor.len();
    let (digits, exponent) = split_scientific(&scientific[..used]);
    if value < 0.0 {
        out.push(b'-');
    }
    push_general(&digits, exponent, out);
}

/// Bits behind the point of a short fraction; it has as many decimal digits there.
const SHORT_FRACTION: u32 = 10;

/// Appends a moderate number with few bits behind the point, of which all digits are among the first seventeen; says
/// whether it is one. To round such numbers is what takes the longest, as they end where it begins.
fn push_short_fraction(value: f64, out: &mut Vec<u8>) -> bool {
    const UNIT: u64 = 10_u64.pow(SHORT_FRACTION);
    let scaled = value.abs() * f64::from(1_u32 << SHORT_FRACTION);
    if scaled != scaled.trunc() || value.abs() >= 1e7 {
        return false;
    }
    // n / 2^10 is n * 5^10 / 10^10.
    let decimal = scaled as u64 * 5_u64.pow(SHORT_FRACTION);
    if value < 0.0 {
        out.push(b'-');
    }
    out.extend_from_slice(Digits::of((decimal / UNIT) as i64).as_bytes());
    // The digits of the fraction, with a one in front that keeps their zeros.
    let fraction = Digits::of((UNIT + decimal % UNIT) as i64);
    let digits = &fraction.as_bytes()[1..];
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    push_fraction(&digits[..significant], out);
    true
}

/// The seventeen digits and the decimal exponent of `d.dddddddddddddddde[-]x`.
fn split_scientific(text: &[u8]) -> ([u8; 17], i64) {
    let mut digits = [b'0'; 17];
    digits[0] = text[0];
    digits[1..].copy_from_slice(&text[2..18]);
    (digits, parse_i64(&text[19..]).unwrap_or(0))
}

fn push_general(digits: &[u8; 17], exponent: i64, out: &mut Vec<u8>) {
    let significant = digits.iter().rposition(|&d| d != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..significant];
    if !(-4..17).contains(&exponent) {
        out.push(digits[0]);
        push_fraction(&digits[1..], out);
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(Digits::of(exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        } else {
            out.extend_from_slice(&digits[..whole]);
            push_fraction(&digits[whole..], out);
        }
    }
}

fn push_fraction(digits: &[u8], out: &mut Vec<u8>) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits);
    }
}

/// The `%.17g` text of a score, as a fresh string.
pub fn format_score(value: f64) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    format_g17(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        String::from_utf8(format_score(value)).unwrap()
    }

    /// Each expectation was printed by C's `printf("%.17g")`.
    #[test]
    fn prints_as_c_does() {
        for (value, expected) in [
            (0.1, "0.10000000000000001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.1, "1.1000000000000001"),
            (-0.0, "-0"),
            (123456789.125, "123456789.125"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.0001, "0.0001"),
            (2.0_f64.powi(64), "1.8446744073709552e+19"),
            (1.5, "1.5"),
            (-0.0009765625, "-0.0009765625"),
            (0.00048828125, "0.00048828125"),
            (9_999_999.0 + 2.0_f64.powi(-10), "9999999.0009765625"),
            (1e7 + 2.0_f64.powi(-10), "10000000.000976562"),
            (-7.0625, "-7.0625"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    /// Fractions of few bits, whose digits are known at once, look as if they were rounded.
    #[test]
    fn short_fractions_have_the_digits_of_others() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut short = 0;
        for _ in 0..20_000 {
            let value = f64::from(rng.i32(1..) >> rng.u32(..31)) / -2.0_f64.powi(rng.i32(0..14));
            let (mut fraction, mut rounded) = (Vec::new(), Vec::new());
            if value != 0.0 && push_short_fraction(value, &mut fraction) {
                push_rounded(value, &mut rounded);
                assert_eq!(String::from_utf8(fraction), String::from_utf8(rounded));
                short += 1;
            }
        }
        assert!(short > 5000, "{short} of them");
    }

    #[test]
    fn reads_what_strtod_reads() {
        for (input, expected) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("-0x1.8p1", -3.0),
            ("0e5", 0.0),
            ("-0", 0.0),
        ] {
            assert_eq!(parse_f64(input.as_bytes()), Some(expected), "{input}");
        }
        for bad in ["", " 1", "1 ", "nan", "1e400", "1e-400", "abc", "1x", "0x", "--1", "e5"] {
            assert_eq!(parse_f64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ends_of_ranges_may_be_sloppy() {
        for (input, expected) in
            [("", 0.0), (" 1.5", 1.5), ("\t-2", -2.0), ("1e400", f64::INFINITY), ("3\0x", 3.0), ("\0", 0.0)]
        {
            assert_eq!(parse_range_end(input.as_bytes()), Some(expected), "{input}");
        }
        for bad in [" ", "1 ", "nan", "abc", "1x"] {
            assert_eq!(parse_range_end(bad.as_bytes()), None, "{bad}");
        }
    }
}
