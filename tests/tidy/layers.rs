//! Who may depend on whom, and what the pure crates may not even name.

use std::fs;

use crate::tree::{files, root};

/// The crates of ours that each crate may depend on.
const MAY: [(&str, &[&str]); 7] = [
    ("store", &["pbj-lua"]),
    ("store/lua", &[]),
    ("systemd", &[]),
    ("queue", &["pbj-store"]),
    ("daemon", &["pbj-store", "pbj-queue", "pbj-systemd"]),
    ("examples/rust", &["pbj", "pbj-store"]),
    ("tests", &["pbj-store", "pbj-queue", "pbj-systemd", "pbj"]),
];

/// Crates that do I/O, wait, or ask the machine for anything: not for the pure ones.
const IMPURE: [&str; 14] = [
    "tokio",
    "tokio-util",
    "nix",
    "libc",
    "rustix",
    "socket2",
    "mio",
    "signal-hook",
    "tempfile",
    "axum",
    "rand",
    "getrandom",
    "tracing",
    "reqwest",
];

/// The names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.starts_with("dependencies") || section.contains(".dependencies]");
        } else if inside && let Some((name, _)) = line.split_once(['=', '.']) {
            names.push(name.trim().to_owned());
        }
    }
    names
}

#[test]
fn dependencies_point_downwards() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (folder, may) in MAY {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let names = dependencies(&manifest);
        seen += names.len();
        for name in &names {
            let ours = name == "pbj" || name.starts_with("pbj-");
            if ours && !may.contains(&&**name) {
                faults.push(format!("{folder} must not depend on {name}"));
            }
            if ["store", "store/lua", "queue"].contains(&folder) && IMPURE.contains(&&**name) {
                faults.push(format!("{folder} is pure and must not depend on {name}"));
            }
        }
    }
    assert!(seen > 30, "this test reads manifests, and found {seen} dependencies in all");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_has_its_place() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    for member in members.trim_end_matches(']').split(", ") {
        let member = member.trim_matches('"');
        assert!(
            MAY.iter().any(|(folder, _)| *folder == member),
            "say in this test what {member} may depend on"
        );
    }
}

/// What the pure crates must not name. Time and disks are arguments there.
const WORLD: [&str; 7] =
    ["std::fs", "std::net", "std::thread", "std::process", "std::env", "SystemTime", "Instant::now"];

#[test]
fn pure_crates_do_not_touch_the_world() {
    let mut faults = Vec::new();
    for file in files(&[".rs"]) {
        if !["store/src/", "queue/src/"].iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in (1..).zip(file.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let async_code =
                code.contains("async fn") || code.contains(".await") || code.contains("async move");
            if async_code || WORLD.iter().any(|name| code.contains(name)) {
                faults.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
