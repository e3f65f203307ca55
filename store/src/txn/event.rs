//! Keyspace notifications: which classes of events are wanted, and the events of the unit that is going on.

/// A class of events: one letter of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is a class named in the documentation of Redis")]
pub enum EventClass {
    Generic = 1 << 2,
    String = 1 << 3,
    List = 1 << 4,
    Set = 1 << 5,
    Hash = 1 << 6,
    Zset = 1 << 7,
    Expired = 1 << 8,
    Evicted = 1 << 9,
    Stream = 1 << 10,
    KeyMiss = 1 << 11,
    Module = 1 << 13,
    New = 1 << 14,
}

const KEYSPACE: u32 = 1;
const KEYEVENT: u32 = 1 << 1;

/// Letters of the classes, in the order in which CONFIG GET prints them.
const LETTERS: [(u8, u32); 15] = [
    (b'g', EventClass::Generic as u32),
    (b'$', EventClass::String as u32),
    (b'l', EventClass::List as u32),
    (b's', EventClass::Set as u32),
    (b'h', EventClass::Hash as u32),
    (b'z', EventClass::Zset as u32),
    (b'x', EventClass::Expired as u32),
    (b'e', EventClass::Evicted as u32),
    (b't', EventClass::Stream as u32),
    (b'd', EventClass::Module as u32),
    (b'n', EventClass::New as u32),
    (b'K', KEYSPACE),
    (b'E', KEYEVENT),
    (b'm', EventClass::KeyMiss as u32),
    (b'A', ALL),
];

/// What `A` stands for: all classes but misses and new keys.
const ALL: u32 = EventClass::Generic as u32
    | EventClass::String as u32
    | EventClass::List as u32
    | EventClass::Set as u32
    | EventClass::Hash as u32
    | EventClass::Zset as u32
    | EventClass::Expired as u32
    | EventClass::Evicted as u32
    | EventClass::Stream as u32
    | EventClass::Module as u32;

/// The events somebody wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventMask(u32);

impl EventMask {
    /// Reads the value of `notify-keyspace-events`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        text.iter().try_fold(Self(0), |mask, letter| {
            LETTERS.iter().find(|(known, _)| known == letter).map(|&(_, bits)| Self(mask.0 | bits))
        })
    }

    /// The value as CONFIG GET prints it.
    pub(crate) fn to_text(self) -> String {
        let mut text = String::new();
        let all = self.0 & ALL == ALL;
        if all {
            text.push('A');
        }
        for (letter, bits) in LETTERS.iter().filter(|(letter, _)| *letter != b'A') {
            if self.0 & bits != 0 && !(all && ALL & bits != 0) {
                text.push(*letter as char);
            }
        }
        text
    }

    /// Whether an event of this class goes anywhere.
    pub(crate) fn wants(self, class: EventClass) -> bool {
        self.0 & class as u32 != 0 && self.0 & (KEYSPACE | KEYEVENT) != 0
    }

    /// Whether events go to `__keyspace@db__:key`.
    pub(crate) fn by_key(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    /// Whether events go to `__keyevent@db__:event`.
    pub(crate) fn by_event(self) -> bool {
        self.0 & KEYEVENT != 0
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) db: usize,
    pub(crate) name: &'static str,
    pub(crate) key: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_in_canonical_order() {
        for (given, printed) in
            [("KEA", "AKE"), ("Ex", "xE"), ("g$lshzxetdKE", "AKE"), ("Kn", "nK"), ("", "")]
        {
            assert_eq!(EventMask::parse(given.as_bytes()).unwrap().to_text(), printed);
        }
        assert!(EventMask::parse(b"Q").is_none());
    }
}
