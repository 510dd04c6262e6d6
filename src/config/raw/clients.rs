//! `[clients]` and `[outbound]` as they are written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{FilePath, Period};

/// The schemes of desktop clients seen to register them.
const KNOWN_SCHEMES: [&str; 8] =
    ["cursor", "vscode", "vscode-insiders", "windsurf", "claude", "zed", "raycast", "goose"];

/// How clients become known, and how long they stay so.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Clients {
    /// Whether a client can be known by the URL of its metadata document, which is fetched.
    pub(in crate::config) metadata_documents: bool,
    /// Whether clients can register themselves (RFC 7591).
    pub(in crate::config) dynamic_registration: bool,
    /// The schemes that a redirect URI may have besides `https`, and `http` on loopback: those of desktop clients, in
    /// lower case without a colon. A list that is given takes the place of the default. Schemes of the web and those
    /// that a browser runs, such as `http` and `javascript`, are refused.
    pub(in crate::config) private_use_schemes: Vec<String>,
    /// A folder of metadata documents that are known without fetching, for servers that reach no network: each `*.json`
    /// file holds one, which names its own id.
    #[schemars(with = "Option<FilePath>")]
    pub(in crate::config) preloaded_documents: Option<PathBuf>,
    /// When a client that registered itself and was used is forgotten, if it holds no live grant: this long after it was
    /// last used. One that never obtained a token is forgotten after a day.
    #[schemars(with = "Period")]
    pub(in crate::config) unused_lifetime: String,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            metadata_documents: true,
            dynamic_registration: true,
            private_use_schemes: KNOWN_SCHEMES.map(str::to_owned).to_vec(),
            preloaded_documents: None,
            unused_lifetime: "30d".into(),
        }
    }
}

/// What the server's own requests may reach: for metadata documents, providers and issuers.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Outbound {
    /// Certificates in PEM that are trusted besides the system's, such as that of a company's own authority.
    #[schemars(with = "Option<FilePath>")]
    pub(in crate::config) extra_ca_file: Option<PathBuf>,
    /// Hosts, as `host` or `host:port`, that may have addresses which are not public: those of an intranet or of this
    /// machine. All other such addresses are refused, so that nobody can make the server ask its own neighbours.
    pub(in crate::config) allowed_hosts: Vec<String>,
}
