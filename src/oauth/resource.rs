//! The resource identifier (RFC 8707 §2) and what counts as naming it.

use std::fmt;

use url::{Host, Url};

/// What `resource` may be at most, in bytes.
const MAX_LENGTH: usize = 2048;

/// A resource that tokens are issued for, byte for byte as configured: it is what they carry in `aud`. Our own is
/// `<public_url>/mcp`; its metadata and its challenges name it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    identifier: String,
    url: Url,
}

impl Resource {
    /// The resource below the public URL (which has no trailing slash).
    pub fn below(public_url: &Url) -> Self {
        let identifier = format!("{}/mcp", public_url.as_str().trim_end_matches('/'));
        let mut url = public_url.clone();
        url.set_path(&format!("{}/mcp", public_url.path().trim_end_matches('/')));
        Self { identifier, url }
    }

    /// Parses the identifier of a resource that somebody else serves: https, or http on loopback (OAuth 2.1 §1.5),
    /// without a fragment (RFC 8707 §2), a query or a user name. An error says the cure.
    pub fn parse(identifier: &str) -> Result<Self, &'static str> {
        let cure = "write an absolute URL like https://billing.example.com/mcp";
        let shaped = identifier.len() <= MAX_LENGTH && identifier.bytes().all(|b| b.is_ascii_graphic());
        let url = Url::parse(identifier).ok().filter(|_| shaped).ok_or(cure)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err("it must be https; plain http is for localhost only"),
            _ => return Err(cure),
        }
        if identifier.contains(['#', '?']) || !url.username().is_empty() || url.password().is_some() {
            return Err("it must be only scheme, host, port and path, without fragment, query or user name");
        }
        Ok(Self { identifier: identifier.to_owned(), url })
    }

    /// The identifier, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.identifier
    }

    /// Whether a `resource` value names this resource. Real clients add and drop trailing slashes and default
    /// ports, change the case of the host, or leave a query on it: all of these do. Another host, port, scheme or
    /// path does not.
    pub fn is_named_by(&self, value: &str) -> bool {
        self.named_path(value).is_some_and(|path| path == self.path())
    }

    /// The same, or whether the value names what is above it: clients send the origin instead of the endpoint.
    pub fn is_named_or_below(&self, value: &str) -> bool {
        let below = |path: String| self.path().strip_prefix(&path).is_some_and(|rest| rest.starts_with('/'));
        self.is_named_by(value) || self.named_path(value).is_some_and(below)
    }

    fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The path of a value of the same origin, without the slash at its end.
    fn named_path(&self, value: &str) -> Option<String> {
        let url = Url::parse(value).ok().filter(|_| value.len() <= MAX_LENGTH && !value.contains('#'))?;
        let anybody = url.username().is_empty() && url.password().is_none();
        (anybody && url.origin() == self.url.origin()).then(|| url.path().trim_end_matches('/').to_owned())
    }
}

/// Whether plain http is safe there: it does not leave the machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.octets() == [127, 0, 0, 1],
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: [&str; 9] = [
        "",
        "mcp",
        "http://tickets.example/mcp",
        "https://tickets.example:8443/mcp",
        "https://other.example/mcp",
        "https://tickets.example/mcp2",
        "https://tickets.example/mcp/x",
        "https://tickets.example/mcp#f",
        "https://u@tickets.example/mcp",
    ];

    #[test]
    fn slash_variants_name_a_resource_and_the_origin_is_above_it() {
        let own = Resource::below(&Url::parse("https://tickets.example").unwrap());
        assert_eq!(own.as_str(), "https://tickets.example/mcp");
        for good in [
            "https://tickets.example/mcp",
            "https://tickets.example/mcp/",
            "HTTPS://TICKETS.example:443/mcp",
            "https://tickets.example/mcp?session=1",
        ] {
            assert!(own.is_named_by(good) && own.is_named_or_below(good), "{good}");
        }
        for above in ["https://tickets.example", "https://tickets.example/"] {
            assert!(!own.is_named_by(above) && own.is_named_or_below(above), "{above}");
        }
        for bad in NEVER {
            assert!(!own.is_named_by(bad) && !own.is_named_or_below(bad), "{bad}");
        }
    }

    #[test]
    fn somebody_elses_resource_is_a_url_of_scheme_host_port_and_path() {
        for good in
            ["https://a.example", "https://A.example:8443/mcp/", "http://localhost:3000/x", "http://[::1]/"]
        {
            assert_eq!(Resource::parse(good).map(|resource| resource.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "a.example/mcp",
            "/mcp",
            "urn:x:y",
            "http://a.example/mcp",
            "https://a.example/mcp#",
            "https://a.example/mcp?x",
            "https://u@a.example/mcp",
            "https://a.example/m cp",
            "https://\u{e4}.example/",
        ] {
            assert!(Resource::parse(bad).is_err(), "{bad}");
        }
    }
}
