//! Payloads of RESTORE: whatever is accepted is a value that every command can read, and that dumps as
//! itself.

use pbj_store::resp::value::Value;

use super::Target;
use super::memory::within;
use super::world::World;

pub(super) const TARGET: Target = Target {
    name: "restore",
    run,
    seeds,
    words: &["\u{0}", "\u{1}\u{0}", "\u{7f}", "@\u{0}", "\u{f}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}"],
};

/// Bytes for each byte of the payload: a compressed one may be 90 times as long when it is whole, and holds
/// values and their copies on the engine that checks effects.
const BYTES_FOR_EACH: usize = 90 * 64;
const BYTES_ANYWAY: usize = 2 << 20;

/// Requests that make values of every kind and encoding, at the key `k`.
const VALUES: [&str; 17] = [
    "SET k hello",
    "SET k 12345678",
    "SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "RPUSH k a b 1 -5 1000 70000 3000000000 cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
    "SADD k 1 2 3 70000",
    "SADD k 1 2 5000000000",
    "SADD k a b c",
    "HSET k f v g 1 h -1",
    "HSET k f vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv g 1",
    "ZADD k 1 a 2.5 b -inf c inf d",
    "ZADD k 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 2.5 b",
    "XADD k 1-1 f v g w",
    "XGROUP CREATE k g 0 MKSTREAM",
    "PFADD k a b c",
    "SETBIT k 100 1",
    "GEOADD k 13.5 37.8 a 15 38 b",
    "HSET k a 1 b 2 c 3 d 4",
];

/// The bodies of dumps: without version and checksum, which are added to whatever becomes of them.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = VALUES
        .iter()
        .filter_map(|line| {
            let mut world = World::new();
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            world.call(&words);
            for more in ["XADD k 2-0 f x h y", "XREADGROUP GROUP g alice COUNT 1 STREAMS k >"] {
                if line.starts_with('X') {
                    world.call(&more.split(' ').map(str::as_bytes).collect::<Vec<_>>());
                }
            }
            let Some(Value::Bulk(mut dump)) = world.reply(&[b"DUMP", b"k"]) else { return None };
            dump.truncate(dump.len() - 10);
            Some(dump)
        })
        .collect();
    assert_eq!(seeds.len(), VALUES.len(), "each value can be dumped");
    // Kinds that are only read: plain lists, sets and hashes, a zip list, an integer set, a zip map.
    seeds.extend(
        [
            b"\x01\x02\x01a\x01b".as_slice(),
            b"\x02\x02\x01a\x01b",
            b"\x03\x01\x01a\x011",
            b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf0?",
            b"\x04\x01\x01f\x01v",
            b"\x0a\x0f\x0f\x00\x00\x00\x0c\x00\x00\x00\x02\x00\x00\xf2\x02\xf3\xff",
            b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00",
            b"\x09\x07\x01\x01f\x01\x00v\xff",
            b"\x10\x0f\x0f\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff",
        ]
        .map(<[u8]>::to_vec),
    );
    seeds
}

/// The checksum of dumps, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u64::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x95AC_9329_AC4B_C9B5 } else { crc >> 1 }
        })
    })
}

/// Requests that read or change a value of any kind; those of another kind are refused.
const READS: [&str; 26] = [
    "TYPE k",
    "OBJECT ENCODING k",
    "MEMORY USAGE k",
    "STRLEN k",
    "GETRANGE k 0 -1",
    "BITCOUNT k",
    "PFCOUNT k",
    "LRANGE k 0 -1",
    "LPOS k a",
    "SMEMBERS k",
    "SRANDMEMBER k 3",
    "HGETALL k",
    "HRANDFIELD k 3 WITHVALUES",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZRANGEBYLEX k - +",
    "XRANGE k - +",
    "XINFO STREAM k FULL COUNT 0",
    "XADD k * f v",
    "XREADGROUP GROUP g alice STREAMS k >",
    "XAUTOCLAIM k g bob 0 0",
    "SORT k ALPHA",
    "APPEND k x",
    "RPUSH k x",
    "SADD k x",
    "HSET k x y",
    "ZADD k 1 x",
];

fn run(body: &[u8]) {
    let mut payload = body.to_vec();
    // The version of Redis 7.2: all kinds that are known at all.
    payload.extend_from_slice(&11_u16.to_le_bytes());
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    within(BYTES_ANYWAY + BYTES_FOR_EACH * body.len(), || {
        let mut world = World::new();
        let Some(Value::Simple(_)) = world.reply(&[b"RESTORE", b"k", b"0", &payload]) else { return };
        let Some(Value::Bulk(dump)) = world.reply(&[b"DUMP", b"k"]) else {
            // Whatever had a date is over.
            return;
        };
        let again = world.reply(&[b"RESTORE", b"k", b"0", &dump, b"REPLACE"]);
        assert_eq!(again, Some(Value::Simple("OK".to_owned())), "what was dumped is accepted");
        assert_eq!(world.reply(&[b"DUMP", b"k"]), Some(Value::Bulk(dump)), "what was dumped dumps as itself");
        for line in READS {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            world.reply(&words);
        }
        world.tick();
    });
}
