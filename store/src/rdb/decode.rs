//! Reading values.
//!
//! Law: a value is built element by element, so that it can come in pieces and needs no room beside its own. What is
//! counted, ordered or unique in the format is checked to be so.

use super::cursor::Cursor;
use super::decode_stream::StreamDecoder;
use super::fault::{DUPLICATE, Flaw, RdbFault, of_form};
use super::{VALKEY, intset, listpack, types, ziplist, zipmap};
use crate::hash::HashKey;
use crate::keyspace::Value;
use crate::limits::INLINE_TEXT_MAX;
use crate::number::{parse_f64, parse_i64};
use crate::thin::Thin;
use crate::types::Thresholds;
use crate::types::hash::Hash;
use crate::types::list::{End, List};
use crate::types::set::Set;
use crate::types::text::{Scalar, Text};
use crate::types::zset::Zset;

/// What collections have to know to grow.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) thresholds: Thresholds,
    pub(crate) hash_key: HashKey,
}

/// What was read.
pub(crate) enum Loaded {
    /// A value.
    Value(Value),
    /// A collection of nothing, which no key holds: old versions had faults that wrote one.
    Empty,
}

/// A value that is being read.
pub(crate) struct Decoder(Form);

/// How many elements are to come, once that was read.
type Left = Option<u64>;

enum Form {
    Text,
    List { left: Left, nodes: ListNodes, list: Box<List> },
    Set { left: Left, set: Set },
    Zset { left: Left, binary: bool, zset: Zset },
    Hash { left: Left, dates: FieldDates, hash: Hash },
    Blob(Blob),
    Stream(Box<StreamDecoder>),
    Module,
}

/// What a list consists of.
#[derive(Clone, Copy)]
enum ListNodes {
    /// Elements.
    Elements,
    /// Ziplists.
    Ziplists,
    /// Listpacks, and long elements on their own.
    Containers,
}

/// Where the dates of fields of a hash are.
#[derive(Clone, Copy)]
enum FieldDates {
    /// There are none.
    None,
    /// Behind each value: a date, or -1.
    Behind,
    /// Before each field: 0, or the distance to the smallest one, and 1. The smallest one, once it was read.
    Before(Option<u64>),
}

/// A collection in one string.
#[derive(Clone, Copy)]
enum Blob {
    HashZipmap,
    HashZiplist,
    HashListpack,
    /// Triples, the third a date; behind the smallest date.
    HashTriples,
    ListZiplist,
    SetIntset,
    SetListpack,
    ZsetZiplist,
    ZsetListpack,
}

const UNEVEN: Flaw = "an element without its value";

impl Decoder {
    /// A value of the type that this byte names.
    ///
    /// # Errors
    /// It names none.
    pub(crate) fn new(kind: u8, version: u16) -> Result<Self, RdbFault> {
        Ok(Self(match kind {
            types::STRING => Form::Text,
            types::LIST => Form::list(ListNodes::Elements),
            types::LIST_QUICKLIST => Form::list(ListNodes::Ziplists),
            types::LIST_QUICKLIST_2 => Form::list(ListNodes::Containers),
            types::SET => Form::Set { left: None, set: Set::new() },
            types::ZSET => Form::Zset { left: None, binary: false, zset: Zset::new() },
            types::ZSET_2 => Form::Zset { left: None, binary: true, zset: Zset::new() },
            types::HASH => Form::hash(FieldDates::None),
            types::HASH_2 if version >= VALKEY => Form::hash(FieldDates::Behind),
            types::HASH_METADATA => Form::hash(FieldDates::Before(None)),
            types::HASH_ZIPMAP => Form::Blob(Blob::HashZipmap),
            types::HASH_ZIPLIST => Form::Blob(Blob::HashZiplist),
            types::HASH_LISTPACK => Form::Blob(Blob::HashListpack),
            types::HASH_LISTPACK_EX => Form::Blob(Blob::HashTriples),
            types::LIST_ZIPLIST => Form::Blob(Blob::ListZiplist),
            types::SET_INTSET => Form::Blob(Blob::SetIntset),
            types::SET_LISTPACK => Form::Blob(Blob::SetListpack),
            types::ZSET_ZIPLIST => Form::Blob(Blob::ZsetZiplist),
            types::ZSET_LISTPACK => Form::Blob(Blob::ZsetListpack),
            types::STREAM | types::STREAM_2 | types::STREAM_3 => {
                Form::Stream(Box::new(StreamDecoder::new(kind)))
            }
            types::MODULE | types::MODULE_2 => Form::Module,
            other => return Err(RdbFault::UnknownType(other)),
        }))
    }

