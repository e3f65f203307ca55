//! Where the daemon is: URLs and paths of sockets, and what of them may be shown.

use std::path::Path;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::fault::Fault;

/// Where a daemon listens unless somebody says otherwise.
pub(crate) const DEFAULT_URL: &str = "redis://127.0.0.1:6379/0";

/// The address of a daemon.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// How to connect, with the password if there is one.
    pub(crate) info: ConnectionInfo,
    /// As it was given: with the password.
    pub(crate) url: String,
    /// As it may be shown: without.
    pub(crate) shown: String,
}

impl Address {
    /// Reads `redis://[user[:password]@]host[:port][/db]`, `unix:///path[?db=n]`, `/path` or `host:port`.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let url = match text {
            path if path.starts_with('/') => format!("redis+unix://{path}"),
            path if path.starts_with("./") => {
                let path =
                    std::path::absolute(Path::new(path)).map_err(|error| Fault::usage(error.to_string()))?;
                format!("redis+unix://{}", path.display())
            }
            url if url.contains("://") => url.to_owned(),
            host => format!("redis://{host}"),
        };
        if url.starts_with("rediss://") || url.starts_with("valkeys://") {
            return Err(Fault::usage("TLS is not supported yet: use redis:// or unix://"));
        }
        // The text itself is not repeated: there may be a password in it.
        let bad = |_| {
            Fault::usage("the URL makes no sense").hint(
                "Write redis://host:port/db, redis://user:password@host:port/db or unix:///path/of/socket",
            )
        };
        let info = url.as_str().into_connection_info().map_err(bad)?;
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("pbj", env!("CARGO_PKG_VERSION"));
        let shown = shown(&info);
        Ok(Self { info: info.set_redis_settings(settings), url, shown })
    }

    /// The address of a daemon on this machine.
    ///
    /// # Errors
    /// Never, for a port.
    pub(crate) fn local(port: u16) -> Result<Self, Fault> {
        Self::parse(&format!("redis://127.0.0.1:{port}/0"))
    }
}

fn shown(info: &ConnectionInfo) -> String {
    let db = info.redis_settings().db();
    let user = info.redis_settings().username().map_or_else(String::new, |user| format!("{user}@"));
    match info.addr() {
        ConnectionAddr::Tcp(host, port) if host.contains(':') => {
            format!("redis://{user}[{host}]:{port}/{db}")
        }
        ConnectionAddr::Tcp(host, port) => format!("redis://{user}{host}:{port}/{db}"),
        ConnectionAddr::Unix(path) => format!("unix://{}?db={db}", path.display()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_an_address() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://me:secret@host:7000/3", "redis://me@host:7000/3"),
            ("redis://:secret@host", "redis://host:6379/0"),
            ("host:7000", "redis://host:7000/0"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("/run/pbj/pbj.sock", "unix:///run/pbj/pbj.sock?db=0"),
            ("unix:///run/pbj/pbj.sock?db=2", "unix:///run/pbj/pbj.sock?db=2"),
        ] {
            assert_eq!(Address::parse(text).unwrap().shown, shown, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_repeated() {
        for text in ["http://me:secret@host", "redis://me:secret@host:port", "rediss://:secret@host"] {
            let fault = Address::parse(text).unwrap_err();
            assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
        }
    }
}
