//! Clients that do not read what they are sent, and keys that move from one daemon to another.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis::{Commands, Connection, RedisResult};

use crate::daemon::{Daemon, within};

/// Bytes that wait for the client with this name, as CLIENT LIST tells; nothing if there is no such client.
fn waiting_for(r: &mut Connection, name: &str) -> Option<usize> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(r).unwrap();
    let line = list.lines().find(|line| line.contains(&format!("name={name} ")))?;
    let field = line.split(' ').find_map(|field| field.strip_prefix("omem="));
    Some(field.unwrap().parse().unwrap())
}

const VALUE: usize = 1 << 20;
const REQUESTS: usize = 200;

/// A client that sends requests and does not read, with a value of a mebibyte to ask for.
fn slow_client(daemon: &Daemon) -> TcpStream {
    let mut r = daemon.connect();
    let _: () = r.set("big", vec![b'x'; VALUE]).unwrap();
    let mut slow = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
    slow.write_all(b"CLIENT SETNAME slow\r\n").unwrap();
    slow.write_all("GET big\r\n".repeat(REQUESTS).as_bytes()).unwrap();
    slow
}

/// All its requests are sent before it reads: replies pile up to a bound, others are served meanwhile, and when it
/// reads it gets every reply, in order.
#[test]
fn replies_pile_up_to_a_bound_and_none_is_lost() {
    let daemon = Daemon::start();
    let mut slow = slow_client(&daemon);
    let mut r = daemon.connect();
    within(30, "replies pile up", true, || waiting_for(&mut r, "slow").is_some_and(|bytes| bytes > 32 << 20));
    std::thread::sleep(Duration::from_millis(200));
    let waiting = waiting_for(&mut r, "slow").unwrap();
    assert!(waiting < 80 << 20, "{waiting} bytes wait, and more would");
    slow.write_all(b"ECHO end\r\n").unwrap();
    let one = VALUE + format!("${VALUE}\r\n\r\n").len();
    let mut replies = vec![0; 5 + REQUESTS * one + 9];
    slow.read_exact(&mut replies).unwrap();
    assert!(replies.starts_with(b"+OK\r\n$1048576\r\nxxx"));
    assert!(replies.ends_with(b"xxx\r\n$3\r\nend\r\n"));
    within(30, "nothing waits", Some(0), || waiting_for(&mut r, "slow"));
}

/// The limit of its class cuts it off, and gives the memory back.
#[test]
fn a_client_beyond_its_limit_is_cut_off() {
    let daemon = Daemon::start();
    let mut r = daemon.connect();
    let set = |r: &mut Connection, name: &str, value: &str| -> RedisResult<()> {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(r)
    };
    set(&mut r, "client-output-buffer-limit", "normal 10mb 0 0").unwrap();
    let _slow = slow_client(&daemon);
    within(30, "it is cut off", None, || waiting_for(&mut r, "slow"));
    set(&mut r, "client-output-buffer-limit", "normal 0 5mb 1").unwrap();
    let _slow = slow_client(&daemon);
    within(30, "it is cut off after a second", None, || waiting_for(&mut r, "slow"));
}

/// Keys of every type, with and without a date, go to another daemon, and only what arrived is gone here.
#[test]
fn keys_move_to_another_daemon() {
    let (from, to) = (Daemon::start(), Daemon::start());
    let (mut here, mut there) = (from.connect(), to.connect());
    let _: () = here.set("text", "t").unwrap();
    let _: () = here.hset("hash", "f", "v").unwrap();
    let _: () = here.pexpire("hash", 50_000).unwrap();
    let _: () = there.set("taken", "theirs").unwrap();
    let _: () = here.set("taken", "ours").unwrap();
    let migrate = |r: &mut Connection, words: &[&str]| -> RedisResult<String> {
        let mut command = redis::cmd("MIGRATE");
        command.arg("127.0.0.1").arg(to.port).arg("").arg(0).arg(5000);
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query(r)
    };
    let refused = migrate(&mut here, &["KEYS", "text", "taken", "hash"]).unwrap_err().to_string();
    assert!(refused.contains("BUSYKEY"), "{refused}");
    assert_eq!(here.exists::<_, usize>(&["text", "taken", "hash"]).unwrap(), 1);
    assert_eq!(there.get::<_, String>("taken").unwrap(), "theirs");
    assert_eq!(there.hget::<_, _, String>("hash", "f").unwrap(), "v");
    assert!((40_000..=50_000).contains(&there.pttl::<_, i64>("hash").unwrap()));
    assert_eq!(migrate(&mut here, &["COPY", "REPLACE", "KEYS", "taken"]).unwrap(), "OK");
    assert_eq!(there.get::<_, String>("taken").unwrap(), "ours");
    assert_eq!(here.get::<_, String>("taken").unwrap(), "ours");
    drop(to);
    let gone = redis::cmd("MIGRATE").arg(&["127.0.0.1", "1", "taken", "0", "200"]).query::<String>(&mut here);
    assert!(gone.unwrap_err().to_string().contains("IOERR"), "nobody listens there");
    let _: () = here.set("taken", "again").unwrap();
}
