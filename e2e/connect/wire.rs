//! The bridge as a client of streamable HTTP: what it sends, what it passes on, and what it makes of breaks.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::support::stub::{Stub, broken, events, json_answer, open_events, result};
use super::support::{Machine, initialize, modern, until};
use crate::support::Server;
use crate::support::mcp::{LEGACY, MODERN};

fn event(id: &str, message: &Value) -> String {
    format!("id: {id}\ndata: {message}\n\n")
}

fn session(seen: &super::support::stub::Seen, id: &str) -> axum::http::Response<axum::body::Body> {
    let begun = json!({ "protocolVersion": LEGACY, "capabilities": {}, "serverInfo": { "name": "s", "version": "1" } });
    let mut response = result(seen, &begun);
    response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
    response
}

#[tokio::test]
async fn messages_pass_as_they_came() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    stub.next("POST /mcp", 200, &[], "{\n  \"jsonrpc\": \"2.0\",\r\n \"id\": \"\u{fc}\",\n \"result\": {\"big\": 12345678901234567890},\n \"x\": null\n}\n");
    bridge.write(r#"{"unknown":{"kept":true},"id":"ü","jsonrpc":"2.0","method":"ping","params":{"n":1.50}}"#);
    let answer = bridge.next().await;
    assert_eq!(
        answer,
        json!({ "jsonrpc": "2.0", "id": "\u{fc}", "result": { "big": 12_345_678_901_234_567_890_u64 }, "x": null })
    );
    let seen = &stub.seen("POST /mcp")[0];
    assert_eq!(seen.body["unknown"]["kept"], true);
    assert_eq!(seen.header("accept"), "application/json, text/event-stream");
    assert_eq!(seen.header("authorization"), "");
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_bridge_goes_on() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.write("hello");
    assert_eq!(bridge.next().await["error"]["code"], -32700);
    stub.next("POST /mcp", 200, &[("content-type", "text/html")], "<html>");
    let answer = bridge.ask(1, "ping", &json!({})).await;
    assert_eq!(answer["error"]["data"]["reason"], "unexpected_answer", "{answer}");
    stub.next("POST /mcp", 400, &[], r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#);
    let answer = bridge.ask(2, "ping", &json!({})).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(2), &json!(-32600)));
    assert!(bridge.ask(3, "ping", &json!({})).await["result"].is_object());
}

#[tokio::test]
async fn a_session_is_carried_and_ended() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    stub.next_by("POST /mcp", |seen| session(seen, "s-1"));
    bridge.initialize().await;
    bridge.ask(1, "ping", &json!({})).await;
    assert!(bridge.close().await.success());
    let seen = stub.seen("POST /mcp");
    assert_eq!(seen.len(), 3);
    assert_eq!((seen[0].header("mcp-session-id"), seen[0].header("mcp-protocol-version")), ("", ""));
    for seen in &seen[1..] {
        assert_eq!((seen.header("mcp-session-id"), seen.header("mcp-protocol-version")), ("s-1", LEGACY));
    }
    assert_eq!(stub.seen("DELETE /mcp")[0].header("mcp-session-id"), "s-1");
}

