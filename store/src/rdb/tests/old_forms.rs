//! Forms that are only read: writers of them, for tests, and values that come back from each.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::plain::{Bytes, Plain, text, value};
use super::*;
use crate::number::{format_score, parse_i64};
use crate::rdb::listpack::Builder;
use crate::rdb::{Rope, types};
use crate::types::text::Text;

fn string(text: &[u8]) -> Bytes {
    let mut output = Output::default();
    output.string(text);
    output.take().into_bytes()
}

fn length(count: usize) -> Bytes {
    let mut output = Output::default();
    output.length(count as u64);
    output.take().into_bytes()
}

/// A content of a ziplist.
fn content(text: &[u8]) -> Bytes {
    if let Some(value) = parse_i64(text) {
        let bytes = value.to_le_bytes();
        return match value {
            0..=12 => vec![0xf1 + value as u8],
            -0x80..=0x7f => [&[0xfe], &bytes[..1]].concat(),
            -0x8000..=0x7fff => [&[0xc0], &bytes[..2]].concat(),
            -0x80_0000..=0x7f_ffff => [&[0xf0], &bytes[..3]].concat(),
            -0x8000_0000..=0x7fff_ffff => [&[0xd0], &bytes[..4]].concat(),
            _ => [&[0xe0], &bytes[..]].concat(),
        };
    }
    let head = match text.len() {
        len @ 0..64 => vec![len as u8],
        len @ 64..16384 => (len as u16 | 0x4000).to_be_bytes().to_vec(),
        len => [&[0x80], &(len as u32).to_be_bytes()[..]].concat(),
    };
    [&head, text].concat()
}

fn ziplist(texts: &[Bytes]) -> Bytes {
    let (mut entries, mut before, mut tail) = (Vec::new(), 0, 10);
    for text in texts {
        let head = match before {
            len @ 0..254 => vec![len as u8],
            len => [&[0xfe], &(len as u32).to_le_bytes()[..]].concat(),
        };
        let entry = [head, content(text)].concat();
        tail = 10 + entries.len();
        before = entry.len();
        entries.extend_from_slice(&entry);
    }
    let mut ziplist = ((entries.len() + 11) as u32).to_le_bytes().to_vec();
    ziplist.extend_from_slice(&(tail as u32).to_le_bytes());
    ziplist.extend_from_slice(&(texts.len().min(65535) as u16).to_le_bytes());
    [&*ziplist, &entries, &[0xff]].concat()
}

fn zipmap(pairs: &[(Bytes, Bytes)], unused: u8) -> Bytes {
    let size = |text: &Bytes| match text.len() {
        len @ 0..254 => vec![len as u8],
        len => [&[0xfe], &(len as u32).to_le_bytes()[..]].concat(),
    };
    let mut zipmap = vec![pairs.len().min(254) as u8];
    for (field, value) in pairs {
        zipmap.extend([size(field), field.clone(), size(value), vec![unused], value.clone()].concat());
        zipmap.extend(vec![b'?'; usize::from(unused)]);
    }
    zipmap.push(0xff);
    zipmap
}

fn listpack(texts: &[Bytes]) -> Bytes {
    let mut rope = Rope::default();
    let mut builder = Builder::new(&mut rope);
    texts.iter().for_each(|text| builder.text(&Text::Bytes(text)));
    builder.finish();
    rope.into_bytes()
}

fn blob(kind: u8, blob: &[u8]) -> Bytes {
    [&[kind], &*string(blob)].concat()
}

fn counted(kind: u8, count: usize, elements: impl IntoIterator<Item = Bytes>) -> Bytes {
    let elements: Vec<Bytes> = elements.into_iter().collect();
    [&[kind], &*length(count), &elements.concat()].concat()
}

/// All forms of a value that are only read, each with its version.
fn forms(plain: &Plain) -> Vec<(u16, Bytes)> {
    match plain {
        Plain::Text(text) => vec![(2, [&[types::STRING], &*length(text.len()), text].concat())],
        Plain::List(elements) => of_list(elements),
        Plain::Set(members) => {
            let members: Vec<Bytes> = members.iter().cloned().collect();
            vec![
                (1, counted(types::SET, members.len(), members.iter().map(|m| string(m)))),
                (11, blob(types::SET_LISTPACK, &listpack(&members))),
            ]
        }
        Plain::Hash(fields) => of_hash(&fields.clone().into_iter().collect::<Vec<_>>()),
        Plain::Zset(members) => of_zset(&members.clone().into_iter().collect::<Vec<_>>()),
        Plain::Stream(_) => Vec::new(),
    }
}

