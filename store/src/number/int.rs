//! Decimal integers, strictly: no sign but `-`, no leading zero, no space.

/// Reads a canonical signed 64-bit decimal, or says that `text` is none.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    let mut magnitude: u64 = 0;
    for &digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        // Nineteen digits stay below 2^64, so this cannot overflow.
        magnitude = magnitude * 10 + u64::from(value);
    }
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads what `atoi` of C reads: spaces, a sign, digits, and whatever follows; 0 if there are no digits. As in glibc,
/// it is a 64-bit number, saturated, of which the lower half is taken.
pub(crate) fn number_at_start(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let digits = digits.iter().take_while(|digit| digit.is_ascii_digit());
    let whole = digits.fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0'))
    });
    whole as i32
}

/// Reads a canonical unsigned 64-bit decimal, or says that `text` is none.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    if text.len() > 20 || text.first().is_none_or(|&first| first == b'0' || first == b'-') {
        return None;
    }
    text.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// The decimal digits of an integer, held in place.
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    /// The digits of `value`, with a `-` before them if it is negative.
    pub fn of(value: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value).as_bytes();
        let mut bytes = [0; 20];
        let start = bytes.len() - text.len();
        bytes[start..].copy_from_slice(text);
        Self { bytes, start }
    }

    /// The integer.
    pub(crate) fn value(&self) -> i64 {
        parse_i64(self.as_bytes()).unwrap_or(0)
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_careless_number_is_read_as_atoi_of_glibc_reads_it() {
        for (text, number) in [
            (" 12x", 12),
            ("-7", -7),
            ("+3", 3),
            ("x", 0),
            ("", 0),
            ("4294967297", 1),
            ("-9223372036854775807", 1),
            ("-9223372036854775808", 0),
            ("-99999999999999999999", 0),
            ("99999999999999999999", -1),
        ] {
            assert_eq!(number_at_start(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn accepts_only_the_canonical_form() {
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        for bad in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "9223372036854775808", "1e3", "0x1"] {
            assert_eq!(parse_i64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn unsigned_reaches_the_top() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }
}
