//! The public URL.

use url::Url;

use super::ConfigError;
use crate::oauth::Resource;
use crate::telemetry::Origin;

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
        let host = url.host_str().unwrap_or_default();
        let loopback = host == "localhost" || host == "127.0.0.1" || host == "[::1]";
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
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

#[cfg(test)]
mod tests {
    use super::*;

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
