//! PBJ inside of a Rust program: the same engine, queue and log, without a port.
//!
//! Law: a reply is given when it is as safe as the configuration says (`appendfsync`), exactly as over a connection.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pbj = pbj::embedded::Embedded::open("data".as_ref())?;
//! let client = pbj.connect();
//! client.call(&[b"JOB.PUSH", b"mail", b"send", b"hello"]).await?;
//! pbj.close();
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Peer, Requests};
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::resp::value::Value;
use tokio::sync::Mutex;

use crate::boot::{Daemon, Options, StartFault};
use crate::host;
use crate::mailbox::Mailbox;
use crate::shared::{Connected, Shared};

/// A daemon within this process.
pub struct Embedded {
    daemon: Daemon,
}

/// Why a call has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// The call has no words, or too long ones.
    Malformed,
    /// The daemon is closed, or has closed this client, or cannot make sure that the reply is safe.
    Closed,
}

impl fmt::Display for CallFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Malformed => "the call makes no sense",
            Self::Closed => "the client is closed",
        })
    }
}

impl std::error::Error for CallFault {}

impl Embedded {
    /// Opens a folder, with the configuration that is the default, and without ports.
    ///
    /// # Errors
    /// The folder cannot be used, or somebody else uses it.
    pub fn open(folder: &Path) -> Result<Self, StartFault> {
        let mut config = Config::default();
        let folder = folder.display().to_string();
        for (name, value) in [("port", "0"), ("http-port", "0"), ("dir", folder.as_str())] {
            let set = config.set(name, &[value]);
            set.map_err(|fault| StartFault::Folder(std::io::Error::other(fault)))?;
        }
        Self::start(config)
    }

    /// Starts with any configuration. Ports that it names are opened.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start(config: Config) -> Result<Self, StartFault> {
        let queues = pbj_queue::Queues::new(&host::boot_id());
        let options = Options { extension: Some(Box::new(queues)), ..Options::new(config) };
        Daemon::start(options).map(|daemon| Self { daemon })
    }

    /// A client. Each has its own database, transaction and subscriptions, and runs one call after the other.
    pub fn connect(&self) -> Client {
        let shared = Arc::clone(&self.daemon.shared);
        let peer = Peer { addr: "embedded:0".to_owned(), laddr: "embedded:0".to_owned(), ..Peer::default() };
        let Connected { client: id, mailbox, .. } = shared.connect(peer);
        Client { shared, id, mailbox, buffer: Mutex::new(Vec::new()) }
    }

    /// Ends it: what was acknowledged is synced.
    pub fn close(self) {
        self.daemon.stop();
    }
}

/// A client of an embedded daemon.
pub struct Client {
    shared: Arc<Shared>,
    id: ClientId,
    mailbox: Arc<Mailbox>,
    buffer: Mutex<Vec<u8>>,
}

impl Client {
    /// Runs a command and gives its reply; an error reply is a [`Value::Error`]. Waits as long as the command does.
    ///
    /// # Errors
    /// There is no reply.
    pub async fn call(&self, words: &[&[u8]]) -> Result<Value, CallFault> {
        if words.is_empty() {
            return Err(CallFault::Malformed);
        }
        let mut request = self.buffer.lock().await;
        request.clear();
        write_request(words, &mut request);
        let limits = RequestLimits { bulk_max: i64::from(i32::MAX), authenticated: true };
        let mut batch = Batch::default();
        Parser::default().parse(&request, limits, &mut batch).map_err(|_| CallFault::Malformed)?;
        if batch.is_empty() {
            return Err(CallFault::Malformed);
        }
        if self.shared.stop.is_cancelled() {
            return Err(CallFault::Closed);
        }
        let mut reply = Vec::new();
        let requests = Requests::new(&batch, &request);
        let executed = self.shared.execute(self.id, &requests, &self.mailbox, &mut reply);
        self.shared.flush();
        self.make_safe(executed.offset).await?;
        let mut waits = executed.waits;
        while waits {
            let mail = std::future::poll_fn(|context| match self.mailbox.take(Some(context.waker())) {
                Some(mail) => Poll::Ready(mail),
                None => Poll::Pending,
            })
            .await;
            reply.extend_from_slice(&mail.bytes);
            self.shared.flush();
            self.make_safe(mail.offset).await?;
            if mail.close {
                return Err(CallFault::Closed);
            }
            waits = !mail.resumed;
        }
        match Value::read(&reply) {
            Ok(Some((value, _))) => Ok(value),
            _ => Err(CallFault::Closed),
        }
    }

    async fn make_safe(&self, offset: u64) -> Result<(), CallFault> {
        let log = &self.shared.log;
        if log.is_safe(offset) || log.wait(offset).await { Ok(()) } else { Err(CallFault::Closed) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.disconnect(self.id);
    }
}

fn write_request(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_said_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let pbj = Embedded::open(folder.path()).unwrap();
        let client = pbj.connect();
        assert_eq!(client.call(&[b"SET", b"k", b"v"]).await, Ok(Value::Simple("OK".into())));
        assert!(matches!(client.call(&[b"INCR", b"k"]).await, Ok(Value::Error(_))));
        assert_eq!(client.call(&[]).await, Err(CallFault::Malformed));
        drop(client);
        pbj.close();
        let pbj = Embedded::open(folder.path()).unwrap();
        assert_eq!(pbj.connect().call(&[b"GET", b"k"]).await, Ok(bulk("v")));
        pbj.close();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_call_that_waits_is_answered_when_its_time_comes() {
        let folder = tempfile::tempdir().unwrap();
        let pbj = Embedded::open(folder.path()).unwrap();
        let (worker, producer) = (pbj.connect(), pbj.connect());
        let push = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            producer.call(&[b"LPUSH", b"list", b"x"]).await
        };
        let (got, pushed) = tokio::join!(worker.call(&[b"BLPOP", b"list", b"0"]), push);
        assert_eq!(got, Ok(Value::Array(vec![bulk("list"), bulk("x")])));
        assert_eq!(pushed, Ok(Value::Integer(1)));
        pbj.close();
    }
}
