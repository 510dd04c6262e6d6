//! The claims of a JWT access token (RFC 9068 §2.2).

use serde::{Deserialize, Serialize};

/// The `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// What an access token says. `aud` is exactly the resource, as one string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The issuer, byte for byte as configured.
    pub iss: String,
    /// The id of the user, or of the machine that acts for itself.
    pub sub: String,
    /// The resource.
    pub aud: String,
    /// The client that holds the token.
    pub client_id: String,
    /// The scope granted to this token, space-separated.
    pub scope: String,
    /// Unique to this token.
    pub jti: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    /// When the user signed in, unix seconds (RFC 9068 §2.2.1). Absent where nobody did: a machine got the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The class of that authentication, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Its methods (RFC 8176), where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The grant under which it was issued: what revocation ends.
    pub grant_id: String,
}
