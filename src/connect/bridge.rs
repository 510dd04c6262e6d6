//! The bridge: what comes on standard input goes to the server, what the server says goes to standard output. Many
//! requests are under way at once, each in a task of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::delivery::{Call, Trouble};
use super::device;
use super::http::Http;
use super::login::Login;
use super::message::{self, Id, Kind, Request};
use super::session::Session;
use super::stdio::{Line, Output};
use super::tools::Tools;
use crate::random::Random;

/// How many requests may be under way at once.
const MOST: usize = 256;
/// How long requests under way are waited for once standard input is closed. The time of a sign-in does not count.
const LAST_ANSWERS: Duration = Duration::from_secs(30);
/// How long a token is waited for once standard input is closed. The time of a sign-in does not count.
const LAST_TOKENS: Duration = Duration::from_secs(5);
/// How long anybody is waited for then, whatever happens: as long as the longest sign-in, and a little.
const LAST_OF_ALL: Duration = Duration::from_secs(device::LONGEST + 60);
/// How long the goodbye to the server may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Everything that a task reaches.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) http: Arc<Http>,
    pub(super) url: Url,
    pub(super) login: Arc<Login>,
    pub(super) session: Session,
    pub(super) tools: Tools,
    pub(super) output: Output,
    pub(super) random: Arc<Random>,
    under_way: Mutex<UnderWay>,
    /// What the client waits to have answered.
    requests: TaskTracker,
    /// What has no answer.
    notices: TaskTracker,
    streams: TaskTracker,
    /// Standard input is closed.
    closed: CancellationToken,
    pub(super) ending: CancellationToken,
}

#[derive(Debug, Default)]
struct UnderWay {
    serial: u64,
    requests: HashMap<u64, (Id, CancellationToken)>,
    has_stream: bool,
}

impl Bridge {
    /// A bridge to the server at `url`.
    pub(super) fn new(
        http: Arc<Http>,
        url: Url,
        login: Arc<Login>,
        output: Output,
        random: Arc<Random>,
    ) -> Arc<Self> {
        Arc::new(Self {
            http,
            url,
            login,
            session: Session::default(),
            tools: Tools::default(),
            output,
            random,
            under_way: Mutex::default(),
            requests: TaskTracker::new(),
            notices: TaskTracker::new(),
            streams: TaskTracker::new(),
            closed: CancellationToken::new(),
            ending: CancellationToken::new(),
        })
    }

    /// Takes a line from the client.
    pub(super) async fn take(self: &Arc<Self>, line: Line) {
        let text = match line {
            Line::Text(text) => text,
            Line::Unreadable => {
                let longest = message::LONGEST;
                let said = format!("a message is one line of UTF-8, of at most {longest} bytes");
                return self.output.send(message::parse_error(&said)).await;
            }
        };
        match message::read(&text) {
            None => self.output.send(message::parse_error("this line is no JSON-RPC message")).await,
            Some(Kind::Request(request)) => self.begin(request, text).await,
            Some(Kind::Notification { cancels: Some(id), version, .. }) => self.cancel(&id, text, version),
            Some(Kind::Notification { method, version, .. }) if method == "notifications/initialized" => {
                self.session.keep_initialized(&text);
                let held = self.session.hold();
                let bridge = self.clone();
                self.notices.spawn(async move {
                    bridge.tell_server(&text, version.as_deref()).await;
                    bridge.open_stream();
                    bridge.session.stream_known().await;
                    drop(held);
                });
            }
            Some(Kind::Notification { version, .. }) => self.send_on(text, version),
            Some(Kind::Response { .. }) => self.send_on(text, None),
            Some(Kind::Batch(ids)) => {
                let bridge = self.clone();
                let tracker = if ids.is_empty() { &self.notices } else { &self.requests };
                tracker.spawn(async move { bridge.batch(ids, &text).await });
            }
        }
    }

    /// Waits for the answers that are still to come; what has no end of its own is not waited for, and what has no
    /// token yet not for long, unless a person is about to sign in for it.
    pub(super) async fn finish(&self) {
        self.requests.close();
        self.notices.close();
        self.closed.cancel();
        tokio::select! {
            _ = async { tokio::join!(self.requests.wait(), self.notices.wait()) } => {}
            () = self.last(LAST_ANSWERS) => {}
        }
    }

    /// Waits until it is too late for a token, which it never is while standard input is open.
    pub(super) async fn too_late(&self) {
        self.closed.cancelled().await;
        self.last(LAST_TOKENS).await;
    }

