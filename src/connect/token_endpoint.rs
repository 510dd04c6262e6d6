//! Asking an authorization server for tokens (OAuth 2.1 §3.2), and giving them back (RFC 7009).

use std::time::Duration;

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;

use super::exchanges::{Exchange, Exchanges};
use super::http::{Http, HttpError, retry_after};
use super::record::{AuthMethod, Client, Secret};

/// What a token request brought.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) lifetime: Option<Duration>,
    pub(super) scope: Option<String>,
    /// To be held until they are kept.
    pub(super) exchange: Exchange,
}

/// Why it brought none.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The server's word on it: the error's code and description.
    #[error("{code}{}{description}", if description.is_empty() { "" } else { ": " })]
    Refused {
        /// Such as `invalid_grant`.
        code: String,
        /// A sentence, maybe empty.
        description: String,
    },
    /// The server is away or at fault: nothing is said about the grant.
    #[error("{0}")]
    Away(String, Option<Duration>),
}

impl From<HttpError> for TokenError {
    fn from(error: HttpError) -> Self {
        Self::Away(error.to_string(), None)
    }
}

/// Sends a token request of this client.
pub(super) async fn ask(
    http: &Http,
    exchanges: &Exchanges,
    endpoint: &Url,
    client: &Client,
    form: &[(&str, &str)],
) -> Result<Tokens, TokenError> {
    let ending = || TokenError::Away("the bridge is ending".to_owned(), None);
    let exchange = exchanges.begin().ok_or_else(ending)?;
    let object = post(http, endpoint, client, form).await?;
    let text = |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let odd = |why: &str| TokenError::Away(format!("the token endpoint answers without {why}"), None);
    // RFC 6749 §7.1: a token of a kind that is not understood must not be used.
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(odd("token_type Bearer"));
    }
    let seconds = object.get("expires_in").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Ok(Tokens {
        access_token: Secret::new(text("access_token").ok_or_else(|| odd("access_token"))?),
        refresh_token: text("refresh_token").map(Secret::new),
        lifetime: seconds.map(Duration::from_secs),
        scope: text("scope").map(str::to_owned),
        exchange,
    })
}

/// Gives a token back.
pub(super) async fn revoke(
    http: &Http,
    endpoint: &Url,
    client: &Client,
    token: &Secret,
    hint: &str,
) -> Result<(), TokenError> {
    post(http, endpoint, client, &[("token", token.reveal()), ("token_type_hint", hint)]).await.map(drop)
}

/// Sends a form with this client's authentication; the object of a success.
pub(super) async fn post(
    http: &Http,
    endpoint: &Url,
    client: &Client,
    form: &[(&str, &str)],
) -> Result<Map<String, Value>, TokenError> {
    let mut form = form.to_vec();
    let mut basic = None;
    match (client.auth_method, &client.secret) {
        (AuthMethod::ClientSecretBasic, Some(secret)) => {
            // OAuth 2.1 §2.4.1: both parts are form-encoded first.
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            basic = Some((encoded(&client.client_id), encoded(secret.reveal())));
        }
        (AuthMethod::ClientSecretPost, Some(secret)) => {
            form.push(("client_id", &client.client_id));
            form.push(("client_secret", secret.reveal()));
        }
        _ => form.push(("client_id", &client.client_id)),
    }
    let answer = http.post_form(endpoint, &form, basic).await?;
    if answer.status.is_success() {
        return Ok(answer.object.unwrap_or_default());
    }
    let word = |name: &str| {
        let text = answer.object.as_ref().and_then(|object| object.get(name)).and_then(Value::as_str);
        text.map(printable)
    };
    let is_fault = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
    match word("error") {
        Some(code) if !is_fault && code != "temporarily_unavailable" && code != "server_error" => {
            Err(TokenError::Refused { code, description: word("error_description").unwrap_or_default() })
        }
        _ => {
            let wait = retry_after(&answer.headers);
            Err(TokenError::Away(format!("the token endpoint answers {}", answer.status), wait))
        }
    }
}

/// Somebody else's words, fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}
