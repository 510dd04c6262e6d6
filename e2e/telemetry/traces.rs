//! What a trace tells, and what it must not.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::scene::{QUERY, TITLE, Watched, call_within, dance, ten_calls};
use crate::support::PASSWORD;
use crate::support::client::VERIFIER;
use crate::support::mcp::Mcp;
use crate::support::otlp::{Backend, Manner, attributes, hex};
use crate::support::profile::Profile;

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_CALLER: &str = "aaaabbbbccccddddeeeeffff00001111";

/// Spans by their names, and how they hang together.
struct Tree(Vec<Span>);

impl Tree {
    fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    #[track_caller]
    fn only(&self, name: &str) -> &Span {
        let found = self.named(name);
        assert_eq!(found.len(), 1, "{name} in {:?}", self.names());
        found[0]
    }

    fn names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for span in &self.0 {
            *names.entry(span.name.as_str()).or_default() += 1;
        }
        names
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        let same = |other: &&Span| other.trace_id == span.trace_id && other.span_id == span.parent_span_id;
        self.0.iter().find(same)
    }

    fn children(&self, span: &Span) -> Vec<&str> {
        let is_child =
            |other: &&Span| other.trace_id == span.trace_id && other.parent_span_id == span.span_id;
        self.0.iter().filter(is_child).map(|span| span.name.as_str()).collect()
    }
}

fn has_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

#[tokio::test]
async fn a_dance_and_ten_calls_leave_traces_that_hang_together_and_tell_no_secret() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "http/protobuf").await;
    let danced = dance(&watched.place).await;
    ten_calls(&Mcp::modern(&watched.place, danced.token())).await;
    watched.stop().await;
    let tree = Tree(backend.spans());
    for (name, count) in [
        ("POST /register", 1),
        ("GET /authorize", 1),
        ("GET /login", 1),
        ("POST /login", 1),
        ("GET /consent/{id}", 1),
        ("POST /consent/{id}", 1),
        ("POST /token", 2),
        ("POST /mcp", 10),
        ("verify", 10),
        ("gate", 10),
        ("tools/call create_ticket", 2),
        ("tools/call search_tickets", 4),
        ("tools/call get_ticket", 2),
        ("tools/call comment_ticket", 1),
        ("tools/call close_ticket", 1),
    ] {
        assert_eq!(tree.names().get(name), Some(&count), "{name} in {:#?}", tree.names());
    }
    for span in &tree.0 {
        let parent = tree.parent(span).map(|parent| parent.name.as_str());
        match span.name.as_str() {
            name if name.starts_with("POST ") || name.starts_with("GET ") => {
                assert_eq!(parent, None, "{name}");
            }
            "verify" => assert_eq!(parent, Some("POST /mcp")),
            name if name.starts_with("tools/call ") => assert_eq!(parent, Some("POST /mcp"), "{name}"),
            "gate" => assert!(parent.is_some_and(|parent| parent.starts_with("tools/call ")), "{parent:?}"),
            statement => {
                assert!(parent.is_some(), "{statement} belongs to nothing");
                assert_eq!(span.kind(), SpanKind::Client, "{statement}");
            }
        }
    }
    what_spans_say(&tree);
    errors_are_told_once(&tree);
    let told = backend.everything();
    let unsaid = [VERIFIER, TITLE, QUERY, PASSWORD, "alice", "Bearer ey"].map(str::to_owned);
    for secret in danced.secrets().into_iter().chain(unsaid) {
        assert!(!told.contains(&secret), "{secret} was sent");
    }
    assert!(told.contains("search_tickets"), "what was sent can be searched");
    let resource = &backend.resources()[0];
    assert_eq!(resource["service.name"], "mandate");
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(backend.authorization().first().map(String::as_str), Some("Bearer collector"));
}

