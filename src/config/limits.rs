//! `[limits]`: how often, and how much at once.

use super::parse::per;
use super::{ConfigError, raw};
use crate::ephemeral::Rate;

/// How often unauthenticated endpoints may be used from one address, and how much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Authorization requests.
    pub authorize: Rate,
    /// Token requests, and revocations, which count apart.
    pub token: Rate,
    /// Registrations.
    pub register: Rate,
    /// Fetches of metadata documents.
    pub document_fetch: Rate,
    /// Introspections by one resource server.
    pub introspect: Rate,
    /// How many requests use or wait for the database, and for Redis, at once; the next one is told to come back.
    pub requests_at_once: usize,
    /// How many connections may be open at once.
    pub connections: usize,
}

pub(super) fn parse(raw: &raw::Limits) -> Result<Limits, ConfigError> {
    if !(1..=1_000_000).contains(&raw.requests_at_once) {
        return Err(ConfigError::new("limits.requests_at_once", "write a number from 1 to 1000000"));
    }
    if !(1..=1_000_000).contains(&raw.connections) {
        return Err(ConfigError::new("limits.connections", "write a number from 1 to 1000000"));
    }
    Ok(Limits {
        authorize: per("limits.authorizations_per_minute", raw.authorizations_per_minute, 60)?,
        token: per("limits.token_requests_per_minute", raw.token_requests_per_minute, 60)?,
        register: per("limits.registrations_per_hour", raw.registrations_per_hour, 3600)?,
        document_fetch: per("limits.document_fetches_per_minute", raw.document_fetches_per_minute, 60)?,
        introspect: per("limits.introspections_per_minute", raw.introspections_per_minute, 60)?,
        requests_at_once: raw.requests_at_once,
        connections: raw.connections,
    })
}
