//! Calls with a good token, in both eras: sessions, headers, and a stream that stays open.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Visit, mcp};
use crate::cli::doctor::Token;
use crate::cli::doctor::findings::{
    ANSWERS_KEPT, AUTHORIZATION_STRIPPED, CALL_FAILS, CHALLENGE_INCOMPLETE, CHALLENGE_STATUS, Finding,
    HOST_REFUSED, MCP_HEADERS_STRIPPED, SESSION_HIDDEN, STREAM_COMPRESSED, STREAM_HELD, TOKEN_REFUSED,
};
use crate::cli::doctor::probe::{Answer, Ask};
use crate::clock::Stopwatch;
use crate::connect::Parser;

/// "A header does not match the body" (MCP 2026-07-28, "Server Validation").
const HEADER_MISMATCH: i64 = -32_020;
/// "No such method" and "no such version": a server of the other era.
const ANOTHER_ERA: [i64; 2] = [-32_601, -32_022];
/// A tool that there is not, so that nothing is done.
const NO_TOOL: &str = "mandate-doctor-no-such-tool";
/// How long the first event of an open stream may take.
const FIRST_EVENT: Duration = Duration::from_secs(5);
/// Findings after which no token is taken, whatever it is.
const KEEP_TOKENS: [&Finding; 5] =
    [&ANSWERS_KEPT, &AUTHORIZATION_STRIPPED, &CHALLENGE_INCOMPLETE, &CHALLENGE_STATUS, &HOST_REFUSED];
/// The longest event that is read, in bytes.
const LONGEST_EVENT: usize = 64 * 1024;

pub(super) async fn check(visit: &mut Visit<'_>, token: &Token) {
    if !legacy(visit, token).await {
        return;
    }
    modern(visit, token).await;
}

fn with_token(ask: Ask, token: &Token) -> Ask {
    ask.header("authorization", format!("Bearer {}", token.reveal()))
}

/// The JSON-RPC answer in a body, be it JSON or a stream with it.
fn message(answer: &Answer) -> Option<Map<String, Value>> {
    if !answer.header("content-type").starts_with("text/event-stream") {
        return answer.object();
    }
    let events = Parser::new(LONGEST_EVENT).push(&answer.body).ok()?;
    let messages = events.iter().filter_map(|event| serde_json::from_str(&event.data).ok());
    messages.into_iter().find(|message: &Map<String, Value>| message.contains_key("id"))
}

fn error_code(message: &Map<String, Value>) -> Option<i64> {
    message.get("error")?.get("code")?.as_i64()
}

/// Whether the token is taken.
async fn legacy(visit: &mut Visit<'_>, token: &Token) -> bool {
    let ask = with_token(mcp::initialize(&visit.endpoint), token);
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&CALL_FAILS, "initialize", &trouble);
            return false;
        }
    };
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        // Where no token arrives, this one cannot be judged.
        if !KEEP_TOKENS.iter().any(|finding| visit.report.has(finding)) {
            visit.report.found(&TOKEN_REFUSED, format!("(initialize: {})", answer.status));
        }
        return false;
    }
    let result = message(&answer).filter(|message| message.contains_key("result"));
    if result.is_none() {
        // One of the newer era alone has no initialize.
        if message(&answer).as_ref().and_then(error_code).is_none_or(|code| !ANOTHER_ERA.contains(&code)) {
            visit.report.found(&CALL_FAILS, format!("(initialize: {})", answer.shown()));
        }
        return true;
    }
    visit.report.ok(format!("initialize is answered ({} ms)", answer.took.as_millis()));
    session(visit, token, answer.header("mcp-session-id")).await;
    true
}

/// The session, if there is one, must be known to the next request. Only that the server lost the header again can be
/// told from outside: one that never gave it may keep no sessions.
async fn session(visit: &mut Visit<'_>, token: &Token, session: &str) {
    let ask = mcp::legacy(&visit.endpoint, "tools/list", &json!({}));
    let ask = with_token(ask, token).header("mcp-protocol-version", mcp::LEGACY);
    let ask = if session.is_empty() { ask } else { ask.header("mcp-session-id", session) };
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&CALL_FAILS, "tools/list", &trouble);
            return;
        }
    };
    let tools =
        message(&answer).and_then(|message| Some(message.get("result")?.get("tools")?.as_array()?.len()));
    match tools {
        Some(count) => visit.report.ok(format!("tools/list names {count} tools")),
        None if matches!(answer.status.as_u16(), 400 | 404) => {
            visit.report.found(&SESSION_HIDDEN, format!("(tools/list: {})", answer.status));
        }
        None => visit.report.found(&CALL_FAILS, format!("(tools/list: {})", answer.shown())),
    }
    if !session.is_empty() {
        hear(visit, token, session).await;
    }
}

