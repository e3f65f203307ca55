//! The parser of requests: the same requests, however the bytes come in, and nothing reserved because of a
//! promise.

use pbj_store::resp::request::{Batch, Parser, ProtocolFault, RequestLimits};

use super::Target;
use super::memory::within;

pub(super) const TARGET: Target = Target {
    name: "request",
    run,
    seeds,
    words: &[
        "\r\n",
        "*1\r\n",
        "*2\r\n$3\r\nGET\r\n",
        "$-1\r\n",
        "$0\r\n",
        "*-1\r\n",
        "$536870912\r\n",
        "\"",
        "'",
        "\\x0",
        "\n",
    ],
};

/// Bytes for each byte of the input, and for the beginning.
const BYTES_FOR_EACH: usize = 256;
const BYTES_ANYWAY: usize = 16 << 10;

fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"\x00*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n",
        b"\x01PING\r\nSET k \"a\\x00b\\n\" 'c\\''\r\n",
        b"\x02\r\n\r\n*0\r\n*-1\r\nPING\n",
        b"\x03*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\n0123456789\r\n",
        b"\x00*1048576\r\n$1\r\na\r\n",
        b"\x01*1\r\n$536870912\r\nabc",
        b"\x02*1\r\n:1\r\n",
        b"\x03POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00*1\n$4\rxPINGxx*+1\r\n",
    ];
    texts.map(<[u8]>::to_vec).to_vec()
}

/// What was understood, and how it ended.
type Understood = (Vec<Vec<Vec<u8>>>, Option<ProtocolFault>);

/// Reads bytes that come in pieces: `size(n)` is the size of the `n`th one.
fn understood(bytes: &[u8], limits: RequestLimits, size: impl Fn(usize) -> usize) -> Understood {
    let (mut parser, mut batch, mut buffer) = (Parser::default(), Batch::default(), Vec::new());
    let (mut requests, mut at, mut nth) = (Vec::new(), 0, 0);
    loop {
        let parsed = parser.parse(&buffer, limits, &mut batch);
        let slices = batch.slices(&buffer);
        for index in 0..batch.len() {
            let request: Vec<Vec<u8>> =
                slices[batch.arguments_of(index)].iter().map(|word| word.to_vec()).collect();
            // An ignored line has no words.
            requests.extend(Some(request).filter(|request| !request.is_empty()));
        }
        let (whole, taken) = (batch.len(), batch.bytes_of_first(batch.len()));
        batch.clear();
        if let Err(fault) = parsed {
            return (requests, Some(fault));
        }
        buffer.drain(..taken);
        parser.consumed(taken);
        if at == bytes.len() && whole == 0 {
            return (requests, None);
        }
        let end = bytes.len().min(at + size(nth).max(1));
        buffer.extend_from_slice(&bytes[at..end]);
        (at, nth) = (end, nth + 1);
    }
}

fn run(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let limits = RequestLimits { bulk_max: 512 << 20, authenticated: first & 1 == 0 };
    within(BYTES_ANYWAY + BYTES_FOR_EACH * bytes.len(), || {
        let at_once = understood(bytes, limits, |_| bytes.len());
        let in_pieces = understood(bytes, limits, |nth| usize::from(bytes[nth % bytes.len()] % 7));
        assert_eq!(at_once, in_pieces, "what is understood depends on how it comes in");
    });
}
