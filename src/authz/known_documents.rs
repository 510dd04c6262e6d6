//! Metadata documents of clients that many people use, as their makers published them in the autumn of 2026. Each is
//! asked for as every other; it stands in while its host cannot be reached from here, or turns this server's address
//! away, as the bot protection before some of them does with those of cloud providers.

use std::collections::BTreeMap;

use crate::oauth::ClientId;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::client_document::{is_document_url, parse};

    #[test]
    fn each_document_is_one_that_its_own_host_could_have_served() {
        for (client_id, body) in all() {
            assert!(is_document_url(client_id.as_str()), "{client_id}");
            let metadata = parse(&client_id, &body, &[]).unwrap();
            assert!(metadata.client_name.is_some(), "{client_id}");
        }
    }
}