#[tokio::test]
async fn a_session_that_the_server_lost_is_opened_again_and_the_client_need_not_know() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    for lost in [
        (404, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#),
        (404, "not found"),
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID"}}"#,
        ),
    ] {
        let mut bridge = machine.connect(&stub.at("/mcp"));
        let before = stub.seen("POST /mcp").len();
        stub.next_by("POST /mcp", |seen| session(seen, "s-1"));
        bridge.initialize().await;
        stub.wait_for("POST /mcp", before + 2).await;
        for id in 1..=2 {
            bridge.ask(id, "ping", &json!({})).await;
        }
        stub.next("POST /mcp", lost.0, &[], lost.1);
        stub.next_by("POST /mcp", |seen| session(seen, "s-2"));
        let answer = bridge.ask(3, "tools/call", &json!({ "name": "write" })).await;
        assert_eq!(answer["result"]["echo"]["name"], "write", "{answer}");
        let seen = stub.seen("POST /mcp").split_off(before + 4);
        let methods: Vec<&str> = seen.iter().map(|seen| seen.body["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["tools/call", "initialize", "notifications/initialized", "tools/call"]);
        assert_eq!(seen[1].body["params"], initialize(0)["params"]);
        let sessions: Vec<&str> = seen.iter().map(|seen| seen.header("mcp-session-id")).collect();
        assert_eq!(sessions, ["s-1", "", "s-2", "s-2"]);
    }
}

#[tokio::test]
async fn the_servers_own_messages_come_and_go_on_where_the_stream_broke() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let asked =
        json!({ "jsonrpc": "2.0", "id": "s1", "method": "elicitation/create", "params": { "message": "?" } });
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    let first = format!("retry: 10\n{}", event("e-1", &asked));
    stub.next_by("GET /mcp", move |_| events(std::slice::from_ref(&first)));
    stub.next_by("GET /mcp", move |_| open_events(&[event("e-2", &changed)]));
    stub.next_by("POST /mcp", |seen| session(seen, "s-1"));
    bridge.initialize().await;
    assert_eq!(bridge.next().await["method"], "elicitation/create");
    assert_eq!(bridge.next().await["method"], "notifications/tools/list_changed");
    let seen = stub.seen("GET /mcp");
    assert_eq!((seen[0].header("last-event-id"), seen[1].header("last-event-id")), ("", "e-1"));
    assert_eq!(seen[1].header("mcp-session-id"), "s-1");
    bridge.send(&json!({ "jsonrpc": "2.0", "id": "s1", "result": { "action": "accept" } }));
    let answer = stub.wait_for("POST /mcp", 3).await;
    assert_eq!(
        (&answer.body["result"]["action"], answer.header("mcp-session-id")),
        (&json!("accept"), "s-1")
    );
}

#[tokio::test]
async fn an_answer_goes_on_where_its_stream_broke() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    stub.next_by("POST /mcp", |seen| session(seen, "s-1"));
    bridge.initialize().await;
    stub.wait_for("GET /mcp", 1).await;
    let progress =
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progress": 1 } });
    let first = ["id: a-1\nretry: 10\ndata:\n\n".to_owned(), event("a-2", &progress)];
    stub.next_by("POST /mcp", move |_| events(&first));
    stub.next_by("GET /mcp", |_| events(&["id: a-3\ndata:\n\n".to_owned()]));
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "done": true } });
    stub.next_by("GET /mcp", move |_| events(&[event("a-4", &answer)]));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "write" } }));
    assert_eq!(bridge.next().await["method"], "notifications/progress");
    assert_eq!(bridge.next().await["result"]["done"], true);
    let ids: Vec<String> =
        stub.seen("GET /mcp").iter().map(|seen| seen.header("last-event-id").to_owned()).collect();
    assert_eq!(ids, ["", "a-2", "a-3"]);
}

#[tokio::test]
async fn a_server_that_only_says_to_come_back_is_asked_ever_more_rarely() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    stub.next_by("POST /mcp", |seen| session(seen, "s-1"));
    bridge.initialize().await;
    stub.wait_for("GET /mcp", 1).await;
    let again = |number: usize| format!("id: a-{number}\nretry: 0\ndata:\n\n");
    stub.next_by("POST /mcp", move |_| events(&[again(0)]));
    let asked = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=3 {
        let asked = asked.clone();
        stub.next_by("GET /mcp", move |_| {
            asked.lock().unwrap().push(tokio::time::Instant::now());
            events(&[again(number)])
        });
    }
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "done": true } });
    stub.next_by("GET /mcp", move |_| events(&[event("a-9", &answer)]));
    assert_eq!(bridge.ask(1, "ping", &json!({})).await["result"]["done"], true);
    // Waits of at least 300 and 600 milliseconds: more on a machine that is busy, and never less.
    let asked = asked.lock().unwrap();
    assert!(asked[2] - asked[0] > std::time::Duration::from_millis(800), "{asked:?}");
}

#[tokio::test]
async fn a_call_whose_connection_broke_is_repeated_only_if_that_does_no_harm() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let schema = json!({ "type": "object", "properties": { "idempotency_key": { "type": "string" } } });
    let tools = json!({ "tools": [
        { "name": "read", "annotations": { "readOnlyHint": true } },
        { "name": "write", "inputSchema": schema },
    ] });
    stub.next_by("POST /mcp", move |seen| result(seen, &tools));
    bridge.ask_modern(0, "tools/list", &json!({})).await;
    for (tool, arguments, is_repeated) in [
        ("read", json!({}), true),
        ("write", json!({}), false),
        ("write", json!({ "idempotency_key": "k" }), true),
        ("unknown", json!({}), false),
    ] {
        for kind in ["application/json", "text/event-stream"] {
            let before = stub.seen("POST /mcp").len();
            stub.next_by("POST /mcp", move |_| broken(kind));
            let answer = bridge.call(1, tool, &arguments).await;
            let sent = stub.seen("POST /mcp").len() - before;
            if is_repeated {
                assert!(sent == 2 && answer["result"].is_object(), "{tool} {arguments}: {answer}");
            } else {
                assert_eq!(
                    answer["error"]["data"]["reason"], "outcome_unknown",
                    "{tool} {arguments}: {answer}"
                );
                assert_eq!(sent, 1);
            }
        }
    }
}

