//! The files of the project.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 4] = ["target", "node_modules", "__pycache__", "results"];

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file.
pub(crate) struct File {
    /// Its path within the project.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All files of text with one of these endings, by path.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || FOREIGN.contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending))
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push(File { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "the files are where they are looked for");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Compares what breaks a rule with what is known to: more is a fault, and less is one of this list.
#[track_caller]
pub(crate) fn compare(rule: &str, found: &[(String, usize)], known: &[(&str, usize)]) {
    let mut faults = Vec::new();
    for (path, count) in found {
        match known.iter().find(|(known, _)| known == path) {
            None => faults.push(format!("{path}: {count}")),
            Some((_, allowed)) if count > allowed => faults.push(format!("{path}: {count}, was {allowed}")),
            Some((_, allowed)) if count < allowed => {
                faults.push(format!("{path}: {count}, was {allowed}; make the number in the list smaller"));
            }
            Some(_) => {}
        }
    }
    for (path, _) in known.iter().filter(|(known, _)| !found.iter().any(|(path, _)| path == known)) {
        faults.push(format!("{path}: in order now; take it off the list"));
    }
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}
