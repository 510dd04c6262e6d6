//! How servers are asked: no redirect is followed, everything that is read has a limit in size and time, and before
//! another origin than the first is asked the person hears of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header};
use reqwest::Response;
use reqwest::tls::TlsInfo;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use url::Url;

use super::reach::Reach;
use crate::cli::Failure;
use crate::cli::output::aside;
use crate::clock::Stopwatch;
use crate::connect::{HttpError, read_body, shown};

/// The most that is read of an answer, in bytes.
const LONGEST: usize = 256 * 1024;
/// How long an answer may take, its body included.
const PATIENCE: Duration = Duration::from_secs(10);
/// From what length on, in bytes, a question takes its time itself.
const LONG: usize = 16 * 1024;
/// From how long on an answer counts as slow.
const SLOW: Duration = Duration::from_secs(1);
/// After how many questions that nobody answered no more is asked.
const SILENCES: usize = 3;
/// How long everything may take.
const ENOUGH: Duration = Duration::from_secs(90);

/// One question.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    is_repeatable: bool,
}

/// Its headers may hold tokens.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Ask {
    /// A question without a body.
    pub(super) fn new(method: Method, url: &Url) -> Self {
        Self { method, url: url.clone(), headers: Vec::new(), body: None, is_repeatable: true }
    }

    /// A GET of a JSON document.
    pub(super) fn get(url: &Url) -> Self {
        Self::new(Method::GET, url).header("accept", "application/json")
    }

    /// A POST of JSON.
    pub(super) fn post_json(url: &Url, body: &Value) -> Self {
        let ask = Self::new(Method::POST, url).header("content-type", "application/json");
        Self { body: Some(body.to_string().into()), ..ask }
    }

    /// A POST of a form.
    pub(super) fn post_form(url: &Url, form: &[(&str, &str)]) -> Self {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let ask = Self::new(Method::POST, url).header("content-type", "application/x-www-form-urlencoded");
        Self { body: Some(text.into()), ..ask.header("accept", "application/json") }
    }

    /// The same with a header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, and it is not asked again when the connection breaks: it may have been done.
    pub(super) fn once(self) -> Self {
        Self { is_repeatable: false, ..self }
    }

    /// The question in few words: method and URL.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// Which HTTP it was.
    pub(super) version: Version,
    /// The body, as far as it was read.
    pub(super) body: Bytes,
    /// How long it took.
    pub(super) took: Duration,
    /// The certificate of whoever answered, where there was TLS.
    pub(super) certificate: Option<Vec<u8>>,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as a JSON object.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether it is a page for people.
    pub(super) fn is_page(&self) -> bool {
        self.header("content-type").trim_start().to_ascii_lowercase().starts_with("text/html")
    }

    /// Whether the body is packed.
    pub(super) fn is_compressed(&self) -> bool {
        !matches!(self.header("content-encoding"), "" | "identity")
    }

    /// Status, and where it leads to if anywhere.
    pub(super) fn shown(&self) -> String {
        match self.header("location") {
            "" => self.status.to_string(),
            to => format!("{} to {}", self.status, location(to)),
        }
    }
}

/// A `Location` as it may be shown. It may be relative (RFC 9110 §10.2.2).
fn location(text: &str) -> String {
    let bare = || text.split(['?', '#']).next().unwrap_or_default().to_owned();
    Url::parse(text).map_or_else(|_| bare(), |url| shown(&url))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It was not to be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It is not asked for.
    #[error("it is not asked: a server elsewhere names an address of this machine")]
    Local,
    /// It is not asked.
    #[error("it is not asked: a server names an address elsewhere that is not https")]
    Insecure,
    /// Somebody is there, and says nothing.
    #[error("there is no answer within {} s", .0.as_secs())]
    Silence(Duration),
}

impl Trouble {
    /// Whether the connection was given up by the other side, as it may be when it lay idle.
    fn is_dropped(&self) -> bool {
        matches!(self, Self::Http(HttpError::Broken(_)))
    }
}

/// Why no more is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enough {
    /// Nobody answers any more.
    Silence,
    /// It has taken too long.
    Late,
}

/// Asks, and remembers what was slow and what was not answered.
#[derive(Debug)]
pub(super) struct Probe {
    reach: Reach,
    patience: Duration,
    watch: Stopwatch,
    known: Mutex<BTreeSet<String>>,
    slow: Mutex<Vec<String>>,
    silent: Mutex<Vec<String>>,
    given_up: Notify,
}

impl Probe {
    /// Prepares to ask the server at `home`, trusting the certificates in `ca_file` besides the system's.
    pub(super) fn new(home: &Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let reach = Reach::new(home, ca_file)?;
        Ok(Self {
            known: Mutex::new(reach.home()),
            slow: Mutex::default(),
            silent: Mutex::default(),
            given_up: Notify::new(),
            watch: Stopwatch::start(),
            patience: PATIENCE,
            reach,
        })
    }

