//! From what we know of clients and redirect URIs to what pages show of them.

use super::pages::consent::{ClientKind as Shown, Destination as Leads};
use crate::oauth::RedirectUri;
use crate::oauth::client::{Client, ClientKind};
use crate::oauth::redirect_uri::Destination;

/// How the client became known, and what that proves.
pub fn client_kind(client: &Client) -> Shown {
    match client.kind {
        ClientKind::Document => Shown::Document { host: client.proven_host().unwrap_or_default() },
        ClientKind::Dynamic => Shown::Dynamic,
        ClientKind::Registered => Shown::Registered,
        ClientKind::External => Shown::External,
    }
}

/// Where the code goes.
pub fn destination(redirect_uri: &RedirectUri) -> Leads {
    let host = redirect_uri.shown_host();
    match redirect_uri.destination() {
        Destination::Web => Leads::Web { host },
        Destination::Loopback => Leads::Loopback { host },
        Destination::App => Leads::App { scheme: host.trim_end_matches(':').to_owned() },
    }
}
