//! The public URL: the issuer, and the base of every absolute URL.

use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::{Config, ConfigError, Listens};
use crate::oauth::Resource;
use crate::oauth::resource::is_loopback;
use crate::telemetry::Origin;

/// The port of a server that nothing else was said of.
const USUAL_PORT: u16 = 8080;

/// The public URL: an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    url: Url,
    resource: Resource,
}

impl PublicUrl {
    /// Parses the issuer: https, or http on a loopback host (OAuth 2.1 §1.5, RFC 8414 §2); an origin and nothing more.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::new("public_url", problem);
        let url = Url::parse(text)
            .map_err(|_| wrong("it is not a URL; write it like https://tickets.example.com"))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(wrong("it must be https; plain http is for localhost only")),
            _ => return Err(wrong("it must be an https URL")),
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must be only scheme, host and port, without path, query or user name"));
        }
        let text = url.origin().ascii_serialization();
        Ok(Self { text, resource: Resource::below(&url), url })
    }

    /// Of a server whose configuration does not say: how programs of this machine reach it.
    pub(super) fn of(listen: &Listens) -> Result<Self, ConfigError> {
        let near = listen.addresses().filter(|address| is_localhost(address.ip()));
        // Which port the system is going to choose is not known yet.
        let port = near.map(|address| address.port()).find(|port| *port != 0).unwrap_or(USUAL_PORT);
        Self::parse(&format!("http://localhost:{port}"))
    }

    /// The issuer identifier, byte for byte.
    pub fn issuer(&self) -> &str {
        &self.text
    }

    /// The absolute URL of a path that starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// The host with its port, as a `Host` header names it.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Scheme, host and port apart.
    pub fn origin(&self) -> Origin<'_> {
        let host = self.url.host_str().unwrap_or_default();
        Origin { scheme: self.url.scheme(), host, port: self.url.port_or_known_default() }
    }

    /// The protected resource below it.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether cookies can be `Secure`.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl Config {
    /// What is wrong, with the cure, when the public URL leads to this machine and to no listener of this server, so that
    /// clients find another program there, or none. Not when a proxy may be what listens there.
    pub fn astray(&self) -> Option<String> {
        let url = &self.public_url;
        let port = url.url.port_or_known_default().filter(|_| is_loopback(&url.url))?;
        let first = self.listen.addresses().next()?;
        let has_proxy = !self.trusted_proxies.is_empty() || (url.is_https() && self.tls.is_none());
        let answers = |address: SocketAddr| {
            address.port() == port && (address.ip().is_unspecified() || is_localhost(address.ip()))
        };
        if has_proxy || self.listen.addresses().any(answers) {
            return None;
        }
        let listening: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let scheme = url.url.scheme();
        Some(format!(
            "public_url: clients are sent to {}, where this server does not listen (listen is {}); set it to \
             {scheme}://localhost:{} (MANDATE_PUBLIC_URL), unless something else passes port {port} on",
            url.issuer(),
            listening.join(", "),
            first.port()
        ))
    }
}

/// Whether that is what `localhost` stands for.
fn is_localhost(ip: IpAddr) -> bool {
    [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])].contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_say_it_is_reached_where_this_machine_reaches_it() {
        for (listen, url) in [
            ("'127.0.0.1:8080'", "http://localhost:8080"),
            ("'127.0.0.1:8085'", "http://localhost:8085"),
            ("'[::1]:8085'", "http://localhost:8085"),
            ("['unix:m.sock', '10.0.0.7:80', '127.0.0.1:8085', '127.0.0.1:8086']", "http://localhost:8085"),
            ("'127.0.0.1:80'", "http://localhost"),
            ("'127.0.0.1:0'", "http://localhost:8080"),
            ("'127.0.0.2:8085'", "http://localhost:8080"),
            ("'0.0.0.0:8085'", "http://localhost:8080"),
            ("'unix:m.sock'", "http://localhost:8080"),
        ] {
            let config = Config::written(&format!("listen = {listen}")).unwrap();
            assert_eq!(config.public_url.issuer(), url, "{listen}");
        }
    }

    #[test]
    fn a_url_of_this_machine_that_leads_to_no_listener_is_noticed() {
        let tls = "[tls]\ncertificate_file = 'c'\nkey_file = 'k'";
        for (text, cure) in [
            ("", None),
            ("listen = '127.0.0.1:8085'", None),
            ("listen = '0.0.0.0:8080'", None),
            ("listen = '[::]:8080'", None),
            ("listen = ['127.0.0.1:8085', '127.0.0.1:8080']\npublic_url = 'http://localhost:8080'", None),
            (
                "listen = '127.0.0.1:8085'\npublic_url = 'http://localhost:8080'",
                Some("http://localhost:8085 ("),
            ),
            (
                "listen = '127.0.0.1:8085'\npublic_url = 'http://127.0.0.1:8080'",
                Some("http://localhost:8085 ("),
            ),
            ("listen = '0.0.0.0:8085'", Some("http://localhost:8085 (")),
            ("listen = '10.0.0.7:8080'", Some("listen is 10.0.0.7:8080")),
            // What is elsewhere, and what a proxy may be in front of, is not ours to know.
            ("listen = '127.0.0.1:8085'\npublic_url = 'https://m.example'", None),
            ("listen = '127.0.0.1:8085'\npublic_url = 'https://localhost:8443'", None),
            ("listen = 'unix:m.sock'\npublic_url = 'http://localhost:8081'", None),
            (
                "listen = '127.0.0.1:8085'\npublic_url = 'http://localhost:80'\ntrusted_proxies = ['127.0.0.1']",
                None,
            ),
            (
                &format!("listen = '127.0.0.1:8085'\npublic_url = 'https://localhost:8443'\n{tls}"),
                Some("https://localhost:8085 ("),
            ),
            (&format!("listen = '127.0.0.1:443'\npublic_url = 'https://localhost'\n{tls}"), None),
        ] {
            let astray = Config::written(text).unwrap().astray();
            assert_eq!(astray.is_some(), cure.is_some(), "{text}: {astray:?}");
            assert!(astray.unwrap_or_default().contains(cure.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin_and_https_unless_on_loopback() {
        assert_eq!(PublicUrl::parse("https://T.example/").unwrap().issuer(), "https://t.example");
        for bad in [
            "tickets.example",
            "http://tickets.example",
            "https://t.example/x",
            "https://t.example/?q",
            "https://u@t.example",
            "ftp://t.example",
        ] {
            assert!(PublicUrl::parse(bad).unwrap_err().to_string().starts_with("public_url: "), "{bad}");
        }
    }
}
