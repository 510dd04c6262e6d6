//! What the numbers tell.

use std::collections::BTreeMap;
use std::process::Command;

use mandate::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use super::scene::{Watched, dance, ten_calls};
use crate::support::client::{Client, VERIFIER};
use crate::support::http;
use crate::support::mcp::{Mcp, post, send};
use crate::support::otlp::{Backend, Manner, attributes, hex};

/// The samples of a scrape: name and labels, as written, with the value.
fn samples(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let sample = line.split(" # ").next().unwrap();
            let (series, value) = sample.rsplit_once(' ').unwrap();
            (series.to_owned(), value.to_owned())
        })
        .collect()
}

/// A scrape in which so many messages have ended: one ends when nobody works on it any more, which may be a moment
/// after its answer.
async fn until_ended(watched: &Watched, expected: u64) -> String {
    loop {
        let text = watched.scrape().await;
        let found = samples(&text);
        let counts = found
            .iter()
            .filter(|(series, _)| series.starts_with("mcp_server_operation_duration_seconds_count"));
        if counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum::<u64>() >= expected {
            return text;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dance_and_ten_calls_are_counted_exactly() {
    let backend = Backend::start(Manner::Good).await;
    let watched = Watched::sending_to(&backend, "http/protobuf").await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    ten_calls(&mcp).await;
    // A token that is none, a client that is none, and a refresh token that comes again.
    send(post(&watched.place).header("authorization", "Bearer a.b.c").body("{}")).await;
    let client = Client::known(&watched.place, danced.client_id.clone());
    client.refresh(danced.tokens["refresh_token"].as_str().unwrap()).await;
    Client::known(&watched.place, "client_none").redeem("code").await;
    let text = until_ended(&watched, 10).await;
    let found = samples(&text);
    let call = |tool: &str, error: &str| {
        let error = if error.is_empty() { String::new() } else { format!(",error_type=\"{error}\"") };
        format!(
            "mcp_server_operation_duration_seconds_count{{mcp_method_name=\"tools/call\",\
             gen_ai_tool_name=\"{tool}\"{error}}}"
        )
    };
    for (series, value) in [
        (call("create_ticket", ""), "2"),
        (call("search_tickets", ""), "3"),
        (call("search_tickets", "tool_error"), "1"),
        (call("get_ticket", ""), "1"),
        (call("get_ticket", "tool_error"), "1"),
        (call("comment_ticket", ""), "1"),
        (call("close_ticket", ""), "1"),
        ("mandate_tool_errors_total{tool=\"search_tickets\",kind=\"invalid_arguments\"}".into(), "1"),
        ("mandate_tool_errors_total{tool=\"get_ticket\",kind=\"unable\"}".into(), "1"),
        ("mandate_tool_invalid_arguments_total{tool=\"search_tickets\"}".into(), "1"),
        ("mandate_idempotent_replays_total{tool=\"create_ticket\"}".into(), "1"),
        ("mandate_tokens_issued_total{grant_type=\"authorization_code\"}".into(), "1"),
        ("mandate_tokens_issued_total{grant_type=\"refresh_token\"}".into(), "2"),
        ("mandate_refresh_reuse_total{outcome=\"forgiven\"}".into(), "1"),
        ("mandate_consents_total{decision=\"allowed\"}".into(), "1"),
        (
            "mandate_authentication_failures_total{credential=\"access_token\",reason=\"malformed\"}".into(),
            "1",
        ),
        (
            "mandate_authentication_failures_total{credential=\"client_id\",reason=\"invalid_client\"}"
                .into(),
            "1",
        ),
        ("mandate_telemetry_dropped_total{signal=\"traces\",reason=\"queue_full\"}".into(), "0"),
        (
            "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_route=\"/mcp\",\
             http_response_status_code=\"200\"}"
                .into(),
            "10",
        ),
    ] {
        assert_eq!(found.get(&series).map(String::as_str), Some(value), "{series} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    for name in [
        "db_client_operation_duration_seconds_count",
        "db_client_connection_wait_time_seconds_count",
        "db_client_connection_count{",
    ] {
        assert!(found.keys().any(|series| series.starts_with(name)), "{name} in {text}");
    }
    watched.stop().await;
    an_exemplar_leads_to_its_trace(&text, &backend);
    the_same_is_sent(&backend);
}

fn an_exemplar_leads_to_its_trace(text: &str, backend: &Backend) {
    let bucket = "mcp_server_operation_duration_seconds_bucket";
    let line =
        text.lines().find(|line| line.starts_with(bucket) && line.contains(" # {trace_id=\"")).unwrap();
    let id = line.split("trace_id=\"").nth(1).unwrap().split('"').next().unwrap();
    let is_it = |span: &Span| hex(&span.trace_id) == id;
    assert!(backend.spans().iter().any(|span| span.name.starts_with("tools/call ") && is_it(span)), "{line}");
}

fn the_same_is_sent(backend: &Backend) {
    let metrics = backend.metrics();
    let find = |name: &str| {
        metrics.iter().rfind(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    let Some(Data::Sum(issued)) = find("mandate.tokens.issued").data else { panic!("a sum") };
    assert!(issued.is_monotonic);
    assert_eq!(issued.data_points.len(), 2, "{issued:?}");
    let Some(Data::Histogram(calls)) = find("mcp.server.operation.duration").data else {
        panic!("a histogram")
    };
    let replied: u64 = calls
        .data_points
        .iter()
        .filter(|point| {
            attributes(&point.attributes).get("gen_ai.tool.name").is_some_and(|name| name == "create_ticket")
        })
        .map(|point| point.count)
        .sum();
    assert_eq!(replied, 2);
    assert_eq!(find("mcp.server.operation.duration").unit, "s");
    assert!(!backend.everything().contains(VERIFIER));
}

#[tokio::test]
async fn a_flood_of_clients_makes_no_series() {
    let watched = Watched::start(|command| {
        command.env("MANDATE_MCP__READS_PER_MINUTE", "1");
    })
    .await;
    let flood = async |rounds: std::ops::Range<usize>| {
        for number in rounds {
            let client = Client::register(&watched.place).await;
            Client::known(&watched.place, format!("client_{number}")).redeem("code").await;
            client.redeem(&format!("code{number}")).await;
            let path = watched.place_url(&format!("/nowhere/{number}"));
            http().get(path).send().await.unwrap();
        }
    };
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    for _ in 0..2 {
        mcp.call("search_tickets", json!({ "query": "x" })).await;
        mcp.call("no_such_tool", json!({})).await;
        mcp.ask("no/such/method", json!({})).await;
    }
    flood(0..5).await;
    let before = samples(&until_ended(&watched, 6).await);
    flood(5..505).await;
    for number in 0..20 {
        mcp.call(&format!("tool_{number}"), json!({})).await;
        mcp.ask(&format!("method/{number}"), json!({})).await;
    }
    let after = until_ended(&watched, 46).await;
    let unknown =
        "mcp_server_operation_duration_seconds_count{mcp_method_name=\"unknown\",error_type=\"-32601\"}";
    let found = samples(&after);
    assert_eq!(found.get(unknown).map(String::as_str), Some("22"), "{after}");
    let new: Vec<_> = found.keys().filter(|series| !before.contains_key(*series)).collect();
    assert!(new.is_empty(), "{new:#?}");
    let limited = "mandate_rate_limit_refusals_total{client=\"dynamic\",limit=\"read\"}";
    assert_eq!(found.get(limited).map(String::as_str), Some("1"), "{after}");
}

#[tokio::test]
async fn a_scrape_tells_the_version_that_runs_and_what_the_process_takes() {
    let before = SystemClock.now().unix_seconds();
    let watched = Watched::start(|_| {}).await;
    let text = watched.scrape().await;
    let found = samples(&text);
    let said = Command::new(env!("CARGO_BIN_EXE_mandate")).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    // `mandate NUMBER (COMMIT DAY)`, or a word in place of commit and day.
    let mut words = said.split_whitespace().skip(1);
    let (number, commit) = (words.next().unwrap(), words.next().unwrap());
    let commit = commit.trim_matches(['(', ')']);
    let info = format!("mandate_build_info{{version=\"{number}\",commit=\"{commit}\"}}");
    assert_eq!(found.get(&info).map(String::as_str), Some("1"), "{text}");
    let level = |name: &str| -> i64 {
        found.get(name).unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    };
    assert!(
        (before..=SystemClock.now().unix_seconds()).contains(&level("process_start_time_seconds")),
        "{text}"
    );
    if cfg!(target_os = "linux") {
        assert!(level("process_resident_memory_bytes") > 1_000_000, "{text}");
        assert!((3..=level("process_max_fds")).contains(&level("process_open_fds")), "{text}");
    }
}

#[tokio::test]
async fn the_public_listener_has_no_metrics() {
    let watched = Watched::start(|_| {}).await;
    let answer = http().get(watched.place_url("/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), reqwest::StatusCode::NOT_FOUND);
    assert!(watched.scrape().await.contains("mandate_telemetry_dropped"), "they are elsewhere");
}

#[tokio::test]
async fn a_refusal_for_its_rate_does_not_ask_the_database_who_it_was() {
    let watched = Watched::start(|command| {
        command.env("MANDATE_MCP__READS_PER_MINUTE", "1");
    })
    .await;
    let danced = dance(&watched.place).await;
    let mcp = Mcp::modern(&watched.place, danced.token());
    let refuse = async |times: u64| {
        for _ in 0..times {
            mcp.call("search_tickets", json!({ "query": "x" })).await;
        }
    };
    let asked = |text: &str| -> u64 {
        let lines = samples(text);
        let of = lines.iter().filter(|(series, _)| {
            series.starts_with("db_client_operation_duration_seconds_count") && series.contains("\"SELECT\"")
        });
        of.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    };
    refuse(3).await;
    let before = asked(&until_ended(&watched, 3).await);
    refuse(40).await;
    let after = until_ended(&watched, 43).await;
    assert!(
        after.contains("mandate_rate_limit_refusals_total{client=\"dynamic\",limit=\"read\"} 42"),
        "{after}"
    );
    // Each call may ask for its grant, where nothing remembers it, and the server asks a little on its own.
    assert!(asked(&after) - before < 60, "{} after {before}", asked(&after));
    watched.stop().await;
}
