//! Who is told of an error, and how: the person by a page, the client through the browser or as JSON.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::callback::Callback;
use crate::oauth::{Error, ErrorCode};
use crate::telemetry;
use crate::web::page::ErrorPage;
use crate::web::reference;
use crate::web::refusal::Why;

/// An authorization request that cannot go on. This type is the whole of OAuth 2.1 §4.1.2.1: without a
/// [`Callback`] nobody is redirected.
#[derive(Debug)]
pub enum AuthorizeError {
    /// Said to the person: the client or its redirect URI is not proven.
    Page(Box<ErrorPage>),
    /// Said to the client, through the browser.
    Back(Callback, Error),
}

/// A page handler's failure.
#[derive(Debug)]
pub struct PageError(pub Box<ErrorPage>);

/// A page handler's result.
pub type PageResult = Result<Response, PageError>;

impl From<Box<ErrorPage>> for PageError {
    fn from(page: Box<ErrorPage>) -> Self {
        Self(page)
    }
}

impl From<ErrorPage> for PageError {
    fn from(page: ErrorPage) -> Self {
        Box::new(page).into()
    }
}

impl From<Box<ErrorPage>> for AuthorizeError {
    fn from(page: Box<ErrorPage>) -> Self {
        Self::Page(page)
    }
}

impl From<ErrorPage> for AuthorizeError {
    fn from(page: ErrorPage) -> Self {
        Box::new(page).into()
    }
}

impl<E: Into<Error>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(Box::new(page_of(&error.into())))
    }
}

impl<E: Into<Error>> From<E> for AuthorizeError {
    fn from(error: E) -> Self {
        Self::Page(Box::new(page_of(&error.into())))
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl IntoResponse for AuthorizeError {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Back(callback, error) => callback.error(&error),
        }
    }
}

/// The page for an error that only a person can be told of.
pub fn page_of(error: &Error) -> ErrorPage {
    log(error);
    let page = match error.code {
        ErrorCode::ServerError => ErrorPage::fault(reference::current()),
        ErrorCode::TemporarilyUnavailable => ErrorPage::unavailable(reference::current()),
        ErrorCode::TooLarge => {
            let page = ErrorPage::bad_request("What was typed is longer than this server takes.");
            ErrorPage { status: StatusCode::PAYLOAD_TOO_LARGE, ..page }.with_reference(reference::current())
        }
        ErrorCode::TooManyRequests => ErrorPage::too_many_requests(error.retry_after.unwrap_or(60)),
        _ => ErrorPage::bad_request(error.description).with_reference(reference::current()),
    };
    page.logged()
}

/// An error on its way to a client as JSON (OAuth 2.1 §3.2.4).
#[derive(Debug)]
pub struct JsonError {
    /// What went wrong.
    pub error: Error,
    /// Whether the client tried the `Authorization` header, so that 401 must answer in kind.
    pub basic: bool,
}

impl<E: Into<Error>> From<E> for JsonError {
    fn from(error: E) -> Self {
        Self { error: error.into(), basic: false }
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        let Self { error, basic } = self;
        log(&error);
        let status = match error.code {
            ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
            ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({
            "error": error.code.as_str(),
            "error_description": error.description,
            "reference": reference::current(),
        });
        let mut response = no_store((status, Json(body)).into_response());
        Why::Logged.mark(&mut response);
        if status == StatusCode::UNAUTHORIZED && basic {
            let challenge = HeaderValue::from_static("Basic realm=\"mandate\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = error.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Answers a method that an endpoint does not have; `Allow` is added by the router.
pub async fn method_not_allowed() -> Response {
    let body = json!({ "error": "invalid_request", "error_description": "this method is not allowed here" });
    no_store((StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response())
}

/// Marks an answer as never to be kept (OAuth 2.1 §3.2.3).
pub fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Logs an error once, where its answer is written.
pub fn log(error: &Error) {
    let (code, description) = (error.code.as_str(), error.description);
    telemetry::note("mandate.outcome", code);
    let detail = error.detail.as_deref().unwrap_or_default();
    if error.code.is_ours() {
        tracing::error!(code, description, detail, "our fault");
    } else {
        tracing::info!(code, description, detail, "refused");
    }
}
