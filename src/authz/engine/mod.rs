//! The only place that names oxide-auth. Its state machines (authorization, access token, refresh, client credentials) run over
//! our own primitives, made anew for each request.
//!
//! The machines decide the order of the steps, bind code and token to the client, compare redirect URI and scope,
//! and make sure that nothing is issued before everything was checked. What they get from us: a client that is
//! authenticated already, parameters of which none is repeated, our redirect, scope, PKCE and rotation rules.
//! What they do not get to do: write anything on the wire. Where they say less than we know (their primitives
//! fail with `()`), the reason is recorded in `fault` first, and a recorded reason wins over their code.

mod authorize;
mod client_credentials;
mod token;

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use oxide_auth::primitives::scope::Scope;

use crate::oauth::Scopes;
use crate::oauth::error::{Error, server_error};

pub use authorize::negotiate;
pub use client_credentials::issue_to_machine;
pub use token::{redeem_code, rotate};

/// A redirect URI as the machines of the token endpoint see it. They insist on one. OAuth 2.1 §10.2 made the parameter
/// optional there and we compare it ourselves, as text; so they compare this with itself.
const COMPARED_BY_US: &str = "urn:mandate:redirect-uri";

fn far_future() -> DateTime<Utc> {
    DateTime::<Utc>::MAX_UTC
}

fn to_scope(scopes: &Scopes) -> Result<Scope, Error> {
    scopes.to_string().parse().map_err(contradiction)
}

/// Records why, and gives the machine the `()` it asks for. The first reason stays.
fn note(fault: &OnceLock<Error>, error: Error) {
    let _ = fault.set(error);
}

fn fail<T>(fault: &OnceLock<Error>, error: Error) -> Result<T, ()> {
    note(fault, error);
    Err(())
}

fn contradiction(what: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(format!("engine: {what}"))
}
