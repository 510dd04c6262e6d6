//! An MCP server of somebody else with its authorization server, on one origin: it lets everybody in, notes every
//! request, and answers as a test wants it to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::{Url, form_urlencoded};

use super::until;
use crate::support::http;

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `POST /mcp`.
    pub(crate) line: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body: JSON, or a form as an object of texts.
    pub(crate) body: Value,
}

impl Seen {
    /// A header as text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

type Answering = Box<dyn Fn(&Seen) -> Response<Body> + Send + Sync>;

#[derive(Default)]
struct Inner {
    url: String,
    seen: Mutex<Vec<Seen>>,
    /// Answers for the next requests of a line, in order; then the usual ones again.
    next: Mutex<BTreeMap<String, VecDeque<Answering>>>,
    /// Requests of a line that wait before they are answered.
    held: Mutex<BTreeMap<String, VecDeque<oneshot::Receiver<()>>>>,
    /// What the documents say instead of the usual.
    changes: Mutex<BTreeMap<&'static str, Value>>,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    count: u32,
    access: String,
    refresh: String,
    is_open: bool,
}

/// A running one.
pub(crate) struct Stub {
    inner: Arc<Inner>,
    address: SocketAddr,
    serving: JoinSet<()>,
}

impl Stub {
    /// Starts one that wants a token.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://127.0.0.1:{}", address.port());
        let inner = Arc::new(Inner { url, ..Inner::default() });
        let mut stub = Self { inner, address, serving: JoinSet::new() };
        stub.serve(listener);
        stub
    }

    /// Starts one that lets everybody in.
    pub(crate) async fn open() -> Self {
        let stub = Self::start().await;
        stub.inner.issued.lock().unwrap().is_open = true;
        stub
    }

    fn serve(&mut self, listener: TcpListener) {
        let router = Router::new().fallback(answer).with_state(self.inner.clone());
        self.serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    /// Stops listening.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Listens again where it did.
    pub(crate) async fn go_on(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// The absolute URL of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.inner.url)
    }

    /// Answers the next request of this line, `POST /token`, with this.
    pub(crate) fn next(&self, line: &str, status: u16, headers: &[(&str, &str)], body: impl Into<String>) {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = body.into();
        self.next_by(line, move |_| {
            let builder = Response::builder().status(status).header("content-type", "application/json");
            let mut response = builder.body(Body::from(body.clone())).unwrap();
            for (name, value) in &headers {
                response.headers_mut().insert(
                    axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            response
        });
    }

    /// The same with an answer that looks at the request.
    pub(crate) fn next_by(
        &self,
        line: &str,
        answering: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) {
        self.inner.next.lock().unwrap().entry(line.to_owned()).or_default().push_back(Box::new(answering));
    }

    /// Answers the next request of this line only when what is returned here is dropped.
    pub(crate) fn hold_next(&self, line: &str) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.inner.held.lock().unwrap().entry(line.to_owned()).or_default().push_back(held);
        release
    }

    /// Changes a member of the metadata; null removes it.
    pub(crate) fn change(&self, member: &'static str, value: Value) {
        self.inner.changes.lock().unwrap().insert(member, value);
    }

    /// Makes the access token end.
    pub(crate) fn end_access(&self) {
        "none".clone_into(&mut self.inner.issued.lock().unwrap().access);
    }

    /// Every request of this line.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        let seen = self.inner.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.line == line).cloned().collect()
    }

    /// Waits for the `nth` request of this line.
    pub(crate) async fn wait_for(&self, line: &str, nth: usize) -> Seen {
        until(|| self.seen(line).get(nth - 1).cloned()).await
    }

    /// Token requests of this grant type.
    pub(crate) fn grants(&self, grant_type: &str) -> usize {
        self.seen("POST /token").iter().filter(|seen| seen.body["grant_type"] == grant_type).count()
    }
}

/// Visits the authorization page as a browser would, and goes where it leads; the page there.
pub(crate) async fn visit(url: &Url) -> String {
    let response = http().get(url.clone()).send().await.unwrap();
    let location = crate::support::header(&response, "location");
    http().get(&location).send().await.unwrap().text().await.unwrap()
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri.path());
    let seen = Seen { line, headers: parts.headers, body: read(&body) };
    inner.seen.lock().unwrap().push(seen.clone());
    let held = inner.held.lock().unwrap().get_mut(&seen.line).and_then(VecDeque::pop_front);
    if let Some(held) = held {
        let _ = held.await;
    }
    let next = inner.next.lock().unwrap().get_mut(&seen.line).and_then(VecDeque::pop_front);
    if let Some(answering) = next {
        return answering(&seen);
    }
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/.well-known/oauth-protected-resource/mcp") => document(
            &inner,
            json!({ "resource": format!("{}/mcp", inner.url),
                "authorization_servers": [inner.url], "scopes_supported": ["a"] }),
        ),
        (&Method::GET, "/.well-known/oauth-authorization-server") => document(&inner, metadata(&inner.url)),
        (&Method::GET, "/authorize") => redirect(&inner, parts.uri.query().unwrap()),
        (&Method::POST, "/register") => {
            let mut client = seen.body.clone();
            client["client_id"] = json!("registered");
            json_answer(StatusCode::CREATED, &client)
        }
        (&Method::POST, "/token") => inner.token(&seen),
        (&Method::POST, "/device") => json_answer(
            StatusCode::OK,
            &json!({ "device_code": "dc",
            "user_code": "WXYZ-1234", "verification_uri": format!("{}/go", inner.url), "interval": 1,
            "expires_in": 600 }),
        ),
        (&Method::POST, "/revoke") => json_answer(StatusCode::OK, &json!({})),
        (_, "/mcp") => inner.mcp(&parts.method, &seen),
        _ => json_answer(StatusCode::NOT_FOUND, &json!({})),
    }
}

