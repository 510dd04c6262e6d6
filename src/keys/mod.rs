//! Keys: the one that seals what is stored, and those that sign access tokens.
//!
//! Two signing keys are always published: the current one and the next, so that whoever caches `/jwks` knows a
//! key before the first token is signed with it; the rules are in `ring`. Private keys lie in the database sealed with
//! the key from `secret_key_file`, or outside of it in files of the operator's; the resource server of this process
//! uses them in memory, never over HTTP. What is stored is read anew again and again (`stored`), because any replica
//! may rotate (`rotation`).

#[cfg(test)]
mod contract;
pub mod given;
pub mod ring;
pub mod rotation;
mod sealing;
mod signing;
mod stored;

pub use sealing::{SealError, SealingKey, derive, open_with, seal_with};
pub use signing::{KeyError, Pair, SigningKey, SigningKeyRow, algorithm_of, is_sealed_with, name_of};
pub use stored::ReadError;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Validation, decode, decode_header, encode};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::oauth::claims::{ACCESS_TOKEN_TYPE, AccessTokenClaims};
use crate::oauth::error::{Error, server_error};
use given::Given;
use ring::{Chosen, Life};

/// Tolerated between the clocks of replicas.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Why a token was not accepted. For the log: the client hears one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not a JWT at all, or unreadable.
    #[error("it is not a JWT")]
    Malformed,
    /// Another kind of JWT: `typ` is not `at+jwt`.
    #[error("it is not an access token")]
    WrongType,
    /// No published key has this `kid` and algorithm.
    #[error("its key is unknown")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// `exp` has passed or `nbf` has not come.
    #[error("it has expired or is not yet valid")]
    Expired,
    /// `iss` or `aud` is another's.
    #[error("it was issued by or for somebody else")]
    Foreign,
    /// `alg` is none that its issuer may use.
    #[error("its algorithm is not allowed")]
    Algorithm,
    /// The header has critical extensions (RFC 7515 §4.1.11).
    #[error("it has critical extensions, of which none is understood here")]
    Critical,
    /// Claims are missing, malformed, or those of another kind of token.
    #[error("its claims are not those of an access token")]
    Claims,
    /// Only the holder of a key may use it (RFC 7800), and nobody here can check that.
    #[error("it is bound to a key, which a bearer does not show")]
    Bound,
    /// The user has taken back what it rests on.
    #[error("its user took its access back")]
    TakenBack,
    /// An operator lets its client in no more.
    #[error("its client is disabled")]
    ClientDisabled,
    /// An operator lets its user in no more.
    #[error("the account of its user is disabled")]
    AccountDisabled,
}

impl BadToken {
    /// Why, in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical_extension",
            Self::Claims => "claims",
            Self::Bound => "bound_to_a_key",
            Self::TakenBack => "taken_back",
            Self::ClientDisabled => "client_disabled",
            Self::AccountDisabled => "account_disabled",
        }
    }
}

/// A token that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: BadToken,
    /// What it says, where one of our keys signed it: for the audit log, never to act on.
    pub claims: Option<Box<AccessTokenClaims>>,
}

impl From<BadToken> for Refused {
    fn from(why: BadToken) -> Self {
        Self { why, claims: None }
    }
}

/// All keys of this process.
#[derive(Debug)]
pub struct Keys {
    /// Seals what only this server may read.
    pub sealing: SealingKey,
    chosen: Chosen,
    given: Option<Given>,
    ring: RwLock<Arc<Ring>>,
    reading: stored::Reading,
}

/// The published keys at one moment.
#[derive(Debug, Default)]
struct Ring {
    keys: Vec<SigningKey>,
    edition: u64,
}

impl Keys {
    /// Brings the keys together. `signing` holds every published key.
    pub fn new(sealing: SealingKey, signing: Vec<SigningKey>, chosen: Chosen) -> Self {
        let ring = RwLock::new(Arc::new(Ring { keys: signing, edition: 0 }));
        Self { sealing, chosen, given: None, ring, reading: stored::Reading::default() }
    }

