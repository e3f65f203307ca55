//! Directives of several words: each is checked and brought into the form that CONFIG GET prints.

use crate::number::parse_i64;
use crate::txn::EventMask;

/// The canonical text of the value of a special directive.
///
/// # Errors
/// Why it cannot be the value.
pub(super) fn canonical(name: &str, words: &[&str]) -> Result<String, String> {
    match name {
        "bind" | "http-bind" => Ok(words.join(" ")),
        "dir" => match words {
            [dir] if !dir.is_empty() => Ok((*dir).to_owned()),
            _ => Err("argument must be a folder".to_owned()),
        },
        "save" => save_points(words),
        "notify-keyspace-events" => EventMask::parse(words.join("").as_bytes())
            .map(EventMask::to_text)
            .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()),
        "client-output-buffer-limit" => buffer_limits(words),
        "oom-score-adj-values" => oom_values(words),
        "shutdown-on-sigint" | "shutdown-on-sigterm" => signal_actions(words),
        "latency-tracking-info-percentiles" => percentiles(words),
        "auto-aof-rewrite-percentage" => match words {
            [value] => value
                .strip_suffix('%')
                .unwrap_or(value)
                .parse::<u32>()
                .map(|percent| percent.to_string())
                .map_err(|_| "argument couldn't be parsed into an integer".to_owned()),
            _ => Err("wrong number of arguments".to_owned()),
        },
        "maxmemory-clients" => match words {
            [value] if value.ends_with('%') => match number(&value[..value.len() - 1]) {
                Some(0..=100) => Ok((*value).to_owned()),
                Some(_) => Err("percentage argument must be less or equal to 100".to_owned()),
                None => Err("argument must be a memory or percent value".to_owned()),
            },
            [value] => super::parse_memory(value)
                .map(|bytes| bytes.to_string())
                .ok_or_else(|| "argument must be a memory or percent value".to_owned()),
            _ => Err("wrong number of arguments".to_owned()),
        },
        "replicaof" => match words {
            [] | [""] | ["no", "one"] => Ok(String::new()),
            [_, port] if port.parse::<u16>().is_ok() => Ok(words.join(" ")),
            [_, _] => Err("Invalid master port".to_owned()),
            _ => Err("wrong number of arguments".to_owned()),
        },
        _ => Ok(words.join(" ")),
    }
}

fn number(word: &str) -> Option<i64> {
    parse_i64(word.as_bytes())
}

fn save_points(words: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_ascii_whitespace()).collect();
    let pairs_are_right = words.len().is_multiple_of(2)
        && words.chunks(2).all(|pair| {
            number(pair[0]).is_some_and(|seconds| seconds >= 1)
                && number(pair[1]).is_some_and(|changes| changes >= 0)
        });
    if pairs_are_right { Ok(words.join(" ")) } else { Err("Invalid save parameters".to_owned()) }
}

fn buffer_limits(words: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_ascii_whitespace()).collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut limits = Vec::new();
    for group in words.chunks(4) {
        let class = match group[0] {
            "normal" => "normal",
            "slave" | "replica" => "slave",
            "pubsub" => "pubsub",
            _ => return Err("Invalid client class specified in buffer limit configuration.".to_owned()),
        };
        let invalid =
            || "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned();
        let hard = super::parse_memory(group[1]).ok_or_else(invalid)?;
        let soft = super::parse_memory(group[2]).ok_or_else(invalid)?;
        let seconds = number(group[3]).filter(|&seconds| seconds >= 0).ok_or_else(invalid)?;
        limits.push((class, format!("{class} {hard} {soft} {seconds}")));
    }
    Ok(limits.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" "))
}

/// Merges newly set buffer limits into the ones there were: a class that is not named keeps its limits.
pub(super) fn merge_buffer_limits(old: &str, new: &str) -> String {
    let groups = |text: &str| -> Vec<Vec<String>> {
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        words.chunks(4).map(<[String]>::to_vec).collect()
    };
    let new = groups(new);
    let merged = groups(old)
        .into_iter()
        .map(|old| new.iter().rev().find(|group| group[0] == old[0]).cloned().unwrap_or(old));
    merged.flatten().collect::<Vec<_>>().join(" ")
}

/// What a signal does beside ending the daemon: several words, but not both kinds of saving.
fn signal_actions(words: &[&str]) -> Result<String, String> {
    const KNOWN: [&str; 5] = ["default", "save", "nosave", "now", "force"];
    let words: Vec<String> =
        words.iter().flat_map(|word| word.split_ascii_whitespace()).map(str::to_ascii_lowercase).collect();
    if words.is_empty() || words.iter().any(|word| !KNOWN.contains(&word.as_str())) {
        return Err(format!("argument(s) must be one of the following: {}", KNOWN.join(", ")));
    }
    let has = |word: &str| words.iter().any(|known| known == word);
    if has("save") && has("nosave") {
        return Err("argument(s) must be one of the following: save and nosave exclude each other".to_owned());
    }
    // In the order of the list, each once; `default` says nothing beside others.
    let kept: Vec<&str> =
        KNOWN.into_iter().filter(|known| has(known) && (*known != "default" || words.len() == 1)).collect();
    Ok(if kept.is_empty() { "default".to_owned() } else { kept.join(" ") })
}

fn oom_values(words: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_ascii_whitespace()).collect();
    let values: Option<Vec<i64>> = words.iter().map(|word| number(word)).collect();
    match values {
        Some(values) if values.len() == 3 && values.iter().all(|value| (-2000..=2000).contains(value)) => {
            Ok(words.join(" "))
        }
        _ => Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned()),
    }
}

fn percentiles(words: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_ascii_whitespace()).collect();
    let mut canonical = Vec::new();
    for word in &words {
        let value = word
            .parse::<f64>()
            .map_err(|_| "Invalid latency-tracking-info-percentiles parameters".to_owned())?;
        if !(0.0..=100.0).contains(&value) {
            return Err(
                "latency-tracking-info-percentiles should contain values between 0.0 and 100.0".to_owned()
            );
        }
        canonical.push(value.to_string());
    }
    Ok(canonical.join(" "))
}
