//! Compiles the patched Lua 5.1.5 in `vendor` (see `vendor/PATCHES.md`) and the bridge in `src/bridge.c`.

use std::path::Path;

/// The core, and the libraries that the sandbox offers.
const FILES: &[&str] = &[
    "lapi", "lauxlib", "lbaselib", "lcode", "ldebug", "ldo", "ldump", "lfunc", "lgc", "llex", "lmathlib",
    "lmem", "lobject", "lopcodes", "lparser", "lstate", "lstring", "lstrlib", "ltable", "ltablib", "ltm",
    "lundump", "lvm", "lzio",
];

fn main() {
    let folder = Path::new("vendor/lua-5.1.5");
    let mut build = cc::Build::new();
    build.include(folder).define("LUA_ANSI", None).warnings(false).file("src/bridge.c");
    // The interpreter of a debug build of ours is used, not debugged.
    build.opt_level(2).flag_if_supported("-fno-common").flag_if_supported("-fno-strict-aliasing");
    build.files(FILES.iter().map(|name| folder.join(format!("{name}.c"))));
    build.compile("pbj-lua51");
    println!("cargo:rerun-if-changed=vendor");
    println!("cargo:rerun-if-changed=src/bridge.c");
}
