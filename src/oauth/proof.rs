//! What the id of a client proves of it.

use url::Url;

use super::client::{Client, ClientKind};

impl Client {
    /// The host that the client's id proves, for metadata documents that came from there.
    pub fn proven_host(&self) -> Option<String> {
        if self.metadata.came_along { None } else { self.document_host() }
    }

    /// The host of a metadata document, whether or not it was asked.
    pub fn document_host(&self) -> Option<String> {
        if self.kind != ClientKind::Document {
            return None;
        }
        let url = Url::parse(self.client_id.as_str()).ok()?;
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }
}