    /// Asks, and reads the whole answer. A connection that breaks is tried once more, unless what is asked may be done
    /// by then.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        match self.ask_once(ask).await {
            Err(trouble) if trouble.is_dropped() && ask.is_repeatable => self.ask_once(ask).await,
            asked => asked,
        }
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let watch = Stopwatch::start();
        let reading = async {
            let response = self.open(ask).await?;
            let (status, version, headers) =
                (response.status(), response.version(), response.headers().clone());
            let certificate = response.extensions().get::<TlsInfo>();
            let certificate = certificate.and_then(|info| Some(info.peer_certificate()?.to_vec()));
            let body = match read_body(response, LONGEST).await {
                Ok(body) => body,
                Err(HttpError::TooLong(_)) => Bytes::new(),
                Err(error) => return Err(Trouble::from(error)),
            };
            Ok(Answer { status, headers, version, body, took: watch.elapsed(), certificate })
        };
        let answer: Answer = self.in_time(ask, reading).await??;
        let is_long = ask.body.as_ref().is_some_and(|body| body.len() > LONG);
        if answer.took >= SLOW && !is_long {
            let line = format!("{}: {} ms", ask.shown(), answer.took.as_millis());
            lock(&self.slow).push(line);
        }
        Ok(answer)
    }

    /// Asks, and leaves the body to the caller: it has no limit here, neither in size nor in time.
    pub(super) async fn open(&self, ask: &Ask) -> Result<Response, Trouble> {
        if self.enough().is_some() {
            self.given_up.notify_one();
            // Whoever waits for it ends the visit.
            std::future::pending::<()>().await;
        }
        let client = self.reach.client(&ask.url)?;
        self.announce(&ask.url);
        let mut request = client.request(ask.method.clone(), ask.url.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let answer = self.in_time(ask, request.send()).await?;
        answer.map_err(|error| HttpError::of(&error).into())
    }

    async fn in_time<F: Future>(&self, ask: &Ask, answer: F) -> Result<F::Output, Trouble> {
        tokio::time::timeout(self.patience, answer).await.map_err(|_| {
            lock(&self.silent).push(ask.shown());
            Trouble::Silence(self.patience)
        })
    }

    /// Why no more is asked, if so.
    pub(super) fn enough(&self) -> Option<Enough> {
        if lock(&self.silent).len() >= SILENCES {
            return Some(Enough::Silence);
        }
        (self.watch.elapsed() >= ENOUGH).then_some(Enough::Late)
    }

    /// Waits until a question is not asked any more.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// What was slow.
    pub(super) fn slow(&self) -> Vec<String> {
        lock(&self.slow).clone()
    }

    /// What was not answered.
    pub(super) fn silent(&self) -> Vec<String> {
        lock(&self.silent).clone()
    }

    fn announce(&self, url: &Url) {
        let origin = url.origin().ascii_serialization();
        if lock(&self.known).insert(origin.clone()) {
            aside(&format!("Now {origin} is asked, too: the server's metadata names it."));
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a list in a header names this, in whatever case (RFC 9110 §5.6.1).
pub(super) fn has_token(header: &str, token: &str) -> bool {
    header.split(',').any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(token))
}

/// For how long an answer may be kept, in seconds (RFC 9111 §5.2.2).
pub(super) fn max_age(answer: &Answer) -> Option<u64> {
    let control = answer.headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
    let ages = control.split(',').filter_map(|part| part.trim().strip_prefix("max-age="));
    ages.filter_map(|age| age.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_answer_leads_is_shown_without_the_query() {
        for (to, expected) in [
            ("https://u:p@a.example/x?code=secret#y", "https://a.example/x"),
            ("/elsewhere?code=secret", "/elsewhere"),
            ("?code=secret", ""),
            ("//a.example/x#secret", "//a.example/x"),
        ] {
            assert_eq!(location(to), expected);
        }
    }

    #[tokio::test]
    async fn who_takes_a_question_and_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let home = Url::parse(&format!("http://{}/mcp", listener.local_addr().unwrap())).unwrap();
        let patience = Duration::from_millis(100);
        let probe = Probe { patience, ..Probe::new(&home, None).unwrap() };
        let ask = Ask::new(Method::GET, &home);
        let asked = async { (probe.open(&ask).await.map(drop), probe.ask(&ask).await.map(drop)) };
        let (opened, asked) = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
        for answer in [opened, asked] {
            let told = answer.unwrap_err().to_string();
            assert!(told.contains("there is no answer within"), "{told}");
        }
    }
}
