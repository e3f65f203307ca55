//! Listening sockets, and who may come in.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pbj_store::config::Config;
use pbj_store::engine::Peer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::io_thread::IoThread;
use crate::shared::Shared;

/// What somebody from outside is told when there is no password.
const PROTECTED: &[u8] = b"-DENIED PBJ is running in protected mode because protected mode is enabled and no password is \
set for the default user. In this mode connections are only accepted from the loopback interface. To connect from \
other computers, set a password with the directive requirepass, or disable protected mode with the directive \
'protected-mode no'.\r\n";
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// The TCP addresses that a configuration asks for, and which of them are optional.
///
/// # Errors
/// Something is no address.
pub fn addresses(config: &Config) -> io::Result<Vec<(SocketAddr, bool)>> {
    let port = config.integer("port") as u16;
    let words = config.text("bind").split_ascii_whitespace().filter(|_| port != 0);
    words
        .map(|word| {
            let optional = word.starts_with('-');
            let ip = match word.trim_start_matches('-') {
                "*" => IpAddr::from([0, 0, 0, 0]),
                "::*" => IpAddr::from([0_u16; 8]),
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                other => other.parse().map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("'{other}' is not an IP address"))
                })?,
            };
            Ok((SocketAddr::new(ip, port), optional))
        })
        .collect()
}

/// A listening socket on an address.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog.max(1))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The Unix socket that a configuration asks for.
///
/// # Errors
/// It cannot be made.
pub fn bind_unix(config: &Config) -> io::Result<Option<StdUnixListener>> {
    let path = Path::new(config.text("unixsocket"));
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let fault = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = StdUnixListener::bind(path).map_err(fault)?;
    if let Ok(mode @ 1..) = u32::from_str_radix(config.text("unixsocketperm"), 8) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fault)?;
    }
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

/// Decides who may come in, and hands connections to threads in turn.
pub struct Gate {
    shared: Arc<Shared>,
    threads: Arc<Vec<IoThread>>,
    next: std::sync::atomic::AtomicUsize,
}

impl Gate {
    /// A gate before these threads.
    pub fn new(shared: Arc<Shared>, threads: Arc<Vec<IoThread>>) -> Self {
        Self { shared, threads, next: std::sync::atomic::AtomicUsize::new(0) }
    }

    /// Accepts connections of a listener until it is closed.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub async fn accept_tcp(&self, listener: StdTcpListener, close: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = close.cancelled() => return Ok(()),
            };
            match accepted {
                Ok((stream, address)) => {
                    if let Err(error) = self.admit_tcp(stream, address) {
                        tracing::debug!(%address, %error, "a connection was lost while it came in");
                    }
                }
                Err(error) => rest_after(&error).await,
            }
        }
    }

    /// Accepts connections of a Unix socket until it is closed.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub async fn accept_unix(&self, listener: StdUnixListener, close: CancellationToken) -> io::Result<()> {
        let path = listener.local_addr().ok().and_then(|addr| addr.as_pathname().map(Path::to_owned));
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        let listener = UnixListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = close.cancelled() => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    let stream = stream.into_std()?;
                    if self.is_full() {
                        turn_away(SockRef::from(&stream), TOO_MANY);
                        continue;
                    }
                    let peer = Peer {
                        addr: format!("{path}:0"),
                        laddr: format!("{path}:0"),
                        fd: stream.as_raw_fd(),
                        ..Peer::default()
                    };
                    self.hand_over(stream.into(), peer);
                }
                Err(error) => rest_after(&error).await,
            }
        }
    }

    fn is_full(&self) -> bool {
        let full = self.shared.with_engine(|engine| engine.clients() >= engine.config().size("maxclients"));
        if full {
            self.shared.traffic.rejected.fetch_add(1, Ordering::Relaxed);
        }
        full
    }

    fn admit_tcp(&self, stream: tokio::net::TcpStream, address: SocketAddr) -> io::Result<()> {
        let stream = stream.into_std()?;
        if self.is_full() {
            turn_away(SockRef::from(&stream), TOO_MANY);
            return Ok(());
        }
        let (exposed, keepalive) = self.shared.with_engine(|engine| {
            let config = engine.config();
            let exposed = config.flag("protected-mode") && engine.is_open();
            (exposed, config.integer("tcp-keepalive"))
        });
        if exposed && !is_loopback(address.ip()) {
            turn_away(SockRef::from(&stream), PROTECTED);
            return Ok(());
        }
        stream.set_nodelay(true)?;
        if keepalive > 0 {
            let time = Duration::from_secs(keepalive as u64);
            let settings =
                TcpKeepalive::new().with_time(time).with_interval((time / 3).max(Duration::from_secs(1)));
            SockRef::from(&stream).set_tcp_keepalive(&settings.with_retries(3))?;
        }
        let peer = Peer {
            addr: address.to_string(),
            laddr: stream.local_addr()?.to_string(),
            fd: stream.as_raw_fd(),
            ..Peer::default()
        };
        self.hand_over(stream.into(), peer);
        Ok(())
    }

    fn hand_over(&self, stream: OwnedFd, peer: Peer) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.threads[next % self.threads.len()].adopt(stream, peer);
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    }
}

/// Says why, without waiting for anybody to listen, and closes.
fn turn_away(socket: SockRef<'_>, words: &[u8]) {
    if let Err(error) = socket.send(words) {
        tracing::debug!(%error, "a refused client is gone already");
    }
}

/// Out of file descriptors, most likely: trying again at once would only burn time.
async fn rest_after(error: &io::Error) {
    // EINVAL: the socket rests, because its address is about to change.
    if error.raw_os_error() != Some(nix::errno::Errno::EINVAL as i32) {
        tracing::warn!(%error, "cannot accept a connection");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}
