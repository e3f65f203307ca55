//! How a replica introduces itself to its master, up to the first byte of a dataset or of the stream.

use std::collections::VecDeque;

use super::history::is_id;
use super::kept::Incoming;
use super::master::{LinkFault, Stage};
use super::transfer::{Framing, Transfer};
use crate::engine::{Engine, LogLevel};
use crate::limits::MASTER_LINE_MAX;
use crate::number::parse_i64;
use crate::resp::reply::write_command;

/// What the answer that comes next is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// PING.
    Alive,
    /// AUTH.
    Password,
    /// REPLCONF: a master may not know it.
    Introduction,
    /// PSYNC.
    Stream,
    /// What comes behind FULLRESYNC, or behind SYNC: how the dataset ends.
    Dataset,
}

/// How far the introduction is.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) asked: VecDeque<Asked>,
    /// The history that the dataset begins: its name and offset, if the master says so.
    begins: Option<(String, u64)>,
}

/// Takes a line of what came, without its end; nothing if there is no whole one.
pub(super) fn take_line(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, LinkFault> {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let mut line: Vec<u8> = input.drain(..=end).collect();
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            Ok(Some(line))
        }
        None if input.len() > MASTER_LINE_MAX => Err(LinkFault::Damaged("a line has no end".to_owned())),
        None => Ok(None),
    }
}

fn refused(line: &[u8]) -> LinkFault {
    LinkFault::Refused(String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line)).into_owned())
}

impl Engine {
    /// The connection to the master is there: the first words to it.
    pub(super) fn greet_master(&mut self) {
        let Some(master) = &mut self.replication.master else { return };
        write_command(&mut master.output, &[b"PING"]);
        master.stage = Stage::Handshake(Step { asked: VecDeque::from([Asked::Alive]), begins: None });
    }

    /// Goes on with the introduction as far as what came allows.
    pub(super) fn shake_hands(&mut self) -> Result<(), LinkFault> {
        loop {
            let Some(master) = &mut self.replication.master else { return Err(LinkFault::Outdated) };
            let Stage::Handshake(step) = &mut master.stage else { return Ok(()) };
            let Some(line) = take_line(&mut master.input)? else { return Ok(()) };
            // Masters send empty lines while they prepare something.
            if line.is_empty() {
                continue;
            }
            let Some(asked) = step.asked.pop_front() else {
                return Err(LinkFault::Damaged("an answer that nobody asked for".to_owned()));
            };
            let is_error = line.starts_with(b"-");
            match asked {
                Asked::Alive if is_error && !is_about_access(&line) => return Err(refused(&line)),
                Asked::Alive => self.introduce_myself(),
                Asked::Password if is_error => {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    self.host.note(LogLevel::Warning, format!("Unable to AUTH to MASTER: {text}").as_bytes());
                    return Err(refused(&line));
                }
                Asked::Password | Asked::Introduction => self.ask_for_stream_when_known(),
                Asked::Stream => self.stream_answered(&line)?,
                Asked::Dataset if is_error => return Err(refused(&line)),
                Asked::Dataset => self.begin_transfer_of(&line)?,
            }
        }
    }

