//! Malformed and unusual input, byte by byte: the catalogue next to this file, played against a real `pbjd`.
//!
//! Law: an answer is compared whole, and so is whether the connection can be used afterwards. Whatever came,
//! the daemon answers the next case. Not here: bytes that nobody thought of (`tests/fuzz`,
//! `tests/differential`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends when something is missing")]

#[path = "../shared/ports.rs"]
mod ports;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ports::free_port;
use tempfile::TempDir;

/// Asked behind a case that leaves the connection open, so that the end of its answer is known.
const MARK: &[u8] = b"*2\r\n$4\r\nPING\r\n$6\r\nmarker\r\n";
/// Its answer; the second one is that of RESP2 to a client that listens.
const MARKED: [&[u8]; 2] = [b"$6\r\nmarker\r\n", b"*2\r\n$4\r\npong\r\n$6\r\nmarker\r\n"];
/// How long nothing has to come where nothing should.
const SILENCE: Duration = Duration::from_millis(150);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon of one test; it ends with it.
struct Daemon {
    process: Child,
    port: u16,
    http_port: u16,
    _folder: TempDir,
}

fn connect(port: u16) -> TcpStream {
    let link = TcpStream::connect(("127.0.0.1", port)).unwrap();
    link.set_nodelay(true).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    link
}

impl Daemon {
    fn start(directives: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, http_port) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_pbjd"))
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--http-port", &http_port.to_string()])
            .args(["--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(directives)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process, port, http_port, _folder: folder };
        let is_ready = |port: u16| {
            (0..1000).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            })
        };
        assert!(is_ready(http_port) && is_ready(port), "pbjd does not start");
        daemon
    }

    /// Sends bytes as `how` says, and returns what came back.
    fn answer(&self, how: &str, bytes: &[u8]) -> Vec<u8> {
        let mut link = connect(if how == "http" { self.http_port } else { self.port });
        // What is sent and what comes back may both be more than the kernel holds.
        let mut sender = link.try_clone().unwrap();
        let (way, data) = (how.to_owned(), bytes.to_vec());
        let sending = std::thread::spawn(move || send(&mut sender, &way, &data));
        if how == "waits" {
            link.set_read_timeout(Some(SILENCE)).unwrap();
        }
        let answer = read(&mut link, how);
        drop(link);
        sending.join().unwrap();
        answer
    }

    fn forget_everything(&self) {
        let done = self.answer("open", b"FLUSHALL\r\n");
        assert_eq!(done, b"+OK\r\n");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whatever ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(link: &mut TcpStream, how: &str, bytes: &[u8]) {
    // The daemon may have closed the connection before it had everything.
    let mut send = |bytes: &[u8]| drop(link.write_all(bytes));
    match how {
        "bytewise" => bytes.chunks(1).for_each(&mut send),
        "pieces" => bytes.split(|&byte| byte == b'|').for_each(|piece| {
            send(piece);
            std::thread::sleep(Duration::from_millis(20));
        }),
        _ => send(bytes),
    }
    if leaves_open(how) {
        send(MARK);
    }
    if how == "half" {
        drop(link.shutdown(Shutdown::Write));
    }
}

fn leaves_open(how: &str) -> bool {
    ["open", "bytewise", "pieces"].contains(&how)
}

/// What comes: up to the answer to the mark, or to the end of the connection, or, where nothing should come,
/// for a while.
fn read(link: &mut TcpStream, how: &str) -> Vec<u8> {
    let (mut came, mut piece) = (Vec::new(), [0; 1 << 16]);
    loop {
        match link.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => came.extend_from_slice(&piece[..len]),
            // What it had not read makes the kernel of the other side say so when it closes.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error)
                if how == "waits" && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                return came;
            }
            // The process was stopped for a while, and goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{how}: {error}, after {}", came.escape_ascii()),
        }
        if how == "http" && came.contains(&b'\n') {
            let line = came.iter().position(|&byte| byte == b'\n').unwrap();
            came.truncate(line + 1);
            return came;
        }
        let marked = MARKED.iter().rev().find(|mark| came.ends_with(mark));
        if let Some(mark) = marked.filter(|_| leaves_open(how)) {
            came.truncate(came.len() - mark.len());
            return came;
        }
    }
    assert!(!leaves_open(how) && how != "waits", "closed after {}", came.escape_ascii());
    came
}

/// The bytes that a text of the catalogue stands for.
fn bytes(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        if let Some((repeated, behind)) = repetition(rest) {
            out.extend_from_slice(&repeated);
            rest = behind;
        } else if first == '\\' {
            let (byte, len) = match rest.as_bytes()[1] {
                b'r' => (b'\r', 2),
                b'n' => (b'\n', 2),
                b'\\' => (b'\\', 2),
                b'x' => (u8::from_str_radix(&rest[2..4], 16).unwrap(), 4),
                other => panic!("what is \\{other}?"),
            };
            out.push(byte);
            rest = &rest[len..];
        } else {
            out.extend_from_slice(first.to_string().as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// `{text*count}`, and what stands behind it.
fn repetition(text: &str) -> Option<(Vec<u8>, &str)> {
    let (inside, behind) = text.strip_prefix('{')?.split_once('}')?;
    let (repeated, count) = inside.rsplit_once('*')?;
    Some((bytes(repeated).repeat(count.parse().ok()?), behind))
}

/// Cases of the catalogue that are elsewhere.
const ELSEWHERE: [(u32, &str); 4] = [
    (135, "REPLICAOF, PSYNC and REPLCONF come with replication"),
    (136, "REPLCONF comes with replication"),
    (147, "semaphores come with their commands"),
    (150, "control characters in output: daemon/src/cli/print.rs"),
];

/// Every case of the catalogue has its answer, and the next one is served.
#[test]
fn malformed_input_gets_its_answer() {
    let (daemon, locked) = (Daemon::start(&[]), Daemon::start(&["--requirepass", "secret"]));
    let (mut numbers, mut name, mut sent) = (Vec::new(), "", None);
    for line in include_str!("catalogue.txt").lines() {
        if let Some(title) = line.strip_prefix("== ") {
            numbers.push(title.split(' ').next().unwrap().parse::<u32>().unwrap());
            name = title;
            daemon.forget_everything();
        } else if let Some(answer) = line.strip_prefix('<') {
            let (how, text) = sent.take().unwrap();
            let server = if how == "locked" { &locked } else { &daemon };
            let came = server.answer(how, &bytes(text));
            let wanted = bytes(answer.strip_prefix(' ').unwrap_or(answer));
            assert!(came == wanted, "{name}: {}, and not {answer}", came.escape_ascii());
        } else if !line.is_empty() && !line.starts_with('#') {
            sent = Some(line.split_once(' ').unwrap());
        }
    }
    let missing: Vec<u32> = (1..=154)
        .filter(|number| !numbers.contains(number) && !ELSEWHERE.iter().any(|(other, _)| other == number))
        .collect();
    assert!(missing.is_empty(), "without an answer: {missing:?}");
}
