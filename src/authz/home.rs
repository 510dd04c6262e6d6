//! `GET /`: what this is and how to connect to it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum_extra::extract::cookie::CookieJar;

use super::error::PageResult;
use super::pages::home::HomePage;
use crate::app::App;
use crate::identity::session;
use crate::web::page::Page;

/// Shows the page.
pub async fn get(State(app): State<Arc<App>>, jar: CookieJar) -> PageResult {
    let session = session::find(&app, &jar).await?;
    let mcp_url = app.config.public_url.resource().as_str().to_owned();
    Ok(Page::ok(HomePage { mcp_url, username: session.map(|session| session.user.username) }).into_response())
}
