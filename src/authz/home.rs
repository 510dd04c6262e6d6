//! `GET /`: what this is and how to connect to it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum_extra::extract::cookie::CookieJar;

use super::error::PageResult;
use super::pages::home::HomePage;
use super::views;
use crate::app::App;
use crate::identity::session;
use crate::web::page::Page;
use crate::web::snippets::Snippets;

/// Shows the page.
pub async fn get(State(app): State<Arc<App>>, jar: CookieJar) -> PageResult {
    let session = session::find(&app, &jar).await?;
    let audiences = app.config.audiences();
    let others = audiences.iter().filter(|_| !app.config.resource_server);
    let page = HomePage {
        given: audiences.default().map(|one| Snippets::of(one.name(), one.resource().as_str())),
        others: others.map(|other| views::server(&app, other.resource().as_str())).collect(),
        title: (!app.config.own.has_tickets()).then_some(app.config.own.title),
        username: session.map(|session| session.user.username),
    };
    Ok(Page::ok(page).into_response())
}
