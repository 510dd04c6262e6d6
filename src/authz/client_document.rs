//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): which ids name one, what a
//! document must say, and how it is fetched and kept.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use url::Url;

use super::clients::Lookup;
use super::known_documents;
use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::ephemeral::Meter;
use crate::oauth::ClientId;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, MetadataRules};
use crate::oauth::error::Error;
use crate::web::fetched::{self, CachedDocument, Purpose};
use crate::web::outbound::cached::{CacheBounds, Freshness};
use crate::web::outbound::{FetchError, Wanted};

/// The longest document, in bytes (draft §6.6).
const LIMIT_BYTES: usize = 5 * 1024;

/// Why a metadata document cannot be used. `host` is what the person may be told.
#[derive(Debug)]
pub enum DocumentProblem {
    /// It could not be fetched now.
    Unreachable {
        /// The host of the client id.
        host: String,
        /// Why; safe to show.
        reason: String,
    },
    /// It was fetched and breaks a rule.
    Invalid {
        /// The host of the client id.
        host: String,
        /// Which rule; safe to show.
        reason: String,
    },
}

/// Whether a client id names a metadata document (draft §3): https, a path, no dot segments, no fragment, no
/// user name. Judged on the text, because parsing would tidy it.
pub fn is_document_url(client_id: &str) -> bool {
    let Some(rest) = client_id.strip_prefix("https://") else { return false };
    let Some((authority, path)) = rest.split_once('/') else { return false };
    let path = path.split('?').next().unwrap_or_default();
    let dotted = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    let Ok(url) = Url::parse(client_id) else { return false };
    // One spelling for one document: another would share its cache.
    url.as_str() == client_id
        && !client_id.contains('#')
        && !authority.contains(['@', '?'])
        && !path.is_empty()
        && !path.split('/').any(dotted)
}

/// Checks a document against the id it was fetched for (draft §4, MCP client registration).
pub fn parse(client_id: &ClientId, body: &str, schemes: &[String]) -> Result<ClientMetadata, String> {
    let members: Map<String, Value> =
        serde_json::from_str(body).map_err(|_| "it is not a JSON object".to_owned())?;
    if members.get("client_id").and_then(Value::as_str) != Some(client_id.as_str()) {
        return Err("its client_id is not the URL it was fetched from".to_owned());
    }
    for secret in ["client_secret", "client_secret_expires_at"] {
        if members.contains_key(secret) {
            return Err(format!("it contains {secret}, which a public document must not"));
        }
    }
    let rules = MetadataRules {
        private_use_schemes: schemes,
        default_auth_method: AuthMethod::None,
        further_methods: true,
    };
    let metadata = ClientMetadata::parse(&members, rules).map_err(|error| error.description.to_owned())?;
    if metadata.client_name.is_none() {
        return Err("it has no client_name".to_owned());
    }
    if metadata.token_endpoint_auth_method.uses_secret() {
        return Err("its token_endpoint_auth_method needs a secret, which a document cannot share".to_owned());
    }
    Ok(metadata)
}

/// The client whose id is this document's URL: preloaded, kept, fetched, or while that fails the one that stands by.
pub async fn find(app: &App, client_id: &ClientId, address: &str) -> Result<Lookup, Error> {
    if !app.config.clients.metadata_documents {
        return Ok(Lookup::Unknown);
    }
    if let Some(client) = app.preloaded.get(client_id) {
        return Ok(Lookup::Known(Box::new(client.clone())));
    }
    let Ok(url) = Url::parse(client_id.as_str()) else { return Ok(Lookup::Unknown) };
    let host = url.host_str().unwrap_or_default().to_owned();
    let wanted = Wanted { url: &url, accept: "application/json", limit_bytes: LIMIT_BYTES };
    let kept = fetched::kept(app, Purpose::ClientDocument, &url).await?;
    let kept = known_documents::or_known(app, client_id, kept).await?;
    if let Some(kept) = &kept
        && kept.freshness(app.now().0) == Freshness::Fresh
    {
        return Ok(known(app, client_id, kept).unwrap_or_else(|reason| invalid(&host, reason)));
    }
    if let Err(busy) = charge(app, address).await {
        // Its host was not asked, so what came along does not stand in for it.
        let kept = kept.filter(|kept| !kept.came_along());
        let standing_in = kept.and_then(|kept| kept.standing_in(&CacheBounds::default(), app.now().0));
        let older = standing_in.ok_or(busy)?;
        return Ok(known(app, client_id, &older).unwrap_or_else(|reason| invalid(&host, reason)));
    }
    let parses = |body: &str| parse(client_id, body, &app.config.clients.private_use_schemes).map(drop);
    let asked_at = app.now();
    let renewed = fetched::renew(app, Purpose::ClientDocument, wanted, kept, parses).await?;
    known_documents::remember(app, client_id, &renewed, asked_at).await?;
    match renewed {
        Ok(document) => Ok(known(app, client_id, &document).unwrap_or_else(|reason| invalid(&host, reason))),
        Err(fetched::Failure::Fetch(error)) => Ok(unreachable(client_id, host, &error)),
        Err(fetched::Failure::Invalid(reason)) => Ok(invalid(&host, reason)),
    }
}

