//! Signing in at a provider of the company's: the routes and pages around `identity::upstream`.
//!
//! | route | file |
//! |---|---|
//! | `GET, POST /login/{provider}` | `begin` |
//! | `GET /login/{provider}/callback` | `callback` |
//! | `POST /login/{provider}/logout` | `backchannel` |
//!
//! Grants stay when a session ends at the provider, as they do when somebody signs out here: a grant is what a person
//! allowed a client until further notice, and is taken back under Connected apps, or with the account.

pub mod backchannel;
pub mod begin;
pub mod callback;
pub mod purpose;
mod stopped;

use crate::app::App;
use crate::config::providers::Provider;
use crate::web::page::ErrorPage;

/// The provider of this name, or the page that says that there is none.
fn provider<'a>(app: &'a App, name: &str) -> Result<&'a Provider, Box<ErrorPage>> {
    app.config.providers.get(name).ok_or_else(|| Box::new(ErrorPage::not_found()))
}

/// The provider that everybody signs in at, where there is no other way.
pub fn only_way(app: &App) -> Option<&Provider> {
    let mut providers = app.config.providers.values();
    match (app.config.sign_in.local_accounts, providers.next(), providers.next()) {
        (false, Some(provider), None) => Some(provider),
        _ => None,
    }
}
