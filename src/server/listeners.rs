//! What is listened on: addresses, with TLS or without, and Unix sockets. All of them at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::room::is_near;
use super::socket::{self, SocketFile};
use super::tls::Tls;
use crate::config::{Config, ConfigError, Listen};

/// How long it takes until another connection is tried for after the system had none to give: as long as it may take
/// until files are closed or memory is free.
const RESPITE: Duration = Duration::from_secs(1);
/// How many connections wait at a Unix socket until they are taken; as many as at an address.
const BACKLOG: u32 = 1024;

/// The listeners of a server. Dropping them ends their Unix sockets.
#[derive(Debug)]
pub struct Listeners {
    sources: Vec<Source>,
    /// Which of them is asked first, so that a busy one does not keep the others waiting.
    turn: usize,
}

#[derive(Debug)]
enum Source {
    Tcp(TcpListener, Option<Arc<Tls>>),
    // The file goes before the listener: what cannot be connected to is not found.
    Unix { _file: SocketFile, listener: UnixListener },
}

/// A connection that was taken.
#[derive(Debug)]
pub(super) enum Accepted {
    /// From an address, with how TLS is to be spoken, if it is.
    Tcp(TcpStream, SocketAddr, Option<Arc<Tls>>),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Accepted {
    /// The address that it is from; a Unix socket has none.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address, _) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

/// From which listeners a connection is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// From all of them.
    All,
    /// From those that only programs of this machine reach: Unix sockets and loopback addresses.
    Near,
}

impl Listeners {
    /// Listens wherever the configuration says. TLS is spoken at addresses, and not over Unix sockets: what passes there
    /// does not leave the machine.
    pub async fn bind(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Self, ConfigError> {
        let mut sources = Vec::new();
        for listen in &config.listen {
            sources.push(match listen {
                Listen::Tcp(address) => Source::Tcp(bind_address("listen", *address)?, tls.cloned()),
                Listen::Unix(path) => {
                    let bound = socket::bind(path, config.listen_mode, BACKLOG).await;
                    let (file, listener) = bound.map_err(|problem| {
                        ConfigError::new("listen", format!("cannot listen on {listen}: {problem}"))
                    })?;
                    Source::Unix { _file: file, listener }
                }
            });
        }
        Ok(Self { sources, turn: 0 })
    }

    /// One that listens already, with TLS.
    pub fn tls(listener: TcpListener, tls: Arc<Tls>) -> Self {
        Self { sources: vec![Source::Tcp(listener, Some(tls))], turn: 0 }
    }

    /// The next connection of some listeners.
    pub(super) async fn accept(&mut self, which: Which) -> Accepted {
        loop {
            match std::future::poll_fn(|context| self.poll_accept(which, context)).await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(detail = %error, "no connection can be taken");
                    tokio::time::sleep(RESPITE).await;
                }
            }
        }
    }

    fn poll_accept(&mut self, which: Which, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (before, after) = self.sources.split_at(self.turn.min(self.sources.len()));
        for (steps, source) in after.iter().chain(before).enumerate() {
            if which == Which::Near && !source.is_near() {
                continue;
            }
            if let Poll::Ready(accepted) = source.poll_accept(context) {
                self.turn = (self.turn + steps + 1) % self.sources.len();
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self { sources: vec![Source::Tcp(listener, None)], turn: 0 }
    }
}

impl Source {
    fn is_near(&self) -> bool {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().is_ok_and(|address| is_near(address.ip())),
            Self::Unix { .. } => true,
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(match self {
            Self::Tcp(listener, tls) => {
                let (stream, address) = ready!(listener.poll_accept(context))?;
                // Small answers are whole: they need not wait for more to send. Without it they are as right, and later.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, address, tls.clone()))
            }
            Self::Unix { listener, .. } => Ok(Accepted::Unix(ready!(listener.poll_accept(context))?.0)),
        })
    }
}

/// Whether only the connection that was to be taken is gone, and the next one may be well.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What to do when another program has the port.
fn taken(key: &str, address: SocketAddr) -> String {
    let variable = format!("MANDATE_{}", key.to_ascii_uppercase());
    let next = SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(8080));
    let cure =
        format!("another program listens there; stop it or choose another port, as with {variable}={next}");
    if key == "listen" {
        cure + "; where public_url (MANDATE_PUBLIC_URL) is set, it has to follow"
    } else {
        cure
    }
}

/// Listens on an address that stands under `key`.
pub fn bind_address(key: &str, address: SocketAddr) -> Result<TcpListener, ConfigError> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.map_err(|error| {
        let cure = match error.kind() {
            io::ErrorKind::AddrInUse => taken(key, address),
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need more rights; choose a higher one".to_owned()
            }
            _ => "choose an address of this machine".to_owned(),
        };
        ConfigError::new(key, format!("cannot listen on {address} ({error}): {cure}"))
    })
}
