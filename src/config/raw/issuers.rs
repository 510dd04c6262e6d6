//! `[issuers.<name>]` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{Link, Period};
use crate::config::accounts::RawAccounts;
use crate::config::parse::list;

/// What is taken for an algorithm unless said otherwise.
pub(in crate::config) const ALGORITHMS: [&str; 4] = ["RS256", "ES256", "PS256", "EdDSA"];

/// The keys as they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer"]))]
pub(in crate::config) struct RawIssuer {
    /// Who it is, as `iss` of its tokens and its metadata say it, byte for byte: an `https` URL.
    #[schemars(with = "Link")]
    pub(in crate::config) issuer: String,
    /// Which `aud` means this server: one that is equal, never a part. Without any it is the resource identifier,
    /// `<public_url>/mcp`.
    #[serde(deserialize_with = "list")]
    pub(in crate::config) audience: Vec<String>,
    /// What may stand in `aud` besides. A token that is also for anybody else is refused: they could pass it on.
    #[serde(deserialize_with = "list")]
    pub(in crate::config) other_audiences: Vec<String>,
    /// Where its keys lie: an `https` URL. Without it its metadata is asked, at `/.well-known/openid-configuration` after
    /// or before the issuer's path, or `/.well-known/oauth-authorization-server` before it.
    #[schemars(with = "Option<Link>")]
    pub(in crate::config) jwks_uri: Option<String>,
    /// What its tokens may be signed with; never with a secret that is shared.
    #[serde(deserialize_with = "list")]
    #[schemars(extend("items" = { "type": "string", "enum": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] }))]
    pub(in crate::config) algorithms: Vec<String>,
    /// Which `typ` its access tokens have. `JWT` and the empty text, for none, are for issuers that write no better: such
    /// a token must have a scope, and nothing that an ID token has.
    #[serde(deserialize_with = "list")]
    #[schemars(extend("items" = { "type": "string", "enum": ["at+jwt", "JWT", ""] }))]
    pub(in crate::config) types: Vec<String>,
    /// The claim that holds the scope, as a text or a list. Without it `scope`, else `scp`.
    pub(in crate::config) scope_claim: String,
    /// Its scopes, and which of ours each stands for: `"Tickets.Read" = "tickets:read"`. What is not listed stands for
    /// nothing; without this table its scopes are called as ours.
    #[schemars(extend("propertyNames" = { "title": "scope" }))]
    pub(in crate::config) scopes: BTreeMap<String, String>,
    /// What stands before its scopes when clients ask for them, but not in tokens.
    pub(in crate::config) scope_prefix: String,
    /// The claim that holds the client's id. Without it `client_id`, else `azp`, else `appid`.
    pub(in crate::config) client_claim: String,
    /// The claim that says who the user is; claims within claims are named with dots.
    pub(in crate::config) subject_claim: String,
    /// How far its clock may be off; ten minutes at most.
    #[schemars(with = "Period")]
    pub(in crate::config) clock_skew: String,
    /// Whether this server's metadata names it to clients. Without it, where `authorization_server` is `off`. This
    /// server's own comes first, and many clients read no further.
    pub(in crate::config) advertise: Option<bool>,
    pub(in crate::config) accounts: RawAccounts,
}

impl Default for RawIssuer {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            other_audiences: Vec::new(),
            jwks_uri: None,
            algorithms: ALGORITHMS.map(str::to_owned).to_vec(),
            types: vec!["at+jwt".into()],
            scope_claim: String::new(),
            scopes: BTreeMap::new(),
            scope_prefix: String::new(),
            client_claim: String::new(),
            subject_claim: "sub".into(),
            clock_skew: "60s".into(),
            advertise: None,
            accounts: RawAccounts::default(),
        }
    }
}
