//! `[limits]` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often what needs no token may be used, and how much is done at once.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Authorization requests from one address in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) authorizations_per_minute: u32,
    /// Token requests from one address in a minute, and as many revocations.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) token_requests_per_minute: u32,
    /// Clients that register themselves from one address in an hour.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) registrations_per_hour: u32,
    /// Metadata documents that are fetched on behalf of one address in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) document_fetches_per_minute: u32,
    /// Introspections by one resource server in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) introspections_per_minute: u32,
    /// How many requests use or wait for the database, and for Redis, at once. Whoever comes beyond that is told with
    /// 503 to come back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) requests_at_once: usize,
    /// How many connections may be open at once, on all listeners together; further ones wait until one ends. Never more
    /// than the process may open files. Many thousands by default: an open stream is a connection, and costs little.
    /// One address may have a quarter of them, unless it is in `trusted_proxies`; a hundredth, 64 at most, is kept for
    /// listeners on Unix sockets and loopback.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) connections: usize,
}

// Hosted clients share few addresses, so the buckets are big: they stop floods, not users.
impl Default for Limits {
    fn default() -> Self {
        Self {
            authorizations_per_minute: 120,
            token_requests_per_minute: 1200,
            registrations_per_hour: 1000,
            document_fetches_per_minute: 120,
            introspections_per_minute: 6000,
            requests_at_once: 1024,
            connections: 10_000,
        }
    }
}
