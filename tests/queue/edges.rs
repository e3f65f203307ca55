//! Numbers and dates at the ends of what 64 bits hold: each option either refuses them, and nothing happens, or takes
//! them, and what is shown afterwards is what was said.

use pbj_store::resp::value::Value;

use crate::stage::Stage;

/// Around the ends of signed and unsigned numbers, and of what a client may mean.
const EDGES: [&str; 9] = [
    "-9223372036854775809",
    "-9223372036854775808",
    "-1",
    "0",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
];

/// A number that no clock and no counter reaches, and a reply that shows one has gone wrong.
fn smallest(value: &Value) -> i64 {
    let inner = value.items().unwrap_or_default().iter().map(smallest).min();
    value.integer().into_iter().chain(inner).min().unwrap_or(0)
}

/// Each edge in the place of `{}`: `e` where it is refused, `o` where it is taken.
#[track_caller]
fn row(line: &str, cells: &str) {
    for (edge, cell) in EDGES.into_iter().zip(cells.chars()) {
        let mut stage = Stage::new();
        stage.run("JOB.PUSH mail send a ID held");
        stage.run("JOB.PUSH mail send b");
        let (_, token) = stage.fetch("mail");
        let lock = stage.run("LOCK.TAKE door me 1h");
        let line = line.replace("{}", edge).replace("{token}", &token.to_string()).replace("{lock}", &lock);
        let (before, client) = (stage.server.engine.digest(), stage.connect());
        let (bytes, _) = stage.send(client, &line);
        match cell {
            'e' => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(text.starts_with('-'), "{line}: {text}");
                assert_eq!(stage.server.engine.digest(), before, "{line} changed something");
            }
            // Who waits has no reply yet.
            'o' => assert!(!bytes.starts_with(b"-"), "{line}: {}", String::from_utf8_lossy(&bytes)),
            other => panic!("{other} is no cell"),
        }
        look(&mut stage, &line);
        stage.pass(1000);
        stage.restart(10);
        look(&mut stage, &line);
    }
}

/// Nothing that is shown has wrapped.
#[track_caller]
fn look(stage: &mut Stage, line: &str) {
    for shown in
        ["JOB.GET held", "JOB.GET mail:2", "JOB.GET new", "CRON.LIST", "LOCK.INFO door", "QUEUE.STATS mail"]
    {
        let reply = stage.ask(shown);
        assert!(smallest(&reply) >= -32768, "{shown} after {line}: {reply:?}");
    }
}

#[test]
fn of_pushes() {
    row("JOB.PUSH mail send p ID new DELAY {}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new AT {}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new PRIO {}", "eeoooeeee");
    row("JOB.PUSH mail send p ID new ATTEMPTS {}", "eeeeoeeee");
    row("JOB.PUSH mail send p ID new LOST {}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new LEASE {}", "eeeeoeeee");
    row("JOB.PUSH mail send p ID new KEEP {}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new BACKOFF fixed:{}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new BACKOFF exp:1:{}", "eeeooeeee");
    row("JOB.PUSH mail send p ID new BACKOFF list:1,{}", "eeeooeeee");
    row("JOB.MPUSH mail send COUNT {} PAYLOADS p", "eeeeoeeee");
    row("JOB.MPUSH mail send COUNT 1 AT {} PAYLOADS p", "eeeooeeee");
}

#[test]
fn of_workers() {
    row("JOB.FETCH w COUNT {} QUEUES mail", "eeeeoeeee");
    row("JOB.FETCH w BLOCK {} QUEUES none", "eeeoooooe");
    row("JOB.FETCH w LEASE {} QUEUES mail", "eeeeoeeee");
    row("JOB.ACK held {}", "eeeeoeeee");
    row("JOB.FAIL held {token} RETRY {}", "eeeoooooe");
    row("JOB.EXTEND held {token} LEASE {}", "eeeeoeeee");
    row("JOB.RELEASE held {}", "eeeeoeeee");
    // The job has the id that was chosen, and no other.
    row("JOB.ACK mail:{} 1", "eeeeeeeee");
}

#[test]
fn of_looking_around() {
    row("JOB.GET mail:{}", "ooooooooo");
    row("JOB.CANCEL mail:{}", "ooooooooo");
    row("JOB.SCAN {}", "eeeoooooe");
    row("JOB.SCAN 0 OLDER {}", "eeeoooooe");
    row("JOB.SCAN 0 COUNT {}", "eeeeoeeee");
}

#[test]
fn of_schedules() {
    row("CRON.SET s AT {} PUSH mail send p", "eeeooeeee");
    row("CRON.SET s EVERY {} PUSH mail send p", "eeeeoeeee");
    row("CRON.SET s EVERY 1s PUSH mail send p DELAY {}", "eeeooeeee");
    row("CRON.SET s EVERY 1s PUSH mail send p KEEP {}", "eeeooeeee");
    row("CRON.NEXT \"* * * * *\" FROM {}", "eeoooeeee");
    row("CRON.NEXT \"@every 5m\" FROM {}", "eeoooeeee");
    row("CRON.NEXT \"* * * * *\" COUNT {}", "eeeeoeeee");
    row("CRON.SET s CRON \"{} * * * *\" PUSH mail send p", "eeeooeeee");
    row("CRON.SET s CRON \"*/{} * * * *\" PUSH mail send p", "eeeeooooo");
}

#[test]
fn of_locks() {
    row("LOCK.TAKE gate me {}", "eeeeoeeee");
    row("LOCK.TAKE door me 5 WAIT {}", "eeeoooooe");
    row("LOCK.EXTEND door {}", "eeeeoeeee");
    row("LOCK.EXTEND door {lock} {}", "eeeeoeeee");
    row("LOCK.DROP door {}", "eeeeoeeee");
}
