//! Redirect URIs: which may be registered, and when a requested one is a registered one.
//!
//! One rule for authorize, consent and token (OAuth 2.1 §2.3, §8.4; RFC 8252 §7).

use serde::Serialize;
use url::Url;

/// How long a redirect URI may be, in bytes.
const MAX_LENGTH: usize = 2048;

/// Where a redirect URI leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An https host: its owner can be named.
    Web,
    /// A port on the user's own machine: any program there could be listening.
    Loopback,
    /// A private-use scheme: any program could have claimed it.
    App,
}

/// A redirect URI that may be registered. Kept byte for byte as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RedirectUri(String);

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Not an absolute URI, or longer than 2048 bytes, or with characters outside printable ASCII.
    #[error("it is not an absolute URI of at most 2048 printable ASCII characters")]
    Malformed,
    /// OAuth 2.1 §2.3: no fragment.
    #[error("it must not have a fragment")]
    Fragment,
    /// Names and passwords before the host only serve to deceive the reader of the consent page.
    #[error("it must not contain a user name or password")]
    UserInfo,
    /// Neither https, nor http on a loopback host, nor an allowed private-use scheme.
    #[error("it must be https, http on 127.0.0.1, [::1] or localhost, or an allowed private-use scheme")]
    Scheme,
}

impl RedirectUri {
    /// Parses a URI that a client wants to register. `private_use_schemes` are those that the configuration
    /// allows, exactly.
    pub fn parse(text: &str, private_use_schemes: &[String]) -> Result<Self, Unacceptable> {
        if text.len() > MAX_LENGTH || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return Err(Unacceptable::Malformed);
        }
        let url = Url::parse(text).map_err(|_| Unacceptable::Malformed)?;
        if text.contains('#') {
            return Err(Unacceptable::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unacceptable::UserInfo);
        }
        let uri = Self(text.to_owned());
        match url.scheme() {
            "https" if text.starts_with("https://") && url.has_host() => Ok(uri),
            "http" if uri.loopback().is_some() => Ok(uri),
            scheme
                if scheme != "http"
                    && private_use_schemes.iter().any(|allowed| allowed == scheme)
                    && text.starts_with(&format!("{scheme}:")) =>
            {
                Ok(uri)
            }
            _ => Err(Unacceptable::Scheme),
        }
    }

    /// Wraps a URI that was acceptable when it was stored.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The URI byte for byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `requested` is this registered URI: equal bytes (OAuth 2.1 §4.1.1), but the port of an http
    /// loopback URI is free (RFC 8252 §7.3). `localhost` is treated alike, because the metadata documents of
    /// real clients name it without a port; it is never taken for 127.0.0.1.
    pub fn admits(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        let Some(ours) = self.loopback() else { return false };
        if requested.len() > MAX_LENGTH || !requested.bytes().all(|b| b.is_ascii_graphic()) {
            return false;
        }
        split_loopback(requested).is_some_and(|theirs| theirs == ours)
    }

    /// Where it leads.
    pub fn destination(&self) -> Destination {
        if self.0.starts_with("https://") {
            Destination::Web
        } else if self.loopback().is_some() {
            Destination::Loopback
        } else {
            Destination::App
        }
    }

    /// What the consent page shows: the host, or the scheme of an app.
    pub fn shown_host(&self) -> String {
        let Ok(url) = Url::parse(&self.0) else { return self.0.clone() };
        match (url.host_str(), self.destination()) {
            (Some(host), Destination::Web | Destination::Loopback) => {
                url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
            }
            _ => format!("{}:", url.scheme()),
        }
    }

    fn loopback(&self) -> Option<(&str, &str)> {
        split_loopback(&self.0)
    }
}

