//! What is listened on: addresses, with TLS or without, and Unix sockets. All of them at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::room::is_near;
use super::socket::{self, SocketFile};
use super::tls::Tls;
use crate::config::{Config, ConfigError, Listen};

/// How long it takes until another connection is tried for after the system had none to give: as long as it may take
/// until files are closed or memory is free.
const RESPITE: Duration = Duration::from_secs(1);
/// How many connections wait at an address or a Unix socket until they are taken, where the system lets so many.
const BACKLOG: i32 = 1024;

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
    Unix { file: SocketFile, listener: UnixListener },
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
                Listen::Tcp(address) => Source::Tcp(bind_address(config, "listen", *address)?, tls.cloned()),
                Listen::Unix(path) => {
                    let bound = socket::bind(path, config.listen_mode, BACKLOG.unsigned_abs()).await;
                    let (file, listener) = bound.map_err(|problem| {
                        ConfigError::new("listen", format!("cannot listen on {listen}: {problem}"))
                    })?;
                    Source::Unix { file, listener }
                }
            });
        }
        Ok(Self { sources, turn: 0 })
    }

    /// One that listens already, with TLS.
    pub fn tls(listener: TcpListener, tls: Arc<Tls>) -> Self {
        Self { sources: vec![Source::Tcp(listener, Some(tls))], turn: 0 }
    }

    /// Where it is listened, for people, and where TLS is spoken there.
    pub fn places(&self) -> Vec<String> {
        self.sources.iter().map(Source::place).collect()
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
    fn place(&self) -> String {
        match self {
            Self::Tcp(listener, tls) => {
                let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
                if tls.is_some() { format!("{address} (TLS)") } else { address }
            }
            Self::Unix { file, .. } => Listen::Unix(file.path().to_owned()).to_string(),
        }
    }

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
pub fn bind_address(config: &Config, key: &str, address: SocketAddr) -> Result<TcpListener, ConfigError> {
    listen(address, config.is_for_ipv6_alone(address)).map_err(|error| {
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

fn listen(address: SocketAddr, is_for_ipv6_alone: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    // What is left of connections of a server before does not keep this one from its port.
    socket.set_reuse_address(true)?;
    if is_for_ipv6_alone {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listens;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn more_wait_at_an_address_than_the_128_of_the_standard_library() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..200 {
            let connected = tokio::time::timeout(Duration::from_mins(1), TcpStream::connect(address)).await;
            waiting.push(connected.expect("the backlog is full").unwrap());
        }
    }

    #[tokio::test]
    async fn both_families_may_be_named_with_one_port() {
        let port = std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        for text in [format!("[::]:{port},0.0.0.0:{port}"), format!("127.0.0.1:{port},[::]:{port}")] {
            let config = Config::written(&format!("listen = \"{text}\"")).unwrap();
            let listeners = Listeners::bind(&config, None).await.unwrap();
            assert_eq!(listeners.places().join(","), text);
        }
    }

    #[tokio::test]
    async fn a_port_that_the_system_chose_is_told() {
        let mut config = Config::defaults().unwrap();
        config.listen = Listens::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listeners = Listeners::bind(&config, None).await.unwrap();
        let [place] = &*listeners.places() else { panic!("{:?}", listeners.places()) };
        assert_ne!(place.parse::<SocketAddr>().unwrap().port(), 0);
    }
}
