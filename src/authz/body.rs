//! The body of a request, within a limit. What cannot be read is refused in the form of whoever sent it: JSON that
//! is never stored for clients (OAuth 2.1 §3.2.4), a page for people. And whether a form of theirs is one of ours.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};

use super::error::{JsonError, PageError};
use crate::app::App;
use crate::identity::csrf;
use crate::oauth::error::{Error, invalid_request, too_large};
use crate::web::page::ErrorPage;
use crate::web::params::Params;

/// What a client sent, whole.
pub struct Body(pub Bytes);

/// What a person sent, whole.
pub struct Typed(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = JsonError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(read(request, state).await?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Typed {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(read(request, state).await?))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the body is too long"),
        _ => invalid_request("the body cannot be read").detail(rejection),
    })
}

/// Refuses a form that was not served by us, under this name, to the browser that holds `anchor`.
pub fn check_origin(app: &App, (name, anchor): (&str, &str), params: &Params) -> Result<(), PageError> {
    let is_ours = csrf::matches(app, name, anchor, params.get("csrf")?)?;
    is_ours.then_some(()).ok_or_else(|| ErrorPage::form_refused().into())
}

/// Reads a form body. The media type may come as a list; anything but a form is refused.
pub fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, Error> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = |one: &str| one.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_form = content_type
        .unwrap_or_default()
        .split(',')
        .any(|one| essence(one) == "application/x-www-form-urlencoded");
    if !is_form {
        return Err(invalid_request("the body must be application/x-www-form-urlencoded"));
    }
    Params::parse(body)
}