/// Splits an http loopback URI into host and what follows the port; `None` for every other URI.
fn split_loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| rest.starts_with(host))?;
    let after_host = rest.strip_prefix(host)?;
    let tail = match after_host.strip_prefix(':') {
        None => after_host,
        Some(port_and_tail) => {
            let digits = port_and_tail.bytes().take_while(u8::is_ascii_digit).count();
            let (port, tail) = port_and_tail.split_at(digits);
            port.parse::<u16>().ok().filter(|port| *port > 0)?;
            tail
        }
    };
    (tail.is_empty() || tail.starts_with(['/', '?'])).then_some((host, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schemes() -> Vec<String> {
        vec!["cursor".into(), "com.example.app".into()]
    }

    #[test]
    fn what_may_be_registered() {
        for good in [
            "https://client.example/cb",
            "https://client.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:3000/cb",
            "http://[::1]:9/cb",
            "http://localhost",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app:/cb",
        ] {
            assert!(RedirectUri::parse(good, &schemes()).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("/cb", Unacceptable::Malformed),
            ("https://client.example/\u{e9}", Unacceptable::Malformed),
            ("https://client.example\\@evil.example/", Unacceptable::Malformed),
            ("https://client.example/cb#x", Unacceptable::Fragment),
            ("https://good.example@evil.example/", Unacceptable::UserInfo),
            ("http://client.example/cb", Unacceptable::Scheme),
            ("http://127.0.0.1.evil.example/cb", Unacceptable::Scheme),
            ("http://localhost.evil.example/cb", Unacceptable::Scheme),
            ("javascript:alert(1)", Unacceptable::Scheme),
            ("data:text/html,x", Unacceptable::Scheme),
            ("vscode://x/y", Unacceptable::Scheme),
            ("cursor-evil://x", Unacceptable::Scheme),
        ] {
            assert_eq!(RedirectUri::parse(bad, &schemes()), Err(why), "{bad}");
        }
    }

    #[test]
    fn redirect_uri_must_match_exactly_but_for_a_loopback_port() {
        for (registered, requested, same) in [
            ("https://c.example/cb", "https://c.example/cb", true),
            ("https://c.example/cb", "https://c.example/cb/", false),
            ("https://c.example/cb", "https://c.example/cb?x", false),
            ("https://c.example/cb", "https://C.example/cb", false),
            ("https://c.example/cb", "https://c.example:443/cb", false),
            ("https://c.example/cb", "https://c.example/%63b", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true),
            ("http://127.0.0.1:3000/cb", "http://127.0.0.1:51004/cb", true),
            ("http://[::1]/cb", "http://[::1]:8/cb", true),
            ("http://localhost/cb", "http://localhost:51004/cb", true),
            ("http://localhost/cb", "http://127.0.0.1:51004/cb", false),
            ("http://127.0.0.1/cb", "http://[::1]:51004/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb2", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb?a=b", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false),
            ("http://127.0.0.1", "http://127.0.0.1:3@evil.example", false),
            ("cursor://a/cb", "cursor://a:1/cb", false),
        ] {
            let registered_uri = RedirectUri::stored(registered);
            assert_eq!(registered_uri.admits(requested), same, "{registered} / {requested}");
        }
    }

    #[test]
    fn the_consent_page_shows_the_host_or_the_scheme() {
        for (uri, shown, destination) in [
            ("https://client.example:8443/cb", "client.example:8443", Destination::Web),
            ("http://127.0.0.1:3000/cb", "127.0.0.1:3000", Destination::Loopback),
            ("cursor://anysphere/cb", "cursor:", Destination::App),
        ] {
            let uri = RedirectUri::parse(uri, &schemes()).unwrap();
            assert_eq!((uri.shown_host().as_str(), uri.destination()), (shown, destination));
        }
    }

    proptest! {
        #[test]
        fn a_loopback_port_is_free_and_nothing_else(port in 1_u16.., path in "/[a-z]{0,8}") {
            let registered = RedirectUri::stored(format!("http://127.0.0.1{path}"));
            let with_port = format!("http://127.0.0.1:{port}{path}");
            let longer = format!("{with_port}x");
            prop_assert!(registered.admits(&with_port));
            prop_assert!(!registered.admits(&longer));
        }
    }
}