fn read(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let pairs = form_urlencoded::parse(body).into_owned();
        pairs.map(|(name, value)| (name, json!(value))).collect::<serde_json::Map<_, _>>().into()
    })
}

fn metadata(url: &str) -> Value {
    json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "registration_endpoint": format!("{url}/register"),
        "revocation_endpoint": format!("{url}/revoke"),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn document(inner: &Inner, mut document: Value) -> Response<Body> {
    for (member, value) in inner.changes.lock().unwrap().iter() {
        let belongs = document.get("authorization_servers").is_some()
            == ["resource", "authorization_servers", "scopes_supported"].contains(member);
        match value {
            _ if !belongs => {}
            Value::Null => drop(document.as_object_mut().unwrap().remove(*member)),
            value => document[*member] = value.clone(),
        }
    }
    json_answer(StatusCode::OK, &document)
}

fn redirect(inner: &Inner, query: &str) -> Response<Body> {
    let asked: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut url = Url::parse(&asked["redirect_uri"]).unwrap();
    url.query_pairs_mut()
        .append_pair("code", "good")
        .append_pair("state", &asked["state"])
        .append_pair("iss", &inner.url);
    Response::builder().status(302).header("location", url.as_str()).body(Body::empty()).unwrap()
}

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(Body::from(body.to_string())).unwrap()
}

/// An answer to a request: its result under its id.
pub(crate) fn result(seen: &Seen, result: &Value) -> Response<Body> {
    json_answer(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": result }))
}

/// A stream of these events, which ends after them: in order, or broken off.
pub(crate) fn events(events: &[String]) -> Response<Body> {
    let builder = Response::builder().header("content-type", "text/event-stream");
    builder.body(Body::from(events.concat())).unwrap()
}

/// A stream of these events that stays open after them.
pub(crate) fn open_events(events: &[String]) -> Response<Body> {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(events.concat()))]);
    let stream = futures::StreamExt::chain(first, futures::stream::pending());
    let builder = Response::builder().header("content-type", "text/event-stream");
    builder.body(Body::from_stream(stream)).unwrap()
}

/// An answer that breaks off before its end.
pub(crate) fn broken(kind: &str) -> Response<Body> {
    let pieces = [Ok(Bytes::from_static(b"\n")), Err(std::io::Error::other("broken"))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    Response::builder().header("content-type", kind).body(body).unwrap()
}

impl Inner {
    fn token(&self, seen: &Seen) -> Response<Body> {
        let mut issued = self.issued.lock().unwrap();
        let is_good = match seen.body["grant_type"].as_str().unwrap() {
            "refresh_token" => seen.body["refresh_token"] == issued.refresh,
            _ => true,
        };
        if !is_good {
            return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
        }
        issued.count += 1;
        issued.access = format!("access-{}", issued.count);
        issued.refresh = format!("refresh-{}", issued.count);
        json_answer(
            StatusCode::OK,
            &json!({ "access_token": issued.access, "token_type": "Bearer",
            "expires_in": 3600, "refresh_token": issued.refresh }),
        )
    }

    fn mcp(&self, method: &Method, seen: &Seen) -> Response<Body> {
        let issued = self.issued.lock().unwrap();
        if !issued.is_open && seen.header("authorization") != format!("Bearer {}", issued.access) {
            let place = format!("{}/.well-known/oauth-protected-resource/mcp", self.url);
            let challenge = format!("Bearer resource_metadata=\"{place}\"");
            let mut response = json_answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }));
            response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            return response;
        }
        if method != Method::POST {
            return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({}));
        }
        match seen.body["method"].as_str() {
            Some("initialize") => result(
                seen,
                &json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                "serverInfo": { "name": "stub", "version": "1" } }),
            ),
            Some(_) if seen.body.get("id").is_some() => result(seen, &json!({ "echo": seen.body["params"] })),
            _ => Response::builder().status(202).body(Body::empty()).unwrap(),
        }
    }
}
