//! What a provider says of itself (OpenID Connect Discovery §3, §4): fetched when it is needed, kept between fetches, and
//! kept on while the provider is away for a time.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, EndSessionUrl, ProviderMetadata, TokenUrl, UserInfoUrl};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Result, Trouble};
use crate::app::App;
use crate::config::providers::Provider;
use crate::oauth::error::Error;
use crate::web::fetched::{self, Failure, Purpose};
use crate::web::outbound::Wanted;
use crate::web::outbound::cached::Freshness;

/// The longest document, in bytes.
const LIMIT_BYTES: usize = 128 * 1024;

/// The members that other specifications add.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Further {
    /// RFC 9207 §3.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// OpenID Connect RP-Initiated Logout §2.1.
    #[serde(default)]
    pub(super) end_session_endpoint: Option<EndSessionUrl>,
}

impl AdditionalProviderMetadata for Further {}

/// A provider's metadata.
pub(super) type Metadata = ProviderMetadata<
    Further,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The metadata of a provider, as it is kept while it is fresh, and otherwise as the provider says now.
pub(super) async fn find(app: &App, provider: &Provider) -> Result<Metadata> {
    let url = address(provider)?;
    let kept = fetched::kept(app, Purpose::Discovery, &url).await?;
    let fresh = kept.as_ref().filter(|kept| kept.freshness(app.now().0) == Freshness::Fresh);
    if let Some(metadata) = fresh.and_then(|kept| judge(provider, &kept.body).ok()) {
        return Ok(metadata);
    }
    let wanted = Wanted { url: &url, accept: "application/json", limit_bytes: LIMIT_BYTES };
    let judged = |body: &str| judge(provider, body).map(drop);
    match fetched::renew(app, Purpose::Discovery, wanted, kept, judged).await? {
        Ok(document) => {
            judge(provider, &document.body).map_err(|reason| Trouble::wrong("provider_metadata", reason))
        }
        Err(Failure::Fetch(error)) => Err(Trouble::Away(format!("{url}: {}", error.detail()))),
        Err(Failure::Invalid(reason)) => Err(Trouble::wrong("provider_metadata", format!("{url}: {reason}"))),
    }
}

/// The metadata as it is kept, fresh or not, without asking anybody.
pub(super) async fn kept(app: &App, provider: &Provider) -> std::result::Result<Option<Metadata>, Error> {
    let Ok(url) = address(provider) else { return Ok(None) };
    let kept = fetched::kept(app, Purpose::Discovery, &url).await?;
    Ok(kept.and_then(|kept| judge(provider, &kept.body).ok()))
}

/// Where it lies: below the issuer, whose last slash goes (OpenID Connect Discovery §4.1).
fn address(provider: &Provider) -> Result<Url> {
    let issuer = provider.issuer.strip_suffix('/').unwrap_or(&provider.issuer);
    Url::parse(&format!("{issuer}/.well-known/openid-configuration")).map_err(|error| {
        Trouble::wrong("provider_metadata", format!("the issuer is no base of a URL: {error}"))
    })
}

/// Reads a document. Its issuer must be the one that is configured, byte for byte (OpenID Connect Discovery §4.3), and
/// what people and codes are sent to must be as safe as the issuer is.
fn judge(provider: &Provider, body: &str) -> std::result::Result<Metadata, String> {
    let metadata: Metadata =
        serde_json::from_str(body).map_err(|error| format!("it is no provider metadata: {error}"))?;
    let (said, configured) = (metadata.issuer().as_str(), provider.issuer.as_str());
    if said != configured {
        return Err(format!(
            "its issuer is {said:?}, and providers.{}.issuer is {configured:?}: where it is the right provider, \
             write its issuer there, to the last slash",
            provider.name
        ));
    }
    let is_http = provider.issuer.starts_with("http:");
    let safe = |url: &Url| url.scheme() == "https" || (is_http && url.scheme() == "http");
    let further = metadata.additional_metadata();
    let endpoints = [
        ("authorization_endpoint", Some(metadata.authorization_endpoint().url())),
        ("token_endpoint", metadata.token_endpoint().map(TokenUrl::url)),
        ("jwks_uri", Some(metadata.jwks_uri().url())),
        ("userinfo_endpoint", metadata.userinfo_endpoint().map(UserInfoUrl::url)),
        ("end_session_endpoint", further.end_session_endpoint.as_ref().map(EndSessionUrl::url)),
    ];
    if let Some((name, _)) = endpoints.iter().find(|(_, url)| url.is_some_and(|url| !safe(url))) {
        return Err(format!("its {name} is not https"));
    }
    if metadata.token_endpoint().is_none() {
        return Err("it has no token_endpoint".into());
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::{Value, json};

    fn provider(issuer: &str) -> Provider {
        let text = format!("[providers.acme]\nissuer = \"{issuer}\"\nclient_id = \"c\"\n");
        Config::written(&text).unwrap().providers["acme"].clone()
    }

    fn document(change: &Value) -> String {
        let mut document = json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://tokens.example/token",
            "jwks_uri": "https://id.example/jwks",
            "response_types_supported": ["code", "something new"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "XY999"],
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.to_string()
    }

    #[test]
    fn a_document_lies_below_its_issuer() {
        for (issuer, url) in [
            ("https://id.example", "https://id.example/.well-known/openid-configuration"),
            ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
            ("https://id.example/tenant/", "https://id.example/tenant/.well-known/openid-configuration"),
        ] {
            assert_eq!(address(&provider(issuer)).unwrap().as_str(), url);
        }
    }

    #[test]
    fn the_issuer_is_the_configured_one_to_the_last_slash() {
        assert!(judge(&provider("https://id.example"), &document(&json!({}))).is_ok());
        let refused = judge(&provider("https://id.example/"), &document(&json!({}))).unwrap_err();
        assert!(refused.contains("providers.acme.issuer"), "{refused}");
    }

    #[test]
    fn what_is_unsafe_or_missing_is_refused() {
        let plain = "http://id.example/x";
        for change in [
            json!({ "authorization_endpoint": plain }),
            json!({ "token_endpoint": plain }),
            json!({ "token_endpoint": null }),
            json!({ "jwks_uri": plain }),
            json!({ "userinfo_endpoint": plain }),
            json!({ "end_session_endpoint": "javascript:alert(1)" }),
            json!({ "jwks_uri": null }),
        ] {
            assert!(judge(&provider("https://id.example"), &document(&change)).is_err(), "{change}");
        }
        assert!(judge(&provider("https://id.example"), "<html>").is_err());
    }

    #[test]
    fn what_others_add_is_read_where_it_is_said() {
        let of = |change: Value| judge(&provider("https://id.example"), &document(&change)).unwrap();
        let none = of(json!({}));
        assert!(!none.additional_metadata().authorization_response_iss_parameter_supported);
        assert!(none.additional_metadata().end_session_endpoint.is_none());
        let both = of(json!({
            "authorization_response_iss_parameter_supported": true,
            "end_session_endpoint": "https://id.example/logout",
        }));
        assert!(both.additional_metadata().authorization_response_iss_parameter_supported);
        assert!(both.additional_metadata().end_session_endpoint.is_some());
    }
}
