//! What replies say about a hash whose fields have dates. One client writes it, so what it holds is known.
//!
//! Law: a field is there until its date, to the millisecond, and not a moment longer, whether or not the server has
//! come to removing it. Only where the wall clock was set back it may be gone although its date is ahead.

use pbj_store::resp::value::Value;

use super::model::{Model, Moment, Scoped, Text, Verdict};

/// A request about one field.
struct Seen<'a> {
    moment: Moment,
    key: Scoped,
    words: &'a [String],
    reply: &'a Value,
}

/// Takes notice of a reply.
///
/// # Errors
/// It cannot be.
pub(super) fn reply(
    model: &mut Model,
    moment: Moment,
    db: usize,
    words: &[String],
    reply: &Value,
) -> Verdict {
    let seen = Seen { moment, key: (db, words[1].clone()), words, reply };
    match words[0].as_str() {
        "HSET" | "HSETNX" => seen.set(model),
        "HSETEX" => seen.set_dated(model),
        "HINCRBY" => seen.increment(model),
        "HPEXPIRE" | "HPEXPIREAT" => seen.date(model),
        "HPERSIST" => seen.persist(model),
        "HGET" | "HGETEX" | "HGETDEL" => seen.read(model),
        "HDEL" => {
            let field = &seen.words[2];
            seen.settle(model, field, seen.reply.integer() == Some(1))?;
            seen.fields(model).remove(field);
            Ok(())
        }
        "HPEXPIRETIME" => {
            let field = seen.last();
            let date = seen.first_integer();
            seen.settle(model, &field, date != Some(-2))?;
            let known = seen.fields(model).get(&field);
            let wanted = known.map_or(-2, |known| known.date_ms.map_or(-1, |date| date as i64));
            same(date, Some(wanted))
        }
        _ => Err("a request that the model does not know".to_owned()),
    }
}

/// Drops what is past its date for sure.
pub(super) fn drop_past(model: &mut Model, moment: Moment, key: &Scoped) {
    if let Some(fields) = model.dated.get_mut(key) {
        fields.retain(|_, field| field.date_ms.is_none_or(|date| date > moment.wall_ms));
    }
}

impl Seen<'_> {
    fn fields<'m>(&self, model: &'m mut Model) -> &'m mut std::collections::BTreeMap<String, Text> {
        drop_past(model, self.moment, &self.key);
        model.dated.entry(self.key.clone()).or_default()
    }

    fn last(&self) -> String {
        self.words[self.words.len() - 1].clone()
    }

    fn first(&self) -> Option<&Value> {
        self.reply.items().and_then(<[Value]>::first)
    }

    fn first_integer(&self) -> Option<i64> {
        self.first().and_then(Value::integer)
    }

    /// The reply says whether a field is there.
    fn settle(&self, model: &mut Model, field: &str, is_there: bool) -> Verdict {
        let set_back = self.moment.set_back;
        let fields = self.fields(model);
        let known = fields.get(field).cloned();
        if !is_there {
            fields.remove(field);
        }
        match known {
            None if is_there => Err(format!("{field} is there, and should not be")),
            _ if is_there => Ok(()),
            Some(Text { date_ms: Some(_), .. }) if set_back => Ok(()),
            Some(known) => Err(format!("{field} is gone, and should be {known:?}")),
            None => Ok(()),
        }
    }

    fn put(&self, model: &mut Model, field: &str, value: String, date_ms: Option<u64>) {
        self.fields(model).insert(field.to_owned(), Text { value, date_ms });
    }

    fn set(&self, model: &mut Model) -> Verdict {
        let new = self.reply.integer() == Some(1);
        self.settle(model, &self.words[2], !new)?;
        if new || self.words[0] == "HSET" {
            self.put(model, &self.words[2], self.words[3].clone(), None);
        }
        Ok(())
    }

    fn set_dated(&self, model: &mut Model) -> Verdict {
        let field = &self.words[self.words.len() - 2];
        let is_done = self.reply.integer() == Some(1);
        for (word, wanted) in [("FXX", is_done), ("FNX", !is_done)] {
            if self.words.iter().any(|known| known == word) {
                self.settle(model, field, wanted)?;
            }
        }
        if !is_done {
            return Ok(());
        }
        let kept = self.fields(model).get(field).and_then(|known| known.date_ms);
        let date_ms = if self.words.iter().any(|word| word == "KEEPTTL") { kept } else { self.said_date() };
        self.put(model, field, self.last(), date_ms);
        drop_past(model, self.moment, &self.key);
        Ok(())
    }

    /// The date that a request names.
    fn said_date(&self) -> Option<u64> {
        let number = |word: &str| {
            let at = self.words.iter().position(|known| known == word)?;
            self.words.get(at + 1)?.parse::<u64>().ok()
        };
        let behind =
            |word: &str| (self.words[0] == word).then(|| self.words[2].parse::<u64>().ok()).flatten();
        let relative = number("PX").or_else(|| behind("HPEXPIRE"));
        relative
            .map(|ms| self.moment.wall_ms + ms)
            .or_else(|| number("PXAT").or_else(|| behind("HPEXPIREAT")))
    }

    fn increment(&self, model: &mut Model) -> Verdict {
        let field = &self.words[2];
        // Values are counted from 1 on, so only a field that was not there becomes 1.
        self.settle(model, field, self.reply.integer() != Some(1))?;
        let known = self.fields(model).get(field).cloned();
        let old: i64 = known.as_ref().map_or(0, |known| known.value.parse().unwrap_or(0));
        self.put(model, field, (old + 1).to_string(), known.and_then(|known| known.date_ms));
        same(self.reply.integer(), Some(old + 1))
    }

    fn date(&self, model: &mut Model) -> Verdict {
        let (field, did) = (self.last(), self.first_integer());
        self.settle(model, &field, did != Some(-2))?;
        if did == Some(-2) {
            return Ok(());
        }
        let date = self.said_date();
        let is_past = date.is_some_and(|date| date <= self.moment.wall_ms);
        if let Some(known) = self.fields(model).get_mut(&field) {
            known.date_ms = date;
        }
        same(did, Some(if is_past { 2 } else { 1 }))
    }

    fn persist(&self, model: &mut Model) -> Verdict {
        let (field, did) = (self.last(), self.first_integer());
        self.settle(model, &field, did != Some(-2))?;
        let known = self.fields(model).get_mut(&field);
        let wanted = known.map_or(-2, |known| if known.date_ms.take().is_some() { 1 } else { -1 });
        same(did, Some(wanted))
    }

    fn read(&self, model: &mut Model) -> Verdict {
        let field = self.last();
        let found =
            if self.words[0] == "HGET" { self.reply.text() } else { self.first().and_then(Value::text) };
        self.settle(model, &field, found.is_some())?;
        let (date, removes) = (self.said_date(), self.words[0] == "HGETDEL");
        let fields = self.fields(model);
        let value = fields.get(&field).map(|known| known.value.clone());
        if removes {
            fields.remove(&field);
        } else if let (Some(known), Some(date)) = (fields.get_mut(&field), date) {
            known.date_ms = Some(date);
        }
        same(found, value)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Verdict {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}
