//! What a process writes: the beginning and the end of it, however much it is.

/// The first and the last bytes of a stream, and how many there were.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    /// Bytes kept of each end.
    half: usize,
    head: Vec<u8>,
    /// A ring once it is full.
    tail: Vec<u8>,
    /// Where the ring begins.
    tail_at: usize,
    total: u64,
}

impl Capture {
    /// Keeps so many bytes at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { half: bytes_max.div_ceil(2), head: Vec::new(), tail: Vec::new(), tail_at: 0, total: 0 }
    }

    /// Takes more of the stream.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (first, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(first);
        // Only the end of what does not fit can stay.
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        for &byte in rest {
            if self.tail.len() < self.half {
                self.tail.push(byte);
            } else {
                self.tail[self.tail_at] = byte;
                self.tail_at = (self.tail_at + 1) % self.half;
            }
        }
    }

    /// How many bytes there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How many of them are not here.
    pub(crate) fn omitted(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    fn tail(&self) -> Vec<u8> {
        [&self.tail[self.tail_at..], &self.tail[..self.tail_at]].concat()
    }

    /// Everything that was kept, with a line that says what was not.
    pub(crate) fn text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        match self.omitted() {
            0 => String::from_utf8_lossy(&[&*self.head, &self.tail()].concat()).into_owned(),
            omitted => format!(
                "{head}\n[... {omitted} bytes left out ...]\n{}",
                String::from_utf8_lossy(&self.tail())
            ),
        }
    }

    /// The last of it, not longer than this.
    pub(crate) fn last(&self, bytes_max: usize) -> String {
        let kept = if self.omitted() == 0 { [&*self.head, &self.tail()].concat() } else { self.tail() };
        let text = String::from_utf8_lossy(&kept);
        let mut from = text.len().saturating_sub(bytes_max);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text[from..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_stay_however_the_stream_is_cut() {
        let stream: Vec<u8> = (0..=255).collect();
        for piece in [1, 3, 7, 100, 256] {
            let mut capture = Capture::new(20);
            stream.chunks(piece).for_each(|bytes| capture.take(bytes));
            assert_eq!((capture.total(), capture.omitted()), (256, 236), "{piece}");
            assert_eq!(capture.head, &stream[..10], "{piece}");
            assert_eq!(capture.tail(), &stream[246..], "{piece}");
        }
    }

    #[test]
    fn what_fits_is_whole() {
        let mut capture = Capture::new(20);
        capture.take("short — text".as_bytes());
        assert_eq!((capture.text(), capture.omitted()), ("short — text".to_owned(), 0));
        assert_eq!(capture.last(4), "text");
        capture.take(b" and more of it");
        assert_eq!(capture.text(), "short — \n[... 9 bytes left out ...]\nmore of it");
    }
}
