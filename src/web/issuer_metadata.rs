//! Where an issuer says that its keys lie: its metadata (RFC 8414, OpenID Connect Discovery 1.0).

use serde::Deserialize;
use url::Url;

use super::fetched::{self, Failure, Purpose};
use super::key_set::{self, Place, Unverified};
use super::outbound::Wanted;
use super::outbound::cached::{CacheBounds, CachedDocument, Freshness};
use crate::app::App;
use crate::oauth::Error;

/// The longest metadata, in bytes.
const LIMIT_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where the key set of `issuer` lies, as the issuer says itself. Fetches are done for `asker`.
pub async fn jwks_uri(app: &App, issuer: &str, asker: &str) -> Result<Result<Url, Unverified>, Error> {
    let now_ms = app.now().0;
    let remembered = || app.key_sets.places.get(issuer).filter(|place| now_ms < place.fresh_until_ms);
    if let Some(place) = remembered() {
        return Ok(Ok(place.jwks_uri));
    }
    let candidates = candidates(issuer);
    let Some(first) = candidates.first() else {
        return Ok(Err(Unverified::Away("it is not a URL".into())));
    };
    let turn = app.key_sets.turn(first);
    let _held = turn.lock().await;
    if let Some(place) = remembered() {
        return Ok(Ok(place.jwks_uri));
    }
    let mut copies = Vec::with_capacity(candidates.len());
    for url in &candidates {
        let kept = fetched::kept(app, Purpose::Discovery, url).await?;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.freshness(now_ms) == Freshness::Fresh)
            && let Ok(found) = remember(app, issuer, kept)
        {
            return Ok(Ok(found));
        }
        copies.push(kept);
    }
    if !key_set::may_fetch(app, first, asker).await? {
        let older = copies.into_iter().flatten().filter_map(|kept| {
            kept.standing_in(&CacheBounds::default(), now_ms).and_then(|kept| read(issuer, &kept.body).ok())
        });
        let found = older.into_iter().next();
        return Ok(found.ok_or_else(|| Unverified::Away("its metadata was asked for too often".into())));
    }
    let mut reasons = Vec::new();
    for (url, kept) in candidates.iter().zip(copies) {
        let wanted = Wanted { url, accept: "application/json", limit_bytes: LIMIT_BYTES };
        let judge = |body: &str| read(issuer, body).map(drop);
        match fetched::renew(app, Purpose::Discovery, wanted, kept, judge).await? {
            Ok(document) => match remember(app, issuer, &document) {
                Ok(found) => return Ok(Ok(found)),
                Err(reason) => reasons.push(format!("{url}: {reason}")),
            },
            Err(Failure::Fetch(error)) => reasons.push(format!("{url}: {}", error.detail())),
            Err(Failure::Invalid(reason)) => reasons.push(format!("{url}: {reason}")),
        }
    }
    Ok(Err(Unverified::Away(reasons.join("; "))))
}

fn remember(app: &App, issuer: &str, document: &CachedDocument) -> Result<Url, String> {
    let jwks_uri = read(issuer, &document.body)?;
    let place = Place { jwks_uri: jwks_uri.clone(), fresh_until_ms: document.fresh_until_ms };
    app.key_sets.places.insert(issuer.to_owned(), place);
    Ok(jwks_uri)
}

/// Metadata counts when it is of this very issuer, byte for byte (RFC 8414 §3.3).
fn read(issuer: &str, body: &str) -> Result<Url, String> {
    let metadata: Metadata =
        serde_json::from_str(body).map_err(|_| "it is no metadata with issuer and jwks_uri".to_owned())?;
    if metadata.issuer != issuer {
        return Err(format!("its issuer is {:?}", metadata.issuer));
    }
    let url = Url::parse(&metadata.jwks_uri).ok().filter(|url| url.scheme() == "https");
    url.ok_or_else(|| "its jwks_uri is not an https URL".to_owned())
}

/// Where the metadata may lie: appended as OpenID Connect has it (§4), or inserted before the path (RFC 8414 §3.1, §5).
fn candidates(issuer: &str) -> Vec<Url> {
    const OIDC: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    let Ok(url) = Url::parse(issuer) else { return Vec::new() };
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    let mut texts = vec![
        format!("{origin}{path}{OIDC}"),
        format!("{origin}{OAUTH}{path}"),
        format!("{origin}{OIDC}{path}"),
    ];
    if path.is_empty() {
        texts.truncate(2);
    }
    texts.iter().filter_map(|text| Url::parse(text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_after_the_path_and_before_it() {
        let found = |issuer: &str| candidates(issuer).iter().map(Url::to_string).collect::<Vec<_>>();
        for issuer in ["https://a.example", "https://a.example/"] {
            assert_eq!(
                found(issuer),
                [
                    "https://a.example/.well-known/openid-configuration",
                    "https://a.example/.well-known/oauth-authorization-server"
                ]
            );
        }
        assert_eq!(
            found("https://a.example:8443/t/v2.0"),
            [
                "https://a.example:8443/t/v2.0/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/t/v2.0",
                "https://a.example:8443/.well-known/openid-configuration/t/v2.0",
            ]
        );
    }

    #[test]
    fn metadata_of_another_issuer_does_not_count() {
        let body = |issuer: &str, uri: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
        let own = "https://a.example";
        assert!(read(own, &body(own, "https://keys.example/set")).is_ok());
        for bad in [
            body("https://a.example/", "https://keys.example/set"),
            body("https://b.example", "https://keys.example/set"),
            body(own, "http://keys.example/set"),
            r#"{"issuer":"https://a.example"}"#.to_owned(),
            "<html>".to_owned(),
        ] {
            assert!(read(own, &bad).is_err(), "{bad}");
        }
    }
}