    /// Replaces every published key. Whoever signs or verifies at this moment does so with those before.
    pub fn replace(&self, signing: Vec<SigningKey>) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let stays = |old: &SigningKey| signing.iter().any(|key| key.life.kid == old.life.kid);
        let edition = ring.edition + u64::from(!ring.keys.iter().all(stays));
        *ring = Arc::new(Ring { keys: signing, edition });
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rises when a key is published no more: what was verified before has to be verified again.
    pub fn edition(&self) -> u64 {
        self.ring().edition
    }

    /// Which keys the configuration chooses.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// The published keys as this process knows them.
    pub fn lives(&self) -> Vec<Life> {
        self.ring().keys.iter().map(|key| key.life.clone()).collect()
    }

    /// Signs an access token (RFC 9068 §2.1).
    pub fn sign(&self, claims: &AccessTokenClaims, now: Timestamp) -> Result<String, Error> {
        let ring = self.ring();
        let key = ring::signing(&ring.keys, &self.chosen, now);
        let key = key.and_then(|key| Some((&key.life, key.encoding.as_ref()?)));
        let (life, encoding) = key.ok_or_else(|| server_error("the server has no signing key"))?;
        let mut header = jsonwebtoken::Header::new(life.algorithm);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(life.kid.clone());
        encode(&header, claims, encoding)
            .map_err(|error| server_error("the server made an error").detail(error))
    }

    /// Verifies an access token for `issuer` and `audience` at `now`. Of the header only `typ`, `alg` and
    /// `kid` are read, and only to pick one of our own keys; `jku`, `x5u` and `jwk` have no meaning here
    /// (RFC 8725 §3.1, RFC 9068 §4).
    pub fn verify(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<AccessTokenClaims, Refused> {
        self.verify_where(token, now, |claims| claims.iss == issuer && claims.aud == audience)
    }

    /// Verifies an access token of `issuer` at `now`, whichever its audience: for its client, never for a resource.
    pub fn verify_for_anybody(
        &self,
        token: &str,
        issuer: &str,
        now: Timestamp,
    ) -> Result<AccessTokenClaims, Refused> {
        self.verify_where(token, now, |claims| claims.iss == issuer)
    }

    fn verify_where(
        &self,
        token: &str,
        now: Timestamp,
        concerns: impl FnOnce(&AccessTokenClaims) -> bool,
    ) -> Result<AccessTokenClaims, Refused> {
        let VerifiedClaims { access, nbf } = self.verify_signature(token)?;
        let not_before = nbf.unwrap_or(i64::MIN);
        let seconds = now.unix_seconds();
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0);
        let why = if !concerns(&access) {
            BadToken::Foreign
        } else if access.exp <= seconds || not_before > seconds.saturating_add(skew) {
            BadToken::Expired
        } else {
            return Ok(access);
        };
        Err(Refused { why, claims: Some(Box::new(access)) })
    }

    fn verify_signature(&self, token: &str) -> Result<VerifiedClaims, BadToken> {
        let header = decode_header(token).map_err(|_| BadToken::Malformed)?;
        let typ = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != ACCESS_TOKEN_TYPE {
            return Err(BadToken::WrongType);
        }
        let kid = header.kid.ok_or(BadToken::UnknownKey)?;
        let ring = self.ring();
        let key = ring.keys.iter().find(|key| key.life.kid == kid && key.life.algorithm == header.alg);
        let key = key.ok_or(BadToken::UnknownKey)?;
        let mut validation = Validation::new(key.life.algorithm);
        // Times are checked below against our own clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoded = decode::<VerifiedClaims>(token, &key.decoding, &validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => BadToken::Signature,
            _ => BadToken::Malformed,
        })
    }

    /// The JWK set (RFC 7517 §5): public members only.
    pub fn jwks(&self) -> Value {
        let ring = self.ring();
        let keys: Vec<&Value> = ring.keys.iter().map(|key| &key.public_jwk).collect();
        json!({ "keys": keys })
    }
}

#[derive(serde::Deserialize)]
struct VerifiedClaims {
    #[serde(flatten)]
    access: AccessTokenClaims,
    nbf: Option<i64>,
}

#[cfg(test)]
mod tests;
