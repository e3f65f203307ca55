//! Requests on their way in: bytes of a connection become commands with arguments.
//!
//! Law: an incomplete request is normal and costs nothing to wait for (what was read is never read again); a malformed
//! one is answered with the words of Redis 7.0 and ends the connection. Nothing is reserved because a client said how
//! much it will send. Source of limits and texts: networking.c of Redis 7.0.15, and facts measured against it.

use crate::limits::{
    ARGUMENTS_KEPT, ARGUMENTS_MAX_UNAUTHENTICATED, BATCH_REQUESTS_MAX, BULK_MAX_UNAUTHENTICATED, INLINE_MAX,
};

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolFault {
    /// An inline request, or what follows it, is too long without a line end.
    InlineTooLong,
    /// Quotes of an inline request do not match.
    UnbalancedQuotes,
    /// A NUL byte where a word of an inline request should be.
    NulInInline,
    /// The line of an argument count has no end.
    CountLineTooLong,
    /// The argument count is no number, or too large.
    BadCount,
    /// The argument count is too large for somebody who did not authenticate.
    CountUnauthenticated,
    /// An argument begins with another byte than `$`.
    ExpectedBulk(u8),
    /// The line of an argument length has no end.
    BulkLineTooLong,
    /// The argument length is no number, or too large.
    BadBulk,
    /// The argument is too long for somebody who did not authenticate.
    BulkUnauthenticated,
    /// Somebody speaks HTTP: answered by closing, so that no browser can be made to send commands.
    CrossProtocol,
}

impl ProtocolFault {
    /// Whether a client that has authenticated may send this.
    pub fn is_for_strangers(self) -> bool {
        matches!(self, Self::CountUnauthenticated | Self::BulkUnauthenticated)
    }

    /// The error to send before closing; `None` to close without a word.
    pub fn text(self) -> Option<Vec<u8>> {
        let text = match self {
            Self::InlineTooLong => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::NulInInline => "unexpected NUL in inline request",
            Self::CountLineTooLong => "too big mbulk count string",
            Self::BadCount => "invalid multibulk length",
            Self::CountUnauthenticated => "unauthenticated multibulk length",
            Self::ExpectedBulk(byte) => {
                // The byte as it came, but an error is one line.
                let shown = if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
                return Some([b"ERR Protocol error: expected '$', got '", &[shown][..], b"'"].concat());
            }
            Self::BulkLineTooLong => "too big bulk count string",
            Self::BadBulk => "invalid bulk length",
            Self::BulkUnauthenticated => "unauthenticated bulk length",
            Self::CrossProtocol => return None,
        };
        Some([b"ERR Protocol error: ", text.as_bytes()].concat())
    }
}

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Longest argument in bytes (`proto-max-bulk-len`).
    pub bulk_max: i64,
    /// Whether the client has authenticated, or need not.
    pub authenticated: bool,
}

/// The requests found in a buffer: ranges of it, and arguments that had to be decoded.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    arguments: Vec<Argument>,
    /// Where the arguments of each request end, and where its bytes end.
    ends: Vec<(u32, usize)>,
}

#[derive(Clone, Debug)]
enum Argument {
    At(u32, u32),
    Decoded(Box<[u8]>),
}

impl Batch {
    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets all requests, and keeps the room, unless it is large.
    pub fn clear(&mut self) {
        self.arguments.clear();
        self.arguments.shrink_to(ARGUMENTS_KEPT);
        self.ends.clear();
    }

    /// The arguments of all requests, as slices of `buffer`, from which they were read.
    pub fn slices<'a>(&'a self, buffer: &'a [u8]) -> Vec<&'a [u8]> {
        self.arguments
            .iter()
            .map(|argument| match argument {
                Argument::At(start, end) => &buffer[*start as usize..*end as usize],
                Argument::Decoded(bytes) => bytes,
            })
            .collect()
    }

    /// Where the arguments of request `index` lie in [`Self::slices`].
    pub fn arguments_of(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous].0 as usize);
        start..self.ends[index].0 as usize
    }

    /// How many bytes of the buffer the first `count` requests took.
    pub fn bytes_of_first(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last].1)
    }
}

/// Reads requests, and remembers how far it came in an incomplete one.
#[derive(Debug, Default)]
pub struct Parser {
    /// Where the next thing to read begins.
    at: usize,
    /// How far the search for the end of a line got.
    searched: usize,
    /// Arguments still missing of the request that is being read.
    missing: i64,
    /// Length of the argument that is being read.
    bulk: Option<usize>,
    /// Arguments of the request that is being read.
    partial: Vec<(u32, u32)>,
}

/// What a step of the parser came to.
enum Step {
    /// A whole request, or an ignored line.
    Done,
    /// More bytes are needed.
    Incomplete,
}

impl Parser {
    /// How many bytes the argument that is being read still needs: a hint for the next read.
    pub fn bytes_wanted(&self, buffered: usize) -> usize {
        self.bulk.map_or(0, |len| (self.at + len + 2).saturating_sub(buffered))
    }