    /// Reads on. Where it ends too early, it can be read on with more bytes from where the cursor stands then.
    ///
    /// # Errors
    /// It ends too early, or is none.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>, setup: &Setup) -> Result<Loaded, RdbFault> {
        let value = match &mut self.0 {
            Form::Text => text_value(&cursor.string()?.text()),
            Form::List { left, nodes, list } => {
                each(cursor, left, |cursor| read_node(cursor, *nodes, list))?;
                Value::List(std::mem::take(list))
            }
            Form::Set { left, set } => {
                each(cursor, left, |cursor| {
                    let member = cursor.string()?;
                    add_member(set, &member.text(), setup).map_err(RdbFault::Damaged)
                })?;
                Value::Set(std::mem::replace(set, Set::new()))
            }
            Form::Zset { left, binary, zset } => {
                each(cursor, left, |cursor| {
                    let member = cursor.string()?;
                    let score = if *binary { cursor.binary_score()? } else { cursor.text_score()? };
                    add_scored(zset, &member.text(), score, setup).map_err(RdbFault::Damaged)
                })?;
                Value::Zset(std::mem::replace(zset, Zset::new()))
            }
            Form::Hash { left, dates, hash } => {
                if let FieldDates::Before(smallest @ None) = dates {
                    *smallest = Some(cursor.time()?);
                }
                each(cursor, left, |cursor| read_field(cursor, *dates, hash, setup))?;
                Value::Hash(std::mem::replace(hash, Hash::new()))
            }
            Form::Blob(blob) => cursor.whole(|cursor| blob.read(cursor, setup))?,
            Form::Stream(stream) => Value::Stream(Box::new(stream.read(cursor)?)),
            Form::Module => return Err(RdbFault::Module { name: module_name(cursor.length()?) }),
        };
        Ok(if is_empty(&value) { Loaded::Empty } else { Loaded::Value(value) })
    }
}

impl Form {
    fn list(nodes: ListNodes) -> Self {
        Self::List { left: None, nodes, list: Box::default() }
    }

    fn hash(dates: FieldDates) -> Self {
        Self::Hash { left: None, dates, hash: Hash::new() }
    }
}