#[tokio::test]
async fn who_says_when_to_come_back_is_asked_again_then() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    stub.next("POST /mcp", 503, &[("retry-after", "1")], "");
    assert!(bridge.ask_modern(1, "tools/list", &json!({})).await["result"].is_object());
    let mut sent = stub.seen("POST /mcp").len();
    let error = json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -32603, "message": "503: later" } });
    for (header, body) in [("retry-after", ""), ("x-none", ""), ("retry-after", error.to_string().as_str())] {
        stub.next("POST /mcp", 503, &[(header, "1")], body);
        let answer = bridge.call(2, "write", &json!({})).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains("503"), "{answer}");
        sent += 1;
        assert_eq!(stub.seen("POST /mcp").len(), sent, "it may have been done");
    }
    stub.next("POST /mcp", 502, &[], "<html>bad gateway");
    assert!(bridge.ask_modern(3, "tools/list", &json!({})).await["result"].is_object());
    stub.next(
        "POST /mcp",
        429,
        &[("retry-after", "7")],
        r#"{"jsonrpc":"2.0","id":4,"error":{"code":-1,"message":"wait"}}"#,
    );
    assert_eq!(bridge.call(4, "write", &json!({})).await["error"]["message"], "wait");
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let mut stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.call(1, "write", &json!({})).await;
    stub.stop().await;
    let call = modern(&json!({ "name": "write" }));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call }));
    stub.go_on().await;
    assert!(bridge.answer(&json!(2)).await["result"].is_object());
    assert_eq!(stub.seen("POST /mcp").len(), 2);
}

#[tokio::test]
async fn our_own_server_may_restart() {
    let server = Server::with_people().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    bridge.send(&initialize(0));
    super::support::allow(&server, &machine.sent_to(1).await, "alice", &["tickets:read"]).await;
    bridge.answer(&json!(0)).await;
    bridge.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    let call = json!({ "name": "search_tickets", "arguments": { "query": "printer" } });
    for id in 1..=2 {
        let answer = bridge.ask(id, "tools/call", &call).await;
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        if id == 1 {
            server.restart_with_nothing_remembered().await;
        }
    }
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn the_stateless_era_has_its_headers_and_no_session() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let region = json!({ "type": "string", "x-mcp-header": "Region" });
    let tools = json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object", "properties": { "region": region } } }] });
    let mismatch = json!({ "code": -32020, "message": "header mismatch" });
    // It was never listed: the server says that something is missing, and the bridge looks.
    stub.next_by("POST /mcp", move |seen| {
        json_answer(
            axum::http::StatusCode::BAD_REQUEST,
            &json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": mismatch }),
        )
    });
    stub.next_by("POST /mcp", move |seen| result(seen, &tools));
    let answer = bridge.call(1, "t", &json!({ "region": "\u{fc}" })).await;
    assert!(answer["result"].is_object(), "{answer}");
    let seen = stub.seen("POST /mcp");
    assert_eq!(seen.len(), 3);
    assert_eq!(
        (seen[0].header("mcp-protocol-version"), seen[0].header("mcp-method")),
        (MODERN, "tools/call")
    );
    assert_eq!((seen[0].header("mcp-name"), seen[0].header("mcp-param-region")), ("t", ""));
    assert_eq!(
        (seen[1].header("mcp-method"), &seen[1].body["params"]["_meta"]),
        ("tools/list", &modern(&json!({}))["_meta"])
    );
    assert_eq!(seen[2].header("mcp-param-region"), "=?base64?w7w=?=");
    assert!(seen.iter().all(|seen| seen.header("mcp-session-id").is_empty()));
}

