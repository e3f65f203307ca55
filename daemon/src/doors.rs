//! The addresses the daemon listens on, and changing them while it runs.
//!
//! Law: a change happens as a whole or not at all. Addresses that stay are not touched; new ones are bound before old
//! ones are left. Where a new address contains an old one (`*` and `127.0.0.1`), the old socket rests while the new one
//! is tried, and listens again if that fails. Sockets that the service manager passed are never changed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use nix::sys::socket::{Backlog, Shutdown, listen, shutdown};
use pbj_store::config::Config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::listener::{self, Gate};

/// A socket that somebody has to accept connections of, until the token says otherwise.
pub enum Door {
    /// Over TCP.
    Tcp(TcpListener, CancellationToken),
    /// Over a Unix socket.
    Unix(UnixListener, CancellationToken),
}

/// All addresses.
pub struct Doors {
    tcp: Vec<Open>,
    inherited: bool,
    opened: mpsc::UnboundedSender<Door>,
    stop: CancellationToken,
}

/// An address that is listened on.
struct Open {
    address: SocketAddr,
    /// A second handle of the socket, to let it rest.
    socket: TcpListener,
    close: CancellationToken,
}

impl Doors {
    /// No address yet; what is opened goes to the receiver. All doors close with `stop`.
    pub fn new(stop: CancellationToken) -> (Self, mpsc::UnboundedReceiver<Door>) {
        let (opened, receiver) = mpsc::unbounded_channel();
        (Self { tcp: Vec::new(), inherited: false, opened, stop }, receiver)
    }

    /// Takes over sockets that the service manager passed. What `bind` and `port` say counts no more.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub fn adopt(&mut self, sockets: Vec<pbj_systemd::Socket>) -> io::Result<()> {
        for socket in sockets {
            self.inherited = true;
            match socket {
                pbj_systemd::Socket::Tcp(listener) => self.open(listener)?,
                pbj_systemd::Socket::Unix(listener) => self.open_unix(listener),
            }
        }
        Ok(())
    }

    /// Opens what the configuration says: all TCP addresses and the Unix socket.
    ///
    /// # Errors
    /// An address cannot be had (but for those marked as optional with `-`).
    pub fn open_configured(&mut self, config: &Config) -> io::Result<()> {
        if self.inherited {
            tracing::info!("the service manager passed sockets: port, bind and unixsocket do not count");
            return Ok(());
        }
        self.rebind(config)?;
        if let Some(listener) = listener::bind_unix(config)? {
            self.open_unix(listener);
        }
        Ok(())
    }

    /// Goes over to the TCP addresses of a configuration.
    ///
    /// # Errors
    /// An address cannot be had; everything is as before then.
    pub fn rebind(&mut self, config: &Config) -> io::Result<()> {
        if self.inherited {
            return Err(io::Error::other("the service manager passed the sockets"));
        }
        let wanted = listener::addresses(config)?;
        let (kept, left): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut self.tcp).into_iter().partition(|open| is_wanted(&wanted, open.address));
        self.tcp = kept;
        let backlog = config.integer("tcp-backlog") as i32;
        let mut rested = false;
        let mut bound = Vec::new();
        for (address, optional) in wanted {
            if self.tcp.iter().any(|open| open.address == address) {
                continue;
            }
            let mut attempt = listener::bind_tcp(address, backlog);
            if is_taken(&attempt) && left.iter().any(|open| open.address.port() == address.port()) {
                left.iter().for_each(rest);
                rested = true;
                attempt = listener::bind_tcp(address, backlog);
            }
            match attempt {
                Ok(listener) => bound.push(listener),
                Err(error) if optional => {
                    tracing::debug!(%address, %error, "an optional address is not available");
                }
                Err(error) => {
                    drop(bound);
                    if rested {
                        left.iter().for_each(|open| wake(open, backlog));
                    }
                    self.tcp.extend(left);
                    return Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")));
                }
            }
        }
        left.iter().for_each(|open| open.close.cancel());
        bound.into_iter().try_for_each(|listener| self.open(listener))
    }

    /// The TCP addresses that are listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().map(|open| open.address).collect()
    }

    fn open(&mut self, listener: TcpListener) -> io::Result<()> {
        let close = self.stop.child_token();
        let open =
            Open { address: listener.local_addr()?, socket: listener.try_clone()?, close: close.clone() };
        self.tcp.push(open);
        self.hand_over(Door::Tcp(listener, close));
        Ok(())
    }

    fn open_unix(&self, listener: UnixListener) {
        self.hand_over(Door::Unix(listener, self.stop.child_token()));
    }

    fn hand_over(&self, door: Door) {
        if self.opened.send(door).is_err() {
            tracing::debug!("a door opened after the end");
        }
    }
}

