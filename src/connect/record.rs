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
    /// Refresh tokens of earlier sign-ins of the same client that nobody uses any more, oldest first. They are given
    /// back when this one is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) superseded: Vec<Secret>,
}

/// How many earlier sign-ins are remembered.
const SUPERSEDED: usize = 8;

impl Record {
    /// Remembers the refresh token of the sign-in that this one takes the place of. It is not given back yet: what ends
    /// that sign-in may end this one, too.
    pub(super) fn supersede(&mut self, earlier: &Self) {
        self.superseded.clone_from(&earlier.superseded);
        self.superseded.extend(earlier.refresh_token.clone());
        self.superseded.drain(..self.superseded.len().saturating_sub(SUPERSEDED));
    }

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

    fn record(refresh_token: Option<&str>) -> Record {
        let url = Url::parse("https://a.example/t").unwrap();
        let client_id = "c".to_owned();
        Record {
            url: url.to_string(),
            issuer: url.to_string(),
            resource: url.to_string(),
            client: Client { client_id, secret: None, auth_method: AuthMethod::None, registered: None },
            token_endpoint: url,
            revocation_endpoint: None,
            access_token: Secret::new("a"),
            refresh_token: refresh_token.map(Secret::new),
            scope: None,
            expires_at: None,
            refresh_at: None,
            superseded: Vec::new(),
        }
    }

    #[test]
    fn the_last_few_refresh_tokens_that_were_replaced_are_remembered() {
        let mut last = record(None);
        for name in (0..20).map(|number| format!("r{number}")) {
            let mut next = record(Some(&name));
            next.supersede(&last);
            last = next;
        }
        let names: Vec<&str> = last.superseded.iter().map(Secret::reveal).collect();
        assert_eq!(names, ["r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18"]);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let text = serde_json::to_string(&record(Some("r"))).unwrap();
        assert!(!text.contains("superseded"), "{text}");
        assert!(serde_json::from_str::<Record>(&text).unwrap().superseded.is_empty());
    }
}
