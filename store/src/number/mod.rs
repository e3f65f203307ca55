//! Numbers as clients write and read them.
//!
//! Law: what Redis 7.0 refuses is refused here, what it prints is printed here, to the last digit.

mod float;
mod int;
mod long_double;

pub use float::{format_g17, format_score, parse_f64, parse_range_end};
pub(crate) use int::number_at_start;
pub use int::{Digits, parse_i64, parse_u64};
pub use long_double::LongDouble;