/// GET opens a stream only for who has a session: one that the server does not know does not arrive.
async fn hear(visit: &mut Visit<'_>, token: &Token, session: &str) {
    let ask = Ask::new(http::Method::DELETE, &visit.endpoint)
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", mcp::LEGACY);
    let Ok(answer) = visit.ask(&with_token(ask, token)).await else { return };
    match answer.status.as_u16() {
        // A server may not let clients end sessions; one that has sessions says so with an Allow that lacks DELETE, as
        // does one that did not see the header.
        200..=299 => visit.report.ok("the session's header passes both ways"),
        400 | 404 | 405 => visit.report.found(&SESSION_HIDDEN, format!("(DELETE: {})", answer.status)),
        _ => visit.report.found(&CALL_FAILS, format!("(DELETE: {})", answer.shown())),
    }
}

/// The stateless era: its headers, and a stream.
async fn modern(visit: &mut Visit<'_>, token: &Token) {
    let unknown_tool = json!({ "name": NO_TOOL, "arguments": {} });
    let asks = [
        ("server/discover", None, Map::new()),
        ("tools/call", Some(NO_TOOL), unknown_tool.as_object().cloned().unwrap_or_default()),
    ];
    for (method, name, params) in asks {
        let ask = with_token(mcp::modern(&visit.endpoint, method, name, params), token);
        let answer = match visit.ask(&ask).await {
            Ok(answer) => answer,
            Err(trouble) => {
                visit.failed(&CALL_FAILS, method, &trouble);
                return;
            }
        };
        let said = message(&answer);
        match said.as_ref().and_then(error_code) {
            Some(HEADER_MISMATCH) => {
                let why = said.as_ref().and_then(|said| said.get("error")?.get("message")?.as_str());
                let text = format!("({method}: {})", why.unwrap_or_default());
                visit.report.found(&MCP_HEADERS_STRIPPED, text);
                return;
            }
            Some(code) if ANOTHER_ERA.contains(&code) && name.is_none() => {
                visit.report.ok("the server is of the era with sessions alone");
                return;
            }
            _ if said.is_none() || answer.status.is_server_error() => {
                visit.report.found(&CALL_FAILS, format!("({method}: {})", answer.shown()));
                return;
            }
            _ => {}
        }
    }
    visit.report.ok("server/discover is answered, and the headers of that era arrive");
    stream(visit, token).await;
}

/// A stream whose first event comes at once, and which then stays open.
async fn stream(visit: &mut Visit<'_>, token: &Token) {
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let params = wanted.as_object().cloned().unwrap_or_default();
    let ask = with_token(mcp::modern(&visit.endpoint, "subscriptions/listen", None, params), token);
    let ask = ask.header("accept-encoding", "gzip, deflate, br, zstd");
    let watch = Stopwatch::start();
    let reading = async {
        let mut response = visit.probe.open(&ask).await.ok()?;
        let is_stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if response.status() != StatusCode::OK || !is_stream {
            return Some(Err(response.status()));
        }
        let packed = response.headers().get("content-encoding").cloned();
        let first = response.chunk().await.ok().flatten();
        first.map(|_| Ok(packed))
    };
    match tokio::time::timeout(FIRST_EVENT, reading).await {
        Err(_) => {
            let text = format!("(subscriptions/listen: nothing within {} s)", FIRST_EVENT.as_secs());
            visit.report.found(&STREAM_HELD, text);
        }
        Ok(None) => visit.report.found(&CALL_FAILS, "(subscriptions/listen: it broke off)"),
        Ok(Some(Err(status))) if status.is_server_error() => {
            visit.report.found(&CALL_FAILS, format!("(subscriptions/listen: {status})"));
        }
        Ok(Some(Err(_))) => visit.report.ok("the server offers no stream"),
        Ok(Some(Ok(Some(packed)))) => {
            visit.report.found(&STREAM_COMPRESSED, format!("({})", packed.to_str().unwrap_or_default()));
        }
        Ok(Some(Ok(None))) => {
            let text = format!("a stream's first event comes at once ({} ms)", watch.elapsed().as_millis());
            visit.report.ok(text);
        }
    }
}