/// Reads the elements that are left, each whole, after their number.
fn each(
    cursor: &mut Cursor<'_>,
    left: &mut Left,
    mut read: impl FnMut(&mut Cursor<'_>) -> Result<(), RdbFault>,
) -> Result<(), RdbFault> {
    let mut count = match *left {
        Some(count) => count,
        None => cursor.length()?,
    };
    while count > 0 {
        *left = Some(count);
        cursor.whole(&mut read)?;
        count -= 1;
    }
    *left = Some(0);
    Ok(())
}

fn add_member(set: &mut Set, member: &[u8], setup: &Setup) -> Result<(), Flaw> {
    if set.insert(member, &setup.thresholds, setup.hash_key) { Ok(()) } else { Err(DUPLICATE) }
}

fn add_scored(zset: &mut Zset, member: &[u8], score: f64, setup: &Setup) -> Result<(), Flaw> {
    let before = zset.set(member, score, &setup.thresholds, setup.hash_key);
    if before.is_none() { Ok(()) } else { Err(DUPLICATE) }
}

/// Adds a field, and its date.
fn add_field(
    hash: &mut Hash,
    field: &[u8],
    value: &[u8],
    date: Option<u64>,
    setup: &Setup,
) -> Result<(), RdbFault> {
    if date.is_some_and(|date| i64::try_from(date).is_err()) {
        return Err(RdbFault::Damaged("a date of a field beyond all dates"));
    }
    if hash.find(field).is_some() {
        return Err(RdbFault::Damaged(DUPLICATE));
    }
    hash.set(field, value, &setup.thresholds, setup.hash_key);
    if date.is_some() {
        hash.set_date(field, date, setup.hash_key);
    }
    Ok(())
}

fn read_field(
    cursor: &mut Cursor<'_>,
    dates: FieldDates,
    hash: &mut Hash,
    setup: &Setup,
) -> Result<(), RdbFault> {
    let before = match dates {
        FieldDates::Before(smallest) => match cursor.length()? {
            0 => None,
            distance => {
                let date = smallest.unwrap_or(0).checked_add(distance - 1);
                Some(date.ok_or(RdbFault::Damaged("a date of a field beyond all dates"))?)
            }
        },
        _ => None,
    };
    let (field, value) = (cursor.string()?, cursor.string()?);
    let date = match dates {
        FieldDates::Behind => match cursor.signed_time()? {
            -1 => None,
            date => {
                Some(u64::try_from(date).map_err(|_| RdbFault::Damaged("a date of a field before 1970"))?)
            }
        },
        _ => before,
    };
    add_field(hash, &field.text(), &value.text(), date, setup)
}

fn read_node(cursor: &mut Cursor<'_>, nodes: ListNodes, list: &mut List) -> Result<(), RdbFault> {
    match nodes {
        ListNodes::Elements => list.push(End::Right, &cursor.string()?.text()),
        ListNodes::Ziplists => {
            let node = cursor.string()?.into_vec();
            let elements = ziplist::Elements::new(&node).map_err(of_form("Ziplist"))?;
            append(list, elements).map_err(of_form("Ziplist"))?;
        }
        ListNodes::Containers => {
            let container = cursor.length()?;
            let node = cursor.string()?;
            match (container, node.text().len()) {
                (_, 0) => return Err(of_form("Quicklist")("an empty node")),
                (1, _) => list.push(End::Right, &node.text()),
                (2, _) => {
                    let node = node.into_vec();
                    let elements = listpack::Elements::new(&node).map_err(of_form("Listpack"))?;
                    append(list, elements).map_err(of_form("Listpack"))?;
                }
                _ => return Err(of_form("Quicklist")("an unknown container")),
            }
        }
    }
    Ok(())
}

type Element<'a> = Result<Scalar<'a>, Flaw>;

fn append<'a>(list: &mut List, elements: impl Iterator<Item = Element<'a>>) -> Result<(), Flaw> {
    for element in elements {
        list.push(End::Right, &element?.text());
    }
    Ok(())
}

impl Blob {
    fn form(self) -> &'static str {
        match self {
            Self::HashZipmap => "Zipmap",
            Self::HashZiplist => "Hash ziplist",
            Self::HashListpack | Self::HashTriples => "Hash listpack",
            Self::ListZiplist => "List ziplist",
            Self::SetIntset => "Intset",
            Self::SetListpack => "Set listpack",
            Self::ZsetZiplist => "Zset ziplist",
            Self::ZsetListpack => "Zset listpack",
        }
    }

    fn read(self, cursor: &mut Cursor<'_>, setup: &Setup) -> Result<Value, RdbFault> {
        if let Self::HashTriples = self {
            // The smallest date is among those of the fields.
            cursor.time()?;
        }
        let written = cursor.string()?;
        let text = written.text();
        let flawed = of_form(self.form());
        let listpack = || listpack::Elements::new(&text).map_err(&flawed);
        let ziplist = || ziplist::Elements::new(&text).map_err(&flawed);
        Ok(match self {
            Self::HashZipmap => {
                let elements = zipmap::Elements::new(&text).map_err(&flawed)?;
                Value::Hash(hash_of(elements, flawed, setup)?)
            }
            Self::HashZiplist => Value::Hash(hash_of(ziplist()?, flawed, setup)?),
            Self::HashListpack => Value::Hash(hash_of(listpack()?, flawed, setup)?),
            Self::HashTriples => Value::Hash(hash_of_triples(listpack()?, flawed, setup)?),
            Self::ListZiplist => {
                let mut list = List::new();
                append(&mut list, ziplist()?).map_err(flawed)?;
                Value::List(Box::new(list))
            }
            Self::SetIntset => {
                let mut set = Set::new();
                let mut integers = intset::read(&text).map_err(&flawed)?.map(Text::integer);
                integers.try_for_each(|integer| add_member(&mut set, &integer, setup)).map_err(flawed)?;
                Value::Set(set)
            }
            Self::SetListpack => {
                let mut set = Set::new();
                let mut members = listpack()?;
                let added = members.try_for_each(|member| add_member(&mut set, &member?.text(), setup));
                added.map_err(flawed)?;
                Value::Set(set)
            }
            Self::ZsetZiplist => Value::Zset(zset_of(ziplist()?, setup).map_err(flawed)?),
            Self::ZsetListpack => Value::Zset(zset_of(listpack()?, setup).map_err(flawed)?),
        })
    }
}

