//! A sorted set of integers in one allocation, each as wide as the widest needs.

use crate::thin::Thin;

/// Distinct integers in ascending order. The header is the width in bytes: 2, 4 or 8.
#[derive(Clone)]
pub(crate) struct IntSet {
    data: Thin<u32>,
}

fn width_of(value: i64) -> u32 {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

impl IntSet {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self { data: Thin::new(2, &[]) }
    }

    fn width(&self) -> usize {
        self.data.head() as usize
    }

    /// How many integers there are.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.width()
    }

    /// Bytes taken from the allocator.
    pub(crate) fn footprint(&self) -> usize {
        self.data.footprint()
    }

    /// The integer at `index` of the ascending order.
    pub(crate) fn at(&self, index: usize) -> i64 {
        let width = self.width();
        let bytes = &self.data.bytes()[index * width..(index + 1) * width];
        match bytes {
            [a, b] => i64::from(i16::from_le_bytes([*a, *b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([*a, *b, *c, *d])),
            _ => {
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                i64::from_le_bytes(eight)
            }
        }
    }

    /// The width of each integer in bytes, and the integers, ascending, little-endian.
    pub(crate) fn raw(&self) -> (u32, &[u8]) {
        (self.data.head(), self.data.bytes())
    }

    /// All integers, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + '_ {
        (0..self.len()).map(|index| self.at(index))
    }

    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether `value` is in the set.
    pub(crate) fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds `value`; says whether it was new.
    pub(crate) fn insert(&mut self, value: i64) -> bool {
        if width_of(value) > self.data.head() {
            self.widen(width_of(value));
        }
        let Err(index) = self.search(value) else { return false };
        let width = self.width();
        self.data.splice(index * width, 0, &[&value.to_le_bytes()[..width]]);
        true
    }

    /// Removes `value`; says whether it was there.
    pub(crate) fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else { return false };
        let width = self.width();
        self.data.splice(index * width, width, &[]);
        true
    }

    fn widen(&mut self, width: u32) {
        let mut wider = Thin::with_capacity(width, (self.len() + 1) * width as usize);
        for value in self.iter() {
            wider.extend(&value.to_le_bytes()[..width as usize]);
        }
        self.data = wider;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_sorted_over_all_widths() {
        let mut set = IntSet::new();
        for value in [5, -3, 70_000, 5, i64::MIN, 0, i64::MAX, -70_000] {
            set.insert(value);
        }
        let expected = [i64::MIN, -70_000, -3, 0, 5, 70_000, i64::MAX];
        assert_eq!(set.iter().collect::<Vec<_>>(), expected);
        assert!(set.remove(0) && !set.remove(0) && !set.contains(0) && set.contains(i64::MAX));
        assert_eq!(set.len(), 6);
    }
}
