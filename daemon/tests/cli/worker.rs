//! What a worker makes of a job.

use serde_json::{Value as Json, json};

use crate::support::{Daemon, lines_in, text, until};

fn result(job: &Json) -> Json {
    serde_json::from_str(job["result"].as_str().unwrap()).unwrap()
}

#[test]
fn a_waited_for_command_looks_as_if_it_had_been_run_here() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let run = |options: &[&str], script: &str| {
        let output = daemon.call(&[&["run", "--wait"], options, &["--", "sh", "-c", script]].concat());
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&[], "echo out; echo err >&2"), (0, "out\n".into(), "err\n".into()));
    assert_eq!(run(&[], "echo out; echo err >&2; exit 3"), (3, "out\n".into(), "err\n".into()));
    let (code, out, err) = run(&[], "echo out; kill -9 $$");
    assert_eq!((code, &*out), (137, "out\n"));
    assert!(err.contains("ended by signal 9 (SIGKILL)"), "{err}");
    let (code, out, _) = run(&["--timeout", "4s"], "echo out; exec sleep 100");
    assert_eq!((code, &*out), (124, "out\n"));
    let missing = daemon.call(&["run", "--wait", "--", "no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("no-such-program cannot be started: No such file"), "{missing:?}");
    let forbidden = daemon.call(&["run", "--wait", "--", "/etc/passwd"]);
    assert_eq!(forbidden.status.code(), Some(126));
    let nowhere = daemon.call(&["run", "--wait", "--cwd", "/no/such/folder", "--", "true"]);
    assert_eq!(nowhere.status.code(), Some(126));
    assert!(text(&nowhere.stderr).contains("/no/such/folder is not there"), "{nowhere:?}");
    let said = daemon.call(&["--json", "run", "--wait", "--", "sh", "-c", "echo out; exit 4"]);
    let answer: Json = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(4));
    assert_eq!(
        (&answer["exit"], &answer["stdout"], &answer["state"]),
        (&json!(4), &json!("out\n"), &json!("dead"))
    );
}

#[test]
fn a_process_finds_what_its_job_says_and_nothing_secret() {
    let daemon = Daemon::start();
    let env = [("SECRET", "s3cret"), ("ALLOWED", "yes")];
    let _worker = daemon.worker_with(&["--pass-env", "ALLOWED"], &env);
    let folder = daemon.folder.path().canonicalize().unwrap();
    let script = "env; pwd; cat";
    let mut command = daemon
        .command(&["run", "--wait", "--stdin", "--env", "A=b c", "--id", "me", "--", "sh", "-c", script]);
    let input = daemon.path("input");
    std::fs::write(&input, "from\nhere").unwrap();
    let output = command.stdin(std::fs::File::open(&input).unwrap()).output().unwrap();
    let out = text(&output.stdout);
    for line in
        ["A=b c", "PBJ_JOB_ID=me", "PBJ_QUEUE=default", "PBJ_ATTEMPT=1", "ALLOWED=yes", "from", "here"]
    {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
    assert!(out.contains(&format!("PBJ_URL={}", daemon.url())), "{out}");
    assert!(out.contains(&format!("\n{}\n", folder.display())), "{out}");
    assert!(
        out.contains("PBJ_TOKEN=") && out.contains("PBJ_SCHEDULED_AT=") && !out.contains("s3cret"),
        "{out}"
    );
}

#[test]
fn a_result_says_what_happened() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&["--output-max", "1000", "--name", "me"]);
    let id = daemon.push(&[], "seq 100000; seq 3 >&2");
    let result = result(&daemon.wait_for_state(&id, "done"));
    let stdout = result["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("1\n2\n3\n") && stdout.ends_with("\n99999\n100000\n"), "{stdout}");
    assert!(stdout.contains("\n[... 587895 bytes left out ...]\n") && stdout.len() < 1100, "{stdout}");
    assert_eq!((&result["stdout_bytes"], &result["stdout_omitted"]), (&json!(588_895), &json!(587_895)));
    assert_eq!((&result["stderr"], &result["stderr_omitted"]), (&json!("1\n2\n3\n"), &json!(0)));
    assert_eq!(
        (&result["exit"], &result["signal"], &result["worker"]),
        (&json!(0), &Json::Null, &json!("me"))
    );
    let (started, ended) = (result["started_at"].as_u64().unwrap(), result["ended_at"].as_u64().unwrap());
    assert_eq!(result["wall_ms"].as_u64(), Some(ended - started));
    assert!(result["max_rss_kib"].as_u64().unwrap() > 100, "{result}");
}

