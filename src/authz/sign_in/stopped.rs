//! Which page says that a sign-in at a provider came to nothing, and the line of the log that goes with it.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::begin::login_page;
use crate::app::App;
use crate::authz::pages::sign_in::SignInStopped;
use crate::config::providers::Provider;
use crate::identity::linking::Nobody;
use crate::identity::upstream::Trouble;
use crate::web::page::Page;
use crate::web::reference;
use crate::web::refusal::Why;

/// The provider is in trouble.
pub(super) fn by_trouble(app: &App, provider: &Provider, flow: Option<&str>, trouble: &Trouble) -> Response {
    let word = trouble.word();
    let page = match trouble {
        Trouble::Wrong { word: "auth_time", detail } => {
            tracing::warn!(
                provider = provider.name,
                word,
                detail,
                "a provider did not ask anew who somebody is"
            );
            SignInStopped::not_asked_anew(&provider.title, contact(app, provider))
        }
        Trouble::Wrong { detail, .. } => {
            tracing::error!(provider = provider.name, word, detail, "what a provider says cannot be used");
            SignInStopped::provider_wrong(&provider.title, contact(app, provider))
        }
        Trouble::Away(detail) => {
            tracing::error!(provider = provider.name, word, detail, "a provider cannot be reached");
            SignInStopped::provider_away(&provider.title, contact(app, provider))
        }
        Trouble::Ours(error) => {
            tracing::error!(provider = provider.name, word, detail = error.detail, "our fault");
            SignInStopped::provider_away(&provider.title, contact(app, provider))
        }
    };
    show(page, login_page(flow), Why::Logged)
}

/// There is no account for somebody whom the provider let in.
pub(super) fn by_us(app: &App, provider: &Provider, flow: Option<&str>, why: Nobody) -> Response {
    // Whoever tries again wants to be asked who they are: the provider would let the same account in without a word.
    let again = format!("{}&switch=1", login_page(flow));
    refuse(SignInStopped::no_account(&provider.title, why, contact(app, provider)), again)
}

/// The provider let somebody not in, or they did not want to go on.
pub(super) fn declined(provider: &Provider, flow: Option<&str>) -> Response {
    refuse(SignInStopped::declined(&provider.title), login_page(flow))
}

/// A sign-in that belongs to another browser.
pub(super) fn of_another_browser() -> Response {
    refuse(SignInStopped::of_another_browser(), login_page(None))
}

/// No sign-in is under way.
pub(super) fn over() -> Response {
    refuse(SignInStopped::over(), login_page(None))
}

fn refuse(page: SignInStopped, again: String) -> Response {
    let why = Why::said(page.title.clone());
    show(page, again, why)
}

fn show(page: SignInStopped, again: String, why: Why) -> Response {
    let page = SignInStopped { reference: reference::current(), again, ..page };
    let status = page.status;
    let mut response = Page(status, page).into_response();
    why.mark(&mut response);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(http::header::RETRY_AFTER, 60.into());
    }
    response
}

fn contact<'a>(app: &'a App, provider: &'a Provider) -> Option<&'a str> {
    provider.contact.as_deref().or(app.config.sign_in.contact.as_deref())
}