    /// How many bytes at the beginning of the buffer are read already, and belong to a request that is not whole yet.
    pub fn begun(&self) -> usize {
        self.at
    }

    /// Tells the parser that the first `count` bytes of the buffer are gone.
    pub fn consumed(&mut self, count: usize) {
        self.at -= count;
        self.searched = self.searched.saturating_sub(count);
        for (start, end) in &mut self.partial {
            *start -= count as u32;
            *end -= count as u32;
        }
    }

    /// Appends the whole requests of `buffer` to `batch`. The bytes before [`Batch::bytes_of_first`] may be thrown away
    /// afterwards, if [`Self::consumed`] is told.
    ///
    /// # Errors
    /// The first malformed request; those before it are in the batch.
    pub fn parse(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        batch: &mut Batch,
    ) -> Result<(), ProtocolFault> {
        self.parse_up_to(buffer, limits, batch, BATCH_REQUESTS_MAX)
    }

    /// The same with a bound on the number of requests of whoever calls.
    pub(crate) fn parse_up_to(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        batch: &mut Batch,
        most: usize,
    ) -> Result<(), ProtocolFault> {
        while batch.len() < most {
            if self.missing == 0
                && limits.authenticated
                && let Some(next) = short_request(buffer, self.at, limits, &mut batch.arguments)
            {
                (self.at, self.searched) = (next, 0);
                batch.ends.push((batch.arguments.len() as u32, next));
                continue;
            }
            let before = batch.len();
            let step = if self.missing > 0 {
                self.arguments(buffer, limits, batch)?
            } else {
                match buffer.get(self.at) {
                    None => Step::Incomplete,
                    Some(b'*') => self.count(buffer, limits, batch)?,
                    Some(_) => self.inline(buffer, batch)?,
                }
            };
            match step {
                Step::Incomplete => break,
                Step::Done if batch.len() > before => {}
                // An ignored line; its bytes go with the request before it, if there is one.
                Step::Done => match batch.ends.last_mut() {
                    Some(last) => last.1 = self.at,
                    None => batch.ends.push((0, self.at)),
                },
            }
        }
        Ok(())
    }

    /// The line that begins at `at`, without its end, and where the next one begins.
    fn line<'a>(
        &mut self,
        buffer: &'a [u8],
        start: usize,
        too_long: ProtocolFault,
    ) -> Result<Option<&'a [u8]>, ProtocolFault> {
        let from = self.searched.max(start);
        match buffer[from..].iter().position(|&byte| byte == b'\r') {
            Some(offset) if from + offset + 1 < buffer.len() => {
                let end = from + offset;
                // Redis skips the byte behind the carriage return without looking at it.
                self.at = end + 2;
                self.searched = 0;
                Ok(Some(&buffer[start..end]))
            }
            found => {
                self.searched = found.map_or(buffer.len(), |offset| from + offset);
                if buffer.len() - start > INLINE_MAX { Err(too_long) } else { Ok(None) }
            }
        }
    }

    fn count(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolFault> {
        let Some(line) = self.line(buffer, self.at, ProtocolFault::CountLineTooLong)? else {
            return Ok(Step::Incomplete);
        };
        let count = crate::number::parse_i64(&line[1..])
            .filter(|&count| count <= i64::from(i32::MAX))
            .ok_or(ProtocolFault::BadCount)?;
        if count > ARGUMENTS_MAX_UNAUTHENTICATED && !limits.authenticated {
            return Err(ProtocolFault::CountUnauthenticated);
        }
        if count <= 0 {
            return Ok(Step::Done);
        }
        self.missing = count;
        self.arguments(buffer, limits, batch)
    }

    /// Reads the arguments that are missing. Those of a request that is not whole yet are kept for the next time.
    fn arguments(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolFault> {
        let first = batch.arguments.len();
        batch.arguments.extend(self.partial.drain(..).map(|(start, end)| Argument::At(start, end)));
        let step = self.read_arguments(buffer, limits, batch);
        if matches!(step, Ok(Step::Done)) {
            self.partial.shrink_to(ARGUMENTS_KEPT);
            batch.ends.push((batch.arguments.len() as u32, self.at));
        } else {
            let places = batch.arguments.drain(first..).filter_map(|argument| match argument {
                Argument::At(start, end) => Some((start, end)),
                Argument::Decoded(_) => None,
            });
            self.partial.extend(places);
        }
        step
    }

    fn read_arguments(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        batch: &mut Batch,
    ) -> Result<Step, ProtocolFault> {
        while self.missing > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    match buffer.get(self.at) {
                        None => return Ok(Step::Incomplete),
                        Some(b'$') => {}
                        // Redis names the byte only once the whole line is there.
                        Some(&other) => {
                            return match self.line(buffer, self.at, ProtocolFault::BulkLineTooLong)? {
                                Some(_) => Err(ProtocolFault::ExpectedBulk(other)),
                                None => Ok(Step::Incomplete),
                            };
                        }
                    }
                    let Some(line) = self.line(buffer, self.at, ProtocolFault::BulkLineTooLong)? else {
                        return Ok(Step::Incomplete);
                    };
                    let len = bulk_len(&line[1..], limits)?;
                    self.bulk = Some(len);
                    len
                }
            };
            if buffer.len() - self.at < len + 2 {
                return Ok(Step::Incomplete);
            }
            batch.arguments.push(Argument::At(self.at as u32, (self.at + len) as u32));
            self.at += len + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(Step::Done)
    }

    fn inline(&mut self, buffer: &[u8], batch: &mut Batch) -> Result<Step, ProtocolFault> {
        let from = self.searched.max(self.at);
        let Some(offset) = buffer[from..].iter().position(|&byte| byte == b'\n') else {
            self.searched = buffer.len();
            return if buffer.len() - self.at > INLINE_MAX {
                Err(ProtocolFault::InlineTooLong)
            } else {
                Ok(Step::Incomplete)
            };
        };
        let line = &buffer[self.at..from + offset];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = split_words(line)?;
        if words
            .first()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:"))
        {
            return Err(ProtocolFault::CrossProtocol);
        }
        self.at = from + offset + 1;
        self.searched = 0;
        if !words.is_empty() {
            batch.arguments.extend(words.into_iter().map(|word| Argument::Decoded(word.into())));
            batch.ends.push((batch.arguments.len() as u32, self.at));
        }
        Ok(Step::Done)
    }
}

