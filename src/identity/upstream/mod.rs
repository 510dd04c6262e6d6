//! Sign-in at a provider of the company's, by OpenID Connect: the authorization code flow with PKCE, `state`, `nonce` and
//! `iss`. Knows nothing of pages and accounts: it sends a browser away, and says who came back.
//!
//! | file | does |
//! |---|---|
//! | `metadata` | what the provider says of itself (OpenID Connect Discovery) |
//! | `attempt` | what is kept of a sign-in while somebody is at the provider, tied to their browser |
//! | `request` | where the browser is sent (Core §3.1.2.1) |
//! | `answer` | what comes back (Core §3.1.2.5, RFC 9207) |
//! | `redemption` | the code for an ID token (Core §3.1.3) |
//! | `id_token` | whether it holds (Core §3.1.3.7) |
//! | `userinfo` | what the ID token leaves out (Core §5.3) |
//! | `end_session` | signing out there (RP-Initiated Logout) |
//! | `logout_token` | signed out there (Back-Channel Logout) |

pub mod answer;
mod attempt;
pub mod end_session;
mod id_token;
pub mod logout_token;
mod metadata;
mod redemption;
pub mod request;
mod userinfo;

use std::time::Duration;

use crate::config::PublicUrl;
use crate::config::providers::Provider;
use crate::oauth::error::Error;

/// Tolerated between the clock of a provider and ours.
const SKEW: Duration = Duration::from_secs(60);

/// Why a provider does not get somebody in. None of it is their fault.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It cannot be reached, or says that it cannot serve for now. The text is for the log.
    Away(String),
    /// What it says cannot be used.
    Wrong {
        /// Why, in one word.
        word: &'static str,
        /// More, for the log, with the cure where the configuration may be at fault.
        detail: String,
    },
    /// We ourselves cannot go on.
    Ours(Error),
}

impl Trouble {
    fn wrong(word: &'static str, detail: impl Into<String>) -> Self {
        Self::Wrong { word, detail: detail.into() }
    }

    /// Why, in one word, for whoever watches the server.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Away(_) => "provider_away",
            Self::Wrong { word, .. } => word,
            Self::Ours(_) => "our_fault",
        }
    }
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

/// The result of what is asked of a provider.
pub type Result<T> = std::result::Result<T, Trouble>;

/// Where a provider sends browsers back to: an address for each, so that what one says can never be taken for the
/// word of another (RFC 9700 §4.4.2).
pub fn redirect_uri(public_url: &PublicUrl, provider: &Provider) -> String {
    public_url.join(&format!("/login/{}/callback", provider.name))
}
