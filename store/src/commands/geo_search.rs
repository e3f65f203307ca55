//! Searching places: GEOSEARCH, GEOSEARCHSTORE, and the four older commands they replace.

use super::geo::{length, place, place_of, unit, write_distance, write_place};
use super::prelude::*;
use super::zset_range::store;
use crate::geohash::{Place, Shape};
use crate::types::zset::{ScoreBound, Zset};

pub(super) const ROWS: &[Command] =
    &[GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUS_RO, GEORADIUSBYMEMBER, GEORADIUSBYMEMBER_RO];

/// Which command searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Search,
    SearchStore,
    Radius,
    RadiusByMember,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

#[derive(Default)]
struct Options<'a> {
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    any: bool,
    order: Option<Order>,
    count: usize,
    target: Option<&'a [u8]>,
    store_distance: bool,
    from_member: bool,
    centre: Option<Place>,
    shape: Option<Shape>,
}

/// A member that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    place: Place,
    distance: f64,
}

fn circle(args: &mut Args<'_>) -> Result<Shape, Fault> {
    let radius = length(args.bytes()?, "need numeric radius")?;
    if radius < 0.0 {
        return Err(Fault::other("radius cannot be negative"));
    }
    Ok(Shape::Circle { radius, unit: unit(args.bytes()?)? })
}

fn rectangle(args: &mut Args<'_>) -> Result<Shape, Fault> {
    let width = length(args.bytes()?, "need numeric width")?;
    let height = length(args.bytes()?, "need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Fault::other("height or width cannot be negative"));
    }
    Ok(Shape::Box { width, height, unit: unit(args.bytes()?)? })
}

fn member_place(zset: &Zset, member: &[u8]) -> Result<Place, Fault> {
    place_of(zset, member).ok_or_else(|| Fault::other("could not decode requested zset member"))
}

impl<'a> Options<'a> {
    /// Reads what stands before the options. Without a sorted set there is no place of a member to be found.
    fn read_fixed(&mut self, args: &mut Args<'a>, form: Form, zset: Option<&Zset>) -> Result<(), Fault> {
        match (form, zset) {
            (Form::Radius, _) => {
                self.centre = Some(place(args)?);
                self.shape = Some(circle(args)?);
            }
            (Form::RadiusByMember, None) => {
                args.take(3)?;
            }
            (Form::RadiusByMember, Some(zset)) => {
                self.centre = Some(member_place(zset, args.bytes()?)?);
                self.shape = Some(circle(args)?);
            }
            (Form::Search | Form::SearchStore, _) => {}
        }
        Ok(())
    }

    fn read(
        &mut self,
        args: &mut Args<'a>,
        form: Form,
        storing: bool,
        zset: Option<&Zset>,
    ) -> Result<(), Fault> {
        let searching = matches!(form, Form::Search | Form::SearchStore);
        let circular = |shape: Option<Shape>| matches!(shape, None | Some(Shape::Circle { .. }));
        let square = |shape: Option<Shape>| matches!(shape, None | Some(Shape::Box { .. }));
        while args.left() > 0 {
            let word = args.bytes()?;
            let left = args.left();
            match () {
                () if is_word(word, "WITHDIST") => self.with_distance = true,
                () if is_word(word, "WITHHASH") => self.with_hash = true,
                () if is_word(word, "WITHCOORD") => self.with_place = true,
                () if is_word(word, "ANY") => self.any = true,
                () if is_word(word, "ASC") => self.order = Some(Order::Ascending),
                () if is_word(word, "DESC") => self.order = Some(Order::Descending),
                () if is_word(word, "COUNT") && left >= 1 => {
                    let count = args.integer()?;
                    let count = usize::try_from(count).ok().filter(|&count| count > 0);
                    self.count = count.ok_or_else(|| Fault::other("COUNT must be > 0"))?;
                }
                () if is_word(word, "STORE") && left >= 1 && storing && !searching => {
                    (self.target, self.store_distance) = (Some(args.bytes()?), false);
                }
                () if is_word(word, "STOREDIST") && left >= 1 && storing && !searching => {
                    (self.target, self.store_distance) = (Some(args.bytes()?), true);
                }
                () if is_word(word, "STOREDIST") && form == Form::SearchStore => self.store_distance = true,
                () if is_word(word, "FROMMEMBER")
                    && left >= 1
                    && searching
                    && (self.from_member || self.centre.is_none()) =>
                {
                    self.from_member = true;
                    let member = args.bytes()?;
                    if let Some(zset) = zset {
                        self.centre = Some(member_place(zset, member)?);
                    }
                }
                () if is_word(word, "FROMLONLAT") && left >= 2 && searching && !self.from_member => {
                    self.centre = Some(place(args)?);
                }
                () if is_word(word, "BYRADIUS") && left >= 2 && searching && circular(self.shape) => {
                    self.shape = Some(circle(args)?);
                }
                () if is_word(word, "BYBOX") && left >= 3 && searching && square(self.shape) => {
                    self.shape = Some(rectangle(args)?);
                }
                () => return Err(Fault::Syntax),
            }
        }
        Ok(())
    }

