//! What replies about ordinary keys say. Each key has one client that writes it, so its value is known.

use pbj_store::resp::value::Value;

use super::model::{Model, Moment, Scoped, Text, Verdict};

/// Takes notice of a reply about an ordinary key.
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
    let key = (db, words.get(1).cloned().unwrap_or_default());
    match words[0].as_str() {
        "INCR" => {
            let counter = model.counters.entry(key).or_default();
            *counter += 1;
            same(reply.integer(), Some(*counter))
        }
        "SET" => {
            let date_ms = words
                .iter()
                .position(|word| word == "PX")
                .map(|at| moment.wall_ms + words[at + 1].parse::<u64>().unwrap_or(0));
            model.texts.insert(key, Text { value: words[2].clone(), date_ms });
            same(reply.text().as_deref(), Some("OK"))
        }
        "GET" if model.counters.contains_key(&key) => {
            same(reply.text(), model.counters.get(&key).map(i64::to_string))
        }
        "GET" => get(model, moment, &key, reply),
        "RPUSH" => {
            let list = model.lists.entry(key).or_default();
            list.extend(words[2..].iter().cloned());
            // Those who wait are served before anybody sees the length, but after the reply.
            same(reply.integer(), Some(list.len() as i64))
        }
        "LPOP" | "BLPOP" => pop(model, &key, reply),
        "LRANGE" => {
            let found: Vec<String> =
                reply.items().unwrap_or_default().iter().filter_map(Value::text).collect();
            same(Some(found), Some(model.lists.get(&key).cloned().unwrap_or_default()))
        }
        "HSET" | "ZADD" => {
            let (field, value) = if words[0] == "HSET" { (0, 1) } else { (1, 0) };
            let fields = model.fields.entry(key).or_default();
            let before = fields.len();
            fields.extend(words[2..].chunks(2).map(|pair| (pair[field].clone(), pair[value].clone())));
            same(reply.integer(), Some((fields.len() - before) as i64))
        }
        "SADD" => {
            let members = model.fields.entry(key).or_default();
            let before = members.len();
            members.extend(words[2..].iter().map(|member| (member.clone(), String::new())));
            same(reply.integer(), Some((members.len() - before) as i64))
        }
        "DEL" | "UNLINK" => {
            let list = model.lists.remove(&key).is_some_and(|elements| !elements.is_empty());
            let was_there = model.fields.remove(&key).is_some_and(|members| !members.is_empty()) || list;
            same(reply.integer(), Some(i64::from(was_there)))
        }
        "RENAME" | "RENAMENX" | "COPY" => move_fields(model, key, words, reply),
        "HDEL" | "ZREM" | "SREM" => {
            let fields = model.fields.entry(key).or_default();
            let old = fields.remove(&words[2]).is_some();
            same(reply.integer(), Some(i64::from(old)))
        }
        "HLEN" | "ZCARD" | "SCARD" => {
            let len = model.fields.get(&key).map_or(0, std::collections::BTreeMap::len);
            same(reply.integer(), Some(len as i64))
        }
        _ => Ok(()),
    }
}

/// A value goes to another key, or stands there as well.
fn move_fields(model: &mut Model, key: Scoped, words: &[String], reply: &Value) -> Verdict {
    let to = (key.0, words[2].clone());
    let found = model.fields.get(&key).filter(|fields| !fields.is_empty()).cloned();
    let is_taken = model.fields.get(&to).is_some_and(|fields| !fields.is_empty());
    let happens = found.is_some() && !(words[0] == "RENAMENX" && is_taken);
    if happens {
        model.fields.extend(found.map(|fields| (to, fields)));
        if words[0] != "COPY" {
            model.fields.remove(&key);
        }
    }
    match reply.integer() {
        Some(number) => same(number, i64::from(happens)),
        None => same(reply.error().is_none(), happens),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Verdict {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

/// A key past its date is gone, and stays gone.
fn get(model: &mut Model, moment: Moment, key: &Scoped, reply: &Value) -> Verdict {
    let known = model.texts.get(key);
    if known.is_some_and(|text| text.date_ms.is_some_and(|date| date <= moment.wall_ms)) {
        model.texts.remove(key);
        return same(reply.text(), None);
    }
    // Expiry may have happened at a time that was set back since.
    if reply.is_null() && known.is_some_and(|text| text.date_ms.is_some()) && moment.set_back {
        model.texts.remove(key);
        return Ok(());
    }
    same(reply.text(), model.texts.get(key).map(|text| text.value.clone()))
}

fn pop(model: &mut Model, key: &Scoped, reply: &Value) -> Verdict {
    let element = match reply.items() {
        Some(items) => items.get(1).and_then(Value::text),
        None => reply.text(),
    };
    let Some(element) = element else { return Ok(()) };
    let list = model.lists.entry(key.clone()).or_default();
    if list.first() != Some(&element) {
        return Err(format!("{element:?} was popped from {list:?}"));
    }
    list.remove(0);
    Ok(())
}
