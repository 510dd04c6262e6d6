//! The resource server: the MCP endpoint and the metadata that leads clients to sign in.
//!
//! Owns what happens to a request between its arrival and a ticket: who may come in (`gate.rs`, `admit.rs`,
//! `entrance.rs`), on whose behalf (`principal.rs`), what a refusal says (`challenge.rs`), how MCP is spoken (`server.rs`) and how one tool is run
//! (`call.rs`). Does not own tokens and grants (those are written by the authorization server and only read
//! here, through storage and keys), nor tickets and who may see which (those are [`crate::tickets`]'s).
//!
//! | route | methods | file |
//! |---|---|---|
//! | `/mcp`, `/mcp/` | POST; OPTIONS; GET and DELETE in a session (`legacy/`); every other method is 405 | `gate.rs` |
//! | `/.well-known/oauth-protected-resource`, the same with `/mcp` | GET, HEAD, OPTIONS | `metadata.rs` |
//!
//! `stdio/` serves the same without HTTP, to a program on the user's machine. Its grant is written here and not by
//! the authorization server, and so is the one that stands for what a user granted at another issuer (`issuers/`).
//!
//! Both spellings of the endpoint are served and neither redirects, because a redirect loses the token.

mod admit;
mod call;
mod challenge;
mod completion;
mod confirm;
mod context;
mod cors;
mod entrance;
mod gate;
mod intake;
mod issuers;
mod legacy;
mod limits;
mod message;
mod metadata;
mod observe;
mod once;
mod operation;
mod permit;
mod principal;
mod progress;
mod prompts;
mod refusal;
mod resources;
mod result;
mod server;
mod site;
pub mod stdio;
mod subscriptions;
mod surface;
mod tools;
mod trail;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use rmcp::ServerHandler;

use crate::app::App;
use crate::config::{ConfigError, Mcp};

pub use principal::Principal;
pub use surface::Surface;
pub use tools::{Failure, Look, Reads, Reply, Scene, Tool, Writes};

/// Refuses limits of tools that do not exist, where the tools are those for tickets.
pub fn check(config: &Mcp) -> Result<(), ConfigError> {
    Surface::default().check(config)
}

/// The routes of the resource server, with their state applied.
pub fn router(app: &Arc<App>, surface: &Arc<Surface>) -> Router {
    router_with(app, surface, server::Server::new(app.clone(), surface.clone()))
}

/// The same with another MCP server behind the gate, which is let have whatever has a token.
pub fn router_of<H: ServerHandler + Clone>(app: &Arc<App>, handler: H) -> Router {
    router_with(app, &Arc::default(), handler)
}

fn router_with<H: ServerHandler + Clone>(app: &Arc<App>, surface: &Arc<Surface>, handler: H) -> Router {
    let gate = Arc::new(gate::Gate::new(app.clone(), surface.clone(), handler));
    let endpoint = Router::new()
        .route("/mcp", any(gate::answer::<H>))
        .route("/mcp/", any(gate::answer::<H>))
        .with_state(gate);
    endpoint.merge(metadata::router(app.clone()))
}
