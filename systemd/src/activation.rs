//! Sockets that systemd opened for us, as sd_listen_fds(3) says: they outlive the daemon, so that a restart refuses
//! nobody.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

/// A listening socket that was passed to this process, not blocking.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A socket and its name (`FileDescriptorName=` of its unit).
#[derive(Debug)]
pub struct Inherited {
    /// The name; `unknown` or the unit's name if the unit gives none.
    pub name: String,
    /// The socket.
    pub socket: Socket,
}

/// Why inherited sockets cannot be used.
#[derive(Debug)]
pub enum InheritFault {
    /// The environment or a descriptor makes no sense.
    Io(io::Error),
    /// A descriptor is no listening stream socket.
    NotListening(String),
}

impl fmt::Display for InheritFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(out, "sockets from the service manager: {error}"),
            Self::NotListening(name) => {
                write!(out, "the socket '{name}' from the service manager does not listen for streams")
            }
        }
    }
}

impl std::error::Error for InheritFault {}

impl From<io::Error> for InheritFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes over the sockets that were passed to this process. Call it first thing; from the second call on there are
/// none.
///
/// # Errors
/// The environment is wrong, or a descriptor is something else than a listening stream socket.
pub fn inherit() -> Result<Vec<Inherited>, InheritFault> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let passed: Vec<(RawFd, String)> = sd_notify::listen_fds_with_names()?.collect();
    passed.into_iter().map(|(fd, name)| adopt(own(fd), name)).collect()
}

/// Takes over a descriptor that LISTEN_FDS names.
#[expect(unsafe_code, reason = "descriptors come as bare numbers from the service manager")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: LISTEN_PID names this process, so the service manager opened this descriptor for us and nobody else in
    // the process knows of it; `inherit` gives each one out once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn adopt(fd: OwnedFd, name: String) -> Result<Inherited, InheritFault> {
    let socket = to_listener(fd).map_err(InheritFault::Io)?;
    match socket {
        Some(socket) => Ok(Inherited { name, socket }),
        None => Err(InheritFault::NotListening(name)),
    }
}

fn to_listener(fd: OwnedFd) -> io::Result<Option<Socket>> {
    let is_stream = getsockopt(&fd.as_fd(), sockopt::SockType)? == SockType::Stream;
    let listens = getsockopt(&fd.as_fd(), sockopt::AcceptConn)?;
    if !is_stream || !listens {
        return Ok(None);
    }
    let address: SockaddrStorage = getsockname(std::os::fd::AsRawFd::as_raw_fd(&fd))?;
    Ok(match address.family() {
        Some(AddressFamily::Unix) => {
            let listener = UnixListener::from(fd);
            listener.set_nonblocking(true)?;
            Some(Socket::Unix(listener))
        }
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            let listener = TcpListener::from(fd);
            listener.set_nonblocking(true)?;
            Some(Socket::Tcp(listener))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn listening_sockets_are_told_by_their_family() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let adopted = adopt(tcp.into(), "resp".into()).unwrap();
        assert_eq!(adopted.name, "resp");
        let Socket::Tcp(listener) = adopted.socket else {
            panic!("a TCP socket came back as something else")
        };
        assert_eq!(listener.local_addr().unwrap(), address);

        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("sock")).unwrap();
        assert!(matches!(adopt(unix.into(), "unix".into()).unwrap().socket, Socket::Unix(_)));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let fault = adopt(stream.into(), "resp".into()).unwrap_err();
        assert!(fault.to_string().contains("'resp'"), "{fault}");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(matches!(adopt(udp.into(), "x".into()), Err(InheritFault::NotListening(_))));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(adopt(file.into(), "x".into()), Err(InheritFault::Io(_))));
    }
}
