//! The resource identifier (RFC 8707 §2) and what counts as naming it.

use std::fmt;

use url::Url;

use super::error::{Error, invalid_target};

/// The one resource that this server protects: `<public_url>/mcp`, byte for byte as configured. It is what
/// tokens carry in `aud` and what the metadata and the challenges name.
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

    /// The identifier, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.identifier
    }

    /// Checks the `resource` values of a request: none means this resource; each one must name it. Real
    /// clients add and drop trailing slashes, send the origin instead of the endpoint, or leave a query on it;
    /// all of these name us. Another host, port, scheme or path does not.
    pub fn check<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        if values.into_iter().all(|value| self.is_named_by(value)) {
            Ok(())
        } else {
            Err(invalid_target("resource must be the MCP endpoint of this server"))
        }
    }

    fn is_named_by(&self, value: &str) -> bool {
        if value.len() > 2048 || value.contains('#') {
            return false;
        }
        let Ok(url) = Url::parse(value) else { return false };
        let own_path = self.url.path().trim_end_matches('/');
        let path = url.path().trim_end_matches('/');
        let above_or_equal =
            own_path == path || own_path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        url.origin() == self.url.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && above_or_equal
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
    use crate::oauth::ErrorCode;

    #[test]
    fn slash_variants_and_the_origin_name_the_resource_and_nothing_else_does() {
        let resource = Resource::below(&Url::parse("https://tickets.example").unwrap());
        assert_eq!(resource.as_str(), "https://tickets.example/mcp");
        for good in [
            "https://tickets.example/mcp",
            "https://tickets.example/mcp/",
            "https://tickets.example",
            "https://tickets.example/",
            "HTTPS://TICKETS.example:443/mcp",
            "https://tickets.example/mcp?session=1",
        ] {
            assert!(resource.check([good]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mcp",
            "http://tickets.example/mcp",
            "https://tickets.example:8443/mcp",
            "https://other.example/mcp",
            "https://tickets.example/mcp2",
            "https://tickets.example/mcp/x",
            "https://tickets.example/mcp#f",
            "https://u@tickets.example/mcp",
        ] {
            assert_eq!(resource.check([bad]).unwrap_err().code, ErrorCode::InvalidTarget, "{bad}");
        }
        assert!(resource.check([]).is_ok());
        assert!(resource.check(["https://tickets.example/mcp", "https://other.example"]).is_err());
    }
}
