//! Metadata documents of clients that many people use, as public sources had them in the autumn of 2026. Each is
//! asked for as every other; it stands in while its host cannot be reached from here, or turns this server's address
//! away, as the bot protection before some of them does with those of cloud providers. People are told so, and nothing
//! counts as proven then. Once the host has said something else, or that there is no such document, it stands in no more.
//!
//! Of Codex's document the sources had its id, its redirect addresses and how it authenticates: it holds no more than
//! these and a plain name, without which no document is taken.

use std::collections::BTreeMap;

use super::client_document::parse;
use crate::app::App;
use crate::clock::Timestamp;
use crate::oauth::ClientId;
use crate::oauth::client::ClientMetadata;
use crate::oauth::error::Error;
use crate::storage::commit;
use crate::storage::documents::{self, Note};
use crate::web::fetched::{CachedDocument, Failure};
use crate::web::outbound::cached::Freshness;

/// Each document beside the id that it names, which is where it is published.
const DOCUMENTS: [(&str, &str); 5] = [
    ("https://chatgpt.com/oauth/client.json", include_str!("known_documents/chatgpt.json")),
    ("https://chatgpt.com/oauth/codex/client.json", include_str!("known_documents/codex.json")),
    ("https://claude.ai/oauth/claude-code-client-metadata", include_str!("known_documents/claude-code.json")),
    ("https://claude.ai/oauth/mcp-oauth-client-metadata", include_str!("known_documents/claude.json")),
    ("https://vscode.dev/oauth/client-metadata.json", include_str!("known_documents/vs-code.json")),
];

/// All of them, by client id.
#[must_use]
pub fn all() -> BTreeMap<ClientId, String> {
    DOCUMENTS.map(|(client_id, body)| (ClientId::new(client_id), body.to_owned())).into()
}

/// The copy to go on from: what is kept of the host, or the known document where that is gone and the host has not
/// contradicted it. What another version of this program brought along is not believed.
pub async fn or_known(
    app: &App,
    client_id: &ClientId,
    kept: Option<CachedDocument>,
) -> Result<Option<CachedDocument>, Error> {
    let Some(body) = app.standing_by.get(client_id) else {
        return Ok(kept.filter(|kept| !kept.came_along()));
    };
    let (of_host, came_along) = match kept {
        Some(kept) if kept.came_along() => (None, Some(kept)),
        kept => (kept, None),
    };
    let is_good = |kept: &CachedDocument| {
        kept.freshness(app.now().0) != Freshness::TooOld || !agree(app, client_id, body, &kept.body)
    };
    if let Some(kept) = of_host.filter(is_good) {
        return Ok(Some(kept));
    }
    if app.store.is_noted(Note::Contradicted(client_id)).await? {
        return Ok(None);
    }
    let same = came_along.filter(|kept| kept.body == *body);
    Ok(Some(same.unwrap_or_else(|| CachedDocument::brought_along(body, app.now().0))))
}

/// Remembers for good that a host contradicted the known document, until it agrees with it again. `asked_at` is when it
/// was asked.
pub async fn remember(
    app: &App,
    client_id: &ClientId,
    renewed: &Result<CachedDocument, Failure>,
    asked_at: Timestamp,
) -> Result<(), Error> {
    let Some(body) = app.standing_by.get(client_id) else { return Ok(()) };
    let contradicted = match renewed {
        // An older copy stands in: the host said nothing.
        Ok(document) if document.came_along() || document.fetched_at_ms < asked_at.0 => return Ok(()),
        Ok(document) => !agree(app, client_id, body, &document.body),
        Err(Failure::Fetch(error)) if error.is_withdrawal() => true,
        Err(_) => return Ok(()),
    };
    let mut tx = app.store.write().await?;
    if contradicted {
        documents::note(&mut tx, Note::Contradicted(client_id)).await?;
    } else {
        documents::remove_note(&mut tx, Note::Contradicted(client_id)).await?;
    }
    Ok(commit(tx).await?)
}

/// Whether two documents say the same of what a client is known by, reached at and proves itself with.
fn agree(app: &App, client_id: &ClientId, known: &str, said: &str) -> bool {
    let of = |body: &str| parse(client_id, body, &app.config.clients.private_use_schemes).ok();
    let core = |metadata: ClientMetadata| ClientMetadata {
        client_uri: None,
        application_type: None,
        scope: None,
        software_id: None,
        software_version: None,
        ..metadata
    };
    of(known).map(core) == of(said).map(core)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::client_document::is_document_url;

    #[test]
    fn each_document_is_one_that_its_own_host_could_have_served() {
        for (client_id, body) in all() {
            assert!(is_document_url(client_id.as_str()), "{client_id}");
            let metadata = parse(&client_id, &body, &[]).unwrap();
            assert!(metadata.client_name.is_some(), "{client_id}");
        }
    }
}
