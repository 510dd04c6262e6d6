//! As what the bridge is known to an authorization server (MCP authorization, "Client Registration"): by a metadata
//! document, by an id given beforehand, or by registering itself (RFC 7591).

use http::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;

use super::discovery::{Site, same_issuer};
use super::http::{Http, shown};
use super::login::LoginError;
use super::record::{AuthMethod, Client, Registered, Secret};
use super::token_endpoint::printable;
use crate::oauth::Scopes;

/// What the person has for it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The URL of a client ID metadata document.
    pub metadata_url: Option<Url>,
    /// An id that was registered by hand.
    pub client_id: Option<String>,
    /// Its secret, if it has one.
    pub client_secret: Option<Secret>,
    /// Whom the secret is for; nobody but the server's own origin, unless this says so.
    pub issuer: Option<String>,
}

impl Identity {
    /// What tells one identity from another at the same server.
    pub(super) fn name(&self) -> &str {
        let document = self.metadata_url.as_ref().map(Url::as_str);
        document.or(self.client_id.as_deref()).unwrap_or("registered by itself")
    }
}

/// The redirect of a dance on this port (RFC 8252 §7.3).
pub(super) fn redirect_uri(port: u16) -> String {
    format!("http://127.0.0.1:{port}/callback")
}

/// Whether a registration of ours covers a dance for these scopes: some servers refuse what was not registered.
pub(super) fn covers(client: &Client, scopes: Option<&Scopes>) -> bool {
    client.registered.as_ref().is_some_and(|registered| {
        let registered = registered.scope.as_deref().and_then(|scope| Scopes::parse(scope).ok());
        match (registered, scopes) {
            (Some(registered), Some(scopes)) => scopes.is_subset(&registered),
            _ => true,
        }
    })
}

/// Who the bridge is in a dance on this port for these scopes. Registers when there is no other way.
pub(super) async fn settle(
    http: &Http,
    site: &Site,
    identity: &Identity,
    port: u16,
    scopes: Option<&Scopes>,
) -> Result<Client, LoginError> {
    let server = &site.server;
    if let Some(document) = identity.metadata_url.as_ref().filter(|_| server.takes_documents) {
        return Ok(public(document.as_str().to_owned()));
    }
    if let Some(client_id) = &identity.client_id {
        let Some(secret) = identity.client_secret.clone() else { return Ok(public(client_id.clone())) };
        if !may_have(identity, site) {
            return Err(LoginError::Refused(format!(
                "the secret of {client_id} is not given to {}: if that is whom it is for, say so with --issuer",
                server.issuer
            )));
        }
        let takes = |method: &str| match &server.auth_methods {
            // RFC 8414 §2: the default.
            None => method == "client_secret_basic",
            Some(methods) => methods.iter().any(|listed| listed == method),
        };
        let by_form = takes("client_secret_post") && !takes("client_secret_basic");
        let auth_method = if by_form { AuthMethod::ClientSecretPost } else { AuthMethod::ClientSecretBasic };
        return Ok(Client {
            client_id: client_id.clone(),
            secret: Some(secret),
            auth_method,
            registered: None,
        });
    }
    match &server.registration_endpoint {
        Some(endpoint) => register(http, site, endpoint, port, scopes).await,
        None => Err(LoginError::Refused(format!(
            "{} lets no program register itself; get a client id from its operator and use --client-id",
            server.issuer
        ))),
    }
}

/// Whether the secret is for who signs people in here. Which server that is, is said by the one that is connected to,
/// and that may be hostile, or become so.
fn may_have(identity: &Identity, site: &Site) -> bool {
    let issuer = &site.server.issuer;
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    match &identity.issuer {
        Some(meant) => same_issuer(meant, issuer),
        None => origin(issuer).is_some() && origin(issuer) == origin(&site.resource),
    }
}

fn public(client_id: String) -> Client {
    Client { client_id, secret: None, auth_method: AuthMethod::None, registered: None }
}

