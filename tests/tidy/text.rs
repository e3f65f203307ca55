//! Rules about the text of files.

use crate::tree::{compare, files};

/// Longest file in lines.
const LINES_MAX: usize = 600;
/// Longer ones, with their length.
const LONG_FILES: [(&str, usize); 1] = [("store/src/commands/string.rs", 614)];

#[test]
fn files_are_short_enough_to_be_read() {
    let long: Vec<(String, usize)> = files(&[".rs"])
        .into_iter()
        .map(|file| (file.path, file.text.lines().count()))
        .filter(|&(_, lines)| lines > LINES_MAX)
        .collect();
    compare("files have at most 600 lines", &long, &LONG_FILES);
}

/// Longest line in characters.
const LINE_MAX: usize = 120;
/// Files with longer lines, with how many.
const LONG_LINES: [(&str, usize); 0] = [];

/// Whether it is a text that can be searched for only in one piece: a grammar, a reply, a line of a crontab.
fn is_literal(line: &str) -> bool {
    line.matches('"').count() >= 2 || line.ends_with('\\')
}

#[test]
fn lines_fit_on_a_screen() {
    let long: Vec<(String, usize)> = files(&[".rs", ".toml", ".sh"])
        .into_iter()
        .map(|file| {
            let count =
                file.text.lines().filter(|line| line.chars().count() > LINE_MAX && !is_literal(line)).count();
            (file.path, count)
        })
        .filter(|&(_, count)| count > 0)
        .collect();
    compare("lines have at most 120 characters", &long, &LONG_LINES);
}

#[test]
fn a_file_says_first_what_it_is_for() {
    let silent: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "without a head comment: {silent:?}");
}

#[test]
fn what_is_left_to_do_is_not_left_in_the_code() {
    // In pieces, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["todo", "!("], ["unimplemented", "!("]]
        .map(|word| word.concat());
    let mut found = Vec::new();
    for file in files(&[".rs", ".toml", ".md", ".py", ".sh", ".service", ".socket", ".conf"]) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_depends_on_the_machine_it_was_written_on() {
    let paths = [["/wo", "rk/"], ["/ro", "ot/"], ["/tmp/sl", "ot"], ["/ho", "me/"]].map(|path| path.concat());
    let mut found = Vec::new();
    for file in files(&[".rs", ".toml", ".md", ".py", ".sh", ".service", ".socket", ".conf"]) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let mentions = |path: &String| {
                line.match_indices(path.as_str()).any(|(at, _)| {
                    // The beginning of a path, and not a part of a longer one or of an address.
                    !line[..at]
                        .ends_with(|before: char| before.is_alphanumeric() || "./$}-_".contains(before))
                })
            };
            if paths.iter().any(mentions) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Files that may contain `unsafe`, and why.
const UNSAFE: [(&str, &str); 13] = [
    ("daemon/src/allocator.rs", "the interface of allocators is unsafe"),
    ("daemon/src/connection.rs", "reads into room that is not initialized"),
    ("store/lua/src/ffi.rs", "the interface of Lua is C"),
    ("store/lua/src/memory.rs", "the allocator of an interpreter"),
    ("store/lua/src/stack.rs", "Lua is reached through C"),
    ("store/lua/src/state.rs", "Lua is reached through C"),
    ("store/src/keyspace/entry.rs", "key and value in one allocation"),
    ("store/src/table/bucket.rs", "tagged pointers"),
    ("store/src/thin/long.rs", "an allocation has several owners"),
    ("store/src/thin/mod.rs", "length and bytes in one allocation"),
    ("store/src/types/zset/mod.rs", "tree and table share the bytes of members"),
    ("systemd/src/activation.rs", "descriptors come as bare numbers"),
    ("tests/fuzz/memory.rs", "the interface of allocators is unsafe"),
];

#[test]
fn unsafe_code_is_in_few_files_that_say_why() {
    let uses_it = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| code.contains(form))
    };
    let mut faults = Vec::new();
    let all = files(&[".rs"]);
    for file in all.iter().filter(|file| !file.path.starts_with("tests/tidy/")) {
        let listed = UNSAFE.iter().any(|(path, _)| *path == file.path);
        let used = file.text.lines().any(uses_it);
        // The reason stands in the attribute, or behind it.
        let explained = file
            .text
            .lines()
            .any(|line| line.contains("(unsafe_code, reason = \"") || line.contains("(unsafe_code)] // "));
        if used && !listed {
            faults.push(format!("{} is not on the list", file.path));
        }
        if used && !explained {
            faults.push(format!("{} does not say why", file.path));
        }
        if listed && !used {
            faults.push(format!("{} is on the list for nothing", file.path));
        }
    }
    for (path, _) in UNSAFE.iter().filter(|(path, _)| !all.iter().any(|file| file.path == *path)) {
        faults.push(format!("{path} is gone"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
