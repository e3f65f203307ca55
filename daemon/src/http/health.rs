//! Whether the daemon lives, and whether it is ready.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Site;
use crate::shared::Shared;

/// A check: its name, and what is wrong.
type Check = (&'static str, Result<(), String>);

fn checks(shared: &Shared) -> Vec<Check> {
    let ending = shared.stop.is_cancelled();
    let loaded = shared.ready.load(Ordering::Relaxed) || ending;
    let broken = shared.log.status().failure;
    vec![
        ("loaded", if loaded { Ok(()) } else { Err("data is being loaded".to_owned()) }),
        ("log", broken.map_or(Ok(()), Err)),
        ("serving", if ending { Err("the daemon is ending".to_owned()) } else { Ok(()) }),
    ]
}

fn report(code: StatusCode, word: &str, checks: &[Check]) -> Response {
    let checks: serde_json::Map<String, Value> = checks
        .iter()
        .map(|(name, result)| {
            let text = result.as_ref().map_or_else(String::as_str, |()| "ok");
            ((*name).to_owned(), Value::from(text))
        })
        .collect();
    let body = format!("{}\n", json!({ "status": word, "checks": checks }));
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Always 200: whoever asks gets an answer.
pub(super) async fn live(State(site): State<Site>) -> Response {
    report(StatusCode::OK, "alive", &checks(&site.shared))
}

/// 200 if all checks pass, else 503.
pub(super) async fn ready(State(site): State<Site>) -> Response {
    let checks = checks(&site.shared);
    if checks.iter().all(|(_, result)| result.is_ok()) {
        report(StatusCode::OK, "ready", &checks)
    } else {
        report(StatusCode::SERVICE_UNAVAILABLE, "not ready", &checks)
    }
}
