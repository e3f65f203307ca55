//! Room to read into and to write replies to, which the connections of a thread lend each other.
//!
//! A connection needs room only while its requests are executed: thousands that are idle take none, and those that are
//! busy find it in the nearest cache.
//!
//! Law: what is given back is empty. A connection that keeps something keeps it in room of its own.

use std::cell::Cell;

/// Bytes of a room at first: what is read at once.
pub(crate) const ROOM_BYTES: usize = 16 * 1024;
/// Larger ones are not kept, in bytes.
const KEPT_MAX: usize = 64 * 1024;

/// A kind of room, of which each thread has one.
pub(crate) type Room = std::thread::LocalKey<Cell<Vec<u8>>>;

thread_local! {
    /// For requests.
    pub(crate) static REQUESTS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// For replies.
    pub(crate) static REPLIES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the room of this thread, or a new one while that is lent.
#[inline]
pub(crate) fn lend(of: &'static Room) -> Vec<u8> {
    let room = of.take();
    if room.capacity() < ROOM_BYTES { Vec::with_capacity(ROOM_BYTES) } else { room }
}

/// Takes room back.
#[inline]
pub(crate) fn give_back(to: &'static Room, mut room: Vec<u8>) {
    if (ROOM_BYTES..=KEPT_MAX).contains(&room.capacity()) {
        room.clear();
        to.set(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_lent_again_and_empty() {
        let mut room = lend(&REPLIES);
        let place = room.as_ptr();
        room.extend_from_slice(b"a reply");
        give_back(&REPLIES, room);
        let other = lend(&REQUESTS);
        let again = lend(&REPLIES);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_ne!(other.as_ptr(), place);
        give_back(&REPLIES, Vec::with_capacity(KEPT_MAX + 1));
        assert_eq!(lend(&REPLIES).capacity(), ROOM_BYTES, "one that is too large is not kept");
    }
}
