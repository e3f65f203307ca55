//! Whose requests are executed first, among the connections of one I/O thread, and that idle ones take no room.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use redis::Commands;

use crate::daemon::{Daemon, say, within};

/// A daemon with one I/O thread, for clients that share one processor from here on: what two processors send has no
/// order that anybody could keep.
fn one_thread(folder: &Path) -> Daemon {
    let daemon = Daemon::start_on(folder, &["--io-threads", "1"]);
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap()).unwrap();
    let mut only = CpuSet::new();
    only.set(first).unwrap();
    sched_setaffinity(this_thread, &only).unwrap();
    daemon
}

fn connect(daemon: &Daemon) -> TcpStream {
    TcpStream::connect(("127.0.0.1", daemon.port)).unwrap()
}

fn read_reply(stream: &mut TcpStream, expected: &str) {
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8(reply).unwrap(), expected);
}

/// A client that sends over one connection and then over another expects the first to be executed first.
#[test]
fn who_comes_first_is_served_first() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = one_thread(folder.path());
    let mut clients: Vec<TcpStream> = (0..20).map(|_| connect(&daemon)).collect();
    let mut r = daemon.connect();
    for round in 0..50 {
        for (nth, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("RPUSH order:{round} {nth}\r\n").as_bytes()).unwrap();
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            read_reply(client, &format!(":{}\r\n", nth + 1));
        }
        let order: Vec<usize> = r.lrange(format!("order:{round}"), 0, -1).unwrap();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}

/// The same of connections that are new: what they send may come before anybody looked at them.
#[test]
fn newcomers_do_not_go_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = one_thread(folder.path());
    for round in 0..300 {
        let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(&daemon)).collect();
        for client in &mut clients {
            client.write_all(format!("INCR order:{round}\r\n").as_bytes()).unwrap();
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            read_reply(client, &format!(":{}\r\n", nth + 1));
        }
    }
}

/// Those who wait are set free in the order in which they came, and what they sent meanwhile is executed in that order.
#[test]
fn who_waited_first_goes_on_first() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = one_thread(folder.path());
    let mut r = daemon.connect();
    for round in 0..50 {
        let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(&daemon)).collect();
        for (nth, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("BLPOP wanted 0\r\nRPUSH order:{round} {nth}\r\n").as_bytes()).unwrap();
        }
        within(30, "all wait", true, || {
            say(&mut r, "INFO clients").unwrap().contains("blocked_clients:10\r\n")
        });
        let words: Vec<String> = (0..10).map(|nth| nth.to_string()).collect();
        let _: usize = r.rpush("wanted", &words).unwrap();
        for (nth, client) in clients.iter_mut().enumerate() {
            read_reply(client, &format!("*2\r\n$6\r\nwanted\r\n$1\r\n{nth}\r\n:{}\r\n", nth + 1));
        }
    }
}

/// A request that comes in pieces has room of its own until it is whole, and nobody reads what another one left.
#[test]
fn pieces_of_requests_stay_with_their_connections() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = one_thread(folder.path());
    let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&daemon)).collect();
    let value = |nth: usize| char::from(b'a' + nth as u8).to_string().repeat(3000 * (nth + 1));
    let requests: Vec<Vec<u8>> = (0..8)
        .map(|nth| {
            let value = value(nth);
            format!("PING\r\n*3\r\n$3\r\nSET\r\n$1\r\n{nth}\r\n${}\r\n{value}\r\n", value.len()).into_bytes()
        })
        .collect();
    let longest = requests.iter().map(Vec::len).max().unwrap();
    for at in (0..longest).step_by(700) {
        for (client, request) in clients.iter_mut().zip(&requests) {
            client.write_all(&request[at.min(request.len())..(at + 700).min(request.len())]).unwrap();
        }
    }
    let mut r = daemon.connect();
    for (nth, client) in clients.iter_mut().enumerate() {
        read_reply(client, "+PONG\r\n+OK\r\n");
        let kept: String = r.get(nth).unwrap();
        assert_eq!(kept, value(nth));
    }
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut r).unwrap();
    let idle = list.lines().filter(|line| line.contains(" qbuf=0 qbuf-free=0 ") && line.contains(" omem=0 "));
    assert_eq!(idle.count(), 8, "{list}");
}