fn what_spans_say(tree: &Tree) {
    let answered = tree.named("POST /mcp")[0];
    assert_eq!(answered.kind(), SpanKind::Server);
    let said = attributes(&answered.attributes);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/mcp"),
        ("http.response.status_code", "200"),
        ("url.path", "/mcp"),
        ("url.scheme", "http"),
        ("server.address", "localhost"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name} in {said:?}");
    }
    assert!(!said["mandate.reference"].is_empty());
    let call = tree.only("tools/call close_ticket");
    assert_eq!(call.kind(), SpanKind::Server);
    let called = attributes(&call.attributes);
    for (name, value) in [
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", "2026-07-28"),
        ("gen_ai.tool.name", "close_ticket"),
        ("gen_ai.operation.name", "execute_tool"),
        ("jsonrpc.request.id", "7"),
    ] {
        assert_eq!(called.get(name).map(String::as_str), Some(value), "{name} in {called:?}");
    }
    let own_request = tree.parent(call).map(|request| attributes(&request.attributes)).unwrap();
    assert_eq!(called["mandate.reference"], own_request["mandate.reference"]);
    let statements = tree.children(call);
    assert!(statements.contains(&"UPDATE tickets") && statements.contains(&"COMMIT"), "{statements:?}");
    let statement = tree.named("UPDATE tickets")[0];
    let asked = attributes(&statement.attributes);
    let system = if Profile::is_services() { "postgresql" } else { "sqlite" };
    assert_eq!(asked["db.system.name"], system);
    assert_eq!(
        (asked["db.operation.name"].as_str(), asked["db.collection.name"].as_str()),
        ("UPDATE", "tickets")
    );
    if Profile::is_services() {
        let gate = tree.named("gate")[0];
        assert!(tree.children(gate).contains(&"EVALSHA"), "{:?}", tree.children(gate));
        assert_eq!(attributes(&tree.named("EVALSHA")[0].attributes)["db.system.name"], "redis");
    }
    let grant_types: BTreeSet<_> = tree
        .named("POST /token")
        .iter()
        .map(|span| attributes(&span.attributes)["oauth.grant_type"].clone())
        .collect();
    assert_eq!(grant_types, BTreeSet::from(["authorization_code".to_owned(), "refresh_token".to_owned()]));
    assert_eq!(attributes(&tree.only("GET /authorize").attributes)["mandate.client.kind"], "dynamic");
    let decided = attributes(&tree.only("POST /consent/{id}").attributes);
    assert_eq!(decided["mandate.outcome"], "allowed");
    assert!(!decided["url.path"].contains('?'));
}

fn errors_are_told_once(tree: &Tree) {
    let told: Vec<_> = tree.0.iter().filter(|span| has_error(span)).collect();
    let outcomes: BTreeSet<_> = told
        .iter()
        .map(|span| {
            let said = attributes(&span.attributes);
            (span.name.as_str(), said["error.type"].clone(), said["mandate.outcome"].clone())
        })
        .collect();
    let expected = [
        ("tools/call get_ticket", "tool_error".to_owned(), "unable".to_owned()),
        ("tools/call search_tickets", "tool_error".to_owned(), "invalid_arguments".to_owned()),
    ];
    assert_eq!(outcomes, BTreeSet::from(expected));
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn a_trace_goes_on_where_its_caller_is() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "grpc").await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    let header = format!("00-{CALLER}-00f067aa0ba902b7-01");
    let meta = format!("00-{OTHER_CALLER}-00f067aa0ba902b8-01");
    let unsampled = format!("00-{}-00f067aa0ba902b9-00", "ab".repeat(16));
    for (header, meta) in
        [(Some(&header), None), (Some(&header), Some(&meta)), (None, Some(&meta)), (Some(&unsampled), None)]
    {
        call_within(&mcp, header.map(String::as_str), meta.map(String::as_str)).await.structured();
    }
    watched.stop().await;
    let tree = Tree(backend.spans());
    let calls = tree.named("tools/call search_tickets");
    assert_eq!(calls.len(), 3, "what its caller does not record is not recorded");
    let in_header: Vec<_> = calls.iter().filter(|call| hex(&call.trace_id) == CALLER).collect();
    assert_eq!(in_header.len(), 1);
    let request = tree.parent(in_header[0]).unwrap();
    assert_eq!(request.name, "POST /mcp");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(request.trace_state, "", "what a caller writes goes nowhere");
    // The message's own context is its parent; the request that brought it is linked.
    let in_meta: Vec<_> = calls.iter().filter(|call| hex(&call.trace_id) == OTHER_CALLER).collect();
    assert_eq!(in_meta.len(), 2);
    for call in in_meta {
        assert_eq!(hex(&call.parent_span_id), "00f067aa0ba902b8");
        assert_eq!(call.links.len(), 1);
        let request = tree.0.iter().find(|span| span.span_id == call.links[0].span_id).unwrap();
        assert_eq!(request.name, "POST /mcp");
        assert!(tree.children(call).contains(&"gate"));
    }
    assert!(!tree.0.iter().any(|span| hex(&span.trace_id) == "ab".repeat(16)));
}

