//! MODULE: there are no modules, and none can be loaded.

use super::prelude::*;
use crate::engine::{ClientId, Engine};

pub(super) const ROWS: &[Command] = &[MODULE];

const MODULE: Command =
    Command::container("module", Group::Server, &[MODULE_LIST, MODULE_LOAD, MODULE_LOADEX, MODULE_UNLOAD])
        .since("4.0.0")
        .summary("A container for commands about modules.");

const MODULE_LIST: Command = Command::system("list", Group::Server, module_list)
    .arity(2)
    .flags(ADMIN | NOSCRIPT)
    .since("4.0.0")
    .cost("O(N) where N is the number of loaded modules.")
    .summary("Lists the modules that are loaded: none.")
    .tips(&["nondeterministic_output_order"]);

fn module_list(_engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.array(0);
    Ok(Outcome::Done)
}

const MODULE_LOAD: Command = Command::system("load", Group::Server, module_load)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED)
    .since("4.0.0")
    .cost("O(1)")
    .summary("Would load a module; fails.")
    .syntax("path:s [arg:s...]");

fn module_load(_engine: &mut Engine, _client: ClientId, _args: Args<'_>, _reply: &mut Reply<'_>) -> Run {
    Err(Fault::other("Error loading the extension. Please check the server logs."))
}

const MODULE_LOADEX: Command = Command::system("loadex", Group::Server, module_load)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED)
    .since("7.0.0")
    .cost("O(1)")
    .summary("Would load a module with directives of its own; fails.")
    .syntax("path:s [configs={name:s value:s}/CONFIG*...] [args={arg:s}/ARGS...]");

const MODULE_UNLOAD: Command = Command::system("unload", Group::Server, module_unload)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED)
    .since("4.0.0")
    .cost("O(1)")
    .summary("Would unload a module; there is none.")
    .syntax("name:s");

fn module_unload(_engine: &mut Engine, _client: ClientId, _args: Args<'_>, _reply: &mut Reply<'_>) -> Run {
    Err(Fault::other("Error unloading module: no such module with that name"))
}
