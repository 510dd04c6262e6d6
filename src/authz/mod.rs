//! The authorization server.
//!
//! Owns registration, the browser's way through sign-in and consent, codes, tokens and their revocation. Does
//! not own what tokens are used for: it writes grants and tokens, `mcp` reads them, they never call each other.
//!
//! | route | file |
//! |---|---|
//! | `GET /` | `home` |
//! | `GET /.well-known/oauth-authorization-server[/mcp]` | `metadata` |
//! | everything else below `/.well-known/`: 404 as JSON, for browser clients too | |
//! | `GET /jwks` | `jwks` |
//! | `POST /register` | `register` |
//! | `GET /authorize` | `authorize` |
//! | `GET, POST /login` | `login` |
//! | everything below `/login/` | `sign_in`, one file per route |
//! | `GET, POST /consent/{id}` | `consent` |
//! | `POST /token` | `token`, one file per grant type |
//! | `POST /revoke` | `revoke` |
//! | `POST /introspect` | `introspect` |
//! | `POST /mint` | `mint`; the rules are in `minting`, which the command line shares |
//! | `GET /account`, `POST /account/revoke`, `POST /account/allow`, `POST /logout`, `GET /signed-out` | `account`; its rule of ending a grant is in `taking_back` |
//! | `GET /account/apps/{grant_id}/activity` | `activity` |
//! | `GET, POST /setup` | `setup` |

pub mod account;
pub mod activity;
pub mod answer;
pub mod assertion;
pub mod authorize;
pub mod body;
pub mod callback;
pub mod client_auth;
pub mod client_document;
pub mod clients;
pub mod consent;
pub mod engine;
pub mod error;
pub mod flow;
pub mod home;
pub mod housekeeping;
pub mod introspect;
pub mod jwks;
pub mod known_documents;
pub mod lasting;
mod late;
pub mod login;
pub mod metadata;
pub mod mint;
pub mod minting;
pub mod pages;
pub mod register;
pub mod request;
pub mod revoke;
pub mod rotation;
pub mod setup;
pub mod sign_in;
pub mod taking_back;
pub mod token;
pub mod views;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::app::App;
use crate::web::page::ErrorPage;
use crate::web::{assets, cors, not_found};

/// The longest form or registration, in bytes.
const BODY_LIMIT: usize = 16 * 1024;

/// Every route of the authorization server.
pub fn router(app: &App) -> Router<Arc<App>> {
    endpoints().merge(for_servers()).merge(pages_router(app)).layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// What clients call. Browser clients too, so CORS is on.
fn endpoints() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::get))
        .route("/.well-known/oauth-authorization-server/{*path}", get(metadata::get_below))
        .route("/.well-known/{*path}", any(not_found::fallback))
        .route("/jwks", get(jwks::get))
        .route("/register", post(register::post))
        .route("/token", post(token::post))
        .route("/revoke", post(revoke::post))
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn(late::in_json))
        .layer(cors::open())
}

/// What other servers call: those of other resources, control planes, and providers. Without CORS: their secrets have no business
/// in a browser.
fn for_servers() -> Router<Arc<App>> {
    Router::new()
        .route("/introspect", post(introspect::post))
        .route("/mint", post(mint::post))
        .route("/login/{provider}/logout", post(sign_in::backchannel::post))
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn(late::in_json))
}

/// What people see. No CORS, and no form from another site.
fn pages_router(app: &App) -> Router<Arc<App>> {
    let forms = CsrfLayer::new().with_rejection_response(form_refused);
    // A parsed origin is always a trusted one; without it the layer compares with `Host`.
    let forms = forms.clone().add_trusted_origin(app.config.public_url.issuer()).unwrap_or(forms);
    Router::new()
        .route("/", get(home::get))
        .route("/authorize", get(authorize::get))
        .route("/login", get(login::get).post(login::post))
        .route("/login/{provider}", get(sign_in::begin::get).post(sign_in::begin::post))
        .route("/login/{provider}/callback", get(sign_in::callback::get))
        .route("/consent/{id}", get(consent::get).post(consent::post))
        .route("/account", get(account::get))
        .route("/account/apps/{grant_id}/activity", get(activity::get))
        .route("/account/revoke", post(account::post_revoke))
        .route("/account/allow", post(account::post_allow))
        .route("/logout", post(account::post_logout))
        .route("/signed-out", get(account::get_signed_out))
        .route("/setup", get(setup::get).post(setup::post))
        .layer(forms)
        .layer(from_fn(late::on_a_page))
        .merge(assets::router())
}

/// The page for a form that came from elsewhere.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the error over")]
fn form_refused(error: ProtectionError) -> http::Response<Body> {
    ErrorPage::form_refused().because(error.to_string()).into_response()
}
