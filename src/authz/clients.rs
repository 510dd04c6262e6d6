//! Finding a client, whichever of the three ways made it known.

use super::client_document::{self, DocumentProblem};
use crate::app::App;
use crate::oauth::ClientId;
use crate::oauth::client::Client;
use crate::oauth::error::Error;

/// What is known of a client id.
#[derive(Debug)]
pub enum Lookup {
    /// This client.
    Known(Box<Client>),
    /// No such client, or no longer.
    Unknown,
    /// An operator lets it in no more.
    Disabled,
    /// A metadata document that cannot be used.
    Document(DocumentProblem),
}

/// How long a client id may be, in bytes.
const MAX_LENGTH: usize = 2048;

/// Looks a client up. `address` is whom a fetch would be done for.
pub async fn find(app: &App, client_id: &str, address: &str) -> Result<Lookup, Error> {
    // OAuth 2.1 appendix A.1: printable ASCII. What else comes is nobody's id, and some databases take no NUL.
    if client_id.len() > MAX_LENGTH || !client_id.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Ok(Lookup::Unknown);
    }
    let client_id = ClientId::new(client_id);
    if app.store.is_client_disabled(&client_id).await? {
        return Ok(Lookup::Disabled);
    }
    if client_document::is_document_url(client_id.as_str()) {
        return client_document::find(app, &client_id, address).await;
    }
    let found = app.store.find_client(&client_id).await?;
    Ok(found.map_or(Lookup::Unknown, |row| Lookup::Known(Box::new(row.client))))
}
