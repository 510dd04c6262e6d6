//! Lifetimes of what is issued, and how it is signed.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::parse::{duration, one_of};
use super::{ConfigError, raw};

/// Lifetimes and signing.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
    /// How long a refresh token lives unused; each use starts it anew.
    pub refresh_token_lifetime: Duration,
    /// How long a grant lives, used or not.
    pub grant_lifetime: Duration,
    /// How long a rotated refresh token still yields its successor.
    pub refresh_grace: Duration,
    /// How long a code lives; at most ten minutes.
    pub code_lifetime: Duration,
    /// How long a minted token lives, unless whoever mints it says otherwise.
    pub minted_lifetime: Duration,
    /// The longest that may be said.
    pub minted_lifetime_most: Duration,
    /// `ES256`, `RS256` or `EdDSA`.
    pub signing_algorithm: Algorithm,
}

impl Tokens {
    pub(super) fn parse(raw: &raw::Tokens) -> Result<Self, ConfigError> {
        let code_lifetime = duration("tokens.code_lifetime", &raw.code_lifetime)?;
        if code_lifetime > Duration::from_secs(600) {
            // OAuth 2.1 §4.1.2 caps it.
            return Err(ConfigError::new("tokens.code_lifetime", "a code may live ten minutes at most"));
        }
        let minted_lifetime = duration("tokens.minted_lifetime", &raw.minted_lifetime)?;
        let minted_lifetime_most = duration("tokens.minted_lifetime_most", &raw.minted_lifetime_most)?;
        if minted_lifetime > minted_lifetime_most {
            let problem = "it is longer than tokens.minted_lifetime_most allows";
            return Err(ConfigError::new("tokens.minted_lifetime", problem));
        }
        Ok(Self {
            minted_lifetime,
            minted_lifetime_most,
            access_token_lifetime: duration("tokens.access_token_lifetime", &raw.access_token_lifetime)?,
            refresh_token_lifetime: duration("tokens.refresh_token_lifetime", &raw.refresh_token_lifetime)?,
            grant_lifetime: duration("tokens.grant_lifetime", &raw.grant_lifetime)?,
            refresh_grace: humantime::parse_duration(&raw.refresh_grace)
                .map_err(|error| ConfigError::new("tokens.refresh_grace", error.to_string()))?,
            code_lifetime,
            signing_algorithm: one_of(
                "tokens.signing_algorithm",
                &raw.signing_algorithm,
                &[("ES256", Algorithm::ES256), ("RS256", Algorithm::RS256), ("EdDSA", Algorithm::EdDSA)],
            )?,
        })
    }
}
