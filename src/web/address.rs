//! Whom a request comes from, as far as limits are concerned.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Once};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

use crate::app::App;

/// Said once: it would be said with every request.
static UNTRUSTED: Once = Once::new();

/// The client's address, one text per host: IPv6 hosts own whole /64 networks, so those count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl ClientAddress {
    /// Whom a request comes from.
    pub fn of(parts: &Parts, app: &App) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        if let Some(peer) = peer
            && parts.headers.contains_key("x-forwarded-for")
            && !app.config.trusted_proxies.iter().any(|network| network.contains(&peer))
        {
            UNTRUSTED.call_once(|| {
                tracing::warn!(%peer, "a proxy that trusted_proxies does not list sends X-Forwarded-For: every \
                    request through it counts as one address");
            });
        }
        Self(peer.map_or_else(
            || "unknown".to_owned(),
            |peer| bucket(resolve(peer, &parts.headers, &app.config.trusted_proxies)),
        ))
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts, app))
    }
}

/// Walks `X-Forwarded-For` from the right past the proxies that are trusted; the first other address is the
/// client. A header from anybody else is not looked at.
fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    if !trusts(peer) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for text in listed.iter().rev() {
        let Some(address) = parse(text) else { break };
        nearest = address;
        if !trusts(address) {
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

fn bucket(address: IpAddr) -> String {
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
