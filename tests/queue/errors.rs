//! Every error text that a bad option, number or duration has, and that nothing happens then.

use crate::stage::Stage;

const DURATION: &str = "-ERR a duration is a number of milliseconds, or a number with ms, s, m, h or d";
const INSTANT: &str = "-ERR a time is a number of Unix milliseconds, or RFC 3339 text";
const LATE: &str = "-ERR a time must not lie beyond the year 9999";
const SYNTAX: &str = "-ERR syntax error";
const BACKOFF: &str = "-ERR a backoff is fixed:DURATION, exp:BASE:MAX[:JITTER] with a jitter of 0 to 1, or \
                       list:DURATION,...";

/// Each line fails with its text, and changes nothing.
#[track_caller]
fn refuse(lines: &[(&str, &str)]) {
    let mut stage = Stage::new();
    stage.run("SET witness 1");
    let before = stage.server.engine.digest();
    for (line, error) in lines {
        stage.expect(line, error);
        assert_eq!(stage.server.engine.digest(), before, "{line} changed something");
    }
}

#[test]
fn of_a_push() {
    refuse(&[
        ("JOB.PUSH", "-ERR wrong number of arguments for 'job.push' command"),
        ("JOB.PUSH q t p DELAY", SYNTAX),
        ("JOB.PUSH q t p NONSENSE 1", SYNTAX),
        ("JOB.PUSH q t p DELAY -1", DURATION),
        ("JOB.PUSH q t p DELAY 1.5", DURATION),
        ("JOB.PUSH q t p DELAY 1w", DURATION),
        ("JOB.PUSH q t p DELAY 18446744073709551616", DURATION),
        ("JOB.PUSH q t p DELAY 3654d", "-ERR DELAY must not exceed ten years"),
        ("JOB.PUSH q t p AT tomorrow", INSTANT),
        ("JOB.PUSH q t p AT -5", INSTANT),
        ("JOB.PUSH q t p AT 5 DELAY 5", "-ERR only one of DELAY and AT can be given, once"),
        ("JOB.PUSH q t p DELAY 5 DELAY 5", "-ERR only one of DELAY and AT can be given, once"),
        ("JOB.PUSH q t p PRIO 32768", "-ERR PRIO must be between -32768 and 32767"),
        ("JOB.PUSH q t p PRIO nan", "-ERR PRIO must be between -32768 and 32767"),
        ("JOB.PUSH q t p ATTEMPTS 0", "-ERR ATTEMPTS must be between 1 and 10000"),
        ("JOB.PUSH q t p ATTEMPTS 9223372036854775808", "-ERR ATTEMPTS must be between 1 and 10000"),
        ("JOB.PUSH q t p LOST -1", "-ERR LOST must be between 0 and 10000"),
        ("JOB.PUSH q t p LOST 10001", "-ERR LOST must be between 0 and 10000"),
        ("JOB.PUSH q t p LEASE 0", "-ERR LEASE must be between 1ms and 7d"),
        ("JOB.PUSH q t p LEASE 8d", "-ERR LEASE must be between 1ms and 7d"),
        ("JOB.PUSH q t p LEASE x", DURATION),
        ("JOB.PUSH q t p KEEP 3654d", "-ERR KEEP must not exceed ten years"),
        ("JOB.PUSH q t p BACKOFF 5s", BACKOFF),
        ("JOB.PUSH q t p BACKOFF exp:1s:2s:nan", BACKOFF),
        ("JOB.PUSH q t p BACKOFF exp:1s:2s:1.5", BACKOFF),
        ("JOB.PUSH q t p BACKOFF list:", BACKOFF),
        ("JOB.PUSH q t p BACKOFF fixed:4000d", BACKOFF),
        ("JOB.PUSH q t p AT 253402300800000", LATE),
        ("JOB.PUSH q t p AT 9223372036854775808", LATE),
        ("JOB.PUSH q t p AT 18446744073709551616", LATE),
    ]);
}

#[test]
fn of_a_fetch() {
    let worker = "-ERR a worker name has 1 to 128 bytes without spaces and control characters";
    let many = "q ".repeat(257);
    refuse(&[
        ("JOB.FETCH w QUEUES", "-ERR wrong number of arguments for 'job.fetch' command"),
        ("JOB.FETCH \"\" QUEUES q", worker),
        ("JOB.FETCH \"a b\" QUEUES q", worker),
        ("JOB.FETCH w COUNT 0 QUEUES q", "-ERR COUNT must be between 1 and 10000"),
        ("JOB.FETCH w COUNT 10001 QUEUES q", "-ERR COUNT must be between 1 and 10000"),
        ("JOB.FETCH w BLOCK -1 QUEUES q", DURATION),
        ("JOB.FETCH w LEASE 0 QUEUES q", "-ERR LEASE must be between 1ms and 7d"),
        ("JOB.FETCH w COUNT 1 q", SYNTAX),
        ("JOB.FETCH w WEIGHTED QUEUES q", SYNTAX),
        ("JOB.FETCH w COUNT 1 QUEUES", "-ERR QUEUES names 1 to 256 queues"),
        (&format!("JOB.FETCH w QUEUES {many}"), "-ERR QUEUES names 1 to 256 queues"),
    ]);
    let mut stage = Stage::new();
    let name = stage.run("JOB.FETCH w QUEUES q lock");
    assert!(name.starts_with("-ERR a queue name has"), "{name}");
}

