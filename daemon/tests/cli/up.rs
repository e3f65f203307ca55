//! `pbj up`: a daemon, a worker and a crontab in one command.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::ports::free_port;
use crate::support::{Daemon, PBJ, Running, is_open, lines_in, number_in, text, until};

struct Up {
    port: u16,
    folder: tempfile::TempDir,
    process: Running,
}

impl Up {
    fn start(options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), free_port(), options)
    }

    fn start_in(folder: tempfile::TempDir, port: u16, options: &[&str]) -> Self {
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let process = Command::new(PBJ)
            .args(["up", "--http-port", "0", "--dir", "data", "--port", &port.to_string()])
            .args(options)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn();
        let up = Self { port, folder, process: Running(process.unwrap()) };
        until("it says that it is up", || up.file("out").contains("Stop: Ctrl-C"));
        up
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn says(&self, words: &[&str]) -> String {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let output =
            Command::new(PBJ).args(words).env("PBJ_URL", url).current_dir(self.folder.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout).trim_end().to_owned()
    }

    fn daemon_pid(&self) -> u32 {
        let info = self.says(&["cli", "info", "server"]);
        let line = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
        line.trim().parse().unwrap()
    }
}

#[test]
fn everything_starts_in_order_says_where_it_is_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tab"), "@every 1s echo x >> ticks\n@daily true\n").unwrap();
    let mut up = Up::start_in(folder, free_port(), &["--crontab", "tab", "--concurrency", "3"]);
    let out = up.file("out");
    assert!(out.contains(&format!("redis    redis://127.0.0.1:{}/0", up.port)), "{out}");
    assert!(out.contains("/data\n") && out.contains("on default, cron, 3 at a time"), "{out}");
    assert!(out.contains("crontab  tab: 2 schedules") && !out.contains("metrics"), "{out}");
    assert_eq!(up.says(&["run", "--wait", "--", "echo", "hello"]), "hello");
    until("the crontab fired", || lines_in(&up.folder.path().join("ticks")) >= 1);

    let script = "touch began; while [ ! -e gate ]; do sleep 0.01; done; echo finished >> finished";
    let id = up.says(&["run", "--", "sh", "-c", script]);
    until("a job runs", || up.folder.path().join("began").exists());
    up.process.signal(Signal::SIGTERM);
    until("it waits for the job", || up.file("err").contains("to finish"));
    assert!(is_open(up.port), "the daemon stays for as long as its worker needs it");
    std::fs::write(up.folder.path().join("gate"), "").unwrap();
    assert!(up.process.ended().success(), "{}", up.file("err"));
    assert!(!is_open(up.port));
    let err = up.file("err");
    let place = |text: &str| err.find(text).unwrap_or_else(|| panic!("{text}: {err}"));
    assert!(place(&format!("done job={id}")) < place("received SIGTERM"), "{err}");
    assert!(place("received SIGTERM") < place("pbjd exited with 0"), "{err}");

    // What was there is there again.
    let up = Up::start_in(up.folder, up.port, &[]);
    assert_eq!(up.says(&["job", &id, "--only", "state"]), "done");
}

#[test]
fn a_daemon_that_dies_is_started_again_and_its_jobs_go_on() {
    let up = Up::start(&[]);
    let script = "echo $$ > own; echo x >> runs; while [ ! -e gate ]; do sleep 0.01; done";
    let id = up.says(&["run", "--", "sh", "-c", script]);
    number_in(&up.folder.path().join("own"));
    let pid = up.daemon_pid();
    crate::support::send(pid, Signal::SIGKILL);
    until("it is said", || up.file("err").contains("pbjd was ended by signal 9; starting it again"));
    until("another one serves", || is_open(up.port));
    assert_ne!(up.daemon_pid(), pid);
    std::fs::write(up.folder.path().join("gate"), "").unwrap();
    until("the job is done", || up.says(&["job", &id, "--only", "state"]) == "done");
    assert_eq!(lines_in(&up.folder.path().join("runs")), 1);
}

#[test]
fn a_shut_down_daemon_ends_everything() {
    let mut up = Up::start(&[]);
    let url = format!("127.0.0.1:{}", up.port);
    // The connection ends without an answer.
    Command::new(PBJ).args(["--url", &url, "cli", "shutdown"]).output().unwrap();
    assert!(up.process.ended().success(), "{}", up.file("err"));
    assert!(up.file("err").contains("pbjd was shut down"), "{}", up.file("err"));
}

#[test]
fn a_killed_up_leaves_no_daemon_behind() {
    let mut up = Up::start(&[]);
    up.process.signal(Signal::SIGKILL);
    up.process.ended();
    until("the daemon ended", || !is_open(up.port));
    until("in order", || up.file("err").contains("received SIGTERM"));
}

#[test]
fn what_cannot_start_says_why() {
    let daemon = Daemon::start();
    let port = daemon.port.to_string();
    let taken = daemon.call(&["up", "--dir", "elsewhere", "--port", &port, "--http-port", "0"]);
    assert_eq!(taken.status.code(), Some(69));
    assert!(text(&taken.stderr).contains("something answers at redis://127.0.0.1:"), "{taken:?}");
    let port = free_port().to_string();
    let wrong =
        daemon.call(&["up", "--dir", "new", "--port", &port, "--http-port", "0", "--", "--no-such", "1"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    assert!(text(&wrong.stderr).contains("pbjd exited with 78"), "{wrong:?}");
    std::fs::write(daemon.path("tab"), "61 * * * * true\n").unwrap();
    let tab = daemon.call(&["up", "--dir", "new", "--port", &port, "--http-port", "0", "--crontab", "tab"]);
    assert_eq!(tab.status.code(), Some(65), "{tab:?}");
    assert!(!is_open(port.parse().unwrap()), "a daemon without its crontab is not left behind");
}

/// Somebody gave the port to the daemon alone, and `pbj up` waited for ever at the usual one.
#[test]
fn what_is_an_option_of_up_is_refused_as_a_directive() {
    let output = Command::new(PBJ).args(["up", "--", "--port", "7411"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("--port belongs before the --"), "{output:?}");
}