fn of_list(elements: &[Bytes]) -> Vec<(u16, Bytes)> {
    let nodes: Vec<Bytes> = elements.chunks(7).map(|node| string(&ziplist(node))).collect();
    // Elements on their own cannot be empty; those go into a listpack.
    let containers = elements.iter().map(|element| match element.len() {
        0 => [vec![2], string(&listpack(std::slice::from_ref(element)))].concat(),
        _ => [vec![1], string(element)].concat(),
    });
    vec![
        (1, counted(types::LIST, elements.len(), elements.iter().map(|e| string(e)))),
        (6, blob(types::LIST_ZIPLIST, &ziplist(elements))),
        (7, counted(types::LIST_QUICKLIST, nodes.len(), nodes)),
        (10, counted(types::LIST_QUICKLIST_2, elements.len(), containers)),
    ]
}

fn of_hash(pairs: &[(Bytes, Bytes)]) -> Vec<(u16, Bytes)> {
    let flat: Vec<Bytes> = pairs.iter().flat_map(|(f, v)| [f.clone(), v.clone()]).collect();
    let triples: Vec<Bytes> = pairs.iter().flat_map(|(f, v)| [f.clone(), v.clone(), b"0".to_vec()]).collect();
    let dated = |before: &[u8], behind: &[u8]| -> Vec<Bytes> {
        pairs.iter().map(|(f, v)| [before, &string(f), &string(v), behind].concat()).collect()
    };
    let smallest = [0xff; 8];
    let metadata = [&smallest[..], &length(pairs.len()), &dated(&[0], &[]).concat()].concat();
    vec![
        (2, blob(types::HASH_ZIPMAP, &zipmap(pairs, 3))),
        (6, blob(types::HASH_ZIPLIST, &ziplist(&flat))),
        (1, counted(types::HASH, pairs.len(), dated(&[], &[]))),
        (80, counted(types::HASH_2, pairs.len(), dated(&[], &[0xff; 8]))),
        (12, [&[types::HASH_METADATA], &*metadata].concat()),
        (12, [&[types::HASH_LISTPACK_EX], &smallest[..], &string(&listpack(&triples))].concat()),
    ]
}

