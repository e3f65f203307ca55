//! Places on the earth as numbers that sort by neighbourhood, and distances between them.
//!
//! A cell of step s is one of 2^s times 2^s rectangles; the bits of its column and row are interleaved, so that cells
//! within a larger one are a range of numbers. The score of a member is its cell of step 26: 52 bits, which a double
//! holds exactly. Latitudes end at 85.05 degrees, where the square Mercator map ends.
//!
//! Law: every operation on doubles is done in the order in which Redis does it, so that results agree to the last bit.

/// Longitude and latitude, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// East of Greenwich.
    pub(crate) longitude: f64,
    /// North of the equator.
    pub(crate) latitude: f64,
}

/// A part of an axis.
#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    max: f64,
}

const LONGITUDES: Span = Span { min: -180.0, max: 180.0 };
const LATITUDES: Span = Span { min: -85.05112878, max: 85.05112878 };
/// Latitudes of the geohash that everybody else uses.
const ALL_LATITUDES: Span = Span { min: -90.0, max: 90.0 };

/// The step of scores.
const STEP_MAX: u32 = 26;
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
/// Half of the width of the Mercator map.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
const DEGREE: f64 = std::f64::consts::PI / 180.0;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

impl Place {
    /// Whether it can be on the map.
    pub(crate) fn is_valid(self) -> bool {
        let within = |value: f64, span: Span| value >= span.min && value <= span.max;
        within(self.longitude, LONGITUDES) && within(self.latitude, LATITUDES)
    }

    /// The score of a place that is valid.
    pub(crate) fn score(self) -> u64 {
        Cell::around(self, STEP_MAX, LATITUDES).bits
    }

    /// The middle of the cell that a score means. Any score means one.
    pub(crate) fn of_score(score: f64) -> Self {
        let (longitudes, latitudes) = Cell { bits: bits_of(score), step: STEP_MAX }.area();
        Self {
            longitude: ((longitudes.min + longitudes.max) / 2.0).clamp(LONGITUDES.min, LONGITUDES.max),
            latitude: ((latitudes.min + latitudes.max) / 2.0).clamp(LATITUDES.min, LATITUDES.max),
        }
    }

    /// The geohash everybody knows: eleven letters, the last one a filler.
    pub(crate) fn letters(self) -> [u8; 11] {
        let bits = Cell::around(self, STEP_MAX, ALL_LATITUDES).bits;
        let mut letters = [ALPHABET[0]; 11];
        for (index, letter) in letters[..10].iter_mut().enumerate() {
            *letter = ALPHABET[(bits >> (52 - 5 * (index + 1)) & 31) as usize];
        }
        letters
    }

    /// The distance in metres along the surface (haversine).
    pub(crate) fn distance(self, other: Self) -> f64 {
        let v = ((other.longitude * DEGREE - self.longitude * DEGREE) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (from, to) = (self.latitude * DEGREE, other.latitude * DEGREE);
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    fn latitude_distance(self, other: Self) -> f64 {
        EARTH_RADIUS_M * (other.latitude * DEGREE - self.latitude * DEGREE).abs()
    }
}

/// The integer part of a score, as a conversion from double to unsigned of x86-64 gives it for any double.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    const HIGHEST: u64 = 1 << 63;
    let signed = |value: f64| if (-HALF..HALF).contains(&value) { value as i64 as u64 } else { HIGHEST };
    if score < HALF { signed(score) } else { signed(score - HALF) ^ HIGHEST }
}

/// A cell of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    bits: u64,
    step: u32,
}

/// The bits that belong to rows (latitudes); those of columns are the others.
const ROWS: u64 = 0x5555_5555_5555_5555;

fn spread(value: u32) -> u64 {
    let masks: [u64; 5] =
        [0x0000_ffff_0000_ffff, 0x00ff_00ff_00ff_00ff, 0x0f0f_0f0f_0f0f_0f0f, 0x3333_3333_3333_3333, ROWS];
    masks.iter().zip([16, 8, 4, 2, 1]).fold(u64::from(value), |bits, (mask, by)| (bits | bits << by) & mask)
}

fn gather(bits: u64) -> u32 {
    let masks: [u64; 5] = [
        0x3333_3333_3333_3333,
        0x0f0f_0f0f_0f0f_0f0f,
        0x00ff_00ff_00ff_00ff,
        0x0000_ffff_0000_ffff,
        0xffff_ffff,
    ];
    masks.iter().zip([1, 2, 4, 8, 16]).fold(bits & ROWS, |bits, (mask, by)| (bits | bits >> by) & mask) as u32
}

