//! The row of a command.

use super::args::Args;
use super::fault::Fault;
use super::flags;
use super::keys::KeySpec;
use crate::engine::{ClientId, Engine};
use crate::resp::reply::Reply;
use crate::txn::Txn;

/// Finds the arguments of a request that are keys.
pub type KeyFinder = fn(&[&[u8]]) -> Vec<usize>;

/// Everything about a command, beside its handler.
#[derive(Clone, Copy)]
pub struct Command {
    /// The name, in lower case; of a subcommand, the part behind the container.
    pub name: &'static str,
    /// What runs.
    pub handler: Handler,
    /// The family it belongs to.
    pub group: Group,
    /// Number of arguments, the name included; at least that many if negative.
    pub arity: i32,
    /// Properties; see [`flags`].
    pub flags: u32,
    /// Categories beyond those that follow from flags and group.
    pub categories: u32,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Which arguments are keys, where the specifications cannot tell exactly.
    pub exact_keys: Option<KeyFinder>,
    /// What the log and the replicas get to see.
    pub effect: Effect,
    /// Version of Redis (or PBJ) that had it first.
    pub since: &'static str,
    /// Time it takes, as COMMAND DOCS tells.
    pub cost: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Its arguments, in the notation of [`super::syntax`].
    pub syntax: &'static str,
    /// Hints for proxies and cluster clients.
    pub tips: &'static [&'static str],
    /// Commands behind the first argument.
    pub subcommands: &'static [Command],
}

/// What runs when a command is called.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Reads and writes data, and nothing else.
    Data(fn(&mut Txn<'_>, Args<'_>, &mut Reply<'_>) -> Run),
    /// Also sees clients, channels, configuration and the rest of the engine.
    System(fn(&mut Engine, ClientId, Args<'_>, &mut Reply<'_>) -> Run),
    /// Belongs to the extension, which knows it by this number.
    Extension(u16),
    /// Only its subcommands run.
    Container,
}

/// What the log and the replicas get to see of a command that changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it changes no data, or its handler states the effects itself.
    Stated,
    /// The command as it came: it means the same whenever it is replayed.
    Verbatim,
}

/// How a command ended.
pub type Run = Result<Outcome, Fault>;

/// How a command ended that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// There is nothing to reply yet.
    Wait(Box<Wait>),
}

/// What a client waits for.
#[derive(Debug)]
pub struct Wait {
    /// Keys whose change is worth another try.
    pub keys: Vec<Box<[u8]>>,
    /// Until when, in monotonic milliseconds; `None` for ever.
    pub until: Option<u64>,
    /// What it gets when the time is over.
    pub on_timeout: TimeoutReply,
    /// Whom it waits with.
    pub class: WaitClass,
    /// The request that runs again, if it is not the one that came.
    pub request: Option<Vec<Box<[u8]>>>,
}

/// The reply to a client whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    /// Null.
    Null,
    /// Null where an array is expected.
    NullArray,
    /// Null where an array is expected, but null where nothing may wait: BLMOVE in a transaction.
    NullArrayOrNull,
    /// The command runs once more and must answer now.
    Rerun,
}

/// Which waiters stand in each other's way: if one of a class finds nothing, the others of it will not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitClass {
    /// Wants an element of a list.
    List,
    /// Wants a member of a sorted set.
    Zset,
    /// Wants something of the extension; the number tells apart what.
    Extension(u16),
    /// Each has a condition of its own.
    Own,
    /// Waits for confirmations of replicas or of the disk.
    Acks,
}

/// Families of commands, as COMMAND DOCS names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the name of a family")]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Hyperloglog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
    Job,
    Cron,
    Lock,
}

impl Group {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::Hyperloglog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
            Self::Job => "job",
            Self::Cron => "cron",
            Self::Lock => "lock",
        }
    }

    /// The category of access control that all its commands have.
    fn category(self) -> &'static str {
        match self {
            Self::Generic => "keyspace",
            Self::SortedSet => "sortedset",
            Self::Transactions => "transaction",
            Self::Server | Self::Cluster => "",
            other => other.name(),
        }
    }
}

impl Command {
    /// A row with nothing but a name and a handler.
    pub const fn new(name: &'static str, group: Group, handler: Handler) -> Self {
        Self {
            name,
            handler,
            group,
            arity: 1,
            flags: 0,
            categories: 0,
            keys: &[],
            exact_keys: None,
            effect: Effect::Stated,
            since: "1.0.0",
            cost: "O(1)",
            summary: "",
            syntax: "",
            tips: &[],
            subcommands: &[],
        }
    }