    /// Checks what must not or must go together; `name` is the command as the client wrote it.
    fn check(&self, form: Form, name: &[u8]) -> Result<(), Fault> {
        let missing = |what: &str| Fault::Raw([what.as_bytes(), name].concat());
        let searching = matches!(form, Form::Search | Form::SearchStore);
        if self.target.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let who = if form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Fault::other(format!(
                "{who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if searching && !self.from_member && self.centre.is_none() {
            return Err(missing("exactly one of FROMMEMBER or FROMLONLAT can be specified for "));
        }
        if searching && self.shape.is_none() {
            return Err(missing("exactly one of BYRADIUS and BYBOX can be specified for "));
        }
        if self.any && self.count == 0 {
            return Err(Fault::other("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The members within the shape, in the order and number that are asked for.
    fn find(&self, zset: &Zset, centre: Place, shape: Shape) -> Vec<Found> {
        let stop_at = if self.any { self.count } else { usize::MAX };
        let mut found = Vec::new();
        for (min, max) in shape.score_ranges(centre) {
            let bound = |score, exclusive| ScoreBound { score, exclusive };
            let ranks = zset.score_range(bound(min, false), bound(max, true));
            for (member, score) in zset.iter_from(ranks.start).take(ranks.len()) {
                if found.len() >= stop_at {
                    break;
                }
                let place = Place::of_score(score);
                if let Some(distance) = shape.reach(centre, place) {
                    found.push(Found { member: member.to_vec(), score, place, distance });
                }
            }
        }
        // The nearest are wanted if only some are wanted, unless any will do.
        let nearest = (self.count > 0 && !self.any).then_some(Order::Ascending);
        if let Some(order) = self.order.or(nearest) {
            found.sort_by(|a, b| {
                let (a, b) = if order == Order::Ascending { (a, b) } else { (b, a) };
                a.distance.total_cmp(&b.distance)
            });
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }

    fn write(&self, found: &[Found], metres: f64, reply: &mut Reply<'_>) {
        let extras = [self.with_distance, self.with_hash, self.with_place];
        let extras = extras.iter().filter(|&&with| with).count();
        reply.array(found.len());
        for Found { member, score, place, distance } in found {
            if extras > 0 {
                reply.array(1 + extras);
            }
            reply.bulk(member);
            if self.with_distance {
                write_distance(distance / metres, reply);
            }
            if self.with_hash {
                reply.integer(*score as i64);
            }
            if self.with_place {
                write_place(*place, reply);
            }
        }
    }
}

/// Does any of the commands; `storing` says whether it may store what it finds.
fn search(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, form: Form, storing: bool) -> Run {
    let name = args.all()[0];
    let mut options = Options::default();
    if form == Form::SearchStore {
        options.target = Some(args.key()?);
    }
    let key = args.key()?;
    let (limits, hash_key) = txn.table_setup();
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    let zset = txn.zset(key)?;
    options.read_fixed(&mut args, form, zset)?;
    options.read(&mut args, form, storing, zset)?;
    options.check(form, name)?;
    let found = match (zset, options.centre, options.shape) {
        (Some(zset), Some(centre), Some(shape)) => options.find(zset, centre, shape),
        _ => Vec::new(),
    };
    let metres = match options.shape {
        Some(Shape::Circle { unit, .. } | Shape::Box { unit, .. }) => unit,
        None => 1.0,
    };
    let Some(target) = options.target else {
        options.write(&found, metres, reply);
        return Ok(Outcome::Done);
    };
    let mut result = Zset::new();
    for Found { member, score, distance, .. } in &found {
        let score = if options.store_distance { distance / metres } else { *score };
        result.set(member, score, &limits, hash_key);
    }
    store(txn, target, result, event, reply);
    Ok(Outcome::Done)
}

const GEOSEARCH: Command = Command::data("geosearch", Group::Geo, geosearch)
    .arity(-7)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape")
    .summary("Returns the members within a circle or a box.")
    .syntax("key:k from=(member:s/FROMMEMBER|longitude_latitude={longitude:d latitude:d}/FROMLONLAT) by=(circle={radius:d/BYRADIUS unit=(m/m|km/km|ft/ft|mi/mi)}|box={width:d/BYBOX height:d unit=(m/m|km/km|ft/ft|mi/mi)}) [order=(asc/ASC|desc/DESC)] [count={count:i/COUNT [any/ANY]}] [withcoord/WITHCOORD] [withdist/WITHDIST] [withhash/WITHHASH]");

fn geosearch(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::Search, false)
}

const GEOSEARCHSTORE: Command = Command::data("geosearchstore", Group::Geo, geosearchstore)
    .arity(-8)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE), Key::at(2, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("6.2.0")
    .cost("O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape")
    .summary("Stores the members within a circle or a box.")
    .syntax("destination:k source:k#1 from=(member:s/FROMMEMBER|longitude_latitude={longitude:d latitude:d}/FROMLONLAT) by=(circle={radius:d/BYRADIUS unit=(m/m|km/km|ft/ft|mi/mi)}|box={width:d/BYBOX height:d unit=(m/m|km/km|ft/ft|mi/mi)}) [order=(asc/ASC|desc/DESC)] [count={count:i/COUNT [any/ANY]}] [storedist/STOREDIST]");

fn geosearchstore(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::SearchStore, true)
}

const fn behind(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword(word, from),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        flags: Key::OW | Key::UPDATE,
    }
}

const RADIUS_COST: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.";

const GEORADIUS: Command = Command::data("georadius", Group::Geo, georadius)
    .arity(-6)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS), behind("STORE", 6), behind("STOREDIST", 6)])
    .verbatim()
    .since("3.2.0")
    .cost(RADIUS_COST)
    .summary("Returns or stores the members within a circle around a place.")
    .syntax("key:k longitude:d latitude:d radius:d unit=(m/m|km/km|ft/ft|mi/mi) [withcoord/WITHCOORD] [withdist/WITHDIST] [withhash/WITHHASH] [count={count:i/COUNT [any/ANY@6.2.0]}] [order=(asc/ASC|desc/DESC)] [key:k/STORE#1] [key:k/STOREDIST#2]");

