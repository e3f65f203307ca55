//! Places: members of sorted sets whose scores are cells of a map. Searching has a file of its own.

use super::prelude::*;
use super::zset::{AddOptions, add};
use crate::geohash::Place;
use crate::number::{LongDouble, parse_f64};
use crate::types::zset::Zset;

pub(super) const ROWS: &[Command] = &[GEOADD, GEODIST, GEOHASH, GEOPOS];

/// Two arguments that are longitude and latitude.
pub(super) fn place(args: &mut Args<'_>) -> Result<Place, Fault> {
    let place = Place { longitude: args.float()?, latitude: args.float()? };
    if place.is_valid() {
        return Ok(place);
    }
    let Place { longitude, latitude } = place;
    Err(Fault::other(format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// Metres of a unit.
pub(super) fn unit(word: &[u8]) -> Result<f64, Fault> {
    let units = [("M", 1.0), ("KM", 1000.0), ("FT", 0.3048), ("MI", 1609.34)];
    let found = units.into_iter().find(|(name, _)| is_word(word, name));
    let (_, metres) =
        found.ok_or_else(|| Fault::other("unsupported unit provided. please use M, KM, FT, MI"))?;
    Ok(metres)
}

/// The place of a member.
pub(super) fn place_of(zset: &Zset, member: &[u8]) -> Option<Place> {
    zset.score(member).map(Place::of_score)
}

/// Writes a distance with four decimals.
pub(super) fn write_distance(distance: f64, reply: &mut Reply<'_>) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    reply.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Writes a place as a pair.
pub(super) fn write_place(place: Place, reply: &mut Reply<'_>) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        let mut text = Vec::new();
        LongDouble::from_f64(degrees).format(&mut text);
        match reply.protocol() {
            Protocol::V2 => reply.bulk(&text),
            Protocol::V3 => reply.raw(&[b",", &*text, b"\r\n"].concat()),
        }
    }
}

const GEOADD: Command = Command::data("geoadd", Group::Geo, geoadd)
    .arity(-5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("3.2.0")
    .cost("O(log(N)) for each item added, where N is the number of elements in the sorted set.")
    .summary("Adds members with places, or changes the places of those that are there.")
    .syntax("key:k [condition=(nx/NX|xx/XX)@6.2.0] [change/CH@6.2.0] longitude_latitude_member={longitude:d latitude:d member:s}...");

fn geoadd(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let mut options = AddOptions::default();
    let mut effect: Vec<&[u8]> = vec![b"ZADD", key];
    while let Some(word) = args.peek() {
        match () {
            () if is_word(word, "NX") => options.only_new = true,
            () if is_word(word, "XX") => options.only_old = true,
            () if is_word(word, "CH") => options.changed = true,
            () => break,
        }
        effect.push(args.bytes()?);
    }
    if args.left() == 0 || !args.left().is_multiple_of(3) || (options.only_new && options.only_old) {
        return Err(Fault::Syntax);
    }
    let mut members = Vec::new();
    while args.left() > 0 {
        members.push((Digits::of(place(&mut args)?.score() as i64), args.bytes()?));
    }
    let pairs: Vec<&[u8]> = members.iter().flat_map(|(score, member)| [score.as_bytes(), *member]).collect();
    let dirty_before = txn.data.dirty;
    let run = add(txn, key, options, &pairs, reply)?;
    if txn.data.dirty != dirty_before {
        // Replicas and logs need not know how places become scores.
        effect.extend(&pairs);
        txn.effect(&effect);
    }
    Ok(run)
}

const GEODIST: Command = Command::data("geodist", Group::Geo, geodist)
    .arity(-4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("3.2.0")
    .cost("O(log(N))")
    .summary("Returns the distance between two members.")
    .syntax("key:k member1:s member2:s [unit=(m/m|km/km|ft/ft|mi/mi)]");

fn geodist(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, from, to) = (args.key()?, args.bytes()?, args.bytes()?);
    let metres = match args.left() {
        0 => 1.0,
        1 => unit(args.bytes()?)?,
        _ => return Err(Fault::Syntax),
    };
    let zset = txn.zset(key)?;
    let places = zset.and_then(|zset| Some((place_of(zset, from)?, place_of(zset, to)?)));
    match places {
        Some((from, to)) => write_distance(from.distance(to) / metres, reply),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

const GEOHASH: Command = Command::data("geohash", Group::Geo, geohash)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("3.2.0")
    .cost("O(log(N)) for each member requested, where N is the number of elements in the sorted set.")
    .summary("Returns the places of members as standard geohashes.")
    .syntax("key:k member:s...");

fn geohash(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let zset = txn.zset(key)?;
    let members = args.rest();
    reply.array(members.len());
    for member in members {
        let letters = zset.and_then(|zset| place_of(zset, member)).map(Place::letters);
        reply.bulk_or_null(letters.as_ref().map(|letters| &letters[..]));
    }
    Ok(Outcome::Done)
}

const GEOPOS: Command = Command::data("geopos", Group::Geo, geopos)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("3.2.0")
    .cost("O(N) where N is the number of members requested.")
    .summary("Returns the longitudes and latitudes of members.")
    .syntax("key:k member:s...");

fn geopos(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let zset = txn.zset(key)?;
    let members = args.rest();
    reply.array(members.len());
    for member in members {
        match zset.and_then(|zset| place_of(zset, member)) {
            Some(place) => write_place(place, reply),
            None => reply.null_array(),
        }
    }
    Ok(Outcome::Done)
}

/// A radius, a width or a height.
pub(super) fn length(text: &[u8], what: &'static str) -> Result<f64, Fault> {
    parse_f64(text).ok_or_else(|| Fault::other(what))
}
