//! `pbj queues`: all queues in one table.

use redis::cmd;
use serde_json::json;

use super::fault::Fault;
use super::link::Link;
use super::print::{self, Ink, Table};
use super::reply::{self, Record};
use super::times::duration;

/// `pbj queues`.
#[derive(Debug, clap::Args)]
pub(crate) struct Queues {
    /// Only these
    queues: Vec<String>,
}

impl Queues {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        let names = match self.queues.is_empty() {
            true => reply::items(link.call(&cmd("QUEUE.LIST")).await?).iter().map(reply::text).collect(),
            false => self.queues,
        };
        let mut commands = redis::pipe();
        names.iter().for_each(|name| {
            commands.add_command(cmd("QUEUE.STATS").arg(name).clone());
        });
        let answers = if names.is_empty() { Vec::new() } else { link.call_all(&commands).await? };
        let mut queues = Vec::with_capacity(names.len());
        for (name, answer) in names.iter().zip(answers) {
            let stats =
                Record::of(answer).ok_or_else(|| Fault::failed(format!("there is no queue {name}")))?;
            queues.push(stats);
        }
        if json {
            let queues: Vec<_> = queues.iter().map(Record::to_json).collect();
            return print::line(json!({ "queues": queues }));
        }
        if queues.is_empty() {
            return print::line("No queues. A queue begins with its first job: pbj run -- echo hello");
        }
        let mut table = Table::new(&[
            "QUEUE",
            ">READY",
            ">DELAYED",
            ">LEASED",
            ">DONE",
            ">DEAD",
            ">CANCELLED",
            ">OLDEST READY",
            ">ACKED",
            ">FAILED",
            ">LOST",
        ]);
        for queue in &queues {
            let number = |name: &str| queue.number(name).unwrap_or(0);
            let cell = |name: &str, ink: Ink| {
                let ink = if number(name) == 0 { Ink::Dim } else { ink };
                (number(name).to_string(), ink)
            };
            let oldest = match number("ready") {
                0 => "-".to_owned(),
                _ => duration(number("oldest_ready_ms").unsigned_abs()),
            };
            table.row(vec![
                (queue.text("queue"), Ink::Bold),
                cell("ready", Ink::Plain),
                cell("delayed", Ink::Yellow),
                cell("leased", Ink::Blue),
                cell("done", Ink::Green),
                cell("dead", Ink::Red),
                cell("cancelled", Ink::Plain),
                (oldest, Ink::Plain),
                cell("acked", Ink::Plain),
                cell("failed", Ink::Red),
                cell("lost", Ink::Red),
            ]);
        }
        print::raw(table.render().as_bytes())
    }
}
