//! Links in pages lead to files that are there, and to headings that are in them.

use std::fs;

use crate::tree::{files, root};

/// The targets of the links of a page.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside_code = false;
    for line in text.lines() {
        inside_code ^= line.trim_start().starts_with("```");
        let mut rest = line;
        while !inside_code && let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push(rest[..end].split(' ').next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for page in files(&[".md"]) {
        let folder = root().join(&page.path).parent().unwrap().to_owned();
        for target in targets(&page.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, part) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(&page.path) } else { folder.join(path) };
            if !file.exists() {
                faults.push(format!("{}: {target}", page.path));
            } else if !part.is_empty() && file.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(&file).unwrap();
                let has = text.lines().any(|line| line.starts_with('#') && anchor(line) == part);
                if !has {
                    faults.push(format!("{}: {target} (no such heading)", page.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn links_are_found() {
    assert_eq!(targets("a [b](c.md) and [d](e.md#f \"t\")\n```\n[x](y)\n```\n"), ["c.md", "e.md#f"]);
    assert_eq!(anchor("## What is tested, and where"), "what-is-tested-and-where");
}
