//! LZF, as far as dumps of others need it: decompression.

/// Decompresses to exactly `len` bytes; nothing if the input is no LZF or has another length.
pub(super) fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    // A byte of input gives at most 264 bytes of output, so a length beyond that is a lie.
    if len > input.len().checked_mul(264)? {
        return None;
    }
    let mut output = Vec::with_capacity(len);
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        if control < 32 {
            let (literal, rest) = input.split_at_checked(usize::from(control) + 1)?;
            output.extend_from_slice(literal);
            input = rest;
        } else {
            let mut run = usize::from(control >> 5);
            if run == 7 {
                let (&more, rest) = input.split_first()?;
                run += usize::from(more);
                input = rest;
            }
            let (&low, rest) = input.split_first()?;
            input = rest;
            let back = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
            let start = output.len().checked_sub(back)?;
            // Source and target may overlap.
            for at in start..start + run + 2 {
                output.push(output[at]);
            }
        }
        if output.len() > len {
            return None;
        }
    }
    (output.len() == len).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_runs() {
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        assert_eq!(decompress(&[0, b'a', 0xe0, 1, 0], 11).unwrap(), b"aaaaaaaaaaa");
        assert_eq!(decompress(&[0, b'a', 0x20, 5], 4), None);
        assert_eq!(decompress(&[2, b'a'], 3), None);
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 1 << 40), None);
    }
}