    fn introduce_myself(&mut self) {
        let (user, password) = (self.config.text("masteruser"), self.config.text("masterauth"));
        let announced = self.config.integer("replica-announce-port");
        let port = if announced > 0 { announced } else { i64::from(self.host.facts().tcp_port) };
        let port = port.to_string();
        let address = self.config.text("replica-announce-ip");
        let Some(master) = &mut self.replication.master else { return };
        let Stage::Handshake(step) = &mut master.stage else { return };
        let mut say = |asked: Asked, words: &[&[u8]]| {
            write_command(&mut master.output, words);
            step.asked.push_back(asked);
        };
        match (user.as_bytes(), password.as_bytes()) {
            (_, b"") => {}
            (b"", password) => say(Asked::Password, &[b"AUTH", password]),
            (user, password) => say(Asked::Password, &[b"AUTH", user, password]),
        }
        say(Asked::Introduction, &[b"REPLCONF", b"listening-port", port.as_bytes()]);
        if !address.is_empty() {
            say(Asked::Introduction, &[b"REPLCONF", b"ip-address", address.as_bytes()]);
        }
        say(Asked::Introduction, &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]);
    }

    /// Asks for the stream once everything that was said before is answered.
    fn ask_for_stream_when_known(&mut self) {
        let next = (self.data.feed.replica_offset() + 1).to_string();
        let history = &self.replication.history;
        let (id, whole) = (history.id.clone(), history.is_whole);
        let Some(master) = &mut self.replication.master else { return };
        let Stage::Handshake(step) = &mut master.stage else { return };
        if !step.asked.is_empty() {
            return;
        }
        let (id, next) = if whole && !master.from_nothing { (&*id, &*next) } else { ("?", "-1") };
        let words: [&[u8]; 4] = [b"PSYNC", id.as_bytes(), next.as_bytes(), b"FAILOVER"];
        let count = if master.takes_over { 4 } else { 3 };
        write_command(&mut master.output, &words[..count]);
        step.asked.push_back(Asked::Stream);
    }

    fn stream_answered(&mut self, line: &[u8]) -> Result<(), LinkFault> {
        let text = String::from_utf8_lossy(line).into_owned();
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["+FULLRESYNC", id, offset, ..] if is_id(id) => {
                let offset = parse_i64(offset.as_bytes()).and_then(|offset| u64::try_from(offset).ok());
                let offset = offset.ok_or_else(|| LinkFault::Damaged(text.clone()))?;
                self.failover_succeeded();
                self.expect_dataset(Some((id.to_owned(), offset)));
                Ok(())
            }
            ["+CONTINUE", ref rest @ ..] => {
                let id = rest.first().filter(|id| is_id(id)).map(|id| (*id).to_owned());
                self.failover_succeeded();
                self.continue_stream(id)
            }
            // It will be able to, later.
            [word, ..] if word == "-NOMASTERLINK" || word == "-LOADING" => Err(refused(line)),
            [word, ..] if word.starts_with('-') => {
                if self.failover_was_refused(&text) {
                    return Err(refused(line));
                }
                // A master from before partial syncs.
                if let Some(master) = &mut self.replication.master {
                    write_command(&mut master.output, &[b"SYNC"]);
                }
                self.expect_dataset(None);
                Ok(())
            }
            _ => Err(LinkFault::Damaged(text)),
        }
    }

    fn expect_dataset(&mut self, begins: Option<(String, u64)>) {
        if let Some(master) = &mut self.replication.master {
            master.stage = Stage::Handshake(Step { asked: VecDeque::from([Asked::Dataset]), begins });
        }
    }

    fn begin_transfer_of(&mut self, line: &[u8]) -> Result<(), LinkFault> {
        let damaged = || LinkFault::Damaged(String::from_utf8_lossy(line).into_owned());
        let text = line.strip_prefix(b"$").ok_or_else(damaged)?;
        let framing = match text.strip_prefix(b"EOF:") {
            Some(mark) if mark.len() == super::full_sync::MARK => Framing::Mark(mark.to_vec()),
            Some(_) => return Err(damaged()),
            None => {
                let len = parse_i64(text).and_then(|len| u64::try_from(len).ok());
                Framing::Length(len.ok_or_else(damaged)?)
            }
        };
        let Some(master) = &mut self.replication.master else { return Err(LinkFault::Outdated) };
        let Stage::Handshake(step) = &mut master.stage else { return Ok(()) };
        let begins = step.begins.take();
        if self.wants_dataset_kept() {
            self.note(
                "MASTER <-> REPLICA sync: receiving the dataset; the old data is served until it is whole",
            );
            if let Some(master) = &mut self.replication.master {
                master.stage = Stage::Kept(Box::new(Incoming::new(framing, begins)));
            }
            return Ok(());
        }
        let transfer = Transfer::begin(self, framing, begins);
        if let Some(master) = &mut self.replication.master {
            master.stage = Stage::Transfer(Box::new(transfer));
        }
        Ok(())
    }
}

/// Whether a refusal only says that somebody has to authenticate first.
fn is_about_access(line: &[u8]) -> bool {
    line.starts_with(b"-NOAUTH")
        || line.starts_with(b"-NOPERM")
        || line.starts_with(b"-ERR operation not permitted")
}
