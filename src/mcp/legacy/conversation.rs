//! One request of a session, in the course of which the server may ask its client something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::request::Parts;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification,
    GetExtensions, JsonRpcMessage, NumberOrString, RequestId, ServerJsonRpcMessage, ServerNotification,
};
use rmcp::service::serve_directly_with_ct;
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Session, events};
use crate::app::App;
use crate::ephemeral::bus::{Heard, Listener, Notice};
use crate::ephemeral::{Key, Result as Stored};
use crate::mcp::principal::Principal;
use crate::random::is_id;

/// How many messages to the client may wait to be sent.
const WAITING: usize = 16;
/// How long an answer of a client lies ready for the call that asked.
const ANSWER_KEPT: Duration = Duration::from_mins(1);
/// How long a question can be answered, at most.
const ANSWERED_WITHIN: Duration = Duration::from_mins(30);
/// The largest answer, in bytes of JSON.
const LARGEST_ANSWER: usize = 64 * 1024;
/// The longest id of a request that can be cancelled, in bytes of JSON.
const LONGEST_ID: usize = 128;

/// What a request comes to.
pub(in crate::mcp) enum Outgoing {
    /// The library cannot read it.
    Unreadable,
    /// The answer, or the stream that leads to it.
    Response(Response),
}

/// Runs a request to its first message. When that is the answer, it leaves as JSON; else a stream begins, which
/// ends with the answer. A client that goes away has not cancelled anything.
pub(in crate::mcp) async fn begin<H: ServerHandler>(
    app: &Arc<App>,
    handler: H,
    session: &Session,
    principal: &Principal,
    parts: Parts,
    body: &Bytes,
) -> Outgoing {
    let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(body) else {
        return Outgoing::Unreadable;
    };
    let JsonRpcMessage::Request(request) = &mut message else { return Outgoing::Unreadable };
    let request_id = request.id.clone();
    request.request.extensions_mut().insert(parts);
    let (outgoing, mut messages) = mpsc::channel(WAITING);
    let (incoming, answers) = mpsc::channel(WAITING);
    let (over, questions) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let call = app.random.id();
    let line = Line {
        app: app.clone(),
        call: call.clone(),
        asked_of: asked_of(principal),
        first: Some(message),
        answers,
        outgoing,
        questions: questions.clone(),
        over: over.clone(),
    };
    let ear = Ear {
        app: app.clone(),
        listener: app.ephemeral.listen(),
        call,
        session: session.key.clone(),
        request_id,
        questions,
        incoming,
    };
    app.tasks.spawn(over.clone().run_until_cancelled_owned(ear.listen()));
    let running =
        serve_directly_with_ct(handler, line, Some(session.client.clone()), CancellationToken::new());
    app.tasks.spawn(async move {
        let _ = running.waiting().await;
        over.cancel();
    });
    match messages.recv().await {
        // Cancelled: a stream that ends without an answer.
        None => Outgoing::Response(events(futures::stream::empty())),
        Some(answer @ (JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_))) => {
            Outgoing::Response(axum::Json(answer).into_response())
        }
        Some(first) => {
            let rest = futures::stream::unfold(messages, |mut messages| async move {
                let message = messages.recv().await?;
                Some((message, messages))
            });
            Outgoing::Response(events(futures::stream::iter([first]).chain(rest)))
        }
    }
}

/// Takes what a client answers, for whichever replica asked, once. What nobody asked this client, or does not any
/// more, is let go. `false`: nobody can have asked under this id, or not for so much.
pub(in crate::mcp) async fn answered(
    app: &App,
    principal: &Principal,
    id: &Value,
    message: &Map<String, Value>,
) -> Stored<bool> {
    let named = id.as_str().and_then(|id| id.split_once(':'));
    let Some((call, question)) = named.and_then(|(call, number)| Some((call, number.parse().ok()?))) else {
        return Ok(false);
    };
    let text = serde_json::to_string(message).unwrap_or_default();
    if !is_id(call) || text.len() > LARGEST_ANSWER {
        return Ok(false);
    }
    let asked = Key::Asked(call, question);
    if app.ephemeral.find(asked.clone()).await?.as_deref() != Some(asked_of(principal).as_str()) {
        return Ok(true);
    }
    if app.ephemeral.take(asked).await?.is_none() {
        return Ok(true);
    }
    app.ephemeral.put(Key::Answer(call, question), text, ANSWER_KEPT).await?;
    app.ephemeral.publish(&Notice::Answered { call: call.to_owned(), question }).await?;
    Ok(true)
}

/// Tells whichever replica runs a request of this session that its client does not want it any more.
pub(in crate::mcp) async fn cancelled(
    app: &App,
    session: &Session,
    params: &Map<String, Value>,
) -> Stored<()> {
    let request_id = params.get("requestId").filter(|id| id.is_string() || id.is_i64()).map(Value::to_string);
    let Some(request_id) = request_id.filter(|id| id.len() <= LONGEST_ID) else { return Ok(()) };
    let session = session.key.clone();
    app.ephemeral.publish(&Notice::Cancelled { session, request_id }).await
}

