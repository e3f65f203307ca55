//! The HTTP port: metrics, and whether the daemon lives and is ready.
//!
//! Law: nothing here changes anything. The port has a thread of its own, so that a slow scrape stops nobody, and it
//! answers from the first moment on, while data is being loaded too. Connections are bounded in number and in idleness.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | metrics in the text format of Prometheus |
//! | `/healthz` | 200 as long as the process can answer at all |
//! | `/readyz` | 200 if clients are served; else 503. Both with the checks, as JSON |

mod health;
mod listener;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use pbj_store::config::Config;

use crate::metrics::{self, Metrics};
use crate::shared::Shared;
use listener::Bounded;

/// The thread that serves the port.
pub struct HttpThread {
    /// The addresses it listens on.
    pub addresses: Vec<SocketAddr>,
    thread: JoinHandle<()>,
}

#[derive(Clone)]
struct Site {
    shared: Arc<Shared>,
    metrics: Metrics,
}

/// Sockets for HTTP: those the service manager passed, or those the configuration asks for; none if `http-port` is 0.
///
/// # Errors
/// An address cannot be had.
pub fn bind(
    config: &Config,
    inherited: Vec<std::net::TcpListener>,
) -> io::Result<Vec<std::net::TcpListener>> {
    let port = config.integer("http-port") as u16;
    if !inherited.is_empty() || port == 0 {
        return Ok(inherited);
    }
    let words = config.text("http-bind").split_ascii_whitespace();
    words
        .map(|word| {
            let named = |error: io::Error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot listen on {word}:{port} for HTTP (http-port 0 switches it off): {error}"),
                )
            };
            let ip: IpAddr = match word {
                "*" => IpAddr::from([0, 0, 0, 0]),
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                _ => word
                    .parse()
                    .map_err(|_| named(io::Error::new(io::ErrorKind::InvalidInput, "not an IP address")))?,
            };
            crate::listener::bind_tcp(SocketAddr::new(ip, port), 128).map_err(named)
        })
        .collect()
}

impl HttpThread {
    /// Serves these sockets, until the daemon ends.
    ///
    /// # Errors
    /// No thread, no runtime, or a socket that cannot be used.
    pub fn start(shared: Arc<Shared>, sockets: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let addresses = sockets.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let metrics = Metrics::new(Arc::clone(&shared)).map_err(io::Error::other)?;
        let stop = shared.stop.clone();
        let site = router(Site { shared, metrics });
        let listeners = {
            let _inside = runtime.enter();
            sockets.into_iter().map(Bounded::new).collect::<io::Result<Vec<_>>>()?
        };
        let body = move || {
            runtime.block_on(async move {
                for listener in listeners {
                    let site = site.clone();
                    tokio::spawn(async move {
                        if let Err(error) = axum::serve(listener, site).await {
                            tracing::error!(%error, "the HTTP port failed");
                        }
                    });
                }
                stop.cancelled().await;
            });
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(body)?;
        Ok(Self { addresses, thread })
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the HTTP thread ended with a panic");
        }
    }
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/metrics") }))
        .route("/metrics", get(serve_metrics))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There are /metrics, /healthz and /readyz.\n") })
        .with_state(site)
}

async fn serve_metrics(State(site): State<Site>) -> Response {
    match site.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written; see the log\n").into_response()
        }
    }
}
