//! The protocol's vocabulary, pure: no I/O, no clock, no framework. Both halves of the house speak it.
//!
//! What lives here are words (ids, secrets, scopes, redirect URIs) and the rules that need nothing but their
//! arguments. Each type is made by parsing, so that a value of it is already right.

pub mod authentication;
pub mod claims;
pub mod client;
pub mod error;
pub mod id;
pub mod machine;
pub mod pkce;
mod proof;
pub mod redirect_uri;
pub mod resource;
pub mod scope;
pub mod secret;

pub use authentication::Authentication;
pub use error::{Error, ErrorCode};
pub use id::{ClientId, GrantId, UserId};
pub use redirect_uri::RedirectUri;
pub use resource::Resource;
pub use scope::Scopes;
