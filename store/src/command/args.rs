//! A cursor over the arguments of a request.
//!
//! Law: every argument is taken once, in order, and a handler ends with [`Args::end`] or takes all the rest. What is
//! taken is typed at once, with the error text the client expects.

use super::fault::Fault;
use crate::number::{parse_f64, parse_i64};

/// The arguments of a request, the name first, and how far they were taken.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    all: &'a [&'a [u8]],
    at: usize,
}

impl<'a> Args<'a> {
    /// A cursor behind the name, or behind `taken` words of it.
    pub fn new(all: &'a [&'a [u8]], taken: usize) -> Self {
        Self { all, at: taken.min(all.len()) }
    }

    /// All arguments, the name included.
    pub fn all(&self) -> &'a [&'a [u8]] {
        self.all
    }

    /// How many arguments are left.
    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// The next argument, if there is one, not taken.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.all.get(self.at).copied()
    }

    /// The next argument.
    ///
    /// # Errors
    /// A syntax error if there is none.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let next = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(next)
    }

    /// The next argument, a key.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    #[inline]
    pub fn key(&mut self) -> Result<&'a [u8], Fault> {
        self.bytes()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [&'a [u8]] {
        let rest = &self.all[self.at..];
        self.at = self.all.len();
        rest
    }

    /// The next `count` arguments.
    ///
    /// # Errors
    /// A syntax error if there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [&'a [u8]], Fault> {
        if count > self.left() {
            return Err(Fault::Syntax);
        }
        let taken = &self.all[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// The argument is missing or no integer.
    pub fn integer(&mut self) -> Result<i64, Fault> {
        parse_i64(self.bytes()?).ok_or(Fault::NotInteger)
    }

    /// An integer within `range`; anything else is answered with `text`.
    ///
    /// # Errors
    /// The argument is missing, no integer, or outside.
    pub fn integer_in(
        &mut self,
        range: std::ops::RangeInclusive<i64>,
        text: &'static str,
    ) -> Result<i64, Fault> {
        parse_i64(self.bytes()?).filter(|value| range.contains(value)).ok_or_else(|| Fault::other(text))
    }

    /// An integer between two bounds, with the error text that names them.
    ///
    /// # Errors
    /// The argument is missing, no integer, or outside.
    pub fn integer_between(&mut self, min: i64, max: i64) -> Result<i64, Fault> {
        let value = self.integer()?;
        if (min..=max).contains(&value) {
            return Ok(value);
        }
        Err(Fault::other(format!("value is out of range, value must between {min} and {max}")))
    }

    /// An integer that is not negative; anything else is "must be positive".
    ///
    /// # Errors
    /// The argument is missing, no integer, or negative.
    pub fn positive(&mut self) -> Result<i64, Fault> {
        parse_i64(self.bytes()?).filter(|&value| value >= 0).ok_or(Fault::NotPositive)
    }

    /// A double.
    ///
    /// # Errors
    /// The argument is missing or no float.
    pub fn float(&mut self) -> Result<f64, Fault> {
        parse_f64(self.bytes()?).ok_or(Fault::NotFloat)
    }

    /// A time-out in seconds with a fraction, as milliseconds; `None` for 0, which is for ever.
    ///
    /// # Errors
    /// The argument is missing, no number, negative, or beyond what a clock can hold.
    pub fn timeout_seconds(&mut self) -> Result<Option<u64>, Fault> {
        let seconds = crate::number::LongDouble::parse(self.bytes()?).ok_or(Fault::TimeoutRange)?;
        timeout_ms(seconds.to_f64() * 1000.0)
    }

    /// A time-out in milliseconds; `None` for 0, which is for ever.
    ///
    /// # Errors
    /// The argument is missing, no integer, or negative.
    pub fn timeout_ms(&mut self) -> Result<Option<u64>, Fault> {
        let value = parse_i64(self.bytes()?)
            .ok_or_else(|| Fault::other("timeout is not an integer or out of range"))?;
        timeout_ms(value as f64)
    }

    /// Takes the next argument if it is this word, in any case.
    pub fn word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(found);
        found
    }

    /// Says that nothing may be left.
    ///
    /// # Errors
    /// A syntax error if something is.
    #[inline]
    pub fn end(&self) -> Result<(), Fault> {
        if self.left() == 0 { Ok(()) } else { Err(Fault::Syntax) }
    }
}

fn timeout_ms(value: f64) -> Result<Option<u64>, Fault> {
    if value < 0.0 {
        return Err(Fault::TimeoutNegative);
    }
    if value >= i64::MAX as f64 {
        return Err(Fault::other("timeout is out of range"));
    }
    // A fraction of a millisecond must not turn into "for ever".
    Ok((value > 0.0).then_some(value.ceil() as u64))
}

/// Whether two words are the same in any case.
pub fn is_word(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}
