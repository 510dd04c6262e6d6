//! What a refused client is told so that it can do better: the only place here that writes `WWW-Authenticate`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rmcp::model::ErrorCode;
use serde_json::json;

use super::{message, metadata, operation};
use crate::app::App;
use crate::config::issuers::Issuer;
use crate::oauth::Scopes;

/// A refusal that the client can cure by asking for a token, or for another one (RFC 6750 §3, RFC 9728 §5.1).
#[derive(Clone, Debug)]
pub(super) enum Challenge {
    /// 401 without `error`: nothing was sent, so nothing was wrong (RFC 6750 §3.1).
    NoToken,
    /// 401 `invalid_token`.
    BadToken,
    /// 400 `invalid_request`.
    Unclear(&'static str),
    /// 403 `insufficient_scope`.
    InsufficientScope {
        /// Every scope that the operation takes, at once.
        needed: Scopes,
        /// What the token has.
        granted: Scopes,
        /// Who issued it, unless we did.
        issuer: Option<Arc<Issuer>>,
    },
}

struct Wording {
    status: StatusCode,
    error: Option<&'static str>,
    description: String,
    scope: Scopes,
}

impl Challenge {
    /// The answer.
    pub(super) fn respond(&self, app: &App) -> Response {
        let Wording { status, error, description, scope } = self.wording(app);
        let metadata = metadata::url(app);
        let what = error.map_or_else(String::new, |error| {
            format!("error=\"{error}\", error_description=\"{description}\", ")
        });
        let challenge = format!("Bearer {what}scope=\"{scope}\", resource_metadata=\"{metadata}\"");
        let body = json!({
            "error": error.unwrap_or("unauthorized"),
            "error_description": description,
            "scope": scope.to_string(),
            "resource_metadata": metadata,
        });
        let mut response = if status == StatusCode::BAD_REQUEST {
            // Clients of 2026-07-28 take any other 400 for a sign of an older server.
            message::error(status, None, ErrorCode::INVALID_REQUEST, &description, Some(body))
        } else {
            (status, axum::Json(body)).into_response()
        };
        // Scopes, our own sentences and our own URL: none can hold a quote or a line break.
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn wording(&self, app: &App) -> Wording {
        let base = || metadata::names(app, &operation::challenged_scopes(&app.config));
        match self {
            Self::NoToken => Wording {
                status: StatusCode::UNAUTHORIZED,
                error: None,
                description: "Sign in: this endpoint needs an access token.".into(),
                scope: base(),
            },
            Self::BadToken => Wording {
                status: StatusCode::UNAUTHORIZED,
                error: Some("invalid_token"),
                description: "The access token is not valid here, has expired or was revoked.".into(),
                scope: base(),
            },
            Self::Unclear(what) => Wording {
                status: StatusCode::BAD_REQUEST,
                error: Some("invalid_request"),
                description: (*what).into(),
                scope: base(),
            },
            Self::InsufficientScope { needed, granted, issuer } => {
                let named = |ours: &Scopes| {
                    issuer.as_ref().map_or_else(|| ours.clone(), |issuer| issuer.asked_for(ours))
                };
                let shown = if app.config.authorization_server {
                    format!("; {} shows what is allowed now", app.config.public_url.join("/account"))
                } else {
                    String::new()
                };
                Wording {
                    status: StatusCode::FORBIDDEN,
                    error: Some("insufficient_scope"),
                    description: format!(
                        "This needs {}. Connect again and allow it{shown}.",
                        named(&needed.difference(granted))
                    ),
                    scope: if app.config.mcp.challenge_includes_granted {
                        // Clients that replace their scopes with these would otherwise lose what they have and
                        // be sent back and forth between two scopes.
                        named(&needed.union(granted))
                    } else {
                        named(needed)
                    },
                }
            }
        }
    }
}
