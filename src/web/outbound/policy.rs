//! What may be reached beyond the public internet; from configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use url::{Host, Url};

/// The operator's side of the rules.
#[derive(Debug, Clone)]
pub struct OutboundPolicy {
    /// PEM file with certificate authorities trusted beside the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// Hosts that may be reached whatever their address and port.
    pub allowed_hosts: Vec<AllowedHost>,
    /// How long one fetch may take in all: waiting for its turn, name, connection, body.
    pub timeout: Duration,
    /// How many fetches may run at the same time.
    pub max_concurrent: usize,
}

impl Default for OutboundPolicy {
    /// The public internet only, 5 seconds, 32 at a time.
    fn default() -> Self {
        Self {
            extra_ca_file: None,
            allowed_hosts: Vec::new(),
            timeout: Duration::from_secs(5),
            max_concurrent: 32,
        }
    }
}

impl OutboundPolicy {
    /// Whether the operator has named this URL's host.
    pub(super) fn lists(&self, url: &Url) -> bool {
        self.allowed_hosts.iter().any(|allowed| allowed.matches(url))
    }
}

/// A host the operator has named: `host` (any port) or `host:port`.
///
/// For exactly this host the rules on addresses and ports are lifted. It must still be https,
/// except a loopback host, which may be http.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedHost {
    host: Host<String>,
    port: Option<u16>,
}

/// An allowed host that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a host: write 'host' or 'host:port' without scheme, path or wildcard, \
     an IPv6 address in brackets"
)]
pub struct AllowedHostError(String);

impl AllowedHost {
    fn matches(&self, url: &Url) -> bool {
        let same_host = url.host().is_some_and(|host| host == self.host);
        let same_port = self.port.is_none() || self.port == url.port_or_known_default();
        same_host && same_port
    }
}

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || AllowedHostError(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port),
            Some(_) => return Err(refuse()),
        };
        if host.contains('*') || host.ends_with('.') {
            return Err(refuse());
        }
        let host = Host::parse(host).map_err(|_| refuse())?;
        Ok(Self { host, port })
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = AllowedHostError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

/// Whether the host is this machine by name or literal, without asking a resolver (RFC 6761 §6.3).
pub(super) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_host_is_a_host_with_or_without_a_port() {
        for (text, printed) in [
            ("idp.corp.example", "idp.corp.example"),
            ("IDP.Corp.Example:8443", "idp.corp.example:8443"),
            ("localhost", "localhost"),
            ("127.0.0.1:443", "127.0.0.1:443"),
            ("[::1]", "[::1]"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            let host: AllowedHost = text.parse().unwrap();
            assert_eq!(host.to_string(), printed);
            assert_eq!(printed.parse(), Ok(host));
        }
    }

    #[test]
    fn an_allowed_host_is_nothing_else() {
        for text in [
            "",
            ":",
            "host:",
            "host:0",
            "host:65536",
            "host:http",
            "https://host",
            "host/path",
            "user@host",
            "*.corp.example",
            "*",
            "::1",
            "a b",
            "host.",
        ] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_allowed_host_is_read_from_configuration() {
        let hosts: Vec<AllowedHost> = serde_json::from_str(r#"["localhost:1", "[::1]"]"#).unwrap();
        assert_eq!(hosts.len(), 2);
        let error = serde_json::from_str::<AllowedHost>(r#""http://x""#).unwrap_err();
        assert!(error.to_string().contains("'http://x' is not a host"), "{error}");
    }

    #[test]
    fn a_host_is_listed_exactly() {
        for (allowed, url, listed) in [
            ("localhost", "https://localhost/a", true),
            ("localhost", "http://localhost:81/a", true),
            ("localhost:81", "http://localhost:81/a", true),
            ("localhost:443", "https://localhost/a", true),
            ("localhost:443", "https://localhost:444/a", false),
            ("localhost:81", "https://localhost/a", false),
            ("localhost", "https://localhost./a", false),
            ("localhost", "https://a.localhost/", false),
            ("localhost", "https://127.0.0.1/", false),
            ("127.0.0.1", "https://0x7f.1/", true),
            ("corp.example", "https://corp.example.evil.example/", false),
        ] {
            let policy =
                OutboundPolicy { allowed_hosts: vec![allowed.parse().unwrap()], ..OutboundPolicy::default() };
            let url = Url::parse(url).unwrap();
            assert_eq!(policy.lists(&url), listed, "{allowed} {url}");
        }
    }
}
