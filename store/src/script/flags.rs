//! What a script says about itself in its first line: `#!lua flags=no-writes,allow-oom`.

/// What a script declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptFlags(u8);

const NO_WRITES: u8 = 1;
const ALLOW_OOM: u8 = 1 << 1;
const ALLOW_STALE: u8 = 1 << 2;
const NO_CLUSTER: u8 = 1 << 3;
const ALLOW_CROSS_SLOT: u8 = 1 << 4;
/// It declares nothing: a script of the time before there were flags.
const PLAIN: u8 = 1 << 7;

const NAMES: &[(u8, &str)] = &[
    (NO_WRITES, "no-writes"),
    (ALLOW_OOM, "allow-oom"),
    (ALLOW_STALE, "allow-stale"),
    (NO_CLUSTER, "no-cluster"),
    (ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
];

impl ScriptFlags {
    /// The flags of a script without a first line of its own.
    pub(crate) const fn plain() -> Self {
        Self(PLAIN)
    }

    /// Adds the flag with this name; says whether there is one.
    pub(crate) fn add(&mut self, name: &[u8], any_case: bool) -> bool {
        let is = |known: &str| {
            if any_case { name.eq_ignore_ascii_case(known.as_bytes()) } else { name == known.as_bytes() }
        };
        let found = NAMES.iter().find(|(_, known)| is(known));
        self.0 |= found.map_or(0, |(bit, _)| *bit);
        found.is_some()
    }

    /// The names of the flags that are set.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(bit, _)| self.0 & bit != 0).map(|&(_, name)| name)
    }

    /// Whether it declares nothing.
    pub(crate) fn is_plain(self) -> bool {
        self.0 & PLAIN != 0
    }

    /// Whether it promises not to write.
    pub(crate) fn no_writes(self) -> bool {
        self.0 & NO_WRITES != 0
    }

    /// Whether it may run on a replica that does not hear its master.
    pub(crate) fn allow_stale(self) -> bool {
        self.0 & ALLOW_STALE != 0
    }

    /// Whether it may write when memory is full.
    pub(crate) fn allow_oom(self) -> bool {
        self.0 & ALLOW_OOM != 0
    }
}

/// A first line, taken apart.
pub(super) struct Shebang<'a> {
    /// The words behind `#!`, the engine first.
    pub(super) words: Vec<Vec<u8>>,
    /// The rest, from the end of the first line on, so that line numbers stay right.
    pub(super) rest: &'a [u8],
}

/// Takes the first line of a text that begins with `#!` apart; nothing if it does not end.
pub(super) fn shebang(text: &[u8]) -> Option<Shebang<'_>> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    Some(Shebang { words: split_words(&text[..end]).unwrap_or_default(), rest: &text[end..] })
}

/// Splits a line into words, with quotes and escapes as in inline requests; nothing if a quote is not closed.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    crate::resp::request::split_words(line).ok()
}

/// Reads flags from the first line of a script of EVAL. Returns them and the program.
///
/// # Errors
/// The text of the error.
pub(super) fn read_eval_flags(body: &[u8]) -> Result<(ScriptFlags, &[u8]), Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Ok((ScriptFlags::plain(), body));
    }
    let Some(Shebang { words, rest }) = shebang(body) else {
        return Err(b"Invalid script shebang".to_vec());
    };
    let Some((engine, options)) = words.split_first() else {
        return Err(b"Invalid engine in script shebang".to_vec());
    };
    if engine != b"#!lua" {
        return Err([b"Unexpected engine in script shebang: ", &**engine].concat());
    }
    let mut flags = ScriptFlags::default();
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", &**option].concat());
        };
        if list.is_empty() {
            continue;
        }
        for name in list.split(|&byte| byte == b',') {
            if !flags.add(name, false) {
                return Err([b"Unexpected flag in script shebang: ", name].concat());
            }
        }
    }
    Ok((flags, rest))
}
