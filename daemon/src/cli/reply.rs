//! Answers of the daemon, taken apart.

use redis::Value;
use serde_json::Value as Json;

/// A map in an answer.
#[derive(Clone, Debug)]
pub(crate) struct Record(Vec<(Value, Value)>);

impl Record {
    /// The map that an answer is; `None` if it is none, as null is.
    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Map(pairs) => Some(Self(pairs)),
            _ => None,
        }
    }

    fn field(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(key, _)| bytes(key) == Some(name.as_bytes()))?;
        Some(value)
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        bytes(self.field(name)?)
    }

    /// A text; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.field(name)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A time in Unix milliseconds.
    pub(crate) fn time(&self, name: &str) -> Option<u64> {
        self.number(name).and_then(|ms| u64::try_from(ms).ok())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.field(name), Some(Value::Boolean(true) | Value::Int(1)))
    }

    /// Everything, for programs.
    pub(crate) fn to_json(&self) -> Json {
        let pairs = self.0.iter().map(|(key, value)| {
            (String::from_utf8_lossy(bytes(key).unwrap_or_default()).into_owned(), to_json(value))
        });
        Json::Object(pairs.collect())
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        Value::Okay => Some(b"OK"),
        _ => None,
    }
}

/// A text that an answer is; empty if it is none.
pub(crate) fn text(value: &Value) -> String {
    String::from_utf8_lossy(bytes(value).unwrap_or_default()).into_owned()
}

/// The items of an array; none if the answer is none, as null is.
pub(crate) fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => Vec::new(),
    }
}

/// An answer for programs. Bytes that are no UTF-8 are replaced.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(number) => (*number).into(),
        Value::Double(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        Value::Boolean(flag) => (*flag).into(),
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
            Json::Array(items.iter().map(to_json).collect())
        }
        Value::Map(pairs) => Record(pairs.clone()).to_json(),
        Value::Attribute { data, .. } => to_json(data),
        Value::BigNumber(digits) => Json::String(String::from_utf8_lossy(digits).into_owned()),
        Value::ServerError(error) => serde_json::json!({
            "error": format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end(),
        }),
        other => Json::String(text(other)),
    }
}
