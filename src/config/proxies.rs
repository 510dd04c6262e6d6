//! The proxies whose word about the client's address is taken.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::ConfigError;

/// How the proxies are written that connect to our Unix sockets.
const UNIX: &str = "unix";

/// A proxy that is believed about whom it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// One with an address in this network.
    Network(IpNet),
    /// Whoever connects to one of our Unix sockets.
    Unix,
}

impl TrustedProxy {
    /// Whether a host at this address is one. An IPv4 address is the same when it is written as one of IPv6 (RFC 4291
    /// §2.5.5.2), as sockets for both have it.
    pub fn is_at(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&address.to_canonical()) || network.contains(&address),
            Self::Unix => false,
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let wrong = |problem: String| ConfigError::new("trusted_proxies", problem);
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network: IpNet = network.map_err(|_| {
            wrong(format!("{text:?} is no network; write it like 10.0.0.0/8, or {UNIX} for Unix sockets"))
        })?;
        if network.prefix_len() == 0 {
            return Err(wrong(format!(
                "{text} is everybody, and who is believed chooses the address that limits count; name the network of \
                 your proxies, like 10.0.0.0/8"
            )));
        }
        Ok(Self::Network(network))
    }
}

/// Parses the values of the key.
pub(super) fn parse(texts: &[String]) -> Result<Vec<TrustedProxy>, ConfigError> {
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_networks_or_unix_and_never_everybody() {
        for text in ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1", "unix"] {
            assert!(text.parse::<TrustedProxy>().is_ok(), "{text}");
        }
        for (text, said) in [("0.0.0.0/0", "is everybody"), ("::/0", "is everybody"), ("proxy", "no network")]
        {
            let refused = text.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(refused.starts_with("trusted_proxies: ") && refused.contains(said), "{refused}");
        }
    }
}
