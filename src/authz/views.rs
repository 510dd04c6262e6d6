//! From what we know of clients, redirect URIs and resources to what pages show of them.

use super::pages::client_name::ClientName;
use super::pages::consent::{ClientKind as Shown, Destination as Leads};
use super::pages::scope_words::{ScopeWords, scope_words, words_of};
use super::pages::server::ServerView;
use crate::app::App;
use crate::config::Audience;
use crate::oauth::RedirectUri;
use crate::oauth::client::{Client, ClientKind};
use crate::oauth::redirect_uri::Destination;

/// How the client became known, and what that proves.
pub fn client_kind(client: &Client) -> Shown {
    match client.kind {
        ClientKind::Document if client.metadata.came_along => {
            Shown::CameAlong { host: client.document_host().unwrap_or_default() }
        }
        ClientKind::Document => Shown::Document { host: client.proven_host().unwrap_or_default() },
        ClientKind::Dynamic => Shown::Dynamic,
        ClientKind::Registered | ClientKind::Machine => Shown::Registered,
        ClientKind::External => Shown::External,
    }
}

/// What the client is called, to stand in a sentence.
pub fn client_name(client: &Client) -> ClientName {
    ClientName::of(client.shown_name(), &client_kind(client))
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

/// The resource of this identifier, which may be none of ours any more.
pub fn server(app: &App, identifier: &str) -> ServerView {
    let lifetime = app.config.tokens.access_token_lifetime.as_secs().div_ceil(60);
    let (title, used, lingers) = match app.config.audiences().find(identifier) {
        Some(Audience::Own { own, .. }) => (own.title, own.used(), None),
        Some(Audience::Other(other)) => (other.title(), other.title(), Some(lifetime)),
        None => ("A server that is not offered any more", identifier, Some(lifetime)),
    };
    let [title, identifier, used] = [title, identifier, used].map(str::to_owned);
    ServerView { title, identifier, used, lingers }
}

/// What a scope of a resource means: in the program's words for our own, in the operator's for another.
pub fn scope_words_of(audience: Option<Audience<'_>>, scope: &str) -> ScopeWords {
    let other = match audience {
        None => return scope_words(scope),
        Some(Audience::Own { own, .. }) => {
            return own.scopes.find(scope).map_or_else(|| scope_words(scope), words_of);
        }
        Some(Audience::Other(other)) => other,
    };
    other.sentence(scope).map_or_else(
        || scope_words(scope),
        |sentence| ScopeWords {
            title: sentence.to_owned(),
            description: format!("{} calls this {scope}.", other.title()),
        },
    )
}
