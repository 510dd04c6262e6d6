//! Where Redis is.

use std::fmt;

use ::redis::{ConnectionInfo, IntoConnectionInfo};
use url::Url;

/// The URL of a server, or of some nodes of a cluster, with the password that opens it; and what our keys begin
/// with.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    nodes: Vec<String>,
    prefix: String,
}

impl RedisUrl {
    /// Parses `redis://` or `rediss://` URLs, separated by commas.
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        let nodes: Vec<String> = text.split(',').map(|node| node.trim().to_owned()).collect();
        let known = |node: &String| node.starts_with("redis://") || node.starts_with("rediss://");
        let good = nodes.iter().all(|node| known(node) && node.as_str().into_connection_info().is_ok());
        good.then(|| Self { nodes, prefix: prefix.to_owned() })
    }

    /// The hosts to which nothing is encrypted on the way.
    pub fn hosts_in_the_clear(&self) -> Vec<String> {
        let clear =
            self.nodes.iter().filter_map(|node| Url::parse(node).ok()).filter(|url| url.scheme() == "redis");
        clear.filter_map(|url| Some(url.host_str()?.to_owned())).collect()
    }

    /// What every key begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> ::redis::RedisResult<Vec<ConnectionInfo>> {
        self.nodes.iter().map(|node| node.as_str().into_connection_info()).collect()
    }
}

/// Hosts: what may be said aloud.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |node: &String| {
            let url = Url::parse(node).ok()?;
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            Some(format!("{}{port}", url.host_str()?))
        };
        let hosts: Vec<_> = self.nodes.iter().filter_map(host).collect();
        write!(f, "Redis, {}", hosts.join(", "))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url = RedisUrl::parse("rediss://user:secret@a.example:7000, redis://b.example", "p").unwrap();
        assert_eq!(url.to_string(), "Redis, a.example:7000, b.example");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.hosts_in_the_clear(), ["b.example"]);
    }

    #[test]
    fn only_urls_of_redis_are_taken() {
        for bad in ["", "localhost:6379", "http://a.example", "redis://a.example,postgres://b.example"] {
            assert!(RedisUrl::parse(bad, "p").is_none(), "{bad}");
        }
    }
}
