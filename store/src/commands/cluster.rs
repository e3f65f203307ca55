//! CLUSTER, READONLY, READWRITE, ASKING: what cluster clients ask. There is no cluster mode, and each of them says so.
//!
//! The rows are all there, because clients, proxies and access rules look at them.

use super::prelude::*;
use crate::engine::{ClientId, Engine};

pub(super) const ROWS: &[Command] = &[CLUSTER, ASKING, READONLY_ROW, READWRITE];

/// What every server says that is part of no cluster.
fn disabled(_engine: &mut Engine, _client: ClientId, _args: Args<'_>, _reply: &mut Reply<'_>) -> Run {
    Err(Fault::other("This instance has cluster support disabled"))
}

/// A command of a group whose properties do not matter to anybody else.
const fn own(name: &'static str) -> Command {
    Command::system(name, Group::Cluster, disabled).since("3.0.0")
}

const ASKING: Command = own("asking")
    .arity(1)
    .flags(FAST)
    .categories(CONNECTION)
    .summary("Announces a request that was sent here by a redirection.");

const READONLY_ROW: Command = own("readonly")
    .arity(1)
    .flags(LOADING | STALE | FAST)
    .categories(CONNECTION)
    .summary("Lets the connection read from a replica of a cluster.");

const READWRITE: Command = own("readwrite")
    .arity(1)
    .flags(LOADING | STALE | FAST)
    .categories(CONNECTION)
    .summary("Ends what READONLY began.");

/// A subcommand that looks.
const fn look(name: &'static str, arity: i32) -> Command {
    own(name).arity(arity).flags(STALE)
}

/// A subcommand that looks, and whose replies differ from node to node.
const fn look_here(name: &'static str) -> Command {
    look(name, 2).cost(PER_NODE).tips(&["nondeterministic_output"])
}

/// A subcommand that changes the cluster.
const fn change(name: &'static str, arity: i32) -> Command {
    own(name).arity(arity).flags(ADMIN | STALE | NO_ASYNC_LOADING)
}

/// A subcommand for administrators that looks.
const fn inspect(name: &'static str) -> Command {
    own(name).arity(3).flags(ADMIN | STALE).syntax("node-id:s").tips(&["nondeterministic_output"])
}

const PER_NODE: &str = "O(N) where N is the total number of Cluster nodes";
const PER_SLOT: &str = "O(N) where N is the total number of hash slot arguments";
const PER_RANGE: &str =
    "O(N) where N is the total number of the slots between the start slot and end slot arguments.";
const SLOTS: &str = "slot:i...";
const RANGES: &str = "start-slot_end-slot={start-slot:i end-slot:i}...";

const CLUSTER: Command = Command::container(
    "cluster",
    Group::Cluster,
    &[
        change("addslots", -3).cost(PER_SLOT).syntax(SLOTS).summary("Gives hash slots to the node."),
        change("addslotsrange", -4)
            .since("7.0.0")
            .cost(PER_RANGE)
            .syntax(RANGES)
            .summary("Gives ranges of hash slots to the node."),
        change("bumpepoch", 2).tips(&["nondeterministic_output"]).summary("Makes the node's epoch the newest."),
        inspect("count-failure-reports")
            .cost("O(N) where N is the number of failure reports")
            .summary("Counts the nodes that hold a node for dead."),
        look("countkeysinslot", 3).syntax("slot:i").summary("Counts the keys of a hash slot."),
        change("delslots", -3).cost(PER_SLOT).syntax(SLOTS).summary("Takes hash slots from the node."),
        change("delslotsrange", -4)
            .since("7.0.0")
            .cost(PER_RANGE)
            .syntax(RANGES)
            .summary("Takes ranges of hash slots from the node."),
        change("failover", -2)
            .syntax("[options=(force/FORCE|takeover/TAKEOVER)]")
            .summary("Lets a replica take the place of its master."),
        change("flushslots", 2).summary("Takes all hash slots from the node."),
        change("forget", 3).syntax("node-id:s").summary("Removes a node from the node's table."),
        look("getkeysinslot", 4)
            .cost("O(log(N)) where N is the number of requested keys")
            .syntax("slot:i count:i")
            .tips(&["nondeterministic_output"])
            .summary("Returns keys of a hash slot."),
        HELP,
        look("info", 2).tips(&["nondeterministic_output"]).summary("Reports the state of the cluster."),
        look("keyslot", 3)
            .cost("O(N) where N is the number of bytes in the key")
            .syntax("key:s")
            .summary("Returns the hash slot of a key."),
        look_here("links").since("7.0.0").summary("Lists the links to other nodes."),
        change("meet", -4)
            .syntax("ip:s port:i [cluster_bus_port:i@4.0.0]")
            .summary("Makes two nodes know each other."),
        look("myid", 2).summary("Returns the node's name."),
        look_here("nodes").summary("Lists the nodes as their configuration files do."),
        inspect("replicas").since("5.0.0").summary("Lists the replicas of a node."),
        change("replicate", 3).syntax("node-id:s").summary("Makes the node a replica of another."),
        own("reset")
            .arity(-2)
            .flags(ADMIN | NOSCRIPT | STALE)
            .cost(
                "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
            )
            .syntax("[hard_soft=(hard/HARD|soft/SOFT)]")
            .summary("Lets the node forget its cluster."),
        change("saveconfig", 2).summary("Writes the node's configuration to disk."),
        change("set-config-epoch", 3).syntax("config-epoch:i").summary("Sets the epoch of a new node."),
        change("setslot", -4)
            .syntax("slot:i subcommand=(node-id:s/IMPORTING|node-id:s/MIGRATING|node-id:s/NODE|stable/STABLE)")
            .summary("Says who has a hash slot."),
        look_here("shards").since("7.0.0").summary("Lists the nodes by the hash slots that they share."),
        inspect("slaves").summary("Lists the replicas of a node."),
        look_here("slots").summary("Lists the hash slots with their nodes."),
    ],
)
.since("3.0.0")
.summary("A container for commands about clusters.");

const HELP: Command =
    own("help").arity(2).flags(LOADING | STALE).since("5.0.0").summary("Lists the subcommands.");
