//! One message on its way to the server, until the server has said something that is for the client: with the token
//! of the moment, with the person asked where that is needed, and over times in which the server is away.
//!
//! What may be sent again? Nothing that may have been done already. A message that never left (no connection) and one
//! that the server refused to take (401, 403, 404 of a session) was not done. When the connection breaks after that,
//! or somebody says that the server is away for now, a message is sent again only if doing it twice is the same as
//! doing it once; of a tool call only its tool can say so. A proxy may say 503 of what its server has done, however
//! it words that. Otherwise the client is told what came, for a person or a model can look, and the bridge cannot.

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::Response;
use tokio_util::sync::CancellationToken;

use super::bridge::Bridge;
use super::challenge::Challenge;
use super::http::{Http, HttpError, retry_after};
use super::login::LoginError;
use super::message::{Id, refusal};
use super::patience::Patience;
use super::record::Secret;
use super::stdio::tell;

/// How long a server that is away is waited for with a request under way.
pub(super) const AWAY: Duration = Duration::from_secs(45);

/// A message to be delivered.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    is_repeatable: bool,
    may_ask: bool,
}

impl Call {
    /// A message for the server.
    pub(super) fn post(text: &str, headers: HeaderMap, is_repeatable: bool) -> Self {
        let body = Bytes::copy_from_slice(text.as_bytes());
        Self { method: Method::POST, headers, body, is_repeatable, may_ask: true }
    }

    /// Opens or continues a stream of the server's own messages.
    pub(super) fn get(headers: HeaderMap) -> Self {
        Self { method: Method::GET, headers, body: Bytes::new(), is_repeatable: true, may_ask: false }
    }

    /// Ends the session.
    pub(super) fn delete(headers: HeaderMap) -> Self {
        Self { method: Method::DELETE, headers, body: Bytes::new(), is_repeatable: false, may_ask: false }
    }

    /// Without asking the person, for what nobody waits for.
    pub(super) fn quiet(self) -> Self {
        Self { may_ask: false, ..self }
    }
}

/// Why a message got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
    /// The server did not get it.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// It may have been done, or not.
    #[error(
        "the connection broke before the answer came ({0}): it is not known whether this was done. Look before you \
         try again"
    )]
    OutcomeUnknown(String),
    /// There is no token for it.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The server's answer is none that this protocol knows.
    #[error("{0}")]
    Odd(String),
}

impl Trouble {
    /// The error that the client gets.
    pub(super) fn refusal(&self, id: &Id) -> String {
        let reason = match self {
            Self::Cancelled => "cancelled",
            Self::Unreachable(_) => "unreachable",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Login(LoginError::Denied(_)) => "access_denied",
            Self::Login(LoginError::Away(_)) => "sign_in_unavailable",
            Self::Login(_) => "sign_in_needed",
            Self::Odd(_) => "unexpected_answer",
        };
        refusal(id, reason, &self.to_string())
    }
}

impl Bridge {
    /// Delivers a message. The answer may still be a refusal: one that no token and no waiting could change.
    pub(super) async fn deliver(&self, call: &Call, stop: &CancellationToken) -> Result<Response, Trouble> {
        let mut patience = Patience::of(AWAY);
        let (mut unauthorized, mut stepped_up) = (0, false);
        loop {
            let token = self.while_wanted(stop, self.login.token()).await?;
            let sent = self.send(call, token.as_ref());
            let sent = stop.run_until_cancelled(sent).await.ok_or(Trouble::Cancelled)?;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    let trouble = judge(error, call.is_repeatable)?;
                    self.pause(&mut patience, None, stop).await?.then_some(()).ok_or(trouble)?;
                    continue;
                }
            };
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && unauthorized == 2 {
                self.while_wanted(stop, self.login.note_refused()).await?;
                return Ok(response);
            } else if status == StatusCode::UNAUTHORIZED {
                let challenge = Challenge::of(response.headers());
                let renewed = self.login.renew(token.as_ref(), &challenge, unauthorized == 0, call.may_ask);
                self.while_wanted(stop, renewed).await??;
                unauthorized += 1;
            } else if status == StatusCode::FORBIDDEN && call.may_ask {
                let challenge = Challenge::of(response.headers());
                if !challenge.wants_more_scope() {
                    return Ok(response);
                }
                if stepped_up {
                    self.while_wanted(stop, self.login.note_fruitless(&challenge)).await?;
                    return Ok(response);
                }
                self.while_wanted(stop, self.login.step_up(token.as_ref(), &challenge)).await??;
                stepped_up = true;
            } else if call.is_repeatable
                && let Some(asked) = asked_to_wait(&response)
            {
                if !self.pause(&mut patience, Some(asked), stop).await? {
                    return Ok(response);
                }
            } else {
                return Ok(response);
            }
            if stop.is_cancelled() {
                return Err(Trouble::Cancelled);
            }
        }
    }

    /// Waits for a token as long as somebody waits for what it is for.
    async fn while_wanted<T>(
        &self,
        stop: &CancellationToken,
        waiting: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let too_late = || LoginError::Away("standard input was closed before there was a token".to_owned());
        tokio::select! {
            biased;
            done = waiting => Ok(done),
            () = stop.cancelled() => Err(Trouble::Cancelled),
            () = self.too_late() => Err(Trouble::Login(too_late())),
        }
    }

    async fn send(&self, call: &Call, token: Option<&Secret>) -> Result<Response, HttpError> {
        let request = if call.is_repeatable { Http::request } else { Http::request_anew };
        let mut request = request(&self.http, call.method.clone(), &self.url)?.headers(call.headers.clone());
        request = match call.method {
            Method::POST => request
                .header(header::ACCEPT, "application/json, text/event-stream")
                .header(header::CONTENT_TYPE, "application/json")
                .body(call.body.clone()),
            Method::GET => request.header(header::ACCEPT, "text/event-stream"),
            _ => request,
        };
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        request.send().await.map_err(|error| HttpError::of(&error))
    }

    /// Waits before the next try; false when it is time to give up.
    pub(super) async fn pause(
        &self,
        patience: &mut Patience,
        asked: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<bool, Trouble> {
        stop.run_until_cancelled(patience.wait(asked, &self.random)).await.ok_or(Trouble::Cancelled)
    }
}

/// What to tell when patience has an end, if the message may be sent again at all.
fn judge(error: HttpError, is_repeatable: bool) -> Result<Trouble, Trouble> {
    match error {
        HttpError::Unreachable(why) => Ok(Trouble::Unreachable(why)),
        HttpError::Broken(why) if is_repeatable => Ok(Trouble::Unreachable(why)),
        HttpError::Broken(why) => Err(Trouble::OutcomeUnknown(why)),
        other => Err(Trouble::Odd(other.to_string())),
    }
}

/// When the server is only away: the wait that it asks for.
fn asked_to_wait(response: &Response) -> Option<Duration> {
    let is_away = matches!(
        response.status(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    is_away.then(|| retry_after(response.headers()).unwrap_or_default())
}

/// Says on standard error what a background stream met.
pub(super) fn note(what: &str, trouble: &Trouble) {
    tell(&format!("{what}: {trouble}"));
}
