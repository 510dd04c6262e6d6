//! The pages for an authorization request that cannot go on. Nobody is redirected from here: either the client or its
//! redirect URI is not proven (RFC 6749 §4.1.2.1), or the request is no longer known.

use axum::http::StatusCode;

use super::client_name::ClientName;
use crate::web::page::ErrorPage;

/// The client id is not known here, or no longer. Clients keep a dead registration for good, so the page says the cure.
#[must_use]
pub fn unknown_client() -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "This app is not known here",
        "The app that sent you here uses a registration that this server does not have. It may have been removed since \
         the app was connected.",
        "In the app, remove the connection to this server and add it again. That makes a new registration.",
    )
}

/// The request has no client id.
#[must_use]
pub fn no_client() -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "This request names no app",
        "The request that brought you here does not say which app it is from: client_id is missing. Nothing was sent \
         anywhere.",
        "Go back to the app and start connecting again. If you typed or copied the address, some of it is missing. If it \
         goes on, tell the makers of the app.",
    )
}

/// An operator lets the client in no more.
#[must_use]
pub fn client_disabled() -> ErrorPage {
    ErrorPage::new(
        StatusCode::FORBIDDEN,
        "This app is not let in here",
        "The people who run this server have disabled the app that sent you here. Nothing was sent to it.",
        "If you need the app, ask them to enable it again, and give them the reference.",
    )
}

/// The redirect URI is missing, malformed, or not one of the client's.
#[must_use]
pub fn redirect_uri_refused(client_name: &ClientName) -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "The way back to the app is not safe",
        &format!(
            "{client_name} asked to be answered at an address that is not one of its own. Nothing was sent there."
        ),
        "If you started this from the app, remove the connection to this server in the app and add it again. If you \
         followed a link from somewhere else, close this page.",
    )
}

/// `prompt=none` while nobody is signed in, for a website that nobody vouches for: it is not answered unseen, or any
/// link to this server could lead anywhere (OAuth 2.1 §7.13.2).
#[must_use]
pub fn nobody_signed_in() -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "Nobody is signed in here",
        "The app asked to be connected without a question, which works only while somebody is signed in.",
        "Go back to the app and start connecting again. If you followed a link from somewhere else, close this page.",
    )
}

/// The authorization request ran out, was answered, or never was.
#[must_use]
pub fn request_expired() -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "This request has expired",
        "It was opened too long ago or has been answered already. Nothing was changed.",
        "Go back to the app and start connecting again.",
    )
}

/// The authorization request belongs to another browser.
#[must_use]
pub fn other_browser() -> ErrorPage {
    ErrorPage::new(
        StatusCode::FORBIDDEN,
        "This request was started in another browser",
        "A request to connect an app can only be answered in the browser that it was opened in.",
        "Go back to the app and start connecting again, then stay in the browser that opens.",
    )
}

/// The client's metadata document could not be fetched from `host` for now.
#[must_use]
pub fn document_unreachable(host: &str) -> ErrorPage {
    let page = ErrorPage::new(
        StatusCode::BAD_GATEWAY,
        "The app could not be checked",
        &format!("This server asked {host} about the app that sent you here, and got no answer it can use."),
        "Wait a minute and start again from the app. If it goes on, tell the makers of the app.",
    );
    ErrorPage { retry_after: Some(60), ..page }
}

/// The client's metadata document was read, and breaks a rule.
#[must_use]
pub fn document_refused(host: &str) -> ErrorPage {
    ErrorPage::new(
        StatusCode::BAD_REQUEST,
        "The app does not describe itself correctly",
        &format!(
            "What {host} says about the app that sent you here does not follow the rules that keep you safe."
        ),
        "Tell the makers of the app, and give them the reference. After a correction, remove the connection in the app \
         and add it again.",
    )
}
