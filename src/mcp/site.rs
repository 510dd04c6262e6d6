//! Host and Origin: whether a request was meant for this server, and may come from the page it comes from.
//!
//! A page of another origin must not reach a server on somebody's own machine, be it by a plain request or by
//! a name that resolves to the machine (DNS rebinding). MCP transports, "Security & Endpoint".

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, header};
use url::Url;

use crate::config::Config;

/// The names of this machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Which hosts and origins are ours.
#[derive(Debug)]
pub(super) struct Site {
    /// Host and port, the default port of the scheme written out.
    hosts: Vec<(String, u16)>,
    /// Serialised origins.
    origins: Vec<String>,
    /// Whether pages of this machine may call, from whatever port: the public URL is on loopback itself.
    admits_loopback: bool,
    default_port: u16,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotHere {
    /// It names another host than the public URL.
    #[error("the Host header does not name this server; public_url says what it is called")]
    Host,
    /// It comes from a page that is not allowed to call.
    #[error("this Origin may not call; mcp.allowed_origins lists those that may")]
    Origin,
}

impl Site {
    /// The public URL's host and origin, and the configured origins. With a public URL on loopback, every name
    /// of this machine with the port that is listened on counts as ours, and pages of this machine may call: the
    /// tools that people develop with are such pages, and what a foreign name is made to resolve to stays foreign.
    pub(super) fn new(config: &Config) -> Self {
        let issuer = config.public_url.issuer();
        let default_port = if config.public_url.is_https() { 443 } else { 80 };
        let mut origins = vec![issuer.to_owned()];
        origins.extend(config.mcp.allowed_origins.iter().cloned());
        let public = Url::parse(issuer).ok();
        let host = public.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        let port = public.as_ref().and_then(Url::port_or_known_default).unwrap_or(default_port);
        let mut hosts = vec![(host.clone(), port)];
        let admits_loopback = LOOPBACK.contains(&host.as_str());
        if admits_loopback {
            for name in LOOPBACK {
                for port in std::iter::once(port).chain(config.listen.ports()) {
                    hosts.push((name.to_owned(), port));
                }
            }
        }
        Self { hosts, origins, admits_loopback, default_port }
    }

    /// Checks where a request wants to go and comes from. Yields the origin, if it has one.
    pub(super) fn check(&self, parts: &Parts) -> Result<Option<HeaderValue>, NotHere> {
        if !self.is_our_host(parts) {
            return Err(NotHere::Host);
        }
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.admits(origin) => Ok(Some(origin.clone())),
            _ => Err(NotHere::Origin),
        }
    }

    fn admits(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|ours| origin == ours.as_str())
            || (self.admits_loopback && origin.to_str().is_ok_and(is_loopback_origin))
    }

    /// The Host header says it, however the request did: `web::host` sees to that.
    fn is_our_host(&self, parts: &Parts) -> bool {
        let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let named = named.and_then(|text| text.parse::<Authority>().ok());
        named.is_some_and(|named| {
            let (host, port) =
                (named.host().to_ascii_lowercase(), named.port_u16().unwrap_or(self.default_port));
            self.hosts.iter().any(|(our_host, our_port)| *our_host == host && *our_port == port)
        })
    }
}

fn is_loopback_origin(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://") else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    LOOPBACK.contains(&host) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublicUrl;

    fn site(public_url: &str) -> Site {
        let mut config = Config::defaults().unwrap();
        config.public_url = PublicUrl::parse(public_url).unwrap();
        config.mcp.allowed_origins = vec!["https://app.example".into()];
        Site::new(&config)
    }

    fn check(site: &Site, host: &str, origins: &[&str]) -> Result<(), NotHere> {
        let mut request = http::Request::builder().uri("/mcp").header("host", host);
        for origin in origins {
            request = request.header("origin", *origin);
        }
        site.check(&request.body(()).unwrap().into_parts().0).map(|_| ())
    }

    #[test]
    fn only_the_public_host_is_answered() {
        let site = site("https://t.example");
        for host in ["t.example", "T.EXAMPLE", "t.example:443"] {
            assert_eq!(check(&site, host, &[]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "t.example:8443", "localhost:8080", "127.0.0.1", "", "t.example@evil.example"]
        {
            assert_eq!(check(&site, host, &[]), Err(NotHere::Host), "{host}");
        }
    }

    #[test]
    fn on_loopback_every_name_of_the_machine_is_ours_with_its_port() {
        let site = site("http://localhost:9999");
        for host in ["localhost:9999", "127.0.0.1:8080", "[::1]:8080", "localhost:8080"] {
            assert_eq!(check(&site, host, &[]), Ok(()), "{host}");
        }
        for host in ["localhost", "127.0.0.1:81", "evil.example:8080", "localhost.evil.example:8080"] {
            assert_eq!(check(&site, host, &[]), Err(NotHere::Host), "{host}");
        }
    }

    #[test]
    fn on_loopback_pages_of_this_machine_may_call_and_no_others() {
        let site = site("http://localhost:9999");
        for origin in ["http://localhost:6274", "http://127.0.0.1:1", "http://[::1]:80", "http://localhost"] {
            assert_eq!(check(&site, "localhost:9999", &[origin]), Ok(()), "{origin}");
        }
        for origin in [
            "https://localhost:6274",
            "http://localhost.evil.example:6274",
            "http://evil.example",
            "http://localhost:x",
            "http://localhost:1:2",
            "null",
        ] {
            assert_eq!(check(&site, "localhost:9999", &[origin]), Err(NotHere::Origin), "{origin}");
        }
    }

    #[test]
    fn only_our_own_and_listed_origins_may_call() {
        let site = site("https://t.example");
        for origin in ["https://t.example", "https://app.example"] {
            assert_eq!(check(&site, "t.example", &[origin]), Ok(()), "{origin}");
        }
        for origin in ["null", "http://t.example", "https://t.example:444", "https://app.example.evil", ""] {
            assert_eq!(check(&site, "t.example", &[origin]), Err(NotHere::Origin), "{origin}");
        }
        let both = ["https://t.example", "https://app.example"];
        assert_eq!(check(&site, "t.example", &both), Err(NotHere::Origin));
    }
}
