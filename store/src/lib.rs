//! WIP
#![allow(missing_docs, dead_code, unused)]
pub mod glob;
pub mod hash;
pub mod limits;
pub mod number;
mod table;
mod thin;
pub mod time;
mod types;
pub use types::{Thresholds, text::Text};