#[test]
fn of_verbs_that_need_a_token() {
    let token = "-ERR a token is a number";
    refuse(&[
        ("JOB.ACK mail:1", "-ERR wrong number of arguments for 'job.ack' command"),
        ("JOB.ACK mail:1 x", token),
        ("JOB.ACK mail:1 -1", token),
        ("JOB.ACK mail:1 1.0", token),
        ("JOB.ACK mail:1 1", "-STALE mail:1 unknown"),
        ("JOB.ACK mail:1 18446744073709551615", "-STALE mail:1 unknown"),
        ("JOB.ACK mail:1 1 NONSENSE", SYNTAX),
        ("JOB.ACK mail:1 1 RESULT", SYNTAX),
        ("JOB.ACK mail:1 1 RESULT x y", SYNTAX),
        ("JOB.ACK \"a\\r\\nb\" 1", "-STALE a  b unknown"),
        ("JOB.MACK mail:1", "-ERR wrong number of arguments for 'job.mack' command"),
        ("JOB.MACK mail:1 1 mail:2", "-ERR wrong number of arguments for 'job.mack' command"),
        ("JOB.MACK mail:1 1 mail:2 x", "[-STALE mail:1 unknown -ERR a token is a number]"),
        ("JOB.FAIL mail:1 1", "-STALE mail:1 unknown"),
        ("JOB.FAIL mail:1 1 RETRY 5 NORETRY", SYNTAX),
        ("JOB.FAIL mail:1 1 NORETRY RETRY 5", SYNTAX),
        ("JOB.FAIL mail:1 1 RETRY -5", DURATION),
        ("JOB.FAIL mail:1 1 MSG", SYNTAX),
        ("JOB.EXTEND mail:1 1", "-STALE mail:1 unknown"),
        ("JOB.EXTEND mail:1 1 LEASE 0", "-ERR LEASE must be between 1ms and 7d"),
        ("JOB.EXTEND mail:1 1 5", SYNTAX),
        ("JOB.RELEASE mail:1 1", "-STALE mail:1 unknown"),
        ("JOB.RELEASE mail:1 1 x", "-ERR wrong number of arguments for 'job.release' command"),
    ]);
}

#[test]
fn of_looking_around() {
    refuse(&[
        ("JOB.GET", "-ERR wrong number of arguments for 'job.get' command"),
        ("JOB.GET mail:1", "nothing"),
        ("JOB.CANCEL mail:1", "nothing"),
        ("JOB.CANCEL mail:1 WHY x", SYNTAX),
        ("JOB.RETRY mail:1", "nothing"),
        ("JOB.SCAN x", "-ERR invalid cursor"),
        ("JOB.SCAN -1", "-ERR invalid cursor"),
        ("JOB.SCAN 0 STATE asleep", "-ERR STATE is one of ready, delayed, leased, done, dead, cancelled"),
        ("JOB.SCAN 0 OLDER x", DURATION),
        ("JOB.SCAN 0 COUNT 0", "-ERR COUNT must be between 1 and 1000000"),
        ("JOB.SCAN 0 NONSENSE x", SYNTAX),
        ("JOB.SCAN 0", "[0 []]"),
        ("QUEUE.STATS", "-ERR wrong number of arguments for 'queue.stats' command"),
        ("QUEUE.STATS mail", "nothing"),
        ("QUEUE.LIST x", "-ERR wrong number of arguments for 'queue.list' command"),
        ("QUEUE.LIST", "[]"),
    ]);
}

#[test]
fn of_locks() {
    let held = "-ERR a lock is held for 1ms to 7d";
    refuse(&[
        ("LOCK.TAKE l o", "-ERR wrong number of arguments for 'lock.take' command"),
        ("LOCK.TAKE \"\" o 5", "-ERR a lock name has 1 to 128 bytes without spaces and control characters"),
        ("LOCK.TAKE l \"a b\" 5", "-ERR an owner has 1 to 128 bytes without spaces and control characters"),
        ("LOCK.TAKE l o 0", held),
        ("LOCK.TAKE l o 8d", held),
        ("LOCK.TAKE l o -1", DURATION),
        ("LOCK.TAKE l o 5 WAIT x", DURATION),
        ("LOCK.TAKE l o 5 NONSENSE 1", SYNTAX),
        ("LOCK.EXTEND l 1", "-STALE l free"),
        ("LOCK.EXTEND l x", "-ERR a token is a number"),
        ("LOCK.EXTEND l 1 0", held),
        ("LOCK.EXTEND l 1 5 5", SYNTAX),
        ("LOCK.DROP l 1", "-STALE l free"),
        ("LOCK.DROP l x", "-ERR a token is a number"),
        ("LOCK.INFO l", "nothing"),
    ]);
}

