//! What a log line says of its request.

use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::scene::{Watched, dance};
use crate::binary::Place;
use crate::support::client::Client;
use crate::support::http;
use crate::support::otlp::{Backend, Manner, attributes, hex};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Makes a refusal, which is logged, and returns its reference.
async fn refused(watched: &Watched) -> String {
    let traceparent = format!("00-{CALLER}-00f067aa0ba902b7-01");
    let form = [("client_id", "client_none"), ("grant_type", "authorization_code")];
    let url = watched.place_url("/token?hidden=query");
    let answer = http().post(url).header("traceparent", traceparent).form(&form).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["reference"].as_str().unwrap().to_owned()
}

/// A watched binary whose log is kept.
struct Logging {
    watched: Watched,
    log: NamedTempFile,
}

impl Logging {
    async fn start(change: impl FnOnce(&mut Command)) -> Self {
        let log = NamedTempFile::new().unwrap();
        let file = log.reopen().unwrap();
        let watched = Watched::start(|command| {
            command.stderr(Stdio::from(file));
            change(command);
        })
        .await;
        Self { watched, log }
    }

    /// Stops it; everything that it said.
    async fn stop(self) -> String {
        self.watched.stop().await;
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

async fn logged(format: &str, backend: Option<&Backend>) -> (String, String) {
    let logging = Logging::start(|command| {
        command.env("MANDATE_LOG_FORMAT", format);
        if let Some(backend) = backend {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()).env("MANDATE_LOG", "debug");
        }
    })
    .await;
    let watched = &logging.watched;
    dance(&watched.place).await;
    let reference = refused(watched).await;
    Client::known(&watched.place, "client_none").redeem("code").await;
    (logging.stop().await, reference)
}

#[tokio::test]
async fn a_readable_line_of_a_request_carries_its_ids() {
    let (log, reference) = logged("text", None).await;
    let line = log.lines().find(|line| line.contains(&reference)).unwrap_or_else(|| panic!("{log}"));
    for part in [" INFO refused", "code=\"invalid_client\"", "method=POST", "path=\"/token\"", CALLER] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!log.contains("hidden"), "{log}");
}

#[tokio::test]
async fn a_json_line_of_a_request_carries_its_ids() {
    let (log, reference) = logged("json", None).await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refusals: Vec<_> = lines.iter().filter(|line| line["message"] == "refused").collect();
    assert_eq!(refusals.len(), 2, "{log}");
    assert_eq!((&refusals[0]["reference"], &refusals[0]["trace_id"]), (&reference.into(), &CALLER.into()));
    assert_eq!(refusals[0]["path"], "/token");
    assert!(refusals[1]["reference"].is_string() && refusals[1]["trace_id"].is_null(), "{}", refusals[1]);
}

/// Asks in vain; returns the reference of the answer, and the body.
async fn in_vain(watched: &Watched, method: Method, path: &str) -> (String, String) {
    let answer = http().request(method, watched.place_url(path)).send().await.unwrap();
    assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    let reference = answer.headers()["x-reference-id"].to_str().unwrap().to_owned();
    (reference, answer.text().await.unwrap())
}

#[tokio::test]
async fn each_refusal_has_one_line_under_the_reference_that_its_caller_was_given() {
    let logging = Logging::start(|_| {}).await;
    let watched = &logging.watched;
    let client = Client::register(&watched.place).await;
    let padded = format!("/authorize?client_id=nosuch%0Aforged{}", "x".repeat(2_000));
    let elsewhere = client.authorize(&[("redirect_uri", "https://elsewhere.example/cb?key=hidden")]);
    let (get, post) = (Method::GET, Method::POST);
    let mut refused = Vec::new();
    for (method, path, is_page, said) in [
        (&get, "/authorize?client_id=nosuch", true, "detail=\"client_id nosuch\""),
        (&get, "/authorize", true, "detail=\"client_id is missing\""),
        (&get, padded.as_str(), true, "This app is not known here"),
        (&get, elsewhere.as_str(), true, "redirect_uri https://elsewhere.example/cb\""),
        (&get, "/nowhere", true, "what=\"There is no page here\""),
        (&get, "/consent/nosuch", true, "what=\"This request has expired\""),
        (&get, "/setup?token=hidden", true, "what=\"This link does not work any more\""),
        (&get, "/.well-known/nothing", false, "status=404"),
        (&get, "/token", false, "status=405"),
        (&post, "/register", false, "code="),
        (&post, "/mcp", false, "what=\"no_token\""),
        (&get, "/mcp", false, "what=\"method_not_allowed\""),
    ] {
        let (reference, body) = in_vain(watched, method.clone(), path).await;
        assert_eq!(body.contains(&reference), is_page || path == "/register", "{path}: {body}");
        refused.push((reference, path.to_owned(), said));
    }
    let log = logging.stop().await;
    for (reference, path, said) in refused {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&reference)).collect();
        assert!(lines.len() == 1 && lines[0].contains(" INFO refused"), "{path}: {lines:?}");
        assert!(lines[0].contains(said) && lines[0].len() < 700, "{path}: {lines:?}");
    }
    assert!(!log.contains("hidden") && !log.lines().any(|line| line.starts_with("forged")), "{log}");
}

#[tokio::test]
async fn a_flood_of_bad_tokens_warns_nobody() {
    let logging = Logging::start(|_| {}).await;
    let watched = &logging.watched;
    for _ in 0..80 {
        let answer = http().post(watched.place_url("/mcp")).bearer_auth("garbage").send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    let log = logging.stop().await;
    assert_eq!(log.lines().filter(|line| line.contains(" INFO refused")).count(), 80, "{log}");
    let louder = log.lines().find(|line| line.contains("not recorded") || line.contains(" ERROR "));
    assert_eq!(louder, None);
}

#[tokio::test]
async fn lines_are_sent_with_the_trace_they_belong_to_and_never_those_about_sending() {
    let backend = Backend::start(Manner::Good).await;
    let (log, reference) = logged("json", Some(&backend)).await;
    let sent = backend.logs();
    let of_refusal: Vec<_> = sent
        .iter()
        .filter(|line| attributes(&line.attributes).get("mandate.reference") == Some(&reference))
        .collect();
    let refusal = of_refusal.iter().find(|line| line.severity_text == "INFO").unwrap();
    assert_eq!(hex(&refusal.trace_id), CALLER);
    assert_eq!(attributes(&refusal.attributes)["code"], "invalid_client");
    // With our own span: every line of a request has a trace, whether or not its caller has one.
    let line = log.lines().rfind(|line| line.contains("\"refused\"")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(line).unwrap()["trace_id"].as_str().unwrap().len(),
        32,
        "{line}"
    );
    let foreign = |line: &&str| line.contains("hyper") || line.contains("pooling idle");
    assert!(!backend.everything().contains("pooling idle"), "{:?}", log.lines().find(foreign));
}

#[tokio::test]
async fn why_a_server_does_not_start_is_sent_too() {
    let backend = Backend::start(Manner::Good).await;
    let place = Place::new().await;
    let _other = std::net::TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let mut command = place.command(&["serve"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()).stdout(Stdio::null()).stderr(Stdio::null());
    // The back end lives on this thread's runtime.
    let ended = tokio::task::spawn_blocking(move || command.status().unwrap().code());
    assert_eq!(ended.await.unwrap(), Some(1));
    let told = backend.logs().into_iter().find(|line| line.severity_text == "ERROR").expect("an error");
    let detail = attributes(&told.attributes)["detail"].clone();
    assert!(detail.starts_with("listen: ") && detail.contains("another port"), "{detail}");
}