fn hash_of<'a>(
    mut elements: impl Iterator<Item = Element<'a>>,
    flawed: impl Fn(Flaw) -> RdbFault,
    setup: &Setup,
) -> Result<Hash, RdbFault> {
    let mut hash = Hash::new();
    while let Some(field) = elements.next() {
        let field = field.map_err(&flawed)?;
        let value = elements.next().unwrap_or(Err(UNEVEN)).map_err(&flawed)?;
        add_field(&mut hash, &field.text(), &value.text(), None, setup)
            .map_err(|fault| in_form(fault, &flawed))?;
    }
    Ok(hash)
}

fn hash_of_triples<'a>(
    mut elements: impl Iterator<Item = Element<'a>>,
    flawed: impl Fn(Flaw) -> RdbFault,
    setup: &Setup,
) -> Result<Hash, RdbFault> {
    let mut hash = Hash::new();
    while let Some(field) = elements.next() {
        let field = field.map_err(&flawed)?;
        let mut more = || elements.next().unwrap_or(Err(UNEVEN)).map_err(&flawed);
        let (value, date) = (more()?, more()?);
        let date = date.as_integer().and_then(|date| u64::try_from(date).ok());
        let date = date.ok_or_else(|| flawed("a date that is none"))?;
        let date = Some(date).filter(|&date| date != 0);
        add_field(&mut hash, &field.text(), &value.text(), date, setup)
            .map_err(|fault| in_form(fault, &flawed))?;
    }
    Ok(hash)
}

/// A fault of an element is one of the form it stands in.
fn in_form(fault: RdbFault, flawed: impl Fn(Flaw) -> RdbFault) -> RdbFault {
    match fault {
        RdbFault::Damaged(reason) => flawed(reason),
        other => other,
    }
}

fn zset_of<'a>(mut elements: impl Iterator<Item = Element<'a>>, setup: &Setup) -> Result<Zset, Flaw> {
    let mut zset = Zset::new();
    while let Some(member) = elements.next() {
        let score = match elements.next().unwrap_or(Err(UNEVEN))? {
            Scalar::Integer(score) => score as f64,
            Scalar::Bytes(text) => parse_f64(text).ok_or("a score is no number")?,
        };
        add_scored(&mut zset, &member?.text(), score, setup)?;
    }
    Ok(zset)
}

/// The name of a module's type: nine characters of six bits, before ten bits of a version.
pub(crate) fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).rev().map(|place| char::from(CHARACTERS[(id >> (10 + 6 * place)) as usize & 63])).collect()
}

/// A string in the form that suits its text.
fn text_value(text: &[u8]) -> Value {
    match parse_i64(text) {
        Some(value) => Value::Integer(value),
        None if text.len() > INLINE_TEXT_MAX => Value::Raw(Thin::new((), text)),
        None => Value::Inline(text.into()),
    }
}

/// Whether a value is a collection of nothing. Streams may be empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Inline(_) | Value::Integer(_) | Value::Raw(_) | Value::Stream(_) => false,
        Value::List(list) => list.len() == 0,
        Value::Set(set) => set.len() == 0,
        Value::Hash(hash) => hash.len() == 0,
        Value::Zset(zset) => zset.len() == 0,
    }
}