    /// Lets this time pass. It begins anew after a sign-in that requests wait for: a person has the time that a
    /// sign-in has, whether more messages can come or not, for messages may be piped in. A client that closes the
    /// input to end the program sends SIGTERM when that takes it too long (MCP stdio, "Shutdown").
    async fn last(&self, time: Duration) {
        // Whoever holds the turn may be stopped, and then no sign-in ends by itself.
        tokio::select! {
            () = self.last_of_all(time) => {}
            () = tokio::time::sleep(LAST_OF_ALL) => {}
        }
    }

    async fn last_of_all(&self, time: Duration) {
        let mut sign_in = self.login.sign_in_under_way();
        loop {
            let waited_for = async {
                let _ = sign_in.wait_for(|is_under_way| *is_under_way).await;
                if self.requests.is_empty() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = waited_for => {}
                () = tokio::time::sleep(time) => return,
            }
            tokio::select! {
                _ = sign_in.wait_for(|is_under_way| !is_under_way) => {}
                () = self.requests.wait() => {}
            }
        }
    }

    /// Ends everything, and the session at the server. Tokens that are on their way are waited for.
    pub(super) async fn end(&self) {
        tokio::join!(self.login.end(), self.end_requests());
    }

    async fn end_requests(&self) {
        let mark = self.session.mark();
        if mark.has_id() {
            let goodbye = Call::delete(mark.headers());
            let never = CancellationToken::new();
            let _ = tokio::time::timeout(GOODBYE, self.deliver(&goodbye, &never)).await;
        }
        self.ending.cancel();
        for tasks in [&self.requests, &self.notices, &self.streams] {
            tasks.close();
        }
        let all = async { tokio::join!(self.requests.wait(), self.notices.wait(), self.streams.wait()) };
        let _ = tokio::time::timeout(GOODBYE, all).await;
    }

    async fn begin(self: &Arc<Self>, request: Request, text: String) {
        let stop = self.ending.child_token();
        let Some(serial) = self.enter(&request.id, &stop) else {
            let said = format!("more than {MOST} requests are under way: wait for some of them");
            return self.output.send(message::refusal(&request.id, "too_many_requests", &said)).await;
        };
        let bridge = self.clone();
        let is_subscription = request.method == "subscriptions/listen" && request.modern_version().is_some();
        let tracker = if is_subscription { &self.streams } else { &self.requests };
        tracker.spawn(async move {
            let done = if is_subscription {
                bridge.subscribe(&request, &text, &stop).await
            } else {
                bridge.ask(&request, &text, &stop).await
            };
            match done {
                Ok(()) | Err(Trouble::Cancelled) => {}
                Err(trouble) => bridge.output.send(trouble.refusal(&request.id)).await,
            }
            bridge.leave(serial);
        });
    }

    fn enter(&self, id: &Id, stop: &CancellationToken) -> Option<u64> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.requests.len() >= MOST {
            return None;
        }
        under_way.serial += 1;
        let serial = under_way.serial;
        under_way.requests.insert(serial, (id.clone(), stop.clone()));
        Some(serial)
    }

    fn leave(&self, serial: u64) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).requests.remove(&serial);
    }

    /// Nobody waits for a request any more. In the stateless era the end of its stream says so (Streamable HTTP
    /// 2026-07-28, "Cancellation"); in the other the server is told besides.
    fn cancel(self: &Arc<Self>, id: &Id, text: String, version: Option<String>) {
        let stop = {
            let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            let mut requests = under_way.requests.values();
            requests.find(|(found, _)| found == id).map(|(_, stop)| stop.clone())
        };
        let has_session = self.session.beginning().is_some();
        // At once: the server may be out of reach.
        if let Some(stop) = stop {
            stop.cancel();
        }
        if has_session {
            self.send_on(text, version);
        }
    }

    fn send_on(self: &Arc<Self>, text: String, version: Option<String>) {
        let bridge = self.clone();
        self.notices.spawn(async move { bridge.tell_server(&text, version.as_deref()).await });
    }

    /// Opens the stream of the server's own messages, once.
    fn open_stream(self: &Arc<Self>) {
        let is_open = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut under_way.has_stream, true)
        };
        if !is_open {
            let (bridge, stop) = (self.clone(), self.ending.child_token());
            self.streams.spawn(async move { bridge.stream(&stop).await });
        }
    }
}
