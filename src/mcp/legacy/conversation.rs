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
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Session, events};
use crate::app::App;
use crate::ephemeral::bus::{Heard, Listener, Notice};
use crate::ephemeral::{Key, Result as Stored};
use crate::mcp::principal::Principal;

/// How many messages to the client may wait to be sent.
const WAITING: usize = 16;
/// How long an answer of a client lies ready for the call that asked.
const ANSWER_KEPT: Duration = Duration::from_mins(1);

/// What a request comes to.
pub(in crate::mcp) enum Outgoing {
    /// The library cannot read it.
    Unreadable,
    /// The answer, or the stream that leads to it.
    Response(Response),
}

/// An answer of a client on its way to the call that asked.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    user_id: String,
    client_id: String,
    message: Map<String, Value>,
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
        call: call.clone(),
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
        principal: principal.clone(),
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

/// Takes what a client answers, for whichever replica asked. `false`: nobody can have asked under this id.
pub(in crate::mcp) async fn answered(
    app: &App,
    principal: &Principal,
    id: &Value,
    message: Map<String, Value>,
) -> Stored<bool> {
    let named = id.as_str().and_then(|id| id.split_once(':'));
    let Some((call, question)) = named.and_then(|(call, number)| Some((call, number.parse().ok()?))) else {
        return Ok(false);
    };
    let answer = Answer {
        user_id: principal.user_id.as_str().to_owned(),
        client_id: principal.client_id.as_str().to_owned(),
        message,
    };
    let text = serde_json::to_string(&answer).unwrap_or_default();
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
    let Some(request_id) = params.get("requestId") else { return Ok(()) };
    let (session, request_id) = (session.key.clone(), request_id.to_string());
    app.ephemeral.publish(&Notice::Cancelled { session, request_id }).await
}

/// The way between the library and the client, for one request.
struct Line {
    call: String,
    first: Option<ClientJsonRpcMessage>,
    answers: mpsc::Receiver<ClientJsonRpcMessage>,
    outgoing: mpsc::Sender<ServerJsonRpcMessage>,
    questions: Arc<AtomicU64>,
    over: CancellationToken,
}

/// The client went away.
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
        let is_last = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        match &mut message {
            JsonRpcMessage::Request(question) => {
                if let NumberOrString::Number(number) = question.id {
                    let asked = u64::try_from(number).unwrap_or_default().saturating_add(1);
                    self.questions.fetch_max(asked, Ordering::Relaxed);
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
    principal: Principal,
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

    /// Hands an answer to the library, if it lies ready and comes from whom it was asked.
    async fn hand(&self, question: u64) -> Result<(), Gone> {
        let taken = self.app.ephemeral.take(Key::Answer(&self.call, question)).await;
        let text = taken.unwrap_or_else(|error| {
            tracing::warn!(detail = %error, "an answer of a client is lost");
            None
        });
        let Some(answer) = text.and_then(|text| serde_json::from_str::<Answer>(&text).ok()) else {
            return Ok(());
        };
        let own = answer.user_id == self.principal.user_id.as_str()
            && answer.client_id == self.principal.client_id.as_str();
        let mut message = answer.message;
        message.insert("id".to_owned(), question.into());
        match serde_json::from_value(Value::Object(message)) {
            Ok(message) if own => self.incoming.send(message).await.map_err(|_| Gone),
            _ => Ok(()),
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