#[tokio::test]
async fn names_that_callers_make_up_become_no_names_of_spans() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "http/protobuf").await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    mcp.call("made_up_tool", serde_json::json!({})).await;
    mcp.ask("made/up", serde_json::json!({})).await;
    crate::support::http()
        .put(format!("{}?made_up_query=1", watched.place_url("/made/up/path")))
        .send()
        .await
        .unwrap();
    watched.stop().await;
    let tree = Tree(backend.spans());
    let names = tree.names();
    for name in ["tools/call unknown", "unknown", "PUT"] {
        assert_eq!(names.get(name), Some(&1), "{names:?}");
    }
    assert!(!names.keys().any(|name| name.contains("made")), "{names:?}");
    let everything = backend.everything();
    let at = everything.find("made_up").map(|at| &everything[at.saturating_sub(200)..]);
    assert_eq!(at, None, "nor anything else but the path");
}

#[tokio::test]
async fn a_fault_of_ours_is_told_on_one_span_and_in_one_line_with_its_reference() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "http/protobuf").await;
    let danced = dance(&watched.place).await;
    watched.place.change_database("ALTER TABLE tickets RENAME TO gone").await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    let answer = mcp.call("get_ticket", serde_json::json!({ "id": "T-1" })).await;
    assert_eq!(answer.status, reqwest::StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
    let reference = answer.body["error"]["data"]["reference"].as_str().unwrap().to_owned();
    watched.stop().await;
    let tree = Tree(backend.spans());
    let told: Vec<_> = tree.0.iter().filter(|span| has_error(span)).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    let said = attributes(&told[0].attributes);
    assert_eq!(told[0].name, "tools/call get_ticket");
    assert_eq!((said["error.type"].as_str(), &said["mandate.reference"]), ("server_error", &reference));
    let request = attributes(&tree.parent(told[0]).unwrap().attributes);
    assert_eq!(request["http.response.status_code"], "500");
    let lines = backend.logs();
    let errors: Vec<_> = lines.iter().filter(|line| line.severity_text == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(attributes(&errors[0].attributes)["mandate.reference"], reference);
    assert_eq!(errors[0].trace_id, told[0].trace_id);
}

#[tokio::test]
async fn a_back_end_behind_tls_is_trusted_by_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    for protocol in ["http/protobuf", "grpc"] {
        let backend = Backend::start_with_tls(&ca_file).await;
        for (trusted, variable) in [(false, "SSL_CERT_FILE_NOT"), (true, "SSL_CERT_FILE")] {
            let watched = Watched::start(|command| {
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url()).env(variable, &ca_file);
                command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
            })
            .await;
            crate::support::http().get(watched.place_url("/live")).send().await.unwrap();
            watched.stop().await;
            assert_eq!(!backend.spans().is_empty(), trusted, "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_caller_is_believed_that_it_records_the_trace_once_its_token_is_verified() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::start(|command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url());
        command.env("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    })
    .await;
    let danced = dance(&watched.place).await;
    let header = format!("00-{CALLER}-00f067aa0ba902b7-01");
    for path in ["/live", "/authorize", "/mcp"] {
        let asked = crate::support::http().get(watched.place_url(path)).header("traceparent", &header);
        asked.send().await.unwrap();
    }
    call_within(&Mcp::modern(&watched.place, "a.b.c"), Some(&header), Some(&header)).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    call_within(&mcp, None, None).await.structured();
    call_within(&mcp, Some(&header), None).await.structured();
    watched.stop().await;
    let tree = Tree(backend.spans());
    let call = tree.only("tools/call search_tickets");
    assert_eq!(
        (hex(&call.trace_id).as_str(), hex(&call.parent_span_id).as_str()),
        (CALLER, "00f067aa0ba902b7")
    );
    assert_eq!(call.links.len(), 0, "the request itself is not recorded");
    assert!(tree.children(call).contains(&"gate"));
    let of_requests = |name: &&str| name.starts_with("GET ") || name.starts_with("POST ");
    assert_eq!(tree.names().into_keys().find(of_requests), None);
}

#[tokio::test]
async fn every_event_of_the_audit_log_leads_to_the_trace_it_happened_in() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "http/protobuf").await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    mcp.call("create_ticket", serde_json::json!({ "title": "t", "body": "b" })).await.structured();
    let exported = watched.place.done(&["audit", "export"], "");
    watched.stop().await;
    let traces: BTreeSet<_> = backend.spans().iter().map(|span| hex(&span.trace_id)).collect();
    let mut kinds = BTreeSet::new();
    for line in exported.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = event["event"].as_str().unwrap().to_owned();
        // The account was made by a command, not by a request.
        if kind != "account_changed" {
            assert!(event["trace_id"].as_str().is_some_and(|id| traces.contains(id)), "{event}");
            kinds.insert(kind);
        }
    }
    for kind in ["client_registered", "sign_in", "consent", "tokens_issued", "tool_call"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
}
