//! Which URL may be asked at all, before any name is resolved.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::is_special_use;
use super::policy::{OutboundPolicy, is_loopback};

/// Why a URL may be asked; decides which addresses may be dialled and what may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A host on the public internet.
    Public,
    /// A host the operator has named, wherever it is.
    Listed,
}

/// The rule that a URL broke. Its text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither https nor http to a listed loopback host.
    #[error("the scheme {0} is not https")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error("the URL carries credentials")]
    Credentials,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// Not 443 and not listed.
    #[error("port {0} is not 443 and the host and port are not among the allowed hosts")]
    Port(u16),
    /// A name that cannot be a public host's.
    #[error("the name {0} does not belong to the public internet")]
    Name(String),
    /// A special-use address, written in the URL or found by resolving its host.
    #[error("the address {0} is special-use")]
    Address(IpAddr),
}

/// Judges a URL; the addresses of a name are judged later, where they are dialled.
pub(super) fn judge(policy: &OutboundPolicy, url: &Url) -> Result<Reach, Refusal> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Credentials);
    }
    let host = url.host().ok_or(Refusal::NoHost)?;
    let listed = policy.lists(url);
    match url.scheme() {
        "https" => {}
        "http" if listed && is_loopback(&host) => {}
        other => return Err(Refusal::Scheme(other.to_owned())),
    }
    if listed {
        return Ok(Reach::Listed);
    }
    // The parser drops the port that belongs to the scheme, so what is left is not 443.
    if let Some(port) = url.port() {
        return Err(Refusal::Port(port));
    }
    match host {
        Host::Domain(name) if is_public_name(name) => Ok(Reach::Public),
        Host::Domain(name) => Err(Refusal::Name(name.to_owned())),
        Host::Ipv4(address) => judge_address(address.into()),
        Host::Ipv6(address) => judge_address(address.into()),
    }
}

fn judge_address(address: IpAddr) -> Result<Reach, Refusal> {
    if is_special_use(address) {
        return Err(Refusal::Address(address));
    }
    Ok(Reach::Public)
}

/// Names that never lead to the public internet: single labels, which a search domain would
/// complete, and the special-use names (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, and
/// `internal`, reserved by ICANN). A trailing dot is refused too: it is a second spelling of a host.
///
/// This only refuses early and clearly. The guard is the check of the addresses.
fn is_public_name(name: &str) -> bool {
    const INSIDE: [&str; 9] =
        ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"];
    match name.rsplit_once('.') {
        Some((_, last)) => !last.is_empty() && !INSIDE.contains(&last),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &str, allowed: &[&str]) -> Result<Reach, Refusal> {
        let policy = OutboundPolicy {
            allowed_hosts: allowed.iter().map(|host| host.parse().unwrap()).collect(),
            ..OutboundPolicy::default()
        };
        judge(&policy, &Url::parse(url).unwrap())
    }

    #[test]
    fn a_public_https_url_on_443_may_be_asked() {
        for url in [
            "https://client.example.com/metadata.json",
            "https://client.example.com:443/metadata.json",
            "https://bücher.de/oauth",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(judged(url, &[]), Ok(Reach::Public), "{url}");
        }
    }

    #[test]
    fn only_https_is_asked() {
        for url in ["http://client.example.com/", "ftp://client.example.com/"] {
            assert!(matches!(judged(url, &[]), Err(Refusal::Scheme(_))), "{url}");
        }
        assert_eq!(judged("file:///etc/passwd", &[]), Err(Refusal::NoHost));
        assert_eq!(judged("data:,x", &[]), Err(Refusal::NoHost));
    }

    #[test]
    fn only_port_443_is_asked() {
        assert_eq!(judged("https://client.example.com:8443/", &[]), Err(Refusal::Port(8443)));
        assert_eq!(judged("https://client.example.com:80/", &[]), Err(Refusal::Port(80)));
    }

    #[test]
    fn credentials_are_never_sent() {
        for url in ["https://a@client.example.com/", "https://:b@client.example.com/"] {
            assert_eq!(judged(url, &[]), Err(Refusal::Credentials), "{url}");
        }
        assert_eq!(judged("https://a@localhost/", &["localhost"]), Err(Refusal::Credentials));
    }

    #[test]
    fn every_spelling_of_a_special_use_address_is_refused() {
        for (url, address) in [
            ("https://127.0.0.1/", "127.0.0.1"),
            ("https://127.1/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://0177.0.0.1/", "127.0.0.1"),
            ("https://2130706433/", "127.0.0.1"),
            ("https://0x7f000001/", "127.0.0.1"),
            ("https://127.0.0.1./", "127.0.0.1"),
            ("https://%31%32%37.0.0.1/", "127.0.0.1"),
            ("https://１２７.０.０.１/", "127.0.0.1"),
            ("https://127。0。0。1/", "127.0.0.1"),
            ("https://0/", "0.0.0.0"),
            ("https://169.254.169.254/", "169.254.169.254"),
            ("https://[::1]/", "::1"),
            ("https://[::]/", "::"),
            ("https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("https://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
            ("https://[64:ff9b::10.0.0.1]/", "64:ff9b::a00:1"),
            ("https://[fd00:ec2::254]/", "fd00:ec2::254"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(judged(url, &[]), Err(Refusal::Address(address)), "{url}");
        }
    }

    #[test]
    fn names_of_the_inside_are_refused() {
        for url in [
            "https://localhost/",
            "https://LOCALHOST/",
            "https://localhost./",
            "https://app.localhost/",
            "https://app.localhost./",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://router.home.arpa/",
            "https://intranet/",
            "https://db.test/",
            "https://hidden.onion/",
            "https://client.example.com./",
            "https://ⓛocalhost/",
        ] {
            assert!(matches!(judged(url, &[]), Err(Refusal::Name(_))), "{url}");
        }
    }

    #[test]
    fn a_listed_host_may_be_anywhere_but_stays_https() {
        for (url, allowed) in [
            ("https://localhost:8443/", "localhost:8443"),
            ("https://localhost:8443/", "localhost"),
            ("https://10.1.2.3/", "10.1.2.3"),
            ("https://idp.corp.internal/", "idp.corp.internal"),
            ("http://localhost:8080/", "localhost:8080"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert_eq!(judged(url, &[allowed]), Ok(Reach::Listed), "{url}");
        }
        for (url, allowed) in [
            ("http://10.1.2.3/", "10.1.2.3"),
            ("http://idp.corp.internal/", "idp.corp.internal"),
            ("http://localhost:8080/", "localhost:8081"),
            ("https://localhost:8080/", "localhost:8081"),
            ("https://localhost/", "localhost:8081"),
            ("https://127.0.0.1:8080/", "localhost:8080"),
        ] {
            assert!(judged(url, &[allowed]).is_err(), "{url} with {allowed}");
        }
    }
}
