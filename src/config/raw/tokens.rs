//! `[tokens]` as it is written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{FilePath, Period, PeriodOrNever};

/// How long what is issued lives, and what signs it.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Tokens {
    /// How long an access token lives. A resource server that checks tokens by itself takes one for that long after
    /// it was taken back; the MCP endpoint refuses it at once.
    #[schemars(with = "Period")]
    pub(in crate::config) access_token_lifetime: String,
    /// How long a refresh token may go unused. Each use gives its successor the whole time again.
    #[schemars(with = "Period")]
    pub(in crate::config) refresh_token_lifetime: String,
    /// When consent ends by itself, whether it is used or not; then the client asks the person again.
    #[schemars(with = "Period")]
    pub(in crate::config) grant_lifetime: String,
    /// How long a refresh token that was used still yields the same successor, for clients whose answer was lost or that
    /// refresh twice at once. Later the token ends the grant. `0s` forgives nothing.
    #[schemars(with = "Period")]
    pub(in crate::config) refresh_grace: String,
    /// How long an authorization code can be redeemed; ten minutes at most.
    #[schemars(with = "Period")]
    pub(in crate::config) code_lifetime: String,
    /// How long a minted token lives, unless whoever mints it says otherwise.
    #[schemars(with = "Period")]
    pub(in crate::config) minted_lifetime: String,
    /// The longest lifetime that can be asked for a minted token; no shorter than `tokens.minted_lifetime`.
    #[schemars(with = "Period")]
    pub(in crate::config) minted_lifetime_most: String,
    /// What access tokens are signed with. It can be changed on one replica after the other while they run: the first
    /// key of the new kind is published before it signs.
    #[schemars(extend("enum" = ["ES256", "RS256", "EdDSA"]))]
    pub(in crate::config) signing_algorithm: String,
    /// How long a key that the server made signs before the next one takes its place: an hour or more, or `never`.
    #[schemars(with = "PeriodOrNever")]
    pub(in crate::config) signing_key_rotation: String,
    /// A private key of your own that signs: unencrypted PKCS#8 in PEM, for `tokens.signing_algorithm`. Without it the
    /// server makes its keys, keeps them sealed in the database and rotates them.
    #[schemars(with = "Option<FilePath>")]
    pub(in crate::config) signing_key_file: Option<PathBuf>,
    /// The private key that will sign next. Its public half is published beside that of `tokens.signing_key_file`, so
    /// that everybody knows it before the first token is signed with it.
    #[schemars(with = "Option<FilePath>")]
    pub(in crate::config) next_signing_key_file: Option<PathBuf>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_lifetime: "1h".into(),
            refresh_token_lifetime: "30d".into(),
            grant_lifetime: "365d".into(),
            refresh_grace: "30s".into(),
            code_lifetime: "60s".into(),
            minted_lifetime: "10m".into(),
            minted_lifetime_most: "1h".into(),
            signing_algorithm: "ES256".into(),
            signing_key_rotation: "90d".into(),
            signing_key_file: None,
            next_signing_key_file: None,
        }
    }
}
