//! Values that come in pieces.

use proptest::prelude::*;

use super::plain::value;
use super::*;
use crate::rdb::Cursor;
use crate::rdb::decode::Decoder;

/// Reads a value of which only so many bytes more are there each time.
fn read_in_pieces(body: &[u8], sizes: &[usize]) -> (Loaded, usize) {
    let mut decoder = Decoder::new(body[0], 10).unwrap();
    let (mut from, mut until, mut tries) = (1, 1, 0);
    loop {
        let mut cursor = Cursor::new(&body[from..until]);
        match decoder.read(&mut cursor, &setup()) {
            Ok(loaded) => {
                assert_eq!(from + cursor.position(), until, "nothing is left");
                return (loaded, tries);
            }
            Err(fault) => assert_eq!(fault, RdbFault::Truncated),
        }
        from += cursor.position();
        assert!(until < body.len(), "all of it was there");
        until = (until + sizes[tries % sizes.len()]).min(body.len());
        tries += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 96 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn pieces_come_to_the_same(
        plain in value(),
        sizes in proptest::collection::vec(1..5000_usize, 1..20),
        indexed: bool,
    ) {
        let small = Thresholds { hash_entries: 3, zset_entries: 3, intset_entries: 3, ..Thresholds::default() };
        let thresholds = if indexed { small } else { Thresholds::default() };
        let payload = dump(&entry(plain.build(&Setup { thresholds, ..setup() })), true);
        let whole = Plain::of(&read(&payload).unwrap());
        let (Loaded::Value(value), _) = read_in_pieces(&payload[..payload.len() - 10], &sizes) else {
            panic!("it is a value");
        };
        prop_assert_eq!(Plain::of(&entry(value)), whole);
    }
}

/// Every byte on its own: a table of many elements is not read again from its beginning for each of them.
#[test]
fn what_was_read_is_not_read_again() {
    let fields = (0..2000).map(|n| (format!("field:{n}").into_bytes(), b"value".to_vec())).collect();
    let payload = dump(&entry(Plain::Hash(fields).build(&setup())), false);
    let (loaded, tries) = read_in_pieces(&payload[..payload.len() - 10], &[1]);
    assert!(matches!(loaded, Loaded::Value(Value::Hash(hash)) if hash.len() == 2000));
    assert_eq!(tries, payload.len() - 11);
}
