//! A connection to the daemon that is made again when it breaks.
//!
//! Law: a call is sent at most once. Whether it is worth sending again is for the caller to say, who knows what it
//! does.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, RedisResult, Value};
use tokio::sync::{Mutex, mpsc};

use super::address::Address;
use super::fault::Fault;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection that is made when it is needed.
pub(crate) struct Link {
    pub(crate) address: Address,
    answer_max: Duration,
    /// A channel to listen to, and who hears of messages.
    listen: Option<(&'static str, mpsc::UnboundedSender<PushInfo>)>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// Counts connections, so that nobody throws away a newer one than the one that failed.
    number: u64,
    connection: Option<MultiplexedConnection>,
    /// What the daemon calls it.
    id: Option<i64>,
}

impl Link {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, answer_max: ANSWER_MAX, listen: None, current: Mutex::default() }
    }

    /// The same, for calls that may wait so long for their answer.
    pub(crate) fn patient(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }

    /// The same, listening to a channel on the side.
    pub(crate) fn listening(self, channel: &'static str, to: mpsc::UnboundedSender<PushInfo>) -> Self {
        Self { listen: Some((channel, to)), ..self }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(self.answer_max));
        if let Some((_, to)) = &self.listen {
            config = config.set_push_sender(to.clone());
        }
        let client = Client::open(self.address.info.clone())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Some((channel, _)) = &self.listen {
            // Messages only say that something can be looked up sooner: without them everything still works.
            let _ = connection.subscribe(*channel).await;
        }
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    async fn check<T>(&self, number: u64, answer: RedisResult<T>) -> Result<T, Fault> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() {
            let mut current = self.current.lock().await;
            if current.number == number {
                current.connection = None;
                current.id = None;
            }
        }
        Err(Fault::from_redis(&error, &self.address.shown))
    }

    /// Sends a command and returns the answer.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with an error.
    pub(crate) async fn call(&self, command: &Cmd) -> Result<Value, Fault> {
        let connected = self.connection().await;
        let (number, mut connection) =
            connected.map_err(|error| Fault::from_redis(&error, &self.address.shown))?;
        let answer = command.query_async::<Value>(&mut connection).await;
        self.check(number, answer).await
    }

    /// Sends several commands at once and returns the answers.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers one of them with an error.
    pub(crate) async fn call_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Fault> {
        let connected = self.connection().await;
        let (number, mut connection) =
            connected.map_err(|error| Fault::from_redis(&error, &self.address.shown))?;
        let answer = commands.query_async::<Vec<Value>>(&mut connection).await;
        self.check(number, answer).await
    }

    /// What the daemon calls our connection, for CLIENT UNBLOCK.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) async fn id(&self) -> Result<i64, Fault> {
        let known = self.current.lock().await.id;
        if let Some(id) = known {
            return Ok(id);
        }
        match self.call(redis::cmd("CLIENT").arg("ID")).await? {
            Value::Int(id) => {
                self.current.lock().await.id = Some(id);
                Ok(id)
            }
            _ => Err(Fault::failed("the daemon does not know our connection")),
        }
    }
}
