//! What has no end of its own: the stream of the server's own messages in a session, and subscriptions in the
//! stateless era. Both are opened again when they break, and never ask a person to sign in: nobody waits for them.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bridge::Bridge;
use super::delivery::{Call, Trouble};
use super::login::LoginError;
use super::mcp_headers;
use super::message::Request;
use super::patience::Patience;
use super::receive::{End, Refusal, Waiting, continued, is_stream};
use super::session::Mark;

/// Whether to open the stream again, and when.
enum Next {
    /// After the wait that the server asked for, if it did.
    Again(Option<Duration>),
    /// The server has none.
    Never,
}

impl Bridge {
    /// The server's own messages in a session (Streamable HTTP, "Listening for Messages from the Server").
    pub(super) async fn stream(&self, stop: &CancellationToken) {
        let mut patience = Patience::endless();
        let mut last_id: Option<String> = None;
        let mut begun = self.session.watch();
        let mut before = self.session.mark();
        loop {
            begun.mark_unchanged();
            let mark = self.session.mark();
            if !mark.is(&before) {
                last_id = None;
            }
            let next = tokio::select! {
                next = self.listen(&mark, &mut last_id, &mut patience, stop) => next,
                // Another session: its stream is wanted at once.
                _ = begun.changed() => Next::Again(None),
            };
            before = mark;
            let Next::Again(asked) = next else { return self.session.note_no_streams() };
            self.session.note_stream(&before);
            let waited = tokio::select! {
                waited = self.pause(&mut patience, asked, stop) => waited,
                _ = begun.changed() => Ok(true),
            };
            if !matches!(waited, Ok(true)) {
                return;
            }
        }
    }

    /// Opens the stream once and reads it to its end.
    async fn listen(
        &self,
        mark: &Mark,
        last_id: &mut Option<String>,
        patience: &mut Patience,
        stop: &CancellationToken,
    ) -> Next {
        let mut login = self.login.watch();
        match self.deliver(&Call::get(continued(mark, last_id.as_deref())), stop).await {
            Ok(response) if is_stream(&response) => {
                self.session.note_stream(mark);
                let read = self.read(response, &mut Waiting::all(Vec::new()), stop).await;
                let Ok(End::Broken { last_id: id, retry, was_alive, .. }) = read else {
                    return Next::Again(None);
                };
                *last_id = id.or(last_id.take());
                if was_alive {
                    patience.renew();
                }
                Next::Again(retry)
            }
            Ok(response) if response.status().is_server_error() => Next::Again(None),
            Ok(response) if response.status() == StatusCode::METHOD_NOT_ALLOWED => Next::Never,
            Ok(response) => {
                let Some(refusal) = stop.run_until_cancelled(Refusal::read(response)).await else {
                    return Next::Again(None);
                };
                if !mark.has_id() || !refusal.is_about_session() {
                    return Next::Never;
                }
                // What the server says when nobody asks must not be missed: a new session, and its stream.
                let _ = self.reopen(mark, stop).await;
                Next::Again(None)
            }
            Err(Trouble::Login(LoginError::Needed)) => {
                self.session.note_stream(mark);
                let _ = stop.run_until_cancelled(login.changed()).await;
                Next::Again(None)
            }
            Err(_) => Next::Again(None),
        }
    }

    /// A subscription (MCP 2026-07-28, `subscriptions/listen`). The client hears that it has begun once. A server that
    /// ends it, as one does that restarts, is asked again; only when it cannot go on without a person does the client
    /// hear of the end.
    pub(super) async fn subscribe(
        &self,
        request: &Request,
        text: &str,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        let version = request.modern_version().unwrap_or_default();
        let mut patience = Patience::endless();
        let mut waiting = Waiting::answer(request, text);
        waiting.acknowledged = Some(false);
        loop {
            let call = Call::post(text, mcp_headers::of(request, version, &self.tools), true);
            let has_begun = waiting.acknowledged == Some(true);
            let delivered = self.deliver(&if has_begun { call.quiet() } else { call }, stop).await;
            match delivered {
                Ok(response) if response.status().is_success() => {
                    waiting.ids = vec![request.id.clone()];
                    let end = self.read(response, &mut waiting, stop).await?;
                    match end {
                        End::Answered if waiting.acknowledged != Some(true) => return Ok(()),
                        End::Broken { was_alive: true, .. } => patience.renew(),
                        _ => {}
                    }
                }
                Ok(response) if has_begun && response.status().is_server_error() => {}
                Ok(response) => {
                    let refusal =
                        stop.run_until_cancelled(Refusal::read(response)).await.ok_or(Trouble::Cancelled)?;
                    let end =
                        if has_begun { over(request, &mut waiting) } else { refusal.answer(&request.id) };
                    self.output.send(end).await;
                    return Ok(());
                }
                Err(Trouble::Cancelled) => return Err(Trouble::Cancelled),
                Err(Trouble::Login(LoginError::Needed)) if has_begun => {
                    self.output.send(over(request, &mut waiting)).await;
                    return Ok(());
                }
                Err(_) if has_begun => {}
                Err(trouble) => return Err(trouble),
            }
            self.pause(&mut patience, None, stop).await?;
        }
    }
}

/// The end of a subscription: in the server's words if it said it, else in its form.
fn over(request: &Request, waiting: &mut Waiting<'_>) -> String {
    waiting.kept.take().unwrap_or_else(|| {
        let meta = json!({ "io.modelcontextprotocol/subscriptionId": request.id.value() });
        let result = json!({ "resultType": "complete", "_meta": meta });
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id.as_str())
    })
}