#[test]
fn exit_codes_decide_about_another_attempt() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let options = ["--attempts", "3", "--backoff", "fixed:1ms"];
    let id = daemon.push(&options, "echo x >> tries; exit 3");
    let job = daemon.wait_for_state(&id, "dead");
    assert_eq!((&job["error_kind"], &job["attempt"]), (&json!("exit-3"), &json!(3)));
    assert_eq!(lines_in(&daemon.path("tries")), 3);
    // A failure that is final is not tried again; 75 is never final.
    let no_retry = [&options[..], &["--no-retry"]].concat();
    let id = daemon.push(&no_retry, "echo x >> final; exit 3");
    assert_eq!(daemon.wait_for_state(&id, "dead")["attempt"], 1);
    let id = daemon.push(&no_retry, "echo x >> again; test $(wc -l < again) -ge 3 || exit 75");
    assert_eq!(daemon.wait_for_state(&id, "done")["attempt"], 3);
    assert_eq!((lines_in(&daemon.path("final")), lines_in(&daemon.path("again"))), (1, 3));
}

#[test]
fn what_is_no_command_is_never_dropped() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&["--name", "me"]);
    let id = daemon.says(&["push", "default", "send", "x"]);
    let job = daemon.wait_for_state(&id, "delayed");
    assert_eq!(job["error_kind"], "unknown-type");
    let said = "worker me runs jobs of type exec only, not send: give them a queue of their own";
    assert_eq!(job["error"], said);
    for (payload, says) in
        [("ls -l", "JSON object"), (r#"{"argv":["true"],"timout":1}"#, "unknown field `timout`")]
    {
        let id = daemon.says(&["push", "default", "exec", payload]);
        let job = daemon.wait_for_state(&id, "dead");
        assert_eq!((&job["error_kind"], &job["attempt"]), (&json!("payload"), &json!(1)));
        assert!(job["error"].as_str().unwrap().contains(says), "{job}");
    }
}

/// Each job waits for all others: with fewer places none would ever finish.
#[test]
fn jobs_run_at_the_same_time() {
    let daemon = Daemon::start();
    let script = "touch here.$PBJ_JOB_ID; while [ $(ls here.* | wc -l) -lt 8 ]; do sleep 0.01; done";
    let ids: Vec<String> = (0..8).map(|_| daemon.push(&[], script)).collect();
    let _worker = daemon.worker(&["--concurrency", "8"]);
    for id in &ids {
        daemon.wait_for_state(id, "done");
    }
}

#[test]
fn the_first_queue_comes_first_and_a_burst_ends() {
    let daemon = Daemon::start();
    for queue in ["low", "high"] {
        for _ in 0..3 {
            daemon.push(&["--queue", queue], "echo $PBJ_QUEUE >> order");
        }
    }
    let mut worker = daemon.worker(&["--queue", "high,low", "--concurrency", "1", "--burst"]);
    assert!(worker.ended().success());
    let order = std::fs::read_to_string(daemon.path("order")).unwrap();
    assert_eq!(order, "high\nhigh\nhigh\nlow\nlow\nlow\n");
}

#[test]
fn a_job_runs_as_its_user_if_the_worker_may() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let output = daemon.call(&[
        "run",
        "--wait",
        "--no-cwd",
        "--user",
        "nobody",
        "--",
        "sh",
        "-c",
        "id -un; id -Gn; env",
    ]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if nix::unistd::getuid().is_root() {
        assert!(out.starts_with("nobody\nnogroup\n") || out.starts_with("nobody\nnobody\n"), "{out}{err}");
        assert!(out.contains("LOGNAME=nobody") && out.contains("PATH=/usr/bin:/bin\n"), "{out}");
    } else {
        assert_eq!(output.status.code(), Some(126));
        assert!(err.contains("only root may change"), "{err}");
    }
    let output = daemon.call(&["run", "--wait", "--no-cwd", "--user", "no-such-user", "--", "true"]);
    assert_eq!(output.status.code(), Some(126));
    assert!(text(&output.stderr).contains("there is no user no-such-user"), "{output:?}");
}

/// What a job leaves behind when it ends by itself lives on, and nobody waits for it.
#[test]
fn a_job_may_leave_something_behind() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let id = daemon.push(&[], "sleep 60 & echo $! > left; echo done");
    daemon.wait_for_state(&id, "done");
    let left = crate::support::number_in(&daemon.path("left"));
    assert!(crate::support::is_alive(left));
    crate::support::send(left, nix::sys::signal::Signal::SIGKILL);
    until("it is gone", || !crate::support::is_alive(left));
}
