//! `POST /register` (RFC 7591): a client registers itself. Nothing that it says is proven by that.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use super::body::Body;
use super::error::{JsonError, no_store};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::ephemeral::Meter;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, MetadataRules};
use crate::oauth::error::{Error, invalid_client_metadata, temporarily_unavailable};
use crate::oauth::secret::ClientSecret;
use crate::oauth::{ClientId, Scopes};
use crate::storage::{audit, clients, commit};
use crate::web::address::ClientAddress;
use crate::web::not_found;

/// How many clients may have registered themselves; those that are never used go after a day.
const MOST_CLIENTS: i64 = 100_000;

/// Registers a client.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, JsonError> {
    if !app.config.clients.dynamic_registration {
        return Ok(not_found::json().into_response());
    }
    charge(&app, &address.0).await?;
    if app.store.count_dynamic_clients().await? >= MOST_CLIENTS {
        return Err(temporarily_unavailable("too many clients are registered, try again later")
            .retry_after(600)
            .into());
    }
    let members = read(&headers, &body)?;
    let rules = MetadataRules {
        private_use_schemes: &app.config.clients.private_use_schemes,
        default_auth_method: AuthMethod::ClientSecretBasic,
        further_methods: false,
    };
    let metadata = ClientMetadata::parse(&members, rules)?;
    let secret = metadata.token_endpoint_auth_method.uses_secret().then(|| ClientSecret::issue(&app.random));
    let client = Client {
        client_id: ClientId::issue(&app.random),
        kind: ClientKind::Dynamic,
        metadata,
        secret_hash: secret.as_ref().map(ClientSecret::hash),
    };
    let now = app.now();
    let event = Event::new(Kind::ClientRegistered, Outcome::Done).client(&client.client_id);
    let mut tx = app.store.write().await?;
    clients::record(&mut tx, &client, now).await?;
    audit::record(&mut tx, now, &event);
    commit(tx).await?;
    let answer = Json(answer(&client, secret.as_ref(), &app.config.audiences().scopes(), now));
    Ok(no_store((StatusCode::CREATED, answer).into_response()))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Error> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let json = content_type.is_some_and(|value| value.to_ascii_lowercase().contains("json"));
    if !json {
        return Err(invalid_client_metadata("the body must be application/json"));
    }
    let members: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| invalid_client_metadata("the body must be a JSON object").detail(error))?;
    if members.contains_key("software_statement") {
        // Ignoring it would let a client believe that its claims were checked.
        tracing::debug!("a software statement is ignored");
    }
    Ok(members)
}

/// The client as registered (RFC 7591 §3.2.1): what was kept, what was replaced, and no `null`.
fn answer(client: &Client, secret: Option<&ClientSecret>, known: &Scopes, now: Timestamp) -> Value {
    let metadata = &client.metadata;
    let scope = metadata.scope.as_deref().and_then(|scope| Scopes::parse(scope).ok());
    let scope = scope.map(|scope| scope.intersection(known)).filter(|scope| !scope.is_empty());
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("client_id", json!(client.client_id));
    set("client_id_issued_at", json!(now.unix_seconds()));
    set("redirect_uris", json!(metadata.redirect_uris));
    set("token_endpoint_auth_method", json!(metadata.token_endpoint_auth_method.as_str()));
    // Whatever was asked for, this is what there is.
    set("grant_types", json!(["authorization_code", "refresh_token"]));
    set("response_types", json!(["code"]));
    set("scope", json!(scope.as_ref().unwrap_or(known).to_string()));
    if let Some(secret) = secret {
        set("client_secret", json!(secret.reveal()));
        set("client_secret_expires_at", json!(0));
    }
    let optional = [
        ("client_name", &metadata.client_name),
        ("client_uri", &metadata.client_uri),
        ("application_type", &metadata.application_type),
        ("jwks_uri", &metadata.jwks_uri),
        ("software_id", &metadata.software_id),
        ("software_version", &metadata.software_version),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(name, json!(value));
        }
    }
    if let Some(jwks) = &metadata.jwks {
        set("jwks", jwks.clone());
    }
    Value::Object(members)
}

async fn charge(app: &App, address: &str) -> Result<(), Error> {
    let quota = app.ephemeral.quota(Meter::Register(address), app.config.limits.register).await?;
    quota.or_refuse("too many registrations from this address, try again later")
}