fn of_zset(pairs: &[(Bytes, f64)]) -> Vec<(u16, Bytes)> {
    let flat: Vec<Bytes> = pairs.iter().flat_map(|(m, s)| [m.clone(), format_score(*s)]).collect();
    let scored = |score: &dyn Fn(f64) -> Bytes| -> Vec<Bytes> {
        pairs.iter().map(|(m, s)| [string(m), score(*s)].concat()).collect()
    };
    let as_text = |score: f64| match score {
        f64::INFINITY => vec![254],
        f64::NEG_INFINITY => vec![255],
        score => {
            let text = format_score(score);
            [&[text.len() as u8], &*text].concat()
        }
    };
    vec![
        (1, counted(types::ZSET, pairs.len(), scored(&as_text))),
        (8, counted(types::ZSET_2, pairs.len(), scored(&|score| score.to_le_bytes().to_vec()))),
        (6, blob(types::ZSET_ZIPLIST, &ziplist(&flat))),
        (10, blob(types::ZSET_LISTPACK, &listpack(&flat))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 128 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_form_there_ever_was_is_read(plain in value()) {
        for (version, body) in forms(&plain) {
            let read = read_body(&body, version);
            prop_assert_eq!(read, Ok(plain.clone()), "type {} of version {}", body[0], version);
        }
    }

    /// A damaged form is a fault or another value, and nothing else.
    #[test]
    fn no_damage_of_a_form_is_too_much(plain in value(), at: usize, to: u8) {
        for (version, mut body) in forms(&plain) {
            let at = at % body.len();
            body[at] = to;
            if let Ok(value) = read_body(&body, version) {
                prop_assert_eq!(Plain::of(&entry(value.build(&setup()))), value);
            }
        }
    }

    /// What stands in a set, a hash or a sorted set stands there once.
    #[test]
    fn no_form_holds_anything_twice(members in proptest::collection::btree_set(text(), 1..20), nth: usize) {
        let mut members: Vec<Bytes> = members.into_iter().collect();
        members.push(members[nth % members.len()].clone());
        let pairs: Vec<(Bytes, Bytes)> = members.iter().map(|m| (m.clone(), b"1".to_vec())).collect();
        let flat: Vec<Bytes> = pairs.iter().flat_map(|(f, v)| [f.clone(), v.clone()]).collect();
        let count = length(members.len());
        let strings = |behind: &[u8]| -> Bytes {
            members.iter().flat_map(|m| [&*string(m), behind].concat()).collect()
        };
        for body in [
            [&[types::SET], &*count, &strings(&[])].concat(),
            [&[types::SET_LISTPACK], &*string(&listpack(&members))].concat(),
            [&[types::HASH], &*count, &strings(b"\x01v")].concat(),
            [&[types::HASH_ZIPMAP], &*string(&zipmap(&pairs, 0))].concat(),
            [&[types::HASH_ZIPLIST], &*string(&ziplist(&flat))].concat(),
            [&[types::HASH_LISTPACK], &*string(&listpack(&flat))].concat(),
            [&[types::ZSET], &*count, &strings(b"\x011")].concat(),
            [&[types::ZSET_2], &*count, &strings(&[0; 8])].concat(),
            [&[types::ZSET_ZIPLIST], &*string(&ziplist(&flat))].concat(),
            [&[types::ZSET_LISTPACK], &*string(&listpack(&flat))].concat(),
        ] {
            let fault = read_body(&body, 10).unwrap_err();
            prop_assert!(fault.to_string().contains("there already"), "{}: {}", body[0], fault);
        }
    }
}

/// Dates of fields come along, in each form that has them.
#[test]
fn dates_of_fields_are_not_forgotten() {
    let when = 1_900_000_000_000_u64;
    let date = when.to_le_bytes();
    let triple = [b"f".to_vec(), b"v".to_vec(), b"1900000000000".to_vec()];
    for (version, body) in [
        (80, [&b"\x16\x01\x01f\x01v"[..], &date].concat()),
        (12, [&b"\x18"[..], &date, b"\x01\x01\x01f\x01v"].concat()),
        (12, [&b"\x19"[..], &date, &string(&listpack(&triple))].concat()),
    ] {
        let Ok(Value::Hash(hash)) = read_dump(&body, version, &setup()) else { panic!("{body:?} is a hash") };
        assert!(matches!(hash.find(b"f"), Some((value, Some(date))) if &*value == b"v" && date == when));
    }
    // In Redis, before Valkey gave the number a meaning, it was a form of a release candidate.
    assert_eq!(read_body(b"\x16\x01\x01f\x01v", 12), Err(RdbFault::UnknownType(22)));
}

/// An old stream: no first entry, no count of what there was; and one of Redis 7.2, with the time of activity.
#[test]
fn streams_of_other_versions_are_read() {
    let node = [&[0; 7][..], &[5], &[0; 8]].concat();
    let texts: Vec<Bytes> = "1 0 1 f 0 2 0 0 v 4".split(' ').map(|text| text.as_bytes().to_vec()).collect();
    let nodes = [length(1), string(&node), string(&listpack(&texts))].concat();
    let group = b"\x01\x01g\x05\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\
                  \x09\0\0\0\0\0\0\0\x02\x01\x01c\x07\0\0\0\0\0\0\0";
    let owned = b"\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0";
    let old = [&[types::STREAM], &*nodes, b"\x01\x05\0", group, owned].concat();
    let Ok(Plain::Stream(stream)) = read_body(&old, 9) else { panic!("it is a stream") };
    assert_eq!((stream.last, stream.added, stream.entries.len()), ((5, 0), 1, 1));
    let (seen_ms, pending) = &stream.groups[&b"g"[..]].consumers[&b"c"[..]];
    assert_eq!((*seen_ms, pending[&(5, 0)]), (7, (9, 2)));
    assert_eq!(stream.groups[&b"g"[..]].read, Some(1));
    let history = b"\x01\x05\0\x05\0\x04\0\x03";
    let group = [&group[..5], b"\x02", &group[5..]].concat();
    let active = [0xff; 8];
    let new = [&[types::STREAM_3], &*nodes, history, &group, &active, owned].concat();
    let Ok(Plain::Stream(stream)) = read_body(&new, 11) else { panic!("it is a stream") };
    assert_eq!((stream.max_deleted, stream.added), ((4, 0), 3));
    assert_eq!(stream.groups[&b"g"[..]].read, Some(2));
}

#[test]
fn collections_of_nothing_are_told_apart_from_damage() {
    for body in [&b"\x01\0"[..], b"\x02\0", b"\x03\0", b"\x04\0", b"\x05\0", b"\x0e\0", b"\x12\0"] {
        assert_eq!(read_body(body, 10), Err(RdbFault::Damaged("an empty collection")));
    }
    let empty = [string(&ziplist(&[])), string(&listpack(&[]))];
    for (kind, blob) in
        [(0x0a, &empty[0]), (0x0c, &empty[0]), (0x0d, &empty[0]), (0x10, &empty[1]), (0x11, &empty[1])]
    {
        let body = [&[kind], &**blob].concat();
        assert_eq!(read_body(&body, 10), Err(RdbFault::Damaged("an empty collection")));
    }
}

#[test]
fn values_of_modules_are_refused_by_name() {
    // "ReJSON-RL", encoding version 3.
    let mut id = 0_u64;
    for letter in b"ReJSON-RL" {
        let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        id = id << 6 | characters.iter().position(|known| known == letter).unwrap() as u64;
    }
    let body = [&[types::MODULE_2, 0x81], &(id << 10 | 3).to_be_bytes()[..], b"\0"].concat();
    assert_eq!(read_body(&body, 10), Err(RdbFault::Module { name: "ReJSON-RL".to_owned() }));
    for unknown in [8, 23, 26, 200] {
        assert_eq!(read_body(&[unknown], 10), Err(RdbFault::UnknownType(unknown)));
    }
}

/// Streams that no engine could hold.
#[test]
fn streams_are_checked_as_a_whole() {
    let stream = |texts: &str, rest: &[u8]| {
        let node = [&[0; 7][..], &[5], &[0; 8]].concat();
        let texts: Vec<Bytes> = texts.split(' ').map(|text| text.as_bytes().to_vec()).collect();
        read_body(
            &[&[types::STREAM], &*length(1), &string(&node), &string(&listpack(&texts)), rest].concat(),
            9,
        )
    };
    let good = "2 0 1 f 0 2 0 0 v 4 2 1 0 w 4";
    assert!(stream(good, b"\x02\x06\0\0").is_ok());
    let faults: BTreeSet<String> = [
        stream(good, b"\x03\x06\0\0"),
        stream(good, b"\x02\x05\0\0"),
        stream("2 0 1 f 0 2 0 0 v 4 2 0 0 w 4", b"\x02\x06\0\0"),
        stream("2 0 1 f 0 2 0 0 v 4 2 -1 0 w 4", b"\x02\x06\0\0"),
        stream("1 0 1 f 0 2 -1 0 v 4", b"\x01\x06\0\0"),
        stream("1 0 1 f 1 2 0 0 v 4", b"\x01\x06\0\0"),
        stream("1 0 1 f 0 2 0 0 v 5", b"\x01\x06\0\0"),
        stream("1 0 9 f 0 2 0 0 v 4", b"\x01\x06\0\0"),
        stream("1 0 -1 f 0 2 0 0 v 4", b"\x01\x06\0\0"),
        stream("1 1 1 f 0 2 0 0 v 4 2 1 0 v 4", b"\x01\x06\0\0"),
        stream("1 0 1 f 0 0 0 0 0 4", b"\x01\x06\0\0"),
        stream("1 0 1 f 0 2 x 0 v 4", b"\x01\x06\0\0"),
        stream("1 0 1 f 0 2 0 0 v 4 5", b"\x01\x06\0\0"),
    ]
    .into_iter()
    .map(|read| read.unwrap_err().to_string())
    .collect();
    assert!(faults.len() >= 9, "{faults:#?}");
    // Only deleted entries: a node of nothing.
    let Ok(Plain::Stream(empty)) = stream("0 1 1 f 0 3 0 0 v 4", b"\0\x06\0\0") else {
        panic!("it is a stream")
    };
    assert_eq!((empty.entries.len(), empty.last), (0, (6, 0)));
}
