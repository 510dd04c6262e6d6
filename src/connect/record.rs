//! What is kept of a sign-in.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::clock::Timestamp;
use crate::oauth::Scopes;

/// A secret of somebody else's making. It has no `Display`, and its `Debug` prints the type's name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the request that needs it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How a client proves at the token endpoint who it is (OAuth 2.1 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    /// It does not.
    None,
    /// The secret in the `Authorization` header.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
}

/// As what the bridge is known to the authorization server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) client_id: String,
    pub(super) secret: Option<Secret>,
    pub(super) auth_method: AuthMethod,
    /// When it registered itself: the loopback port and the scopes that it registered.
    pub(super) registered: Option<Registered>,
}

/// What a dynamic registration holds for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Registered {
    pub(super) port: u16,
    pub(super) scope: Option<String>,
}

/// A sign-in: who gave it, for what, and its tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The MCP endpoint that the tokens are for.
    pub(super) url: String,
    /// The authorization server. Its tokens go nowhere else.
    pub(super) issuer: String,
    /// The resource that was named to it (RFC 8707).
    pub(super) resource: String,
    pub(super) client: Client,
    pub(super) token_endpoint: Url,
    pub(super) revocation_endpoint: Option<Url>,
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    /// What was granted, as far as the server said, else what was asked for.
    pub(super) scope: Option<String>,
    /// When the access token ends, as far as the server said.
    pub(super) expires_at: Option<Timestamp>,
    /// When to have the next one ready.
    pub(super) refresh_at: Option<Timestamp>,
}

impl Record {
    /// What was granted.
    pub(super) fn scopes(&self) -> Scopes {
        self.scope.as_deref().and_then(|scope| Scopes::parse(scope).ok()).unwrap_or_default()
    }

    /// Whether the access token is still good for a request, by this machine's clock.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether what ends this sign-in leaves the other one alone. Many servers have one session for a user and a client,
    /// and revoking any token of it ends it, with all that it gave later.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        self.issuer != other.issuer || self.client.client_id != other.client.client_id
    }

    /// Whether it is time for the next one.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.refresh_token.is_some() && self.refresh_at.is_some_and(|moment| now >= moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret");
    }
}
