//! `[mcp]`: the MCP endpoint.

use std::collections::BTreeMap;

use url::Url;

use super::parse::{one_of, with_burst};
use super::{ConfigError, Switch, raw};
use crate::ephemeral::Rate;

/// Which scopes the first challenge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeScopes {
    /// The read scope: the client asks for more when it needs more.
    Read,
    /// Every scope, for clients that cannot step up.
    All,
}

/// What happens to a deed that the user is to confirm, when their client cannot ask them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// It is done.
    Proceed,
    /// It is refused.
    Refuse,
}

/// The MCP endpoint.
#[derive(Clone, Debug)]
pub struct Mcp {
    /// Whether write tools exist.
    pub writes: Switch,
    /// What the first 401 names.
    pub challenge_scopes: ChallengeScopes,
    /// Whether a step-up challenge repeats the scopes that the client already has, for clients that replace
    /// their scopes with what the challenge names.
    pub challenge_includes_granted: bool,
    /// Browser origins that may call besides our own.
    pub allowed_origins: Vec<String>,
    /// Reads per (client, user).
    pub read_rate: Rate,
    /// Writes per (client, user).
    pub write_rate: Rate,
    /// What happens to a deed that nobody can be asked to confirm.
    pub unconfirmed: Unconfirmed,
    /// How many streams may be open under one grant.
    pub streams_per_grant: usize,
    /// Calls of one tool per (client, user), besides those of its class.
    pub tool_rates: BTreeMap<String, Rate>,
}

pub(super) fn parse(raw: raw::Mcp) -> Result<Mcp, ConfigError> {
    for origin in &raw.allowed_origins {
        let origin_only = Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !origin_only {
            return Err(ConfigError::new(
                "mcp.allowed_origins",
                format!("{origin:?} is not an origin; write it like https://app.example.com"),
            ));
        }
    }
    Ok(Mcp {
        writes: Switch::new(raw.writes),
        challenge_scopes: one_of(
            "mcp.challenge_scopes",
            &raw.challenge_scopes,
            &[("read", ChallengeScopes::Read), ("all", ChallengeScopes::All)],
        )?,
        challenge_includes_granted: raw.challenge_includes_granted,
        allowed_origins: raw.allowed_origins,
        read_rate: with_burst("mcp.reads_per_minute", raw.reads_per_minute, raw.reads_burst, 60)?,
        write_rate: with_burst("mcp.writes_per_minute", raw.writes_per_minute, raw.writes_burst, 60)?,
        unconfirmed: one_of(
            "mcp.unconfirmed",
            &raw.unconfirmed,
            &[("proceed", Unconfirmed::Proceed), ("refuse", Unconfirmed::Refuse)],
        )?,
        streams_per_grant: match raw.streams_per_grant {
            most @ 1..=10_000 => most,
            _ => return Err(ConfigError::new("mcp.streams_per_grant", "write a number from 1 to 10000")),
        },
        tool_rates: raw
            .tools
            .into_iter()
            .map(|(name, tool)| {
                let rate = with_burst(&format!("mcp.tools.{name}"), tool.per_minute, tool.burst, 60)?;
                Ok((name, rate))
            })
            .collect::<Result<_, _>>()?,
    })
}
