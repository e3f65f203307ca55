//! Connections to other servers, from the address that `bind-source-addr` names.
//!
//! Law: as in redis-server the address is a wish. Where no connection can be made from it (the machine has no such
//! address, or it is of another family than the other side), one is made from any; the log tells of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Connects to the first of the addresses of a host that can be reached.
///
/// # Errors
/// None can be reached.
pub async fn connect(host: &str, port: u16, source: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((host, port)).await? {
        match connect_to(address, source).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// As [`connect`], for threads without a runtime; each address gets so much time.
///
/// # Errors
/// None can be reached in time.
pub fn connect_blocking(
    host: &str,
    port: u16,
    source: &str,
    timeout: Duration,
) -> io::Result<std::net::TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream =
        runtime.block_on(async { tokio::time::timeout(timeout, connect(host, port, source)).await })??;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

async fn connect_to(address: SocketAddr, source: &str) -> io::Result<TcpStream> {
    if !source.is_empty() {
        match connect_from(address, source).await {
            Ok(stream) => return Ok(stream),
            Err(error) => tracing::warn!(%error, source, %address, "no connection from bind-source-addr"),
        }
    }
    TcpStream::connect(address).await
}

async fn connect_from(address: SocketAddr, source: &str) -> io::Result<TcpStream> {
    let source: IpAddr = source.parse().map_err(io::Error::other)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}
