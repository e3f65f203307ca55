//! The queue over a snapshot: jobs are keys, and what is derived from them is derived again.

use crate::stage::Stage;

/// Jobs in every state, a schedule and a lock go through a snapshot while a worker holds one of them; afterwards each
/// is where it was, and the worker is still the only one who may end its job.
#[test]
fn jobs_go_through_a_snapshot() {
    let mut stage = Stage::new();
    for number in 0..5 {
        stage.run(&format!("JOB.PUSH q t a{number}"));
    }
    stage.run("JOB.PUSH q t later DELAY 5000");
    stage.expect("LOCK.TAKE door ann 100s", "1");
    let (done, token) = stage.fetch("q");
    stage.run(&format!("JOB.ACK {done} {token}"));
    let (held, token) = stage.fetch("q");
    let before = stage.stats("q", &["ready", "delayed", "leased", "done"]);
    stage.expect("DEBUG RELOAD", "OK");
    assert_eq!(stage.stats("q", &["ready", "delayed", "leased", "done"]), before);
    assert_eq!((stage.state(&held), stage.state(&done)), ("leased".to_owned(), "done".to_owned()));
    stage.expect(&format!("JOB.ACK {held} {token}"), "OK");
    stage.pass(5000);
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "4 0");
    stage.expect("LOCK.TAKE door bob 100s", "nothing");
    stage.expect("LOCK.DROP door 1", "OK");
    stage.restart(10);
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "4 0");
}