fn georadius(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::Radius, true)
}

const GEORADIUS_RO: Command = Command::data("georadius_ro", Group::Geo, georadius_ro)
    .arity(-6)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("3.2.10")
    .cost(RADIUS_COST)
    .summary("Returns the members within a circle around a place.")
    .syntax("key:k longitude:d latitude:d radius:d unit=(m/m|km/km|ft/ft|mi/mi) [withcoord/WITHCOORD] [withdist/WITHDIST] [withhash/WITHHASH] [count={count:i/COUNT [any/ANY@6.2.0]}] [order=(asc/ASC|desc/DESC)]");

fn georadius_ro(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::Radius, false)
}

const GEORADIUSBYMEMBER: Command = Command::data("georadiusbymember", Group::Geo, georadiusbymember)
    .arity(-5)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS), behind("STORE", 5), behind("STOREDIST", 5)])
    .verbatim()
    .since("3.2.0")
    .cost(RADIUS_COST)
    .summary("Returns or stores the members within a circle around a member.")
    .syntax("key:k member:s radius:d unit=(m/m|km/km|ft/ft|mi/mi) [withcoord/WITHCOORD] [withdist/WITHDIST] [withhash/WITHHASH] [count={count:i/COUNT [any/ANY]}] [order=(asc/ASC|desc/DESC)] [key:k/STORE#1] [key:k/STOREDIST#2]");

fn georadiusbymember(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::RadiusByMember, true)
}

const GEORADIUSBYMEMBER_RO: Command =
    Command::data("georadiusbymember_ro", Group::Geo, georadiusbymember_ro)
        .arity(-5)
        .flags(READONLY)
        .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
        .since("3.2.10")
        .cost(RADIUS_COST)
        .summary("Returns the members within a circle around a member.")
        .syntax("key:k member:s radius:d unit=(m/m|km/km|ft/ft|mi/mi) [withcoord/WITHCOORD] [withdist/WITHDIST] [withhash/WITHHASH] [count={count:i/COUNT [any/ANY]}] [order=(asc/ASC|desc/DESC)]");

fn georadiusbymember_ro(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    search(txn, args, reply, Form::RadiusByMember, false)
}