/// Whether an address stays. Port 0 stands for any port, so it is always another one.
fn is_wanted(wanted: &[(SocketAddr, bool)], address: SocketAddr) -> bool {
    wanted.iter().any(|(other, _)| *other == address)
}

fn is_taken(attempt: &io::Result<TcpListener>) -> bool {
    attempt.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Lets a socket listen no more, so that its address is free for others.
fn rest(open: &Open) {
    if let Err(error) = shutdown(std::os::fd::AsRawFd::as_raw_fd(&open.socket), Shutdown::Read) {
        tracing::debug!(%error, "a listening socket does not rest");
    }
}

fn wake(open: &Open, backlog: i32) {
    let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
    if let Err(error) = listen(&open.socket, backlog) {
        tracing::error!(address = %open.address, %error, "a socket cannot listen again");
    }
}

/// Accepts connections at all doors, as they open, until the daemon ends.
pub async fn serve(gate: Arc<Gate>, mut doors: mpsc::UnboundedReceiver<Door>, stop: CancellationToken) {
    loop {
        let door = tokio::select! {
            door = doors.recv() => door,
            () = stop.cancelled() => None,
        };
        match door {
            Some(Door::Tcp(listener, close)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(report(async move { gate.accept_tcp(listener, close).await }));
            }
            Some(Door::Unix(listener, close)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(report(async move { gate.accept_unix(listener, close).await }));
            }
            None => return,
        }
    }
}

async fn report(accepting: impl Future<Output = io::Result<()>>) {
    if let Err(error) = accepting.await {
        tracing::error!(%error, "a listener failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn config(port: u16, bind: &str) -> Config {
        let mut config = Config::default();
        config.set("port", &[&port.to_string()]).unwrap();
        config.set("bind", &bind.split(' ').collect::<Vec<_>>()).unwrap();
        config
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_change_that_fails_leaves_everything_as_it_was() {
        let (mut doors, _opened) = Doors::new(CancellationToken::new());
        let port = free_port();
        doors.rebind(&config(port, "127.0.0.1")).unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = doors.rebind(&config(taken.local_addr().unwrap().port(), "127.0.0.1")).unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
        assert_eq!(doors.addresses(), [SocketAddr::from(([127, 0, 0, 1], port))]);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn an_address_within_another_can_be_exchanged_for_it() {
        let (mut doors, _opened) = Doors::new(CancellationToken::new());
        let port = free_port();
        doors.rebind(&config(port, "127.0.0.1")).unwrap();
        doors.rebind(&config(port, "*")).unwrap();
        assert_eq!(doors.addresses(), [SocketAddr::from(([0, 0, 0, 0], port))]);
        doors.rebind(&config(port, "127.0.0.1 -10.99.99.99")).unwrap();
        assert_eq!(doors.addresses(), [SocketAddr::from(([127, 0, 0, 1], port))]);
    }

    #[test]
    fn a_socket_that_rested_listens_again_when_the_change_fails() {
        let (mut doors, mut opened) = Doors::new(CancellationToken::new());
        let port = free_port();
        doors.rebind(&config(port, "127.0.0.1")).unwrap();
        // The first address makes the old socket rest; the second one cannot be had.
        doors.rebind(&config(port, "* 10.99.99.99")).unwrap_err();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        let Door::Tcp(listener, close) = opened.try_recv().unwrap() else { panic!("a TCP door") };
        assert!(!close.is_cancelled());
        listener.accept().unwrap();
    }
}