#[tokio::test]
async fn to_cancel_is_to_close_the_stream_in_the_stateless_era_and_a_message_before() {
    let server = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&server.at("/mcp"));
    let (closed, mut waiting) = tokio::sync::mpsc::unbounded_channel::<()>();
    server.next_by("POST /mcp", move |_| {
        let held = closed.clone();
        let stream = futures::stream::once(async {
            Ok::<_, std::io::Error>(axum::body::Bytes::from_static(b": hi\n\n"))
        });
        let stream = futures::StreamExt::chain(
            stream,
            futures::stream::once(async move {
                let _held = held;
                std::future::pending().await
            }),
        );
        let builder = axum::http::Response::builder().header("content-type", "text/event-stream");
        builder.body(axum::body::Body::from_stream(stream)).unwrap()
    });
    let call = modern(&json!({ "name": "slow" }));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }));
    server.wait_for("POST /mcp", 1).await;
    bridge.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    // The only holder left is the script, which the queue has dropped: the channel ends with the stream.
    assert_eq!(waiting.recv().await, None);
    assert!(bridge.ask_modern(2, "tools/list", &json!({})).await["result"].is_object());
    assert_eq!(server.seen("POST /mcp").len(), 2, "nothing was said but by closing");
    bridge.initialize().await;
    server.next_by("POST /mcp", |_| open_events(&[]));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "slow" } }));
    server.wait_for("POST /mcp", 5).await;
    bridge.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 3 } }),
    );
    assert_eq!(server.wait_for("POST /mcp", 6).await.body["method"], "notifications/cancelled");
}

#[tokio::test]
async fn a_subscription_outlives_its_streams_and_misses_no_change() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": 1 });
    let begun = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": meta, "notifications": {} } });
    let update = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated",
        "params": { "_meta": meta, "uri": "ticket://T-2" } });
    let over = json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "complete", "_meta": meta } });
    let all = [begun.clone(), update.clone(), over].map(|message| format!("data: {message}\n\n"));
    stub.next_by("POST /mcp", move |_| events(&all));
    let again = [begun, update].map(|message| format!("data: {message}\n\n"));
    let ends = again.clone();
    stub.next_by("POST /mcp", move |_| events(&again));
    stub.next_by("POST /mcp", move |_| open_events(&ends));
    let params = modern(&json!({ "notifications": { "resourceSubscriptions": ["ticket://T-1"] } }));
    bridge.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params }));
    let mut heard = Vec::new();
    for _ in 0..6 {
        let message = bridge.next().await;
        let uri = message["params"]["uri"].as_str().unwrap_or("begun").to_owned();
        assert_eq!(message["params"]["_meta"], meta, "{message}");
        heard.push(uri);
    }
    let (one, two) = ("ticket://T-1", "ticket://T-2");
    assert_eq!(heard, ["begun", two, one, two, one, two]);
    bridge.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    assert!(bridge.ask_modern(2, "tools/list", &json!({})).await["result"].is_object());
    assert!(bridge.close().await.success());
}

#[tokio::test]
async fn nothing_that_the_server_sends_grows_without_bounds() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    for kind in ["application/json", "text/event-stream"] {
        stub.next_by("POST /mcp", move |_| {
            let piece = axum::body::Bytes::from(vec![b'x'; 1 << 20]);
            let stream = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            let builder = axum::http::Response::builder().header("content-type", kind);
            builder.body(axum::body::Body::from_stream(stream)).unwrap()
        });
        let answer = bridge.ask(1, "ping", &json!({})).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains("longer than"), "{answer}");
    }
}

#[tokio::test]
async fn a_reader_that_is_slow_makes_the_server_wait() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = sent.clone();
    stub.next_by("POST /mcp", move |_| {
        let counting = counting.clone();
        let stream = futures::stream::repeat_with(move || {
            counting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "data": "x".repeat(60_000) } });
            Ok::<_, std::io::Error>(axum::body::Bytes::from(format!("data: {note}\n\n")))
        });
        let builder = axum::http::Response::builder().header("content-type", "text/event-stream");
        builder.body(axum::body::Body::from_stream(stream)).unwrap()
    });
    let mut command = machine.command(&["--token-store", "file", &stub.at("/mcp")]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let line = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{line}\n").as_bytes()).unwrap();
    // Until the server is held back: its count stands still over many looks.
    let still = std::cell::Cell::new((0, 0));
    until(|| {
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        let (before, times) = still.get();
        still.set(if now == before && now > 0 { (now, times + 1) } else { (now, 0) });
        (still.get().1 >= 50).then_some(())
    })
    .await;
    let resident = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = resident.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(sent.load(std::sync::atomic::Ordering::SeqCst) < 500, "{sent:?}");
    assert!(kilobytes < 200_000, "{line}");
}
