//! LCS: the longest common subsequence of two strings.

use super::prelude::*;

pub(super) const ROWS: &[Command] = &[LCS];

#[derive(Default)]
struct Options {
    length_only: bool,
    ranges: bool,
    min_match: usize,
    with_lengths: bool,
}

impl Options {
    fn read(args: &mut Args<'_>) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "IDX") => options.ranges = true,
                () if is_word(word, "LEN") => options.length_only = true,
                () if is_word(word, "WITHMATCHLEN") => options.with_lengths = true,
                () if is_word(word, "MINMATCHLEN") && args.left() > 0 => {
                    options.min_match = usize::try_from(args.integer()?).unwrap_or(0);
                }
                () => return Err(Fault::Syntax),
            }
        }
        if options.length_only && options.ranges {
            return Err(Fault::other("If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// Lengths of the common subsequences of all pairs of beginnings (dynamic programming).
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    lengths: Vec<u32>,
}

/// A run of bytes that match, in both strings: first and last index each.
type Match = ([usize; 2], [usize; 2]);

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8]) -> Self {
        let width = b.len() + 1;
        let mut lengths = vec![0_u32; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                lengths[(i + 1) * width + j + 1] = if x == y {
                    lengths[i * width + j] + 1
                } else {
                    lengths[i * width + j + 1].max(lengths[(i + 1) * width + j])
                };
            }
        }
        Self { a, b, lengths }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * (self.b.len() + 1) + j]
    }

    fn len(&self) -> usize {
        self.at(self.a.len(), self.b.len()) as usize
    }

    /// The subsequence, and the runs it consists of, the last one first.
    fn trace(&self) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let (mut text, mut runs) = (Vec::with_capacity(self.len()), Vec::<Match>::new());
        let mut in_run = false;
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                text.push(self.a[i - 1]);
                match runs.last_mut() {
                    Some(run) if in_run && run.0[0] == i && run.1[0] == j => {
                        run.0[0] -= 1;
                        run.1[0] -= 1;
                    }
                    _ => runs.push(([i - 1, i - 1], [j - 1, j - 1])),
                }
                in_run = true;
                i -= 1;
                j -= 1;
            } else {
                in_run = false;
                if self.at(i - 1, j) > self.at(i, j - 1) { i -= 1 } else { j -= 1 }
            }
        }
        text.reverse();
        (text, runs)
    }
}

const LCS: Command = Command::data("lcs", Group::String, lcs)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::range(1, 1, 1, Key::RO | Key::ACCESS)])
    .since("7.0.0")
    .cost("O(N*M) where N and M are the lengths of s1 and s2, respectively")
    .summary("Finds the longest common subsequence of two strings.")
    .syntax("key1:k key2:k [len/LEN] [idx/IDX] [len:i/MINMATCHLEN] [withmatchlen/WITHMATCHLEN]");

fn lcs(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (first, second) = (args.key()?, args.key()?);
    let no_string = |_| Fault::other("The specified keys must contain string values");
    let a = txn.text(first).map_err(no_string)?.map(|text| text.to_vec()).unwrap_or_default();
    let b = txn.text(second).map_err(no_string)?.map(|text| text.to_vec()).unwrap_or_default();
    let options = Options::read(&mut args)?;
    let cells = (a.len() + 1).saturating_mul(b.len() + 1);
    if cells.saturating_mul(size_of::<u32>()) > txn.limits().bulk_max {
        return Err(Fault::other("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = Table::new(&a, &b);
    if options.length_only {
        reply.count(table.len());
        return Ok(Outcome::Done);
    }
    let (text, mut runs) = table.trace();
    if !options.ranges {
        reply.bulk(&text);
        return Ok(Outcome::Done);
    }
    runs.retain(|(a, _)| a[1] - a[0] + 1 >= options.min_match);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(runs.len());
    for (a, b) in &runs {
        reply.array(if options.with_lengths { 3 } else { 2 });
        for [from, to] in [a, b] {
            reply.array(2);
            reply.count(*from);
            reply.count(*to);
        }
        if options.with_lengths {
            reply.count(a[1] - a[0] + 1);
        }
    }
    reply.bulk(b"len");
    reply.count(table.len());
    Ok(Outcome::Done)
}