impl Cell {
    /// The cell that a valid place lies in.
    fn around(place: Place, step: u32, latitudes: Span) -> Self {
        let part = |value: f64, span: Span| {
            ((value - span.min) / (span.max - span.min) * f64::from(1_u32 << step)) as u32
        };
        let (row, column) = (part(place.latitude, latitudes), part(place.longitude, LONGITUDES));
        Self { bits: spread(row) | spread(column) << 1, step }
    }

    /// Its longitudes and latitudes.
    fn area(self) -> (Span, Span) {
        let edge = |part: u32, span: Span| {
            span.min + (f64::from(part) / f64::from(1_u32 << self.step)) * (span.max - span.min)
        };
        let span = |part: u32, all: Span| Span { min: edge(part, all), max: edge(part.wrapping_add(1), all) };
        (span(gather(self.bits >> 1), LONGITUDES), span(gather(self.bits), LATITUDES))
    }

    /// The cell so many columns east and rows north (-1, 0 or 1), around the edge of the map if need be.
    fn neighbour(self, east: i8, north: i8) -> Self {
        let all = u64::MAX >> (64 - 2 * self.step);
        // Adding to one half of the bits carries over the other half if that is all ones.
        let moved = |mine: u64, by: i8| {
            let (bits, gaps) = (self.bits & mine, !mine & all);
            let moved = match by {
                // At the very edge of the map there are bits beyond the step, which stay if nothing moves.
                0 => return bits,
                1 => bits.wrapping_add(gaps + 1),
                _ => (bits | gaps).wrapping_sub(gaps + 1),
            };
            moved & mine & all
        };
        Self { bits: moved(!ROWS, east) | moved(ROWS, north), step: self.step }
    }

    /// The scores of all places in it, the last one excluded.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits << shift) as f64, (self.bits.wrapping_add(1) << shift) as f64)
    }
}

/// What is searched around a place, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Everything up to this distance.
    Circle {
        /// The radius in the unit of the caller.
        radius: f64,
        /// Metres of one such unit.
        unit: f64,
    },
    /// A rectangle along meridian and parallel.
    Box {
        /// The width in the unit of the caller.
        width: f64,
        /// The height, likewise.
        height: f64,
        /// Metres of one such unit.
        unit: f64,
    },
}

impl Shape {
    /// The distance of a place from the centre, if the place is within the shape around the centre.
    pub(crate) fn reach(self, centre: Place, place: Place) -> Option<f64> {
        match self {
            Self::Circle { radius, unit } => {
                let distance = centre.distance(place);
                (distance <= radius * unit).then_some(distance)
            }
            Self::Box { width, height, unit } => {
                if place.latitude_distance(centre) > height * unit / 2.0 {
                    return None;
                }
                let beside = Place { longitude: centre.longitude, latitude: place.latitude };
                if place.distance(beside) > width * unit / 2.0 {
                    return None;
                }
                Some(centre.distance(place))
            }
        }
    }

    /// From the centre to the eastern and northern edges, and to the farthest point.
    fn extent(self) -> (f64, f64, f64) {
        match self {
            Self::Circle { radius, unit } => (unit * radius, unit * radius, radius * unit),
            Self::Box { width, height, unit } => {
                let corner = ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt();
                (unit * (width / 2.0), unit * (height / 2.0), corner * unit)
            }
        }
    }

    /// Longitudes and latitudes that contain the shape around `centre`.
    fn bounds(self, centre: Place) -> (Span, Span) {
        let (width, height, _) = self.extent();
        let up = height / EARTH_RADIUS_M / DEGREE;
        let aside = |latitude: f64| width / EARTH_RADIUS_M / (latitude * DEGREE).cos() / DEGREE;
        // The edge nearer to the pole is the one that needs more degrees.
        let wide = aside(if centre.latitude < 0.0 { centre.latitude - up } else { centre.latitude + up });
        (
            Span { min: centre.longitude - wide, max: centre.longitude + wide },
            Span { min: centre.latitude - up, max: centre.latitude + up },
        )
    }

