//! The Redis serialization protocol, both directions, as pure functions over bytes.

pub mod reply;
pub mod request;
pub mod value;