#[test]
fn of_schedules() {
    let when = "-ERR a schedule is CRON expression, EVERY duration, or AT time";
    let many = "-ERR a schedule pushes many jobs: ID and AT make no sense for them";
    let id = "-ERR a schedule id has 1 to 128 bytes without spaces and control characters";
    refuse(&[
        ("CRON.SET s EVERY 5s PUSH q t", "-ERR wrong number of arguments for 'cron.set' command"),
        ("CRON.SET \"a b\" EVERY 5s PUSH q t p", id),
        ("CRON.SET s SOMETIMES 5s PUSH q t p", when),
        ("CRON.SET s AT tomorrow PUSH q t p", INSTANT),
        ("CRON.SET s AT 18446744073709551615 PUSH q t p", LATE),
        (
            "CRON.SET s CRON \"* * 31 2 *\" PUSH q t p",
            "-ERR '* * 31 2 *' never fires: no day until the end of 2100 is as it says",
        ),
        (
            "CRON.LOAD \"0 0 1 2 * true\\n0 0 30 2 * true\\n\"",
            "-ERR line 2: '0 0 30 2 *' never fires: no day until the end of 2100 is as it says; nothing was loaded",
        ),
        ("CRON.SET s EVERY 5s CATCHUP some PUSH q t p", "-ERR CATCHUP is one of none, last, all"),
        ("CRON.SET s EVERY 5s OVERLAP some PUSH q t p", "-ERR OVERLAP is one of skip, allow"),
        ("CRON.SET s EVERY 5s NONSENSE x PUSH q t p", SYNTAX),
        ("CRON.SET s EVERY 5s PUSH q t p ID x", many),
        ("CRON.SET s EVERY 5s PUSH q t p AT 5", many),
        ("CRON.SET s EVERY 5s PUSH q t p NONSENSE 5", SYNTAX),
        ("CRON.SET s EVERY 5s TZ UTC x y", SYNTAX),
        ("CRON.GET s", "nothing"),
        ("CRON.DEL s", "0"),
        ("CRON.LIST", "[]"),
        ("CRON.NEXT \"* * * * *\" COUNT 0", "-ERR COUNT must be between 1 and 10000"),
        ("CRON.NEXT \"* * * * *\" COUNT 10001", "-ERR COUNT must be between 1 and 10000"),
        ("CRON.NEXT \"* * * * *\" FROM 9223372036854775807", "-ERR FROM is out of range"),
        ("CRON.NEXT \"* * * * *\" FROM x", "-ERR value is not an integer or out of range"),
        ("CRON.LOAD \"* * * * * true\\n\" NONSENSE", SYNTAX),
    ]);
    let mut stage = Stage::new();
    for bad in ["60 * * * *", "* * * *", "* * 0 * *", "\"\"", "@sometimes", "@every 0s", "@every x"] {
        for line in [format!("CRON.SET s CRON \"{bad}\" PUSH q t p"), format!("CRON.NEXT \"{bad}\"")] {
            let line = line.replace("\"\"\"\"", "\"\"");
            let reply = stage.run(&line);
            assert!(reply.starts_with("-ERR "), "{line}: {reply}");
        }
    }
    for zone in ["Mars/Olympus", "../etc/passwd", "\"\""] {
        let reply = stage.run(&format!("CRON.NEXT \"* * * * *\" TZ {zone}"));
        assert!(reply.starts_with("-ERR "), "{zone}: {reply}");
    }
}

#[test]
fn keys_of_the_queue_are_written_by_its_verbs_only() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH mail send a");
    let refused = "-ERR keys that begin with 'pbj:' belong to the queue and are written by its commands only";
    for line in [
        "DEL pbj:{mail}:job:1",
        "UNLINK x pbj:{mail}",
        "HSET pbj:{mail}:job:1 state done",
        "HDEL pbj:{mail}:job:1 payload",
        "EXPIRE pbj:{mail}:job:1 1",
        "SET pbj:x 1",
        "RENAME pbj:{mail} y",
        "RENAME y pbj:{mail}",
        "COPY y pbj:{mail}",
        "MOVE pbj:{mail} 1",
        "MSET a 1 pbj:b 2",
        "LPUSH pbj:l x",
    ] {
        stage.expect(line, refused);
    }
    stage.expect("HGET pbj:{mail}:job:1 payload", "a");
    stage.expect("TYPE pbj:{mail}", "hash");
}