/// Of whom a question is asked: nobody else answers it.
fn asked_of(principal: &Principal) -> String {
    serde_json::json!([principal.user_id.as_str(), principal.client_id.as_str()]).to_string()
}

/// The way between the library and the client, for one request.
struct Line {
    app: Arc<App>,
    call: String,
    asked_of: String,
    first: Option<ClientJsonRpcMessage>,
    answers: mpsc::Receiver<ClientJsonRpcMessage>,
    outgoing: mpsc::Sender<ServerJsonRpcMessage>,
    questions: Arc<AtomicU64>,
    over: CancellationToken,
}

/// The client went away, or cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the client went away")]
struct Gone;

impl Line {
    /// The id of a question, as the client sees it: the library numbers those of each request anew, but to a client
    /// they are of one session.
    fn named(&self, id: &RequestId) -> RequestId {
        match id {
            NumberOrString::Number(number) => {
                NumberOrString::String(format!("{}:{number}", self.call).into())
            }
            NumberOrString::String(_) => id.clone(),
        }
    }
}

impl Transport<RoleServer> for Line {
    type Error = Gone;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Gone>> + Send + 'static {
        let mut asks = None;
        let is_last = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        match &mut message {
            JsonRpcMessage::Request(question) => {
                if let NumberOrString::Number(number) = question.id {
                    let asked = u64::try_from(number).unwrap_or_default().saturating_add(1);
                    self.questions.fetch_max(asked, Ordering::Relaxed);
                    asks = Some((self.app.clone(), self.call.clone(), asked - 1, self.asked_of.clone()));
                }
                question.id = self.named(&question.id);
            }
            JsonRpcMessage::Notification(notification) => {
                if let ServerNotification::CancelledNotification(cancelled) = &mut notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    cancelled.params.request_id = Some(self.named(id));
                }
            }
            _ => {}
        }
        let (outgoing, over) = (self.outgoing.clone(), self.over.clone());
        async move {
            if let Some((app, call, question, of)) = asks {
                let asked = Key::Asked(&call, question);
                app.ephemeral.put(asked, of, ANSWERED_WITHIN).await.map_err(|_| Gone)?;
            }
            let sent = outgoing.send(message).await;
            if is_last {
                over.cancel();
            }
            sent.map_err(|_| Gone)
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            biased;
            answer = self.answers.recv() => answer,
            () = self.over.cancelled() => None,
            // Whoever was asked is gone, or we go: nobody will answer.
            () = self.outgoing.closed(), if self.questions.load(Ordering::Relaxed) > 0 => None,
            () = self.app.stopping.cancelled(), if self.questions.load(Ordering::Relaxed) > 0 => None,
        }
    }

    async fn close(&mut self) -> Result<(), Gone> {
        Ok(())
    }
}

/// Hears what concerns one request.
struct Ear {
    app: Arc<App>,
    listener: Listener,
    call: String,
    session: String,
    request_id: RequestId,
    questions: Arc<AtomicU64>,
    incoming: mpsc::Sender<ClientJsonRpcMessage>,
}

impl Ear {
    /// Until it is cancelled, or nobody listens to it any more.
    async fn listen(mut self) {
        let request_id = serde_json::to_string(&self.request_id).unwrap_or_default();
        loop {
            let heard = self.listener.next().await;
            let handed = match heard {
                Heard::Notice(Notice::Answered { call, question }) if call == self.call => {
                    self.hand(question).await
                }
                Heard::Notice(Notice::Cancelled { session, request_id: id })
                    if session == self.session && id == request_id =>
                {
                    self.cancel().await
                }
                Heard::Notice(_) => Ok(()),
                Heard::Gap => self.hand_all().await,
            };
            if handed.is_err() {
                return;
            }
        }
    }

    async fn hand_all(&self) -> Result<(), Gone> {
        for question in 0..self.questions.load(Ordering::Relaxed) {
            self.hand(question).await?;
        }
        Ok(())
    }

    /// Hands an answer to the library, if it lies ready.
    async fn hand(&self, question: u64) -> Result<(), Gone> {
        let taken = self.app.ephemeral.take(Key::Answer(&self.call, question)).await;
        let text = taken.unwrap_or_else(|error| {
            tracing::warn!(detail = %error, "an answer of a client is lost");
            None
        });
        let answer = text.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
        let Some(mut message) = answer else { return Ok(()) };
        message.insert("id".to_owned(), question.into());
        match serde_json::from_value(Value::Object(message)) {
            Ok(message) => self.incoming.send(message).await.map_err(|_| Gone),
            Err(_) => Ok(()),
        }
    }

    /// Hands the wish on, and lets the conversation end: what is cancelled has no answer.
    async fn cancel(&self) -> Result<(), Gone> {
        let params = CancelledNotificationParam::new(Some(self.request_id.clone()), None);
        let cancelled = ClientNotification::CancelledNotification(CancelledNotification::new(params));
        let _ = self.incoming.send(ClientJsonRpcMessage::notification(cancelled)).await;
        Err(Gone)
    }
}