/// A client made from a document's text.
pub fn known_client(client_id: &ClientId, body: &str, schemes: &[String]) -> Result<Client, String> {
    let metadata = parse(client_id, body, schemes)?;
    Ok(Client { client_id: client_id.clone(), kind: ClientKind::Document, metadata, secret_hash: None })
}

/// Reads the documents of a folder, so that their clients are known without fetching. Each `*.json` file holds one
/// document, which names its own id.
pub fn preload(config: &Config) -> Result<BTreeMap<ClientId, Client>, ConfigError> {
    let Some(folder) = &config.clients.preloaded_documents else { return Ok(BTreeMap::new()) };
    let refused = |what: &Path, why: &dyn std::fmt::Display| {
        ConfigError::new("clients.preloaded_documents", format!("{}: {why}", what.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(|error| refused(folder, &error))?;
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files
        .map(|path| {
            let body = std::fs::read_to_string(&path).map_err(|error| refused(&path, &error))?;
            let client_id = serde_json::from_str::<Value>(&body).ok();
            let client_id =
                client_id.and_then(|document| document.get("client_id")?.as_str().map(ClientId::new));
            let client_id = client_id.filter(|id| is_document_url(id.as_str()));
            let client_id = client_id.ok_or_else(|| refused(&path, &"its client_id names no document"))?;
            let client = known_client(&client_id, &body, &config.clients.private_use_schemes)
                .map_err(|why| refused(&path, &why))?;
            Ok((client_id, client))
        })
        .collect()
}

fn known(app: &App, client_id: &ClientId, document: &CachedDocument) -> Result<Lookup, String> {
    let mut client = known_client(client_id, &document.body, &app.config.clients.private_use_schemes)?;
    client.metadata.came_along = document.came_along();
    Ok(Lookup::Known(Box::new(client)))
}

fn invalid(host: &str, reason: String) -> Lookup {
    tracing::info!(host, reason, "a client's metadata document is refused");
    Lookup::Document(DocumentProblem::Invalid { host: host.to_owned(), reason })
}

fn unreachable(client_id: &ClientId, host: String, error: &FetchError) -> Lookup {
    tracing::info!(client.id = %client_id, detail = error.detail(), "a client's metadata document is out of reach");
    Lookup::Document(DocumentProblem::Unreachable { host, reason: error.to_string() })
}

/// Counts a fetch on behalf of `address`.
pub async fn charge(app: &App, address: &str) -> Result<(), Error> {
    let quota = app.ephemeral.quota(Meter::DocumentFetch(address), app.config.limits.document_fetch).await?;
    quota.or_refuse("too many new clients from this address, try again later")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "https://client.example/oauth/client.json";

    type Change = fn(&mut Value);

    #[test]
    fn which_client_ids_name_a_document() {
        for good in
            [ID, "https://client.example:8443/c", "https://client.example/a/", "https://c.example/c?v=1"]
        {
            assert!(is_document_url(good), "{good}");
        }
        for bad in [
            "http://client.example/c",
            "https://client.example",
            "https://client.example/",
            "https://client.example/?c",
            "https://client.example/a/../c",
            "https://client.example/./c",
            "https://client.example/%2E%2e/c",
            "https://client.example/c#f",
            "https://u:p@client.example/c",
            "https://@client.example/c",
            "https://client.example?c/d",
            "https://client.example\\c/d",
            "https://client.example/c d",
            "https://CLIENT.example/c",
            "https://client.example:443/c",
            "client_123",
        ] {
            assert!(!is_document_url(bad), "{bad}");
        }
    }

    #[test]
    fn a_document_names_itself_and_holds_no_secret() {
        let base =
            json!({"client_id": ID, "client_name": "C", "redirect_uris": ["https://client.example/cb"]});
        let check = |change: &dyn Fn(&mut Value)| {
            let mut document = base.clone();
            change(&mut document);
            parse(&ClientId::new(ID), &document.to_string(), &[])
        };
        assert_eq!(check(&|_| {}).unwrap().token_endpoint_auth_method, AuthMethod::None);
        let changes: [Change; 7] = [
            |d| d["client_id"] = json!("https://client.example/oauth/client.json/"),
            |d| d["client_id"] = json!(null),
            |d| d["client_name"] = json!(""),
            |d| d["redirect_uris"] = json!([]),
            |d| d["client_secret"] = json!("x"),
            |d| d["client_secret_expires_at"] = json!(0),
            |d| d["token_endpoint_auth_method"] = json!("client_secret_basic"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert!(check(&change).is_err(), "change {number}");
        }
        assert!(parse(&ClientId::new(ID), "[]", &[]).is_err());
        assert!(parse(&ClientId::new(ID), "<html>", &[]).is_err());
    }
}