async fn register(
    http: &Http,
    site: &Site,
    endpoint: &Url,
    port: u16,
    scopes: Option<&Scopes>,
) -> Result<Client, LoginError> {
    let scope = wide(site, scopes).map(|scopes| scopes.to_string());
    let answer = http.post_json(endpoint, &metadata(site, port, scope.as_deref())).await?;
    let object = answer.object.unwrap_or_default();
    let word = |name: &str| object.get(name).and_then(Value::as_str).map(printable).unwrap_or_default();
    let place = shown(endpoint);
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(LoginError::Away(format!("{place} answers {}", answer.status)));
    }
    if !answer.status.is_success() {
        let (code, description) = (word("error"), word("error_description"));
        let status = answer.status;
        return Err(LoginError::Refused(format!(
            "{place} registers no client: {status} {code} {description}"
        )));
    }
    read(&object, port, scope)
        .ok_or_else(|| LoginError::Refused(format!("{place} answers without client_id")))
}

/// Everything that may be asked for later, too.
fn wide(site: &Site, scopes: Option<&Scopes>) -> Option<Scopes> {
    let scopes = scopes?;
    Some(site.scopes.as_ref().map_or_else(|| scopes.clone(), |known| scopes.union(known)))
}

fn metadata(site: &Site, port: u16, scope: Option<&str>) -> Value {
    let takes = |method: &str| site.server.auth_methods.iter().flatten().any(|listed| listed == method);
    // A program on somebody's machine keeps no secret (RFC 8252 §8.5); some servers give one all the same.
    let auth_method = match &site.server.auth_methods {
        Some(_) if !takes("none") && takes("client_secret_post") => "client_secret_post",
        Some(_) if !takes("none") && takes("client_secret_basic") => "client_secret_basic",
        _ => "none",
    };
    let mut grant_types = vec!["authorization_code", "refresh_token"];
    if site.server.device_authorization_endpoint.is_some() {
        grant_types.push(super::device::GRANT_TYPE);
    }
    let mut metadata = json!({
        "client_name": "Mandate connect",
        "redirect_uris": [redirect_uri(port)],
        "grant_types": grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": auth_method,
        "application_type": "native",
        "software_id": "mandate-connect",
        "software_version": env!("CARGO_PKG_VERSION"),
    });
    if let (Some(object), Some(scope)) = (metadata.as_object_mut(), scope) {
        object.insert("scope".into(), json!(scope));
    }
    metadata
}

fn read(object: &Map<String, Value>, port: u16, scope: Option<String>) -> Option<Client> {
    let text = |name: &str| object.get(name)?.as_str().filter(|text| !text.is_empty());
    let secret = text("client_secret").map(Secret::new);
    let auth_method = match (text("token_endpoint_auth_method"), &secret) {
        (Some("none"), _) | (_, None) => AuthMethod::None,
        (Some("client_secret_post"), _) => AuthMethod::ClientSecretPost,
        _ => AuthMethod::ClientSecretBasic,
    };
    let client_id = text("client_id")?.to_owned();
    Some(Client { client_id, secret, auth_method, registered: Some(Registered { port, scope }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_registers_is_what_counts() {
        for (answer, expected) in [
            (json!({ "client_id": "c" }), AuthMethod::None),
            (json!({ "client_id": "c", "client_secret": "" }), AuthMethod::None),
            (json!({ "client_id": "c", "client_secret": "s" }), AuthMethod::ClientSecretBasic),
            (
                json!({ "client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "client_secret_post" }),
                AuthMethod::ClientSecretPost,
            ),
            (
                json!({ "client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "none" }),
                AuthMethod::None,
            ),
        ] {
            let client = read(answer.as_object().unwrap(), 1, None).unwrap();
            assert_eq!(client.auth_method, expected, "{answer}");
        }
        assert!(read(&Map::new(), 1, None).is_none());
    }

    #[test]
    fn a_registration_is_used_again_for_the_scopes_that_it_named() {
        let scopes = |text: &str| Scopes::parse(text).unwrap();
        let mut client = public("c".into());
        assert!(!covers(&client, None));
        client.registered = Some(Registered { port: 1, scope: Some("a b".into()) });
        assert!(covers(&client, None) && covers(&client, Some(&scopes("a"))));
        assert!(!covers(&client, Some(&scopes("a c"))));
        client.registered = Some(Registered { port: 1, scope: None });
        assert!(covers(&client, Some(&scopes("a c"))));
    }
}
