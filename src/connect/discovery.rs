//! Who signs people in for an MCP server: protected resource metadata (RFC 9728), then the authorization server's
//! own (RFC 8414, OpenID Connect Discovery); or, for servers of 2025-03-26 that have neither, endpoints at the root.

use serde_json::{Map, Value};
use url::Url;

use super::challenge::Challenge;
use super::http::{Http, shown};
use super::login::LoginError;
use crate::oauth::Scopes;

/// What a sign-in needs to know.
#[derive(Debug)]
pub(super) struct Site {
    /// What the tokens are to be for (RFC 8707 §2).
    pub(super) resource: String,
    /// The scopes that the resource names.
    pub(super) scopes: Option<Scopes>,
    /// Who signs people in.
    pub(super) server: AuthorizationServer,
}

/// An authorization server's metadata (RFC 8414 §2), as far as the bridge has a use for it.
#[derive(Debug)]
pub(super) struct AuthorizationServer {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    pub(super) device_authorization_endpoint: Option<Url>,
    pub(super) scopes: Option<Scopes>,
    /// The ways to authenticate at the token endpoint; nothing when it does not say.
    pub(super) auth_methods: Option<Vec<String>>,
    /// Whether each answer names its issuer (RFC 9207 §3).
    pub(super) promises_iss: bool,
    /// Whether a client may be known by its metadata document.
    pub(super) takes_documents: bool,
}

/// Looks everything up for the MCP server at `url` that answered with `challenge`.
pub(super) async fn discover(http: &Http, url: &Url, challenge: &Challenge) -> Result<Site, LoginError> {
    let metadata = resource_metadata(http, url, challenge).await?;
    let listed = metadata.as_ref().map(|found| strings(found, "authorization_servers")).unwrap_or_default();
    let resource =
        metadata.as_ref().and_then(|found| text(found, "resource")).unwrap_or_else(|| canonical(url));
    let scopes = metadata.as_ref().and_then(|found| scopes(found, "scopes_supported"));
    let origin = url.origin().ascii_serialization();
    let server = match listed.first() {
        Some(issuer) => match server_metadata(http, issuer).await? {
            Some(server) => server,
            None => return Err(refused(format!("{issuer} signs people in here, but has no metadata"))),
        },
        None => match server_metadata(http, &origin).await? {
            Some(server) => server,
            None => at_the_root(url, origin)?,
        },
    };
    Ok(Site { resource, scopes, server })
}

