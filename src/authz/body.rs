//! The body of a request to the endpoints that clients call. What cannot be read is refused in their own form:
//! JSON that is never stored (OAuth 2.1 §3.2.4).

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};

use super::error::JsonError;
use crate::oauth::error::{Error, invalid_request, too_large};
use crate::web::params::Params;

/// A whole body within the limit.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = JsonError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let read = Bytes::from_request(request, state).await;
        read.map(Self).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large("the body is too long").into(),
            _ => invalid_request("the body cannot be read").detail(rejection).into(),
        })
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
