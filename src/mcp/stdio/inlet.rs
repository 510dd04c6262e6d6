//! What comes in: each line is judged as it stands, and what passes carries its permit.

use std::sync::Arc;

use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification,
    ClientRequest, ErrorCode, ErrorData, GetExtensions, GetMeta, JsonRpcMessage, JsonRpcRequest,
    ProtocolVersion, RequestId,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::super::admit::Admission;
use super::super::message::{Incoming, Malformed, Message};
use super::super::permit::Permit;
use super::super::refusal::Refusal;
use super::super::surface::Surface;
use super::super::{intake, server, trail};
use super::grant::LocalGrant;
use super::lines::{Line, Lines};
use super::outlet::{Begun, Outlet};
use super::refusal;
use super::updates::Updates;
use crate::app::App;
use crate::telemetry;
use crate::web::reference;

/// Too many requests are under way.
const TOO_MANY: ErrorData = ErrorData {
    code: super::super::refusal::RATE_LIMITED,
    message: std::borrow::Cow::Borrowed(
        "Too many requests are under way at once; wait for an answer and send it again",
    ),
    data: None,
};

/// Judges lines.
pub(super) struct Inlet<W> {
    app: Arc<App>,
    grant: Arc<LocalGrant>,
    admission: Admission,
    outlet: Arc<Outlet<W>>,
    judged: mpsc::Sender<ClientJsonRpcMessage>,
    updates: Updates<W>,
    /// What the program is called.
    program: &'static str,
    /// Whether the client has said how it speaks. Before, the MCP library takes requests only.
    begun: bool,
}

/// The MCP library takes no more.
struct Gone;

