//! A client: words in, values out.

use pbj_store::engine::ClientId;
use pbj_store::resp::reply::write_command;
use pbj_store::resp::value::Value;

use super::Server;
use super::clock::Clock;

/// The bytes of a request.
pub fn request<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    let mut bytes = Vec::new();
    write_command(&mut bytes, &words);
    bytes
}

/// A connection that waits for each reply, for tests that tell a story.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub ClientId);

impl Client {
    /// Sends a request and returns its reply; panics if the client has to wait for it.
    pub fn call<T: AsRef<[u8]>>(self, server: &mut Server, clock: &Clock, words: &[T]) -> Value {
        let shown = || words.iter().map(|word| word.as_ref().escape_ascii().to_string()).collect::<Vec<_>>();
        match self.try_call(server, clock, words) {
            Some(value) => value,
            None => panic!("{:?} waits", shown()),
        }
    }

    /// Sends a request and returns its reply; `None` if the client has to wait for it.
    pub fn try_call<T: AsRef<[u8]>>(self, server: &mut Server, clock: &Clock, words: &[T]) -> Option<Value> {
        let answer = server.execute(clock.now(), self.0, &request(words));
        let (value, taken) = Value::read(&answer.bytes).expect("a reply is protocol")?;
        assert_eq!(taken, answer.bytes.len(), "one reply for one request");
        Some(value)
    }

    /// Sends an inline request, words apart by blanks.
    pub fn line(self, server: &mut Server, clock: &Clock, line: &str) -> Value {
        self.call(server, clock, &line.split_ascii_whitespace().collect::<Vec<_>>())
    }
}

/// A reply as text that can be read and compared.
pub fn shown(reply: &Value) -> String {
    match reply {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("-{text}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Bulk(bytes) if bytes.is_empty() => "''".to_owned(),
        Value::Bulk(bytes) => bytes.escape_ascii().to_string(),
        other if other.is_null() => "nothing".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{} {}", shown(key), shown(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}
