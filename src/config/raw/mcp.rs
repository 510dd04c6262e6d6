//! `[mcp]` and `[resources.<name>]` as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{FilePath, Link};

/// The MCP endpoint.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Mcp {
    /// Whether there are tools that write. It is read again on SIGHUP, without a restart, and clients that listen are
    /// told that the tools changed.
    pub(in crate::config) writes: bool,
    /// Which scopes the first 401 asks for: `read`, and clients ask for more when they need it; or `all`, for clients
    /// that cannot.
    #[schemars(extend("enum" = ["read", "all"]))]
    pub(in crate::config) challenge_scopes: String,
    /// Whether a challenge for more scopes repeats those that were granted, for clients that ask for nothing but what the
    /// challenge names.
    pub(in crate::config) challenge_includes_granted: bool,
    /// Origins of web pages that may call from a browser, besides that of `public_url`, each like
    /// `https://app.example.com`.
    pub(in crate::config) allowed_origins: Vec<String>,
    /// How many calls that read a client may make for one user in a minute, in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) reads_per_minute: u32,
    /// How many calls that write a client may make for one user in a minute, in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) writes_per_minute: u32,
    /// How many calls that read may come at once; without it as many as in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) reads_burst: Option<u32>,
    /// How many calls that write may come at once; without it as many as in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) writes_burst: Option<u32>,
    /// What happens to a deed that the user is to confirm, such as closing somebody else's ticket, when their client
    /// cannot ask them (MCP elicitation): `proceed` does it, `refuse` does not.
    #[schemars(extend("enum" = ["proceed", "refuse"]))]
    pub(in crate::config) unconfirmed: String,
    /// How many streams that tell of changes may be open under one grant.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) streams_per_grant: usize,
    /// Limits of single tools, each in a table with the name of its tool.
    #[schemars(extend("propertyNames" = { "title": "tool" }))]
    pub(in crate::config) tools: BTreeMap<String, Tool>,
}

/// A limit of one tool, besides that of its class.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tool {
    /// How many calls of this tool a client may make for one user in a minute, besides the limit of all tools that read
    /// or write.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) per_minute: u32,
    /// How many calls of it may come at once; without it as many as in a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) burst: Option<u32>,
}

impl Default for Mcp {
    fn default() -> Self {
        Self {
            writes: true,
            challenge_scopes: "read".into(),
            challenge_includes_granted: true,
            allowed_origins: Vec::new(),
            reads_per_minute: 120,
            writes_per_minute: 20,
            reads_burst: None,
            writes_burst: None,
            unconfirmed: "proceed".into(),
            streams_per_grant: 16,
            tools: BTreeMap::new(),
        }
    }
}

/// A resource that somebody else serves.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["uri", "title", "scopes"]))]
pub(in crate::config) struct Resource {
    /// Its identifier: the `aud` of its tokens, byte for byte, and what clients send as `resource` (RFC 8707).
    #[schemars(with = "Link")]
    pub(in crate::config) uri: String,
    /// What people call it, on the consent page and under *Connected apps*; at most 60 characters.
    #[schemars(length(max = 60))]
    pub(in crate::config) title: String,
    /// A file with the secret that its server introspects tokens with: one line of 32 to 512 visible ASCII characters,
    /// such as `openssl rand -hex 32` prints. Without it the server checks tokens by the published keys alone.
    #[schemars(with = "Option<FilePath>")]
    pub(in crate::config) secret_file: Option<PathBuf>,
    /// Its scopes, 1 to 32 of them, each with a sentence of at most 200 characters that says on the consent page what it
    /// lets an app do: `"notes:read" = "Read your notes"`. No two resources have a scope of the same name.
    #[schemars(extend("propertyNames" = { "title": "scope" }))]
    pub(in crate::config) scopes: BTreeMap<String, String>,
}
