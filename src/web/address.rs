//! Whom a request comes from, as far as limits are concerned.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Once};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use crate::app::App;
use crate::config::TrustedProxy;

/// Said once: it would be said with every request.
static UNTRUSTED: Once = Once::new();
/// All that comes over Unix sockets and from nobody in particular.
const LOCAL: &str = "local";

/// Who is at the other end of a connection. Every request that came over one has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody at an address.
    Host(SocketAddr),
    /// A program of this machine, over a Unix socket. It is believed about whom it speaks for when `trusted_proxies` has
    /// `unix`. That it was let in by the permissions of the socket's file says that it is a proxy, and not that it sets the
    /// header: nginx by itself passes on what its client wrote.
    Local,
}

/// The client's address, one text per host: IPv6 hosts own whole /64 networks, so those count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl ClientAddress {
    /// Whom a request comes from. All that comes over Unix sockets comes from `local`, unless a proxy that is believed there
    /// says for whom it speaks: then all share the limits of one address, which is noticed, and nobody has more than their
    /// share.
    pub fn of(parts: &Parts, app: &App) -> Self {
        let trusted = &app.config.trusted_proxies;
        let address = match parts.extensions.get() {
            Some(Peer::Host(peer)) => {
                if parts.headers.contains_key("x-forwarded-for") && !trusts(trusted, peer.ip()) {
                    warn_of(&peer.ip().to_string());
                }
                bucket(resolve(peer.ip(), &parts.headers, trusted))
            }
            Some(Peer::Local) if !trusted.contains(&TrustedProxy::Unix) => {
                if parts.headers.contains_key("x-forwarded-for") {
                    warn_of("unix");
                }
                LOCAL.to_owned()
            }
            Some(Peer::Local) => forwarded(&parts.headers, trusted).map_or_else(|| LOCAL.to_owned(), bucket),
            None => "unknown".to_owned(),
        };
        Self(address)
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts, app))
    }
}

fn warn_of(peer: &str) {
    UNTRUSTED.call_once(|| {
        tracing::warn!(
            peer,
            "a proxy that trusted_proxies does not list sends X-Forwarded-For: every request through it counts as one address"
        );
    });
}

/// Whether a proxy at this address is believed.
pub fn trusts(trusted: &[TrustedProxy], address: IpAddr) -> bool {
    trusted.iter().any(|proxy| proxy.is_at(address))
}

/// The address behind `peer`, if that is a proxy that is trusted. A header from anybody else is not looked at.
fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> IpAddr {
    if trusts(trusted, peer) { forwarded(headers, trusted).unwrap_or(peer) } else { peer }
}

/// Walks `X-Forwarded-For` from the right past the proxies that are trusted; the first other address is the client.
fn forwarded(headers: &HeaderMap, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = None;
    for text in listed.iter().rev() {
        let Some(address) = parse(text) else { break };
        nearest = Some(address);
        if !trusts(trusted, address) {
            break;
        }
    }
    nearest
}

/// An address as proxies write it, some with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = |text: &str| text.parse().ok();
    bare(text)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bare(text.strip_prefix('[')?.strip_suffix(']')?))
}

/// What an address counts as: itself, or its network of IPv6.
pub fn bucket(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        bucket(resolve(peer.parse().unwrap(), &headers, &trusted))
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", vec!["203.0.113.9"], "192.0.2.1"),
            ("10.0.0.1", vec!["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", vec!["198.51.100.7, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", vec!["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", vec!["spoofed, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", vec!["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", vec!["[2001:db8:1:2::9]:4711"], "2001:db8:1:2::/64"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("::ffff:10.0.0.1", vec!["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", vec!["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
            ("::ffff:192.0.2.1", vec!["203.0.113.9"], "192.0.2.1"),
        ] {
            assert_eq!(resolved(peer, &forwarded), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_whole_ipv6_network_is_one_client() {
        assert_eq!(resolved("2001:db8:1:2:3::4", &[]), "2001:db8:1:2::/64");
        assert_eq!(resolved("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }
}
