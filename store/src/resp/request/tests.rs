//! Requests in every form, whole and in pieces.

use super::*;

const OPEN: RequestLimits = RequestLimits { bulk_max: 512 << 20, authenticated: true };

fn requests(bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolFault> {
    let (mut parser, mut batch) = (Parser::default(), Batch::default());
    parser.parse(bytes, OPEN, &mut batch)?;
    let slices = batch.slices(bytes);
    Ok((0..batch.len())
        .map(|n| slices[batch.arguments_of(n)].iter().map(|arg| arg.to_vec()).collect::<Vec<_>>())
        .filter(|request| !request.is_empty())
        .collect())
}

fn words(text: &[&str]) -> Vec<Vec<u8>> {
    text.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn reads_both_forms_and_ignores_emptiness() {
    let bytes = b"\r\n\n*0\r\n*-1\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\n  set a \"x\\x41\\n\" 'it\\'s'\r\n";
    assert_eq!(
        requests(bytes).unwrap(),
        [words(&["GET", "k"]), words(&["PING"]), words(&["set", "a", "xA\n", "it's"])]
    );
}

#[test]
fn the_error_of_a_wrong_byte_is_one_line() {
    let text = |bytes: &[u8]| requests(bytes).unwrap_err().text().unwrap();
    assert_eq!(text(b"*1\r\n\n1\r\n"), b"ERR Protocol error: expected '$', got ' '");
    assert_eq!(text(b"*1\r\n\xff1\r\n"), b"ERR Protocol error: expected '$', got '\xff'");
}

/// The catalogue of malformed requests, each with the answer of redis-server 7.0.15.
#[test]
fn refuses_malformed_requests() {
    use ProtocolFault as F;
    let long = [b"*".to_vec(), vec![b'1'; INLINE_MAX + 10]].concat();
    let long_bulk = [b"*1\r\n$".to_vec(), vec![b'1'; INLINE_MAX + 10]].concat();
    let inline = vec![b'x'; INLINE_MAX + 1];
    let cases: [(&[u8], F); 21] = [
        (b"*2147483648\r\n", F::BadCount),
        (b"*99999999999999999999\r\n", F::BadCount),
        (b"*abc\r\n", F::BadCount),
        (b"*\r\n", F::BadCount),
        (b"*1 \r\n", F::BadCount),
        (b"* 1\r\n", F::BadCount),
        (b"*+1\r\n", F::BadCount),
        (b"*01\r\n", F::BadCount),
        (b"*-0\r\n", F::BadCount),
        (b"*1\r\n:1\r\n", F::ExpectedBulk(b':')),
        (b"*1\r\n*1\r\n", F::ExpectedBulk(b'*')),
        (b"*1\r\n$-1\r\n", F::BadBulk),
        (b"*1\r\n$536870913\r\n", F::BadBulk),
        (b"*1\r\n$9223372036854775808\r\n", F::BadBulk),
        (b"*1\r\n$\r\n", F::BadBulk),
        (b"*1\r\n$?\r\n", F::BadBulk),
        (b"get \"k\r\n", F::UnbalancedQuotes),
        (b"get 'k'x\r\n", F::UnbalancedQuotes),
        (b"POST / HTTP/1.1\r\n", F::CrossProtocol),
        (b"host: localhost\r\n", F::CrossProtocol),
        (b"GE\0T k\r\n", F::NulInInline),
    ];
    for (bytes, fault) in cases {
        assert_eq!(requests(bytes), Err(fault), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(requests(&long), Err(F::CountLineTooLong));
    assert_eq!(requests(&long_bulk), Err(F::BulkLineTooLong));
    assert_eq!(requests(&inline), Err(F::InlineTooLong));
}

#[test]
fn strangers_may_send_little() {
    let limits = RequestLimits { authenticated: false, ..OPEN };
    let mut parser = Parser::default();
    let fault = parser.parse(b"*11\r\n", limits, &mut Batch::default());
    assert_eq!(fault, Err(ProtocolFault::CountUnauthenticated));
    let fault = Parser::default().parse(b"*1\r\n$16385\r\n", limits, &mut Batch::default());
    assert_eq!(fault, Err(ProtocolFault::BulkUnauthenticated));
}

/// However the bytes are cut, the requests are the same.
#[test]
fn arrival_byte_by_byte_changes_nothing() {
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\nal\r\nPING\r\n\r\n*1\r\n$4\r\nQUIT\r\n";
    let (mut parser, mut batch) = (Parser::default(), Batch::default());
    let (mut buffer, mut seen) = (Vec::new(), Vec::new());
    for &byte in bytes {
        buffer.push(byte);
        parser.parse(&buffer, OPEN, &mut batch).unwrap();
        let slices = batch.slices(&buffer);
        for n in 0..batch.len() {
            seen.push(slices[batch.arguments_of(n)].iter().map(|arg| arg.to_vec()).collect::<Vec<_>>());
        }
        let taken = batch.bytes_of_first(batch.len());
        batch.clear();
        buffer.drain(..taken);
        parser.consumed(taken);
    }
    seen.retain(|request| !request.is_empty());
    assert_eq!(seen, [words(&["SET", "k", "v\r\nal"]), words(&["PING"]), words(&["QUIT"])]);
}
