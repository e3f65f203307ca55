//! Ports for daemons of tests.
//!
//! Law: a port is below those that the kernel gives to outgoing connections. Between the look and the start of a
//! daemon, or while one that was killed is away, nobody else is given it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    // Tests that run at the same time begin elsewhere.
    let first = std::process::id().wrapping_mul(97);
    let mut ports = std::iter::repeat_with(|| {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        10_240 + (first.wrapping_add(nth) % 20_000) as u16
    });
    ports.find(is_free).unwrap()
}