impl<W: AsyncWrite + Send + Unpin + 'static> Inlet<W> {
    /// Has judged nothing yet.
    pub(super) fn new(
        app: Arc<App>,
        grant: Arc<LocalGrant>,
        (admission, surface): (Admission, &Surface),
        (outlet, judged): (Arc<Outlet<W>>, mpsc::Sender<ClientJsonRpcMessage>),
    ) -> Self {
        let updates = Updates::new(app.clone(), outlet.clone());
        let program = surface.name();
        Self { admission, app, grant, outlet, judged, updates, program, begun: false }
    }

    /// Reads and judges until there is no more to read, or nobody to read it for.
    pub(super) async fn run<R: AsyncRead + Send + Unpin>(mut self, input: R) {
        let stopping = self.app.stopping.clone();
        tokio::select! {
            () = self.read(input) => tracing::debug!("the input ended"),
            () = stopping.cancelled() => {}
        }
        self.let_go().await;
    }

    async fn read<R: AsyncRead + Unpin>(&mut self, input: R) {
        let mut lines = Lines::new(input, intake::LARGEST_BODY);
        loop {
            let taken = match lines.next().await {
                Ok(Line::Whole(line)) => {
                    let reference = self.app.random.id();
                    let span = telemetry::message(&reference);
                    let taking = async {
                        tracing::debug!("a message came");
                        self.take(&line).await
                    };
                    Box::pin(reference::scope(reference, taking).instrument(span)).await
                }
                Ok(Line::TooLong) => {
                    self.outlet.refuse(None, self.error(Refusal::TooLarge)).await;
                    Ok(())
                }
                Ok(Line::End) => return,
                Err(error) => return tracing::warn!(%error, "the input cannot be read"),
            };
            if taken.is_err() {
                return;
            }
        }
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Gone> {
        let message = match Message::parse(line) {
            Ok(Incoming::Message(message)) => Some(message),
            Ok(Incoming::Answer(..)) | Err((Malformed::Response, _)) => None,
            Err((why, id)) => {
                let refused = ErrorData::new(why.code(), why.to_string(), None);
                self.outlet.refuse(id.and_then(request_id), refused).await;
                return Ok(());
            }
        };
        let Ok(typed) = serde_json::from_slice::<ClientJsonRpcMessage>(line) else {
            let id = message.and_then(|message| message.id).and_then(request_id);
            let what = "this is not a message that MCP knows";
            self.outlet.refuse(id, ErrorData::invalid_request(what, None)).await;
            return Ok(());
        };
        match (message, typed) {
            (Some(message), JsonRpcMessage::Request(request)) => self.request(&message, request).await,
            (_, JsonRpcMessage::Notification(notification)) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.outlet.forget(id);
                }
                self.pass(JsonRpcMessage::Notification(notification)).await
            }
            (_, answer) => self.answer(answer).await,
        }
    }

    /// Judges a request as it will be run.
    async fn request(
        &mut self,
        message: &Message,
        mut request: JsonRpcRequest<ClientRequest>,
    ) -> Result<(), Gone> {
        let id = request.id.clone();
        match self.outlet.may_begin(&id) {
            Begun::Yes => {}
            Begun::Twice => {
                let refused = ErrorData::invalid_request("a request with this id is under way", None);
                self.outlet.refuse(Some(id), refused).await;
                return Ok(());
            }
            Begun::TooMany => {
                self.outlet.refuse(Some(id), TOO_MANY).await;
                return Ok(());
            }
        }
        let well_formed = intake::check_initialize(message).and_then(|()| intake::check_log_level(message));
        let admitted = match well_formed {
            Ok(()) => self.admit(message).await,
            Err(refusal) => Err(refusal),
        };
        match admitted {
            Ok(permit) => {
                request.request.extensions_mut().insert(permit.clone());
                if message.is_legacy() {
                    request.request.extensions_mut().insert(self.updates.session().clone());
                    self.updates.follow(&request.request, permit.principal()).await;
                }
                let lasts = matches!(request.request, ClientRequest::SubscriptionsListenRequest(_));
                self.outlet.begin(id, permit, lasts);
                self.begun |= begins(&request.request);
                self.judged.send(JsonRpcMessage::Request(request)).await.map_err(|_| Gone)
            }
            Err(refusal) => {
                self.outlet.refuse(Some(id), self.error(refusal)).await;
                Ok(())
            }
        }
    }

    async fn admit(&self, message: &Message) -> Result<Permit, Refusal> {
        let token = self.grant.token().await.map_err(|error| Refusal::Fault(None, error))?;
        let (permit, _) = self.admission.admit(&token, message, trail::own_trace_id(message)).await?;
        if permit.is_to_watch() && !message.is_legacy() {
            return self.admission.watch(permit, message.id.as_ref()).await;
        }
        Ok(permit)
    }

    /// Passes an answer on. Under a grant that has ended meanwhile nothing is answered any more.
    async fn answer(&self, answer: ClientJsonRpcMessage) -> Result<(), Gone> {
        let id = match &answer {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id.filter(|id| self.outlet.answered(id)) else { return Ok(()) };
        match self.admit(&Message::response()).await {
            Ok(_) => self.pass(answer).await,
            Err(refusal) => self.pass(JsonRpcMessage::error(self.error(refusal), Some(id))).await,
        }
    }

    fn error(&self, refusal: Refusal) -> ErrorData {
        refusal::error(refusal, self.program)
    }

    async fn pass(&self, message: ClientJsonRpcMessage) -> Result<(), Gone> {
        if !self.begun {
            return Ok(());
        }
        self.judged.send(message).await.map_err(|_| Gone)
    }

    /// Ends what would wait for a client that is gone. The rest is finished.
    async fn let_go(&self) {
        for id in self.outlet.lasting() {
            let params = CancelledNotificationParam::new(Some(id), None);
            let cancelled = ClientNotification::CancelledNotification(CancelledNotification::new(params));
            let _ = self.pass(JsonRpcMessage::notification(cancelled)).await;
        }
        for id in self.outlet.unanswered() {
            let gone = ErrorData::new(ErrorCode::INTERNAL_ERROR, "the client went away", None);
            let _ = self.pass(JsonRpcMessage::error(gone, Some(id))).await;
        }
    }
}

/// Whether the MCP library takes this for the client's way of speaking: `initialize`, or a request that says by
/// itself all that 2026-07-28 asks for.
fn begins(request: &ClientRequest) -> bool {
    let meta = request.get_meta();
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        _ => {
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(|version| server::VERSIONS.contains(&version))
        }
    }
}

fn request_id(id: serde_json::Value) -> Option<RequestId> {
    serde_json::from_value(id).ok()
}
