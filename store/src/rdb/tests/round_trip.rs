//! What is written is read back.

use proptest::prelude::*;

use super::plain::{Plain, value};
use super::*;

/// What is left of a value when it is written: deleted entries of a stream are gone.
fn without_deleted(plain: Plain) -> Plain {
    match plain {
        Plain::Stream(mut stream) => {
            stream.entries.retain(|id, _| !stream.deleted.contains(id));
            stream.deleted.clear();
            Plain::Stream(stream)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 192 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Every value comes back, whether it was packed or indexed when it was written, compressed or not; and what came
    /// back is written in the same way, as far as it has an order.
    #[test]
    fn every_value_comes_back(plain in value(), compress: bool, indexed: bool) {
        let small = Thresholds { hash_entries: 3, zset_entries: 3, intset_entries: 3, ..Thresholds::default() };
        let thresholds = if indexed { small } else { Thresholds::default() };
        let written = entry(plain.build(&Setup { thresholds, ..setup() }));
        let payload = dump(&written, compress);
        let again = read(&payload).unwrap();
        prop_assert_eq!(Plain::of(&again), without_deleted(plain.clone()));
        let ordered = matches!(plain, Plain::Text(_) | Plain::List(_) | Plain::Stream(_));
        if ordered {
            prop_assert_eq!(dump(&again, compress), payload);
        }
    }

    /// No cut and no flipped bit of a payload is taken for a value, and those that have a checksum that fits are taken
    /// for a value or refused, and nothing else happens.
    #[test]
    fn damage_is_seen(plain in value(), at: usize, bit in 0..8_u8, cut: bool) {
        let mut payload = dump(&entry(plain.build(&setup())), true);
        let at = at % payload.len();
        if cut {
            payload.truncate(at);
        } else {
            payload[at] ^= 1 << bit;
        }
        prop_assert!(read(&payload).is_err());
        payload.truncate(payload.len().saturating_sub(10));
        seal(&mut payload);
        if let Ok(value) = read(&payload) {
            let again = read(&dump(&value, false)).unwrap();
            prop_assert_eq!(Plain::of(&again), Plain::of(&value));
        }
    }
}

/// The bytes of redis-server 7.0.15 for values made by the commands in front.
#[test]
fn the_bytes_are_those_of_redis() {
    let hash = |pairs: &[(&str, &str)]| {
        Plain::Hash(pairs.iter().map(|(f, v)| (f.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    for (plain, body) in [
        (Plain::Text(b"v".to_vec()), &b"\0\x01v"[..]),
        (Plain::Text(b"-300".to_vec()), b"\0\xc1\xd4\xfe"),
        (Plain::Text(b"12345678901".to_vec()), b"\0\x0b12345678901"),
        (Plain::Text(vec![b'a'; 30]), b"\0\xc3\x09\x1e\x01aa\xe0\x11\0\x01aa"),
        (
            Plain::Set(texts(&["1", "-2", "300"]).into_iter().collect()),
            b"\x0b\x0e\x02\0\0\0\x03\0\0\0\xfe\xff\x01\0\x2c\x01",
        ),
        (
            Plain::List(texts(&["a", "7", ""])),
            b"\x12\x01\x02\x0e\x0e\0\0\0\x03\0\x81a\x02\x07\x01\x80\x01\xff",
        ),
        (hash(&[("f", "1")]), b"\x10\x0c\x0c\0\0\0\x02\0\x81f\x02\x01\x01\xff"),
        (Plain::Zset([(b"m".to_vec(), 1.5)].into()), b"\x11\x0f\x0f\0\0\0\x02\0\x81m\x02\x831.5\x04\xff"),
    ] {
        let payload = dump(&entry(plain.build(&setup())), true);
        assert_eq!(payload[..payload.len() - 8], [body, b"\x0a\0"].concat(), "{plain:?}");
    }
}

#[test]
fn versions_and_checksums_are_looked_at() {
    let body = b"\0\x01v".to_vec();
    for (version, is_known) in
        [(1_u16, true), (9, true), (12, true), (13, true), (80, true), (81, false), (999, false)]
    {
        let mut payload = [&*body, &version.to_le_bytes()].concat();
        payload.extend_from_slice(&super::super::crc64(&payload).to_le_bytes());
        assert_eq!(open_dump(&payload, false).is_ok(), is_known, "{version}");
        let last = payload.len() - 1;
        payload[last] ^= 1;
        assert_eq!(open_dump(&payload, false), Err(DumpFault::Footer));
        assert_eq!(open_dump(&payload, true).is_ok(), is_known);
    }
    assert_eq!(open_dump(b"123456789", true), Err(DumpFault::Footer));
}

/// What stands behind a value belongs to nobody: somebody has put two things together.
#[test]
fn nothing_may_stand_behind_a_value() {
    assert_eq!(read_body(b"\0\x01vx", 10), Err(RdbFault::Damaged("something stands behind the value")));
}
