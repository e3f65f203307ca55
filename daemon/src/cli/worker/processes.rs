//! The processes of this machine, as far as it takes to find those of a job.

use std::collections::BTreeMap;

use nix::unistd::Pid;

/// A process.
struct Entry {
    pid: i32,
    parent: i32,
    session: i32,
}

fn all() -> Vec<Entry> {
    let read = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name of the program stands in parentheses and may contain anything; behind it: state, parent, group,
        // session.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_ascii_whitespace().skip(1).map(|word| word.parse().ok());
        let parent = words.next()??;
        let session = words.nth(1)??;
        Some(Entry { pid, parent, session })
    };
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).collect()
}

/// Everybody who descends from a process.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in all() {
        children.entry(entry.parent).or_default().push(entry.pid);
    }
    let mut found = Vec::new();
    let mut open = vec![root.as_raw()];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.push(Pid::from_raw(child));
            open.push(child);
        }
    }
    found
}

/// Everybody in the session that a process began, except itself.
pub(super) fn session_of(leader: Pid) -> Vec<Pid> {
    let leader = leader.as_raw();
    let members = all().into_iter().filter(|entry| entry.session == leader && entry.pid != leader);
    members.map(|entry| Pid::from_raw(entry.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        assert!(descendants(Pid::this()).contains(&pid));
        assert!(!descendants(pid).contains(&pid));
        let session = nix::unistd::getsid(None).unwrap();
        assert!(session == pid || session_of(session).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
