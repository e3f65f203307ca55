//! Every state against every verb: what it says and where the job is then.

use crate::stage::Stage;

const STATES: [&str; 7] = ["ready", "delayed", "leased", "cancelling", "done", "dead", "cancelled"];

/// A job in a state, and its last token.
fn in_state(state: &str) -> (Stage, u64) {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a BACKOFF fixed:1m LEASE 30s");
    let (_, token) = stage.fetch("q");
    match state {
        "ready" => stage.run(&format!("JOB.RELEASE q:1 {token}")),
        "delayed" => stage.run(&format!("JOB.FAIL q:1 {token}")),
        "cancelling" => stage.run("JOB.CANCEL q:1"),
        "done" => stage.run(&format!("JOB.ACK q:1 {token}")),
        "dead" => stage.run(&format!("JOB.FAIL q:1 {token} NORETRY")),
        "cancelled" => {
            stage.run(&format!("JOB.RELEASE q:1 {token}"));
            stage.run("JOB.CANCEL q:1")
        }
        _ => String::new(),
    };
    let shown = if state == "cancelling" { "leased" } else { state };
    assert_eq!(stage.state("q:1"), shown);
    (stage, token)
}

/// What a verb says to a job in each state, and the state it is in then. `*` stands for anything, `+` for no error.
#[track_caller]
fn row(line: &str, cells: [(&str, &str); 7]) {
    for (state, (reply, after)) in STATES.into_iter().zip(cells) {
        let (mut stage, token) = in_state(state);
        let before = stage.server.engine.digest();
        let found = stage.run(&line.replace("{}", &token.to_string()));
        match reply {
            "*" => {}
            "+" => assert!(!found.starts_with('-'), "{line} in {state}: {found}"),
            _ => assert_eq!(found, reply, "{line} in {state}"),
        }
        assert_eq!(stage.state("q:1"), after, "after {line} in {state}");
        if found.starts_with('-') || found == "nothing" {
            assert_eq!(stage.server.engine.digest(), before, "{line} in {state} changed something");
        }
        // Whatever happened, a restart finds it again.
        stage.restart(10);
        assert_eq!(stage.state("q:1"), after, "after {line} in {state} and a restart");
    }
}

/// The right token says nothing once the delivery has ended.
fn stale(kept: [(&'static str, &'static str); 2]) -> [(&'static str, &'static str); 7] {
    [
        ("-STALE q:1 ready", "ready"),
        ("-STALE q:1 delayed", "delayed"),
        kept[0],
        kept[1],
        ("-STALE q:1 done", "done"),
        ("-STALE q:1 dead", "dead"),
        ("-STALE q:1 cancelled", "cancelled"),
    ]
}

#[test]
fn verbs_with_the_last_token() {
    row("JOB.ACK q:1 {}", stale([("OK", "done"), ("OK", "cancelled")]));
    row("JOB.FAIL q:1 {}", stale([("+", "delayed"), ("cancelled", "cancelled")]));
    row("JOB.FAIL q:1 {} NORETRY", stale([("dead", "dead"), ("cancelled", "cancelled")]));
    row("JOB.RELEASE q:1 {}", stale([("OK", "ready"), ("OK", "cancelled")]));
    row("JOB.EXTEND q:1 {}", stale([("+", "leased"), ("+", "leased")]));
}

#[test]
fn verbs_with_a_wrong_token() {
    for verb in ["ACK", "FAIL", "RELEASE", "EXTEND"] {
        let wrong = stale([("-STALE q:1 leased", "leased"), ("-STALE q:1 leased", "leased")]);
        row(&format!("JOB.{verb} q:1 4711"), wrong);
    }
}

#[test]
fn verbs_without_a_token() {
    row(
        "JOB.CANCEL q:1",
        [
            ("[ready cancelled]", "cancelled"),
            ("[delayed cancelled]", "cancelled"),
            ("[leased leased]", "leased"),
            ("[leased leased]", "leased"),
            ("[done done]", "done"),
            ("[dead dead]", "dead"),
            ("[cancelled cancelled]", "cancelled"),
        ],
    );
    row(
        "JOB.RETRY q:1",
        [
            ("[ready ready]", "ready"),
            ("[delayed delayed]", "delayed"),
            ("[leased leased]", "leased"),
            ("[leased leased]", "leased"),
            ("[done ready]", "ready"),
            ("[dead ready]", "ready"),
            ("[cancelled ready]", "ready"),
        ],
    );
    row(
        "JOB.FETCH w QUEUES q",
        [
            ("+", "leased"),
            ("nothing", "delayed"),
            ("nothing", "leased"),
            ("nothing", "leased"),
            ("nothing", "done"),
            ("nothing", "dead"),
            ("nothing", "cancelled"),
        ],
    );
}

/// A minute later: delays and leases have ended.
#[test]
fn time() {
    for (state, after) in
        STATES.into_iter().zip(["ready", "ready", "ready", "cancelled", "done", "dead", "cancelled"])
    {
        let (mut stage, token) = in_state(state);
        stage.pass(60_000);
        assert_eq!(stage.state("q:1"), after, "{state}, a minute later");
        let reply = stage.run(&format!("JOB.ACK q:1 {token}"));
        assert_eq!(reply, format!("-STALE q:1 {after}"));
    }
}
