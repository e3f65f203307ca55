//! A field of a large hash: its name, its value and, if it has one, the date on which it is gone, in one allocation.
//!
//! ```text
//! name | value | [date u64, little-endian]
//! ```
//! The header says how long the name is, and whether there is a date. It has room for that anyway: a field without a
//! date is as large as if there were no dates. Not here: what a date means.

use crate::table::{Keyed, thin_item};
use crate::thin::{Thin, ThinRef};
use crate::types::text::Text;

/// How the bytes of a field are divided. Packed: the bytes begin right behind it.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub(super) struct Head {
    name_len: u32,
    dated: bool,
}

/// A field with its value.
pub(crate) struct Field(Thin<Head>);

/// A look at a field.
#[derive(Clone, Copy)]
pub(crate) struct FieldRef<'a>(ThinRef<'a, Head>);

const DATE_BYTES: usize = size_of::<u64>();

impl Head {
    /// Bytes behind the value.
    fn tail(self) -> usize {
        if self.dated { DATE_BYTES } else { 0 }
    }
}

impl Field {
    pub(super) fn new(name: &[u8], value: &[u8], date: Option<u64>) -> Self {
        let head = Head { name_len: name.len() as u32, dated: date.is_some() };
        let mut bytes = Thin::with_capacity(head, name.len() + value.len() + head.tail());
        bytes.extend(name);
        bytes.extend(value);
        if let Some(date) = date {
            bytes.extend(&date.to_le_bytes());
        }
        Self(bytes)
    }

    /// A field that is the same.
    pub(super) fn copy(field: FieldRef<'_>) -> Self {
        Self(field.0.to_owned())
    }

    /// Replaces the value; the date stays.
    pub(super) fn set_value(&mut self, value: &[u8]) {
        let head = self.0.head();
        let name = head.name_len as usize;
        let old = self.0.len() - name - head.tail();
        self.0.splice(name, old, &[value]);
        self.0.shrink();
    }

    /// Sets, changes or takes away the date.
    pub(super) fn set_date(&mut self, date: Option<u64>) {
        let head = self.0.head();
        let tail = head.tail();
        let at = self.0.len() - tail;
        match date {
            Some(date) => self.0.splice(at, tail, &[&date.to_le_bytes()]),
            None => self.0.splice(at, tail, &[]),
        }
        self.0.set_head(Head { dated: date.is_some(), ..head });
        self.0.shrink();
    }
}

impl<'a> FieldRef<'a> {
    /// The name, as text.
    pub(super) fn name(self) -> Text<'a> {
        Text::within(self.0, self.key())
    }

    /// The value, as text.
    pub(super) fn text(self) -> Text<'a> {
        Text::within(self.0, self.value())
    }

    pub(super) fn value(self) -> &'a [u8] {
        let (head, bytes) = (self.0.head(), self.0.bytes());
        &bytes[head.name_len as usize..bytes.len() - head.tail()]
    }

    /// The date on which the field is gone, in Unix milliseconds.
    pub(super) fn date(self) -> Option<u64> {
        let date = self.0.bytes().last_chunk::<DATE_BYTES>();
        date.filter(|_| self.0.head().dated).map(|date| u64::from_le_bytes(*date))
    }
}

impl<'a> Keyed<'a> for FieldRef<'a> {
    fn key(self) -> &'a [u8] {
        &self.0.bytes()[..self.0.head().name_len as usize]
    }
}

thin_item!(Field(Thin<Head>), FieldRef);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Item;

    #[test]
    fn value_and_date_change_without_each_other() {
        let mut field = Field::new(b"name", b"value", None);
        let steps: [(&[u8], Option<u64>); 5] = [
            (b"", Some(1)),
            (b"a longer value than before", Some(u64::MAX)),
            (b"x", None),
            (b"", None),
            (b"7", Some(0)),
        ];
        for (value, date) in steps {
            field.set_value(value);
            assert_eq!((field.view().key(), field.view().value()), (&b"name"[..], value));
            field.set_date(date);
            assert_eq!((field.view().value(), field.view().date()), (value, date));
        }
    }

    /// What hashes without dates pay for those that have some: a byte for each field.
    #[test]
    fn a_field_without_a_date_pays_a_byte_for_the_possibility() {
        for len in 0..200 {
            let (name, value) = (b"0123456789", vec![b'x'; len]);
            let plain = Thin::new([0_u8; size_of::<u32>() + 1], &[&name[..], &value].concat());
            let mut field = Field::new(name, &value, None);
            assert_eq!(field.view().footprint(), plain.footprint());
            field.set_date(Some(1));
            field.set_date(None);
            assert_eq!(field.view().footprint(), plain.footprint());
        }
    }
}