/// Reads a request that is whole and has short numbers, which nearly all are and have; says where the next one begins.
/// Nothing is appended if it is another one.
#[inline]
fn short_request(
    buffer: &[u8],
    start: usize,
    limits: RequestLimits,
    arguments: &mut Vec<Argument>,
) -> Option<usize> {
    let rest = buffer.get(start..)?;
    let (count, mut at) = short_number(rest, b'*')?;
    let first = arguments.len();
    for _ in 0..count {
        let argument = short_number(&rest[at..], b'$');
        let is_whole = |&(len, next): &(usize, usize)| at + next + len + 2 <= rest.len();
        let is_allowed = |&(len, _): &(usize, usize)| len as i64 <= limits.bulk_max;
        let Some((len, next)) = argument.filter(is_whole).filter(is_allowed) else {
            arguments.truncate(first);
            return None;
        };
        let begin = start + at + next;
        arguments.push(Argument::At(begin as u32, (begin + len) as u32));
        at += next + len + 2;
    }
    (count > 0).then_some(start + at)
}

/// The number of up to three digits behind the first byte of a whole line, and how long the line is.
#[inline]
fn short_number(line: &[u8], first: u8) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match *line {
        [begin, ..] if begin != first => None,
        // Redis skips the byte behind the carriage return without looking at it.
        [_, ones @ b'0'..=b'9', b'\r', _, ..] => Some((digit(ones), 4)),
        [_, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            Some((10 * digit(tens) + digit(ones), 5))
        }
        [_, hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            Some((100 * digit(hundreds) + 10 * digit(tens) + digit(ones), 6))
        }
        _ => None,
    }
}

fn bulk_len(digits: &[u8], limits: RequestLimits) -> Result<usize, ProtocolFault> {
    let len = crate::number::parse_i64(digits)
        .filter(|&len| len >= 0 && len <= limits.bulk_max)
        .ok_or(ProtocolFault::BadBulk)?;
    if len > BULK_MAX_UNAUTHENTICATED && !limits.authenticated {
        return Err(ProtocolFault::BulkUnauthenticated);
    }
    Ok(len as usize)
}

/// Splits a line into words as a shell does: quotes, and escapes inside double quotes.
///
/// # Errors
/// Quotes that do not match, or a NUL byte outside of them.
pub fn split_words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolFault> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // Vertical tab is white space for C, not for Rust.
        rest = rest.strip_prefix(b"\x0b").unwrap_or(rest);
        match rest.first() {
            None => return Ok(words),
            Some(b'\x0b' | b' ' | b'\t' | b'\r' | b'\n' | b'\x0c') => {}
            Some(_) => {
                let (word, after) = read_word(rest)?;
                words.push(word);
                rest = after;
            }
        }
    }
}

fn read_word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolFault> {
    let mut word = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok((word, rest)),
            [0, ..] => return Err(ProtocolFault::NulInInline),
            [quote @ (b'"' | b'\''), inner @ ..] => {
                rest = if *quote == b'"' {
                    double_quoted(inner, &mut word)?
                } else {
                    single_quoted(inner, &mut word)?
                };
                // A closing quote ends the word; something glued to it is an error.
                return match rest.first() {
                    Some(byte) if !byte.is_ascii_whitespace() && *byte != 0x0b => {
                        Err(ProtocolFault::UnbalancedQuotes)
                    }
                    _ => Ok((word, rest)),
                };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolFault> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolFault::UnbalancedQuotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolFault> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolFault::UnbalancedQuotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests;
