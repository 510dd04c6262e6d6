//! The body of a request. What cannot be read is refused in the form that its sender reads: JSON that is never stored
//! for clients (OAuth 2.1 §3.2.4), a page for people.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};

use super::error::{JsonError, PageError};
use crate::oauth::error::{Error, invalid_request, too_large};
use crate::web::params::Params;

/// A whole body within the limit.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = JsonError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Bytes::from_request(request, state).await.map_err(refused)?))
    }
}

/// The form of a page.
pub struct PageForm(pub Params);

impl<S: Send + Sync> FromRequest<S> for PageForm {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.map_err(refused)?;
        Ok(Self(form(&headers, &body)?))
    }
}

fn refused(rejection: BytesRejection) -> Error {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the body is too long"),
        _ => invalid_request("the body cannot be read").detail(rejection),
    }
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
