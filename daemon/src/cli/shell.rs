//! `pbj cli`: any command, as an argument list, from a pipe, or line by line at a terminal.
//!
//! It has a connection of its own that is read as it comes, so that what goes on coming (SUBSCRIBE, MONITOR) is shown.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pbj_store::resp::request::split_words;
use redis::{ConnectionAddr, Parser, Value};

use super::address::Address;
use super::fault::{Fault, Kind};
use super::{print, reply};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Commands after which answers go on coming.
const ENDLESS: [&str; 4] = ["subscribe", "psubscribe", "ssubscribe", "monitor"];

/// `pbj cli`.
#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    /// Show bytes as they are, without quotes and numbers [default unless at a terminal]
    #[arg(long, conflicts_with = "no_raw")]
    raw: bool,
    /// Show quotes, numbers and types also to a pipe
    #[arg(long)]
    no_raw: bool,
    /// Speak RESP3
    #[arg(short = '3')]
    resp3: bool,
    /// The command and its arguments; without one, each line of standard input is one
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Wire {
    stream: Box<dyn Stream>,
    parser: Parser,
    shown: String,
}

impl Wire {
    fn connect(address: &Address, resp3: bool) -> Result<Self, Fault> {
        let fault = |error: std::io::Error| Fault::from_redis(&error.into(), &address.shown);
        let stream: Box<dyn Stream> = match address.info.addr() {
            ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).map_err(fault)?),
            ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port).map_err(fault)?),
            _ => return Err(Fault::usage("TLS is not supported yet")),
        };
        let mut wire = Self { stream, parser: Parser::new(), shown: address.shown.clone() };
        let settings = address.info.redis_settings();
        let mut greeting: Vec<Vec<String>> = Vec::new();
        if let Some(password) = settings.password() {
            let user = settings.username().map(str::to_owned);
            greeting.push(["AUTH".to_owned()].into_iter().chain(user).chain([password.to_owned()]).collect());
        }
        if resp3 {
            greeting.push(vec!["HELLO".to_owned(), "3".to_owned()]);
        }
        if settings.db() != 0 {
            greeting.push(vec!["SELECT".to_owned(), settings.db().to_string()]);
        }
        for words in greeting {
            let words: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
            if let Value::ServerError(error) = wire.call(&words)? {
                let kind = if words[0] == b"SELECT" { Kind::Usage } else { Kind::Denied };
                let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
                return Err(Fault::new(kind, text.trim_end()));
            }
        }
        Ok(wire)
    }

    fn call(&mut self, words: &[Vec<u8>]) -> Result<Value, Fault> {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        let sent = self.stream.write_all(&command.get_packed_command()).and_then(|()| self.stream.flush());
        sent.map_err(|error| Fault::from_redis(&error.into(), &self.shown))?;
        self.next()
    }

    fn next(&mut self) -> Result<Value, Fault> {
        self.parser.parse_value(&mut self.stream).map_err(|error| Fault::from_redis(&error, &self.shown))
    }
}

fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = None;
    for address in std::net::ToSocketAddrs::to_socket_addrs(&(host, port))? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("the host has no address")))
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Pretty,
    Json,
}

impl Shell {
    /// Runs commands; returns the exit code: 1 if the daemon answered the last one with an error.
    pub(crate) fn run(self, address: &Address, json: bool) -> Result<i32, Fault> {
        let form = match (json, self.raw, self.no_raw || print::is_terminal()) {
            (true, ..) => Form::Json,
            (_, false, true) => Form::Pretty,
            _ => Form::Raw,
        };
        let mut wire = Wire::connect(address, self.resp3)?;
        if !self.words.is_empty() {
            let words: Vec<Vec<u8>> = self.words.into_iter().map(String::into_bytes).collect();
            let good = run_one(&mut wire, &words, form)?;
            return Ok(if good { crate::exit::OK } else { crate::exit::FAILURE });
        }
        let interactive = std::io::stdin().is_terminal() && print::is_terminal();
        lines(wire, address, self.resp3, form, interactive)
    }
}

fn run_one(wire: &mut Wire, words: &[Vec<u8>], form: Form) -> Result<bool, Fault> {
    let mut answer = wire.call(words)?;
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    let endless = ENDLESS.contains(&&*name);
    loop {
        let good = !matches!(answer, Value::ServerError(_));
        print::raw(&shown(&answer, form))?;
        if !endless || !good {
            return Ok(good);
        }
        answer = wire.next()?;
    }
}

