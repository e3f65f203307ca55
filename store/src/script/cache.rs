//! The scripts of EVAL, by the digest of their text.
//!
//! Law: a script that somebody loaded (SCRIPT LOAD) or called by its digest stays until SCRIPT FLUSH, and is in the
//! log. Scripts that were only ever sent whole are kept as long as there is room: a client that writes a new script
//! for each call must not fill the memory.

use std::collections::{BTreeMap, VecDeque};

use pbj_lua::Ref;
use sha1::{Digest as _, Sha1};

use super::flags::ScriptFlags;
use crate::limits::{PASSING_SCRIPTS_BYTES_MAX, PASSING_SCRIPTS_MAX};

/// The SHA-1 of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest([u8; 20]);

impl Digest {
    /// The digest of a text.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(Sha1::digest(text).into())
    }

    /// Reads forty hexadecimal digits, in any case.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 40] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Forty hexadecimal digits.
    pub(crate) fn to_hex(self) -> [u8; 40] {
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        text
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(super) body: Box<[u8]>,
    pub(super) flags: ScriptFlags,
    /// The compiled function, once it was needed.
    pub(super) function: Option<Ref>,
    /// It stays until SCRIPT FLUSH.
    pub(super) lasting: bool,
}

/// All scripts of EVAL.
#[derive(Debug, Default)]
pub(crate) struct ScriptCache {
    scripts: BTreeMap<Digest, Script>,
    /// Those that are not lasting, the oldest first.
    passing: VecDeque<Digest>,
    passing_bytes: usize,
    /// Bytes of all texts.
    bytes: usize,
    /// The script that was last sent whole: most clients that send a script send it again and again.
    latest: Option<Digest>,
}

impl ScriptCache {
    /// How many scripts there are.
    pub(crate) fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The digest of a text that a client sent whole. That of the one before is known; SHA-1 costs as much as a GET.
    pub(super) fn digest_of(&mut self, text: &[u8]) -> Digest {
        let known =
            self.latest.filter(|latest| self.scripts.get(latest).is_some_and(|script| *script.body == *text));
        let digest = known.unwrap_or_else(|| Digest::of(text));
        self.latest = Some(digest);
        digest
    }

    /// Whether a script is known.
    pub(crate) fn contains(&self, digest: Digest) -> bool {
        self.scripts.contains_key(&digest)
    }

    /// What a script says about itself.
    pub(super) fn flags(&self, digest: Digest) -> Option<ScriptFlags> {
        self.scripts.get(&digest).map(|script| script.flags)
    }

    pub(super) fn get_mut(&mut self, digest: Digest) -> Option<&mut Script> {
        self.scripts.get_mut(&digest)
    }

    /// The texts of all lasting scripts, in no order: what a snapshot holds.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = &[u8]> {
        self.scripts.values().filter(|script| script.lasting).map(|script| &*script.body)
    }

    /// Adds a script that is not known yet; it may pass. Returns the functions of those that had to go.
    pub(super) fn add(&mut self, digest: Digest, script: Script) -> Vec<Ref> {
        self.bytes += script.body.len();
        self.passing_bytes += script.body.len();
        self.passing.push_back(digest);
        self.scripts.insert(digest, script);
        let mut gone = Vec::new();
        while self.passing.len() > PASSING_SCRIPTS_MAX
            || (self.passing_bytes > PASSING_SCRIPTS_BYTES_MAX && self.passing.len() > 1)
        {
            let Some(oldest) = self.passing.pop_front() else { break };
            let Some(script) = self.scripts.remove(&oldest) else { continue };
            self.bytes -= script.body.len();
            self.passing_bytes -= script.body.len();
            gone.extend(script.function);
        }
        gone
    }

    /// Makes a script stay; says whether it did not before.
    pub(super) fn make_lasting(&mut self, digest: Digest) -> bool {
        let Some(script) = self.scripts.get_mut(&digest).filter(|script| !script.lasting) else {
            return false;
        };
        script.lasting = true;
        self.passing_bytes -= script.body.len();
        self.passing.retain(|&other| other != digest);
        true
    }
}
