//! LOCK.TAKE, LOCK.EXTEND, LOCK.DROP, LOCK.INFO: one holder, rising tokens, a fair line.

use crate::stage::Stage;

#[test]
fn one_holds_it_and_the_others_do_not() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("LOCK.TAKE door ann 10s", "1"),
        ("LOCK.TAKE door bob 10s", "nothing"),
        // Not even its own holder gets it twice.
        ("LOCK.TAKE door ann 10s", "nothing"),
        ("LOCK.TAKE gate bob 10s", "2"),
    ]);
    let deadline = stage.wall_ms() + 10_000;
    stage.expect("LOCK.INFO door", &format!("[name door owner ann token 1 deadline {deadline}]"));
    stage.expect_all(&[
        ("LOCK.DROP door 2", "-STALE door held under another token"),
        ("LOCK.DROP door 1", "OK"),
        ("LOCK.DROP door 1", "-STALE door free"),
        ("LOCK.INFO door", "nothing"),
        ("LOCK.TAKE door bob 10s", "3"),
        ("LOCK.EXTEND door 1", "-STALE door held under another token"),
    ]);
}

#[test]
fn it_ends_at_its_time_and_an_extension_moves_that() {
    let mut stage = Stage::new();
    stage.expect("LOCK.TAKE l ann 100", "1");
    stage.pass(99);
    let until = stage.wall_ms() + 100;
    stage.expect("LOCK.EXTEND l 1", &until.to_string());
    stage.pass(99);
    let until = stage.wall_ms() + 5000;
    stage.expect("LOCK.EXTEND l 1 5s", &until.to_string());
    stage.pass(4999);
    // From now on the new length counts.
    let until = stage.wall_ms() + 5000;
    stage.expect("LOCK.EXTEND l 1", &until.to_string());
    stage.pass(4999);
    stage.expect("LOCK.TAKE l bob 1s", "nothing");
    stage.pass(1);
    stage.expect_all(&[("LOCK.EXTEND l 1", "-STALE l free"), ("LOCK.TAKE l bob 1s", "2")]);
}

#[test]
fn the_line_is_fair() {
    let mut stage = Stage::new();
    let clients: Vec<_> = (0..3).map(|_| stage.connect()).collect();
    stage.run("LOCK.TAKE l ann 100");
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(stage.send(*client, &format!("LOCK.TAKE l w{number} 100 WAIT 0")).0, b"");
    }
    let other = stage.connect();
    let (_, woken) = stage.send(other, "LOCK.DROP l 1");
    assert_eq!(woken, [(clients[0], "2".to_owned())]);
    // Somebody who comes now is behind those who wait, also in the moment when it becomes free.
    assert_eq!(stage.pass(99), []);
    assert_eq!(stage.pass(1), [(clients[1], "3".to_owned())]);
    stage.server.disconnect(clients[2]);
    assert_eq!(stage.pass(100), []);
    stage.expect("LOCK.INFO l", "nothing");
}

#[test]
fn waiting_ends_at_its_time() {
    let mut stage = Stage::new();
    stage.run("LOCK.TAKE l ann 1h");
    let waiter = stage.connect();
    stage.send(waiter, "LOCK.TAKE l bob 1s WAIT 200");
    assert_eq!(stage.pass(199), []);
    assert_eq!(stage.pass(1), [(waiter, "nothing".to_owned())]);
}

#[test]
fn it_survives_a_restart_but_not_for_longer_than_it_was_taken() {
    let mut stage = Stage::new();
    stage.run("LOCK.TAKE l ann 30s");
    stage.restart(1000);
    stage.expect("LOCK.TAKE l bob 1s", "nothing");
    stage.restart(3_600_000);
    stage.pass(4999);
    let until = stage.wall_ms() + 30_000;
    stage.expect("LOCK.EXTEND l 1", &until.to_string());
    stage.pass(30_000);
    stage.expect("LOCK.INFO l", "nothing");
    let token: u64 = stage.run("LOCK.TAKE l bob 1s").parse().unwrap();
    assert!(token > 1);
}

#[test]
fn the_wall_clock_does_not_matter() {
    let mut stage = Stage::new();
    stage.run("LOCK.TAKE l ann 10s");
    stage.set_wall(86_400_000);
    stage.expect("LOCK.TAKE l bob 1s", "nothing");
    stage.set_wall(-2 * 86_400_000);
    stage.pass(9999);
    stage.expect("LOCK.TAKE l bob 1s", "nothing");
    stage.pass(1);
    stage.expect("LOCK.TAKE l bob 1s", "2");
}

#[test]
fn inside_a_transaction_nobody_waits() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("LOCK.TAKE l ann 10s", "1"),
        ("MULTI", "OK"),
        ("LOCK.TAKE l bob 10s WAIT 0", "QUEUED"),
        ("LOCK.DROP l 1", "QUEUED"),
        ("LOCK.TAKE l bob 10s WAIT 0", "QUEUED"),
        ("EXEC", "[nothing OK 2]"),
    ]);
}

#[test]
fn bounds() {
    let mut stage = Stage::new();
    let name = "x".repeat(128);
    stage.expect(&format!("LOCK.TAKE {name} {name} 7d"), "1");
    stage.expect(
        &format!("LOCK.TAKE {name}x o 1"),
        "-ERR a lock name has 1 to 128 bytes without spaces and control characters",
    );
    stage.expect("LOCK.TAKE l o 1", "2");
    stage.pass(1);
    stage.expect("LOCK.INFO l", "nothing");
}