fn lines(
    mut wire: Wire,
    address: &Address,
    resp3: bool,
    form: Form,
    interactive: bool,
) -> Result<i32, Fault> {
    let prompt = format!("{}> ", address.shown.trim_start_matches("redis://"));
    let mut input = std::io::stdin().lock();
    let mut good = true;
    loop {
        if interactive {
            print::raw(prompt.as_bytes())?;
        }
        let mut line = Vec::new();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|error| Fault::new(Kind::Io, format!("standard input: {error}")))? == 0 {
            if interactive {
                print::raw(b"\n")?;
            }
            return Ok(if good { crate::exit::OK } else { crate::exit::FAILURE });
        }
        let words = match split_words(line.trim_ascii()) {
            Ok(words) => words,
            Err(_) if interactive => {
                eprintln!("pbj: quotes do not match");
                continue;
            }
            Err(_) => return Err(Fault::new(Kind::Input, "quotes do not match")),
        };
        let Some(first) = words.first() else { continue };
        if interactive && [&b"quit"[..], b"exit"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Ok(crate::exit::OK);
        }
        match run_one(&mut wire, &words, form) {
            Ok(answer) => good = answer,
            // At a terminal a daemon that went away may come back.
            Err(fault) if interactive && fault.may_pass() => {
                fault.report(false);
                if let Ok(new) = Wire::connect(address, resp3) {
                    wire = new;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
}

fn shown(value: &Value, form: Form) -> Vec<u8> {
    match form {
        Form::Json => format!("{}\n", reply::to_json(value)).into_bytes(),
        Form::Pretty => pretty(value, "").into_bytes(),
        Form::Raw => {
            let mut bytes = Vec::new();
            raw(value, &mut bytes);
            bytes.push(b'\n');
            bytes
        }
    }
}

fn raw(value: &Value, out: &mut Vec<u8>) {
    let mut several = |items: &mut dyn Iterator<Item = &Value>| {
        for (nth, item) in items.enumerate() {
            if nth > 0 {
                out.push(b'\n');
            }
            raw(item, out);
        }
    };
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
            several(&mut items.iter());
        }
        Value::Map(pairs) => several(&mut pairs.iter().flat_map(|(key, value)| [key, value])),
        Value::BulkString(bytes) => out.extend_from_slice(bytes),
        Value::ServerError(error) => {
            out.extend_from_slice(
                format!("{} {}", error.code(), error.details().unwrap_or_default()).as_bytes(),
            );
        }
        Value::Nil => {}
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Boolean(flag) => out.extend_from_slice(flag.to_string().as_bytes()),
        other => out.extend_from_slice(reply::text(other).as_bytes()),
    }
}

/// As redis-cli shows it at a terminal.
fn pretty(value: &Value, indent: &str) -> String {
    match value {
        Value::Nil => "(nil)\n".to_owned(),
        Value::Int(number) => format!("(integer) {number}\n"),
        Value::Double(number) => format!("(double) {number}\n"),
        Value::Boolean(flag) => format!("({flag})\n"),
        Value::BulkString(bytes) => format!("\"{}\"\n", bytes.escape_ascii()),
        Value::ServerError(error) => {
            format!("(error) {} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned()
                + "\n"
        }
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } if items.is_empty() => {
            "(empty array)\n".to_owned()
        }
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
            let width = items.len().to_string().len();
            let rows = items.iter().enumerate().map(|(nth, item)| {
                let lead = if nth == 0 { "" } else { indent };
                let inner = format!("{indent}{}", " ".repeat(width + 2));
                format!("{lead}{:>width$}) {}", nth + 1, pretty(item, &inner))
            });
            rows.collect()
        }
        Value::Map(pairs) if pairs.is_empty() => "(empty hash)\n".to_owned(),
        Value::Map(pairs) => {
            let width = pairs.len().to_string().len();
            let rows = pairs.iter().enumerate().map(|(nth, (key, value))| {
                let lead = if nth == 0 { "" } else { indent };
                let inner = format!("{indent}{}", " ".repeat(width + 2));
                format!(
                    "{lead}{:>width$}# {} => {}",
                    nth + 1,
                    pretty(key, "").trim_end(),
                    pretty(value, &inner)
                )
            });
            rows.collect()
        }
        other => format!("{}\n", reply::text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_look_as_in_redis_cli() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let nested =
            Value::Array(vec![Value::Int(1), Value::Array(vec![text("a\"b"), Value::Nil]), Value::Okay]);
        assert_eq!(pretty(&nested, ""), "1) (integer) 1\n2) 1) \"a\\\"b\"\n   2) (nil)\n3) OK\n");
        assert_eq!(shown(&nested, Form::Raw), b"1\na\"b\n\nOK\n");
        let map = Value::Map(vec![(text("k"), Value::Boolean(true))]);
        assert_eq!(pretty(&map, ""), "1# \"k\" => (true)\n");
        assert_eq!(shown(&map, Form::Json), b"{\"k\":true}\n");
    }
}
