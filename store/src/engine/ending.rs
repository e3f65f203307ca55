//! The end of the process: it waits for those who follow, so that they have everything, for as long as
//! `shutdown-timeout` says.
//!
//! Law: from the moment the end is asked for nobody writes, so that there is an end of what replicas have to get. The
//! host is told once ([`Step::Shutdown`]), and ends the process or says that it cannot.

use super::output::{Output, Step};
use super::session::ClientId;
use super::{Engine, Pause};
use crate::command::Fault;
use crate::time::Now;

/// What clients are told whose SHUTDOWN came to nothing.
const FAILED: &str = "Errors trying to SHUTDOWN. Check logs.";

/// How the process is to end.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndRequest {
    /// Write a snapshot first: as configured, always, or never.
    pub save: Option<bool>,
    /// Do not wait for replicas.
    pub at_once: bool,
    /// End even if something fails.
    pub force: bool,
}

/// An end that was asked for.
#[derive(Debug)]
pub(crate) struct Ending {
    request: EndRequest,
    /// Until when replicas are waited for, in monotonic milliseconds.
    until: u64,
    /// Who asked.
    clients: Vec<ClientId>,
    /// The host was told.
    is_told: bool,
}

impl Engine {
    /// Somebody asks for the end; a client that does is held.
    pub(crate) fn ask_end(&mut self, client: Option<ClientId>, request: EndRequest) {
        if let Some(ending) = &mut self.ending {
            ending.clients.extend(client);
            return;
        }
        let mut request = request;
        if self.loading {
            // What is there is not whole, and must not take the place of what is.
            request.save = Some(false);
        }
        self.note("User requested shutdown...");
        let timeout_ms = 1000 * self.config.integer("shutdown-timeout").max(0) as u64;
        let until = self.now.mono_ms + if request.at_once { 0 } else { timeout_ms };
        let waits = until > self.now.mono_ms && self.has_lagging_replicas();
        self.ending = Some(Ending { request, until, clients: client.into_iter().collect(), is_told: false });
        if waits {
            if self.pause.is_none() {
                self.ask_replicas();
            }
            self.note("Waiting for replicas before shutting down.");
        }
        if self.is_followed() {
            self.pause(Pause { until: u64::MAX, only_writes: true });
        }
        self.end_goes_on();
    }

    /// A signal asks for the end; a second one does not wait for replicas.
    pub fn end_by_signal(&mut self, now: Now, request: EndRequest) {
        self.advance(now);
        match &mut self.ending {
            Some(ending) => ending.until = now.mono_ms,
            None => self.ask_end(None, request),
        }
        self.end_goes_on();
    }

    /// Ends if nobody has to be waited for any more.
    pub(crate) fn end_goes_on(&mut self) {
        let late = self.ending.as_ref().is_some_and(|ending| ending.until <= self.now.mono_ms);
        let waits = !late && self.has_lagging_replicas();
        if waits || self.timer_paused {
            return;
        }
        let Some(ending) = self.ending.as_mut().filter(|ending| !ending.is_told) else { return };
        ending.is_told = true;
        let EndRequest { save, at_once, force } = ending.request;
        self.note_lagging_replicas();
        self.outputs.push(Output::Step { client: None, step: Step::Shutdown { save, now: at_once, force } });
    }

    /// The end cannot be: whoever asked for it is told so, and everything goes on.
    pub fn end_failed(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        for client in ending.clients {
            self.finish_step(client, &Err(Fault::other(FAILED)));
        }
        if self.is_followed() || self.pause.is_some() {
            self.unpause();
        }
        self.outputs.push(Output::Step { client: None, step: Step::EndGivenUp });
    }

    /// Gives the end up that was asked for.
    ///
    /// # Errors
    /// None was.
    pub(crate) fn abort_end(&mut self) -> Result<(), Fault> {
        if self.ending.as_ref().is_none_or(|ending| ending.is_told) {
            return Err(Fault::other("No shutdown in progress."));
        }
        self.note("Shutdown manually aborted.");
        self.end_failed();
        Ok(())
    }

    /// Whether the end was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Milliseconds until replicas are not waited for any longer, if they are.
    pub(crate) fn end_in_ms(&self) -> Option<u64> {
        self.ending.as_ref().map(|ending| ending.until.saturating_sub(self.now.mono_ms))
    }

    /// How many clients wait for the end.
    pub(crate) fn clients_awaiting_end(&self) -> usize {
        self.ending.as_ref().map_or(0, |ending| ending.clients.len())
    }

    /// When replicas are not waited for any longer, in monotonic milliseconds.
    pub(super) fn end_deadline(&self) -> Option<u64> {
        let ending = self.ending.as_ref().filter(|ending| !ending.is_told && !self.timer_paused)?;
        Some(ending.until)
    }

    /// DEBUG PAUSE-CRON: what is due is not done for now.
    pub(crate) fn pause_timer(&mut self, paused: bool) {
        self.timer_paused = paused;
        self.end_goes_on();
    }
}
