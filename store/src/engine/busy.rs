//! While a script runs for long: what others may still do, and how it is ended.
//!
//! Law: nothing here touches data or ends a unit; the unit of the script is going on. Clients may change their
//! sessions, end the script, or end the server; everything else is answered with BUSY.

use super::Engine;
use super::dispatch::{Executed, Requests};
use super::session::ClientId;
use crate::command::{Args, Fault, Handler, Outcome, flags};
use crate::resp::reply::Reply;
use crate::time::Now;

impl Engine {
    /// Whether a script runs, and has run for so long that others are told so.
    pub fn script_is_slow(&self, now: Now) -> bool {
        let threshold = u64::try_from(self.config().integer("busy-reply-threshold")).unwrap_or(0);
        self.running.as_ref().is_some_and(|running| {
            threshold > 0 && now.mono_ms.saturating_sub(running.started.mono_ms) >= threshold
        })
    }

    /// The script that runs now: the name of its command to end it, and its own name. For the log of the host.
    pub fn running_script(&self) -> Option<(&'static str, String)> {
        let running = self.running.as_ref()?;
        let name = running.detail.as_ref().map(|detail| String::from_utf8_lossy(&detail.name).into_owned());
        Some((if running.is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" }, name.unwrap_or_default()))
    }

    /// Ends the script that runs, whatever it has done; its effects are forgotten. Only for a server that ends: data
    /// and log do not agree afterwards.
    pub fn abandon_script(&mut self) {
        if let Some(running) = &mut self.running {
            running.abandoned = true;
        }
    }

    /// Runs requests of a client while a script runs: few commands work, all others are answered with BUSY.
    pub fn execute_while_busy(
        &mut self,
        now: Now,
        client: ClientId,
        requests: &Requests<'_>,
        out: &mut Vec<u8>,
    ) -> Executed {
        self.busy_now = now;
        let mut done = Executed::default();
        for index in 0..requests.len() {
            let Some(context) = self.context(client) else { return Executed { close: true, ..done } };
            if context.waits || context.closing {
                break;
            }
            let args = requests.args(index);
            if !args.is_empty() {
                let start = out.len();
                self.run_while_busy(client, args, &mut Reply::new(out, context.protocol));
                self.drop_unwanted_reply(client, start, out);
            }
            done.requests += 1;
        }
        if let Some(context) = self.context(client) {
            done.waits = context.waits;
            done.close = context.closing;
        }
        done
    }

    fn run_while_busy(&mut self, client: ClientId, args: &[&[u8]], reply: &mut Reply<'_>) {
        let Some(context) = self.context(client) else { return };
        let planned = self.index.resolve(args);
        let command = match self.check(&context, planned, args) {
            Ok(command) if command.row.is(flags::ALLOW_BUSY) => command,
            Ok(_) => return self.refuse(client, planned, &self.busy_fault(), reply),
            Err(fault) => return self.refuse(client, planned, &fault, reply),
        };
        if context.special && self.queue_if_multi(client, command, args) {
            return reply.status("QUEUED");
        }
        let Handler::System(run) = command.row.handler else {
            return self.refuse(client, planned, &self.busy_fault(), reply);
        };
        let start = reply.position();
        self.stats.commands += 1;
        self.stats.by_command[command.id as usize].calls += 1;
        match run(self, client, Args::new(args, command.words()), reply) {
            Ok(Outcome::Done | Outcome::Wait(_)) => {}
            Err(fault) => {
                reply.truncate(start);
                reply.error(&fault.to_bytes());
                self.stats.count_error(&fault.to_string());
                self.stats.by_command[command.id as usize].failed += 1;
            }
        }
    }

    /// The error of everything that must wait for the script.
    pub(crate) fn busy_fault(&self) -> Fault {
        match &self.running {
            Some(running) if !running.is_eval => Fault::BusyFunction,
            _ => Fault::BusyScript,
        }
    }

    /// Ends the script that runs, of EVAL or a function.
    ///
    /// # Errors
    /// None runs, it is of the other kind, or it has written something.
    pub(crate) fn kill_script(&mut self, eval: bool) -> Result<(), Fault> {
        let Some(running) = &mut self.running else {
            return Err(Fault::coded("NOTBUSY No scripts in execution right now."));
        };
        if running.wrote {
            return Err(Fault::coded(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.is_eval != eval {
            return Err(if running.is_eval { Fault::BusyScript } else { Fault::BusyFunction });
        }
        running.killed = true;
        Ok(())
    }
}
