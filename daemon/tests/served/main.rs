//! A real `pbjd`, as clients of redis-rs see it: what they are served, and what becomes of it on the disk.
//!
//! Not here: the command line (`cli`), malformed input (`malformed`), clients of other languages (`tests/clients`).

mod directives;
mod files;
mod redis_rs;
mod slow_reader;