    /// A command that reads and writes data.
    pub const fn data(
        name: &'static str,
        group: Group,
        run: fn(&mut Txn<'_>, Args<'_>, &mut Reply<'_>) -> Run,
    ) -> Self {
        Self::new(name, group, Handler::Data(run))
    }

    /// A command that needs more than data.
    pub const fn system(
        name: &'static str,
        group: Group,
        run: fn(&mut Engine, ClientId, Args<'_>, &mut Reply<'_>) -> Run,
    ) -> Self {
        Self::new(name, group, Handler::System(run))
    }

    /// A command that only has subcommands.
    pub const fn container(name: &'static str, group: Group, subcommands: &'static [Self]) -> Self {
        Self {
            subcommands,
            arity: -2,
            cost: "Depends on subcommand.",
            ..Self::new(name, group, Handler::Container)
        }
    }

    /// Sets the number of arguments.
    pub const fn arity(self, arity: i32) -> Self {
        Self { arity, ..self }
    }

    /// Sets the properties.
    pub const fn flags(self, flags: u32) -> Self {
        Self { flags, ..self }
    }

    /// Sets categories beyond those that follow from flags and group.
    pub const fn categories(self, categories: u32) -> Self {
        Self { categories, ..self }
    }

    /// Sets where the keys are.
    pub const fn keys(self, keys: &'static [KeySpec]) -> Self {
        Self { keys, ..self }
    }

    /// Sets which arguments are keys, where the specifications cannot tell exactly.
    pub const fn exact_keys(self, find: KeyFinder) -> Self {
        Self { exact_keys: Some(find), ..self }
    }

    /// The log sees the command as it came.
    pub const fn verbatim(self) -> Self {
        Self { effect: Effect::Verbatim, ..self }
    }

    /// Sets the first version.
    pub const fn since(self, since: &'static str) -> Self {
        Self { since, ..self }
    }

    /// Sets the cost.
    pub const fn cost(self, cost: &'static str) -> Self {
        Self { cost, ..self }
    }

    /// Sets the summary.
    pub const fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Sets the grammar of the arguments.
    pub const fn syntax(self, syntax: &'static str) -> Self {
        Self { syntax, ..self }
    }

    /// Sets the hints.
    pub const fn tips(self, tips: &'static [&'static str]) -> Self {
        Self { tips, ..self }
    }

    /// Whether a request of `count` arguments, the name included, is complete.
    pub fn takes(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// Whether it has all of these properties.
    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Where the keys of a request are, and what happens to each; nothing at all if the arguments make no sense.
    /// Arguments that are only treated as keys are among them.
    pub fn key_positions(&self, args: &[&[u8]]) -> Vec<(usize, u16)> {
        if let (Some(find), Some(spec)) = (self.exact_keys, self.keys.first()) {
            return find(args).into_iter().map(|index| (index, spec.flags)).collect();
        }
        let mut found = Vec::new();
        for spec in self.keys {
            let Some(indices) = spec.indices(args) else { return Vec::new() };
            let flags = spec.flags_in(args);
            found.extend(indices.into_iter().map(|index| (index, flags)));
        }
        if self.keys.len() > 1 && self.counts_keys_loosely(args) {
            // The destination comes last.
            found.rotate_left(1);
        }
        found
    }

    /// Whether the number of keys in a request is none that the command would take.
    pub fn counts_keys_loosely(&self, args: &[&[u8]]) -> bool {
        self.keys.iter().any(|spec| spec.counts_loosely(args))
    }

    /// All its categories of access control.
    pub fn all_categories(&self) -> u32 {
        let named = |name| flags::category(name).unwrap_or(0);
        let when = |flag, name| if self.is(flag) { named(name) } else { 0 };
        // A script reads what it likes, so @read alone must not allow one.
        let reads = if self.group == Group::Scripting { 0 } else { when(flags::READONLY, "read") };
        let access = when(flags::WRITE, "write") | reads;
        let admin = when(flags::ADMIN, "admin") | when(flags::ADMIN, "dangerous");
        let speed = if self.is(flags::FAST) { named("fast") } else { named("slow") };
        let kept = self.categories & flags::OWN_CATEGORIES != 0 || matches!(self.handler, Handler::Container);
        let group = if kept { 0 } else { named(self.group.category()) };
        (self.categories & !flags::OWN_CATEGORIES)
            | group
            | access
            | admin
            | speed
            | when(flags::PUBSUB, "pubsub")
            | when(flags::BLOCKING, "blocking")
    }
}
