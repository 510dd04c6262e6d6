//! `GET /.well-known/oauth-authorization-server` (RFC 8414), at the root and in the forms that clients probe.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};

use super::assertion::ALGORITHMS;
use crate::app::App;
use crate::config::OtherResource;
use crate::oauth::client::AuthMethod;
use crate::web::document;
use crate::web::not_found;

/// Answers at the root.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    document::respond(&metadata(&app), &headers)
}

/// Answers with the path of the MCP endpoint inserted, as some clients ask; 404 for every other path, because
/// that issuer does not exist.
pub async fn get_below(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    if path.trim_end_matches('/') == "mcp" {
        document::respond(&metadata(&app), &headers)
    } else {
        not_found::json().into_response()
    }
}

/// What is true of this server; nothing that is not, and no empty member (RFC 8414 §3.2).
fn metadata(app: &App) -> Value {
    let url = |path: &str| app.config.public_url.join(path);
    let methods: Vec<&str> = AuthMethod::ALL.into_iter().map(AuthMethod::as_str).collect();
    let algorithms: Vec<String> = ALGORITHMS.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    let audiences = app.config.audiences();
    // The same as the resources', because some clients read only one of the lists.
    let scopes = audiences.scopes();
    let scopes: Vec<&str> = scopes.iter().collect();
    let resources: Vec<&str> = audiences.iter().map(|audience| audience.resource().as_str()).collect();
    let mut metadata = json!({
        "issuer": app.config.public_url.issuer(),
        "authorization_endpoint": url("/authorize"),
        "token_endpoint": url("/token"),
        "revocation_endpoint": url("/revoke"),
        "jwks_uri": url("/jwks"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "protected_resources": resources,
    });
    if let Value::Object(members) = &mut metadata {
        // Clients take the presence of these for an offer.
        if app.config.clients.dynamic_registration {
            members.insert("registration_endpoint".into(), json!(url("/register")));
        }
        if app.config.clients.metadata_documents {
            members.insert("client_id_metadata_document_supported".into(), json!(true));
        }
        if app.config.other_resources.iter().any(OtherResource::may_introspect) {
            let methods =
                [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost].map(AuthMethod::as_str);
            members.insert("introspection_endpoint".into(), json!(url("/introspect")));
            members.insert("introspection_endpoint_auth_methods_supported".into(), json!(methods));
        }
    }
    metadata
}
