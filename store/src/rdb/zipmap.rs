//! Zipmaps: the compact form of hashes up to Redis 2.4. They are only read.
//!
//! ```text
//! zipmap := pairs u8 (254 or more: unknown), (field, value) *, 0xFF
//! field  := length, byte *
//! value  := length, number of unused bytes u8, byte *, unused byte *
//! length := u8 below 254, or 0xFE and u32
//! ```

use super::content::OUTSIDE;
use super::fault::Flaw;
use crate::types::text::Scalar;

const END: u8 = 0xFF;
const LONG: u8 = 0xFE;

/// Fields and values in turn, each checked when it is read. Behind a flaw, nothing more comes.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    /// How many pairs there are, if that is known.
    announced: Option<u64>,
    /// How many texts were read.
    read: u64,
    over: bool,
}

impl<'a> Elements<'a> {
    /// Checks what stands before and behind the elements.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (&count, rest) = bytes.split_first().ok_or("it has no header")?;
        let Some((&END, rest)) = rest.split_last() else { return Err("it has no end") };
        let announced = Some(u64::from(count)).filter(|_| count < LONG);
        Ok(Self { rest, announced, read: 0, over: false })
    }

    fn length(&mut self) -> Result<usize, Flaw> {
        let (&first, rest) = self.rest.split_first().ok_or(OUTSIDE)?;
        self.rest = rest;
        match first {
            END => Err("it ends too early"),
            LONG => {
                let (len, rest) = self.rest.split_first_chunk().ok_or(OUTSIDE)?;
                self.rest = rest;
                let len = u32::from_le_bytes(*len);
                if len < u32::from(LONG) { Err("a short length in a long form") } else { Ok(len as usize) }
            }
            len => Ok(usize::from(len)),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(OUTSIDE)?;
        self.rest = rest;
        Ok(taken)
    }

    fn element(&mut self) -> Result<Scalar<'a>, Flaw> {
        let is_value = self.read % 2 == 1;
        let len = self.length()?;
        let unused = if is_value { usize::from(self.take(1)?[0]) } else { 0 };
        let text = self.take(len)?;
        self.take(unused)?;
        self.read += 1;
        Ok(Scalar::Bytes(text))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Scalar<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if !self.rest.is_empty() || self.read % 2 == 1 {
            let element = self.element();
            self.over = element.is_err();
            return Some(element);
        }
        self.over = true;
        match self.announced {
            _ if self.read == 0 => Some(Err("it is empty")),
            Some(pairs) if 2 * pairs != self.read => Some(Err("it has not as many pairs as it says")),
            _ => None,
        }
    }
}
