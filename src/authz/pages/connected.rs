//! The page for a consent that was answered before: a second click on `Allow`, a reload, the back button.

use askama::Template;

use super::client_name::ClientName;

/// `GET` or `POST /consent/{id}` when the request was allowed and its redirect is no longer repeated.
#[derive(Debug, Template)]
#[template(path = "connected.html")]
pub struct ConnectedPage {
    /// The client that was allowed.
    pub client_name: ClientName,
}