/// The resource's metadata: where the challenge says, else at the well-known places (RFC 9728 §3.1).
async fn resource_metadata(
    http: &Http,
    url: &Url,
    challenge: &Challenge,
) -> Result<Option<Map<String, Value>>, LoginError> {
    for place in resource_places(url, challenge) {
        let Some(found) = document(http, &place).await? else { continue };
        // RFC 9728 §3.3: else anybody could name their own server for somebody else's resource.
        let named = text(&found, "resource").unwrap_or_default();
        if !names(&named, url) {
            let place = shown(&place);
            return Err(refused(format!("{place} is about another resource, {named}, and not about {url}")));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// Another endpoint on this origin that is named where the metadata of this one would be.
pub(super) async fn named_endpoint(http: &Http, url: &Url) -> Option<String> {
    for place in resource_places(url, &Challenge::default()) {
        let found = document(http, &place).await.ok().flatten();
        let named = found.and_then(|found| Url::parse(&text(&found, "resource")?).ok());
        if let Some(named) = named.filter(|named| named.origin() == url.origin()) {
            return (canonical(&named) != canonical(url)).then(|| shown(&named));
        }
    }
    None
}

/// Where a resource's metadata is looked for, in this order.
pub(crate) fn resource_places(url: &Url, challenge: &Challenge) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let mut places = Vec::new();
    places.extend(challenge.resource_metadata.clone());
    places.extend(at(url, &format!("/.well-known/oauth-protected-resource{path}")));
    places.extend(at(url, "/.well-known/oauth-protected-resource"));
    places.dedup();
    places
}

/// Whether a resource identifier is that of this endpoint, or of something that it lies below.
fn names(resource: &str, url: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (outer, inner) = (resource.path().trim_end_matches('/'), url.path().trim_end_matches('/'));
    let is_below = inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    resource.origin() == url.origin() && is_below && resource.fragment().is_none()
}

/// The server's metadata, from the first place that has it (RFC 8414 §3.1, MCP authorization server discovery).
async fn server_metadata(http: &Http, issuer: &str) -> Result<Option<AuthorizationServer>, LoginError> {
    // It is repeated to the person and compared as text, so it is what it looks like.
    let is_plain = issuer.bytes().all(|byte| byte.is_ascii_graphic());
    let url = Url::parse(issuer).ok().filter(|_| is_plain);
    let url = url.ok_or_else(|| refused(format!("{issuer} is no URL of an authorization server")))?;
    for place in server_places(&url) {
        if let Some(found) = document(http, &place).await? {
            return read(&found, issuer, &shown(&place)).map(Some);
        }
    }
    Ok(None)
}

/// Where an authorization server's metadata is looked for, in this order.
pub(crate) fn server_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![format!("/.well-known/oauth-authorization-server{path}")];
    places.push(format!("/.well-known/openid-configuration{path}"));
    if !path.is_empty() {
        places.push(format!("{path}/.well-known/openid-configuration"));
    }
    places.iter().filter_map(|place| at(issuer, place)).collect()
}

fn read(found: &Map<String, Value>, issuer: &str, place: &str) -> Result<AuthorizationServer, LoginError> {
    let named = text(found, "issuer").unwrap_or_default();
    if !same_issuer(&named, issuer) {
        return Err(refused(format!("{place} is the metadata of {named}, and not of {issuer}")));
    }
    // MCP authorization, "Authorization Code Protection": without S256 there is no going on.
    if !strings(found, "code_challenge_methods_supported").iter().any(|method| method == "S256") {
        return Err(refused(format!("{issuer} does not say that it supports PKCE with S256")));
    }
    let endpoint = |name: &str| text(found, name).and_then(|text| Url::parse(&text).ok());
    let flag = |name: &str| found.get(name) == Some(&Value::Bool(true));
    let methods = found.contains_key("token_endpoint_auth_methods_supported");
    Ok(AuthorizationServer {
        issuer: named,
        authorization_endpoint: endpoint("authorization_endpoint"),
        token_endpoint: endpoint("token_endpoint")
            .ok_or_else(|| refused(format!("{place} names no token_endpoint")))?,
        registration_endpoint: endpoint("registration_endpoint"),
        revocation_endpoint: endpoint("revocation_endpoint"),
        device_authorization_endpoint: endpoint("device_authorization_endpoint"),
        scopes: scopes(found, "scopes_supported"),
        auth_methods: methods.then(|| strings(found, "token_endpoint_auth_methods_supported")),
        promises_iss: flag("authorization_response_iss_parameter_supported"),
        takes_documents: flag("client_id_metadata_document_supported"),
    })
}

/// The endpoints of a server without any metadata (MCP 2025-03-26, "Fallbacks for Servers without Metadata
/// Discovery").
fn at_the_root(url: &Url, issuer: String) -> Result<AuthorizationServer, LoginError> {
    let token_endpoint =
        at(url, "/token").ok_or_else(|| refused(format!("{url} does not say who signs people in")))?;
    Ok(AuthorizationServer {
        issuer,
        authorization_endpoint: at(url, "/authorize"),
        token_endpoint,
        registration_endpoint: at(url, "/register"),
        revocation_endpoint: None,
        device_authorization_endpoint: None,
        scopes: None,
        auth_methods: None,
        promises_iss: false,
        takes_documents: false,
    })
}

/// A JSON object at this place. A page, a refusal or nothing at all is no document; a fault is a fault, and must not
/// lead to another server.
async fn document(http: &Http, place: &Url) -> Result<Option<Map<String, Value>>, LoginError> {
    let answer = http.get(place).await?;
    if answer.status.is_server_error() || answer.status.as_u16() == 429 {
        return Err(LoginError::Away(format!("{} answers {}", shown(place), answer.status)));
    }
    Ok(answer.object.filter(|_| answer.status == http::StatusCode::OK))
}

/// Simple string comparison (RFC 8414 §3.3), but for the slash that some libraries add to an empty path.
pub(super) fn same_issuer(one: &str, other: &str) -> bool {
    let bare = |issuer: &str| {
        let stripped = issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
        let is_root = Url::parse(issuer).is_ok_and(|url| url.path() == "/" && url.query().is_none());
        if is_root { stripped } else { issuer.to_owned() }
    };
    bare(one) == bare(other)
}

/// The endpoint as a resource identifier (MCP authorization, "Canonical Server URI").
pub(crate) fn canonical(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    let text = url.to_string();
    if url.path() == "/" && url.query().is_none() { text.trim_end_matches('/').to_owned() } else { text }
}

pub(crate) fn at(url: &Url, path: &str) -> Option<Url> {
    let mut place = url.clone();
    place.set_path(path);
    place.set_query(None);
    place.set_fragment(None);
    place.set_username("").ok()?;
    place.set_password(None).ok()?;
    Some(place)
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn strings(object: &Map<String, Value>, name: &str) -> Vec<String> {
    let list = object.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn scopes(object: &Map<String, Value>, name: &str) -> Option<Scopes> {
    Some(Scopes::parse(&strings(object, name).join(" ")).ok()?).filter(|scopes| !scopes.is_empty())
}

fn refused(why: String) -> LoginError {
    LoginError::Refused(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_must_be_about_this_endpoint_or_what_it_lies_below() {
        let url = Url::parse("https://t.example/a/mcp").unwrap();
        for (resource, expected) in [
            ("https://t.example/a/mcp", true),
            ("https://t.example/a/mcp/", true),
            ("https://t.example/a", true),
            ("https://t.example", true),
            ("https://T.example:443/", true),
            ("https://t.example/a/mc", false),
            ("https://t.example/b", false),
            ("https://evil.example/a/mcp", false),
            ("http://t.example/a/mcp", false),
            ("", false),
        ] {
            assert_eq!(names(resource, &url), expected, "{resource}");
        }
    }

    #[test]
    fn an_issuer_is_compared_as_text_but_for_the_slash_of_an_empty_path() {
        for (one, other, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example/", "https://a.example", true),
            ("https://a.example/x", "https://a.example/x/", false),
            ("https://a.example", "https://A.example", false),
            ("https://a.example", "https://b.example", false),
            ("", "https://b.example", false),
        ] {
            assert_eq!(same_issuer(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn metadata_of_another_issuer_or_without_s256_is_refused() {
        let good = json!({ "issuer": "https://a.example", "token_endpoint": "https://a.example/t",
            "code_challenge_methods_supported": ["S256"] });
        let refusal = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut object = good.as_object().unwrap().clone();
            change(&mut object);
            read(&object, "https://a.example", "here")
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert_eq!(refusal(&|_| {}), "");
        assert!(
            refusal(&|object| drop(object.insert("issuer".into(), json!("https://b.example"))))
                .contains("not of")
        );
        assert!(refusal(&|object| drop(object.remove("issuer"))).contains("not of"));
        assert!(refusal(&|object| drop(object.remove("token_endpoint"))).contains("token_endpoint"));
        for methods in [json!(["plain"]), json!([]), json!("S256"), Value::Null] {
            let changed = |object: &mut Map<String, Value>| {
                object.insert("code_challenge_methods_supported".into(), methods.clone());
            };
            assert!(refusal(&changed).contains("S256"), "{methods}");
        }
    }

    #[test]
    fn the_canonical_form_has_no_fragment_and_no_bare_slash() {
        for (url, expected) in [
            ("https://T.example:443/mcp#x", "https://t.example/mcp"),
            ("https://t.example", "https://t.example"),
            ("https://t.example/mcp/", "https://t.example/mcp/"),
        ] {
            assert_eq!(canonical(&Url::parse(url).unwrap()), expected);
        }
    }
}
