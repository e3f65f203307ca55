//! Pushing, looking, deciding, and what is said when something is wrong.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::ports::free_port;
use crate::support::{Daemon, PBJ, text};

fn with_input(daemon: &Daemon, words: &[&str], input: &[u8]) -> std::process::Output {
    let mut command = daemon.command(words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_push_says_the_id_and_keeps_every_option() {
    let daemon = Daemon::start();
    assert_eq!(daemon.says(&["push", "mail", "send", "hello"]), "mail:1");
    assert_eq!(daemon.json(&["push", "mail", "send", "hello"]), json!({ "id": "mail:2" }));
    let words = ["push", "mail", "send", "x", "--delay", "1h", "--prio", "-5", "--attempts", "3"];
    let more = ["--backoff", "fixed:5s", "--lease", "2m", "--id", "order-7"];
    assert_eq!(daemon.says(&[&words[..], &more[..]].concat()), "order-7");
    let job = daemon.job("order-7");
    for (name, value) in [
        ("state", json!("delayed")),
        ("prio", json!(-5)),
        ("attempts", json!(3)),
        ("backoff", json!("fixed:5000")),
        ("lease", json!(120_000)),
        ("type", json!("send")),
        ("payload", json!("x")),
    ] {
        assert_eq!(job[name], value, "{name}");
    }
    let at = daemon.says(&["push", "mail", "send", "x", "--at", "2099-01-01T00:00:00Z"]);
    assert_eq!(daemon.job(&at)["due_at"], json!(4_070_908_800_000_u64));
    let again = daemon.call(&["push", "mail", "send", "other", "--id", "order-7"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stderr), "pbj: there is a job order-7 already: nothing was pushed\n");
    assert_eq!(daemon.job("order-7")["payload"], "x");
}

#[test]
fn a_payload_comes_from_standard_input_as_it_is() {
    let daemon = Daemon::start();
    let bytes: Vec<u8> = (0..=255).collect();
    let output = with_input(&daemon, &["push", "q", "blob", "-"], &bytes);
    assert_eq!(text(&output.stdout), "q:1\n");
    assert_eq!(daemon.call(&["job", "q:1", "--only", "payload"]).stdout, bytes);
}

#[test]
fn lines_become_jobs_in_their_order() {
    let daemon = Daemon::start();
    let file = daemon.path("lines");
    let lines: String = (0..2500).map(|n| format!("line {n}\n\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let said = daemon.says(&["push", "q", "t", "--lines", "lines", "--prio", "7"]);
    assert!(said.starts_with("Pushed 2500 jobs to q in "), "{said}");
    let queues = daemon.json(&["queues"]);
    assert_eq!(queues["queues"][0]["ready"], 2500);
    assert_eq!(daemon.says(&["job", "q:1", "--only", "payload"]), "line 0");
    let last = daemon.job("q:2500");
    assert_eq!((&last["payload"], &last["prio"]), (&json!("line 2499"), &json!(7)));
    let output = with_input(&daemon, &["push", "other", "t", "--lines", "-", "--ids"], b"a\r\n\nb");
    assert_eq!(text(&output.stdout), "other:1\nother:2\n");
    let output = with_input(&daemon, &["--json", "push", "other", "t", "--lines", "-"], b"c\n");
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer, json!({ "queue": "other", "pushed": 1, "ids": ["other:3"] }));
    assert_eq!(daemon.says(&["job", "other:1", "--only", "payload"]), "a");
}

#[test]
fn jobs_are_listed_by_what_they_are() {
    let daemon = Daemon::start();
    for queue in ["a", "b"] {
        daemon.says(&["push", queue, "one", "x"]);
        daemon.says(&["push", queue, "two", "x", "--delay", "1h"]);
    }
    let ids = |words: &[&str]| {
        let answer = daemon.json(&[&["jobs"], words].concat());
        let mut ids: Vec<String> = answer["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        (ids.join(" "), answer["more"].as_bool().unwrap())
    };
    assert_eq!(ids(&[]), ("a:1 a:2 b:1 b:2".to_owned(), false));
    assert_eq!(ids(&["--queue", "a"]), ("a:1 a:2".to_owned(), false));
    assert_eq!(ids(&["--state", "delayed"]), ("a:2 b:2".to_owned(), false));
    assert_eq!(ids(&["--type", "one", "--queue", "b"]), ("b:1".to_owned(), false));
    assert_eq!(ids(&["--older", "1h"]), (String::new(), false));
    let (some, more) = ids(&["--limit", "3"]);
    assert!(some.split(' ').count() == 3 && more);
    let table = daemon.says(&["jobs", "--queue", "a", "--state", "ready"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("ID   TYPE  STATE  ATTEMPT  WHEN"), "{table}");
    assert!(rows[1].starts_with("a:1  one   ready     0/10  pushed"), "{table}");
    assert!(!table.contains('\x1b'), "colours are for terminals: {table}");
}

#[test]
fn cancel_and_retry_say_what_became_of_each_job() {
    let daemon = Daemon::start();
    daemon.says(&["push", "q", "t", "x"]);
    assert_eq!(daemon.says(&["cancel", "q:1", "--reason", "no need"]), "q:1 is cancelled");
    let again = daemon.call(&["--json", "cancel", "q:1", "q:9"]);
    assert_eq!(again.status.code(), Some(1));
    let answer: Json = serde_json::from_slice(&again.stdout).unwrap();
    let expected = json!({ "jobs": [
        { "id": "q:1", "before": "cancelled", "after": "cancelled" },
        { "id": "q:9", "before": null, "after": null },
    ] });
    assert_eq!(answer, expected);
    assert_eq!(daemon.says(&["retry", "q:1"]), "q:1 was cancelled and is ready");
    let again = daemon.call(&["retry", "q:1"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stdout), "q:1 is ready: only jobs that are over can be tried again\n");
    let unknown = daemon.call(&["job", "q:9"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).starts_with("pbj: there is no job q:9\n"), "{unknown:?}");
}

#[test]
fn what_is_wrong_has_a_code_and_a_way_out() {
    let port = free_port().to_string();
    let nobody =
        std::process::Command::new(PBJ).args(["--url", &format!("127.0.0.1:{port}"), "queues"]).output();
    let nobody = nobody.unwrap();
    assert_eq!(nobody.status.code(), Some(69));
    let said = text(&nobody.stderr);
    assert!(said.contains(&format!("pbjd at redis://127.0.0.1:{port}/0 cannot be reached")), "{said}");
    assert!(said.contains("systemctl start pbjd"), "{said}");

    let daemon = Daemon::start();
    let code = |words: &[&str]| daemon.call(words).status.code().unwrap();
    assert_eq!(code(&["push", "q"]), 64);
    assert_eq!(code(&["dance"]), 64);
    assert_eq!(code(&["push", "q", "t", "x", "--delay", "1s", "--at", "0"]), 64);
    assert_eq!(code(&["run", "--timeout", "soon", "--", "true"]), 64);
    assert_eq!(code(&["worker", "--grace", "soon"]), 64);
    assert_eq!(code(&["--url", "redis://me:secret@host:port", "queues"]), 64);
    assert_eq!(code(&["push", "q", "t", "--lines", "nowhere"]), 66);
    assert_eq!(code(&["cron", "load", "nowhere"]), 66);
    assert_eq!(code(&["push", "q", "t", "x", "--backoff", "soon"]), 1);
    assert_eq!(code(&["push", "with space", "t", "x"]), 1);
    assert_eq!(code(&["queues", "nosuch"]), 1);
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["--version"]), 0);

    let refused = daemon.call(&["--json", "push", "q", "t", "x", "--backoff", "soon"]);
    let said: Json = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!((&said["exit"], refused.stdout.len()), (&json!(1), 0));
    assert!(said["error"].as_str().unwrap().contains("a backoff is fixed:DURATION"), "{said}");
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let daemon = Daemon::start_with(&["--requirepass", "s3cret"]);
    let denied = daemon.call(&["queues"]);
    assert_eq!(denied.status.code(), Some(77));
    assert!(text(&denied.stderr).contains("PBJ_URL="), "{denied:?}");
    assert_eq!(daemon.call(&["worker"]).status.code(), Some(77));
    let wrong = format!("redis://:wr0ng@127.0.0.1:{}", daemon.port);
    let wrong = daemon.call(&["--url", &wrong, "queues"]);
    assert_eq!(wrong.status.code(), Some(77));
    assert!(!text(&wrong.stderr).contains("wr0ng"), "{wrong:?}");
    let right = format!("redis://:s3cret@127.0.0.1:{}", daemon.port);
    assert_eq!(daemon.says(&["--url", &right, "push", "q", "t", "x"]), "q:1");
    assert_eq!(daemon.says(&["--url", &right, "cli", "llen", "x"]), "0");
    let help = daemon.command(&["--help"]).env("PBJ_URL", &right).output().unwrap();
    assert!(!text(&help.stdout).contains("s3cret"));
    let mut worker = daemon.worker_with(&["--queue", "w", "--burst"], &[("PBJ_URL", &right)]);
    assert!(worker.ended().success());
    assert!(daemon.worker_log().contains("worker ") && !daemon.worker_log().contains("s3cret"));
}

#[test]
fn a_socket_in_the_file_system_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("pbj.sock");
    let socket = socket.to_str().unwrap();
    let daemon = Daemon::start_with(&["--unixsocket", socket]);
    assert_eq!(daemon.says(&["--url", socket, "push", "q", "t", "x"]), "q:1");
    assert_eq!(
        daemon.says(&["--url", &format!("unix://{socket}"), "job", "q:1", "--only", "state"]),
        "ready"
    );
    assert_eq!(daemon.says(&["--url", &format!("unix://{socket}?db=1"), "jobs"]), "No jobs.");
    assert_eq!(daemon.says(&["--url", socket, "cli", "echo", "hi"]), "hi");
}

#[test]
fn any_command_can_be_sent() {
    let daemon = Daemon::start();
    assert_eq!(daemon.says(&["cli", "set", "a", "1 2"]), "OK");
    assert_eq!(daemon.says(&["cli", "--no-raw", "get", "a"]), "\"1 2\"");
    assert_eq!(daemon.json(&["cli", "-3", "config", "get", "port"])["port"], daemon.port.to_string());
    let wrong = daemon.call(&["cli", "incr", "a"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(text(&wrong.stdout), "ERR value is not an integer or out of range\n");
    let piped = with_input(&daemon, &["cli"], b"set b 'x y'\n\nget b\nrpush l 1 2\nlrange l 0 -1\n");
    assert_eq!((text(&piped.stdout), piped.status.code()), ("OK\nx y\n2\n1\n2\n".to_owned(), Some(0)));
    assert_eq!(with_input(&daemon, &["cli"], b"get 'b\n").status.code(), Some(65));
}

#[test]
fn completions_are_scripts() {
    let daemon = Daemon::start();
    for shell in ["bash", "zsh", "fish"] {
        let script = daemon.says(&["completions", shell]);
        assert!(script.contains("cron") && script.contains("worker"), "{shell}");
        assert!(!script.contains("keeper"), "{shell} offers what is not for people");
    }
    let script = daemon.says(&["completions", "bash"]);
    let mut check = std::process::Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(check.wait().unwrap().success());
}