    /// The ranges of scores (the second end excluded) that contain all places within the shape around `centre`, in the
    /// order in which Redis looks at them.
    pub(crate) fn score_ranges(self, centre: Place) -> Vec<(f64, f64)> {
        let (longitudes, latitudes) = self.bounds(centre);
        let mut cell = Cell::around(centre, self.step(centre.latitude), LATITUDES);
        let too_small = {
            let area = |east, north| cell.neighbour(east, north).area();
            area(0, 1).1.max < latitudes.max
                || area(0, -1).1.min > latitudes.min
                || area(1, 0).0.max < longitudes.max
                || area(-1, 0).0.min > longitudes.min
        };
        if cell.step > 1 && too_small {
            cell = Cell::around(centre, cell.step - 1, LATITUDES);
        }
        let (columns, rows) = cell.area();
        let narrow = cell.step >= 2;
        let useless = |east: i8, north: i8| {
            narrow
                && (north < 0 && rows.min < latitudes.min
                    || north > 0 && rows.max > latitudes.max
                    || east < 0 && columns.min < longitudes.min
                    || east > 0 && columns.max > longitudes.max)
        };
        let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let wanted = around.into_iter().enumerate().filter(|(_, (east, north))| !useless(*east, *north));
        let mut cells: Vec<(usize, Cell)> = Vec::new();
        for (index, (east, north)) in wanted {
            let next = cell.neighbour(east, north);
            // On a coarse map the next cell can be the last one again; the first is not compared.
            if cells.last().is_none_or(|&(last, before)| last == 0 || before != next) {
                cells.push((index, next));
            }
        }
        cells.into_iter().map(|(_, cell)| cell.scores()).collect()
    }

    /// The step at which nine cells probably contain the shape.
    fn step(self, latitude: f64) -> u32 {
        let (_, _, mut metres) = self.extent();
        if metres == 0.0 {
            return STEP_MAX;
        }
        let mut step = 1_i32;
        while metres < MERCATOR_MAX_M {
            metres *= 2.0;
            step += 1;
        }
        step -= 2;
        // Cells are narrow near the poles.
        step -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
        step.clamp(1, STEP_MAX as i32) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PALERMO: Place = Place { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Place = Place { longitude: 15.087269, latitude: 37.502669 };

    /// Redis 7.0.15: GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; ZSCORE, GEOPOS, GEODIST,
    /// GEOHASH.
    #[test]
    fn sicily_lies_where_redis_says() {
        assert_eq!((PALERMO.score(), CATANIA.score()), (3_479_099_956_230_698, 3_479_447_370_796_909));
        let palermo = Place::of_score(PALERMO.score() as f64);
        assert_eq!(palermo, Place { longitude: 13.361_389_338_970_184, latitude: 38.115_556_395_496_3 });
        let distance = palermo.distance(Place::of_score(CATANIA.score() as f64));
        assert!((distance - 166_274.151_6).abs() < 0.00005, "{distance}");
        assert_eq!(&palermo.letters(), b"sqc8b49rny0");
    }

    #[test]
    fn any_score_means_a_place() {
        for score in [-1.0, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 1e19, 0.5] {
            assert!(Place::of_score(score).is_valid());
        }
    }

    fn place() -> impl Strategy<Value = Place> {
        (-180.0..180.0_f64, -85.0..85.0_f64).prop_map(|(longitude, latitude)| Place { longitude, latitude })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is within a circle has a score within its ranges, as long as the circle stays on the map.
        #[test]
        fn ranges_contain_the_circle(centre in (-170.0..170.0_f64, -60.0..60.0_f64), radius in 1.0..500_000.0_f64,
                                     angle in 0.0..std::f64::consts::TAU, part in 0.0..1.0_f64) {
            let centre = Place { longitude: centre.0, latitude: centre.1 };
            let degrees = radius * part / 111_320.0;
            let other = Place {
                longitude: centre.longitude + degrees * angle.cos(),
                latitude: centre.latitude + degrees * angle.sin(),
            };
            let shape = Shape::Circle { radius, unit: 1.0 };
            let seen = Place::of_score(other.score() as f64);
            if shape.reach(centre, seen).is_some() {
                let score = other.score() as f64;
                prop_assert!(shape.score_ranges(centre).iter().any(|&(min, max)| score >= min && score < max));
            }
        }

        /// A score keeps a place to within a metre.
        #[test]
        fn scores_keep_places(place in place()) {
            prop_assert!(place.distance(Place::of_score(place.score() as f64)) < 1.0);
        }
    }
}
