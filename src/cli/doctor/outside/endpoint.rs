//! The MCP endpoint without a good token: the challenge, in every form in which clients meet it.

use http::{Method, StatusCode};
use serde_json::{Map, json};
use url::Url;

use super::{Visit, mcp};
use crate::cli::doctor::findings::{
    ANSWERS_KEPT, AUTHORIZATION_STRIPPED, BODY_LIMIT, BODY_LIMIT_LOW, CHALLENGE_ERROR, CHALLENGE_INCOMPLETE,
    CHALLENGE_STATUS, CHALLENGE_STRIPPED, ENDPOINT_MISSING, ERAS_DIFFER, GET_ANSWERS, HOST_REFUSED,
    NO_CHALLENGE, SLASH_DIFFERS, SLASH_REDIRECTS,
};
use crate::cli::doctor::probe::{Answer, Ask, Trouble};
use crate::connect::Challenge;

/// A token that nobody issued.
const WRONG_TOKEN: &str = "mandate-doctor-sends-a-token-that-nobody-issued";
/// What must pass, and what this server would take besides; in KiB.
const MUST_PASS: usize = 200;
const MAY_PASS: usize = 900;
/// Where the limit is looked for when that does not pass; in KiB.
const SMALLER: [usize; 5] = [128, 96, 64, 32, 8];

/// Yields the challenge; an empty one when there is none to be seen.
pub(super) async fn check(visit: &mut Visit<'_>) -> Challenge {
    let ask = mcp::initialize(&visit.endpoint);
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&CHALLENGE_STATUS, &ask.shown(), &trouble);
            return Challenge::default();
        }
    };
    let challenge = Challenge::of(&answer.headers);
    let asks = judge(visit, &ask, &answer, &challenge);
    modern(visit, &answer).await;
    visit.reached = !answer.status.is_redirection() && !visit.report.has(&HOST_REFUSED);
    if visit.reached {
        slash(visit, &answer).await;
        get(visit).await;
    }
    // Whoever answers in the server's place knows nothing of tokens.
    if asks && challenge.resource_metadata.is_some() {
        authorization(visit).await;
    }
    if asks {
        bodies(visit).await;
    }
    challenge
}

/// Whether it asks for a token at all.
fn judge(visit: &mut Visit<'_>, ask: &Ask, answer: &Answer, challenge: &Challenge) -> bool {
    let at = format!("({}: {})", ask.shown(), answer.shown());
    match answer.status {
        StatusCode::UNAUTHORIZED => {}
        StatusCode::NOT_FOUND => {
            visit.report.found(&ENDPOINT_MISSING, at);
            return false;
        }
        status if status.is_redirection() => {
            visit.note_kind(ask, answer);
            return false;
        }
        status if status.is_success() => {
            visit.report.found(&NO_CHALLENGE, at);
            return false;
        }
        StatusCode::FORBIDDEN if String::from_utf8_lossy(&answer.body).contains("Host header") => {
            visit.report.found(&HOST_REFUSED, at);
            return false;
        }
        _ => {
            visit.report.found(&CHALLENGE_STATUS, at);
            return false;
        }
    }
    visit.note_kind(ask, answer);
    if !has_challenge(answer) {
        let renamed = answer.headers.keys().find(|name| name.as_str().ends_with("-www-authenticate"));
        let renamed = renamed.map(|name| format!("; it is there as {name}")).unwrap_or_default();
        visit.report.found(&CHALLENGE_STRIPPED, format!("({}: {}{renamed})", ask.shown(), answer.status));
    } else if challenge.resource_metadata.is_none() {
        let text = format!("(it says {})", answer.header("www-authenticate"));
        visit.report.found(&CHALLENGE_INCOMPLETE, text);
    } else {
        visit.report.ok(format!(
            "without a token: 401, and the challenge says where to sign in ({} ms)",
            answer.took.as_millis()
        ));
    }
    if let Some(error) = &challenge.error {
        visit.report.found(&CHALLENGE_ERROR, format!("({error})"));
    }
    true
}

/// Both eras must be asked for a token from the first request on.
async fn modern(visit: &mut Visit<'_>, first: &Answer) {
    let ask = mcp::modern(&visit.endpoint, "server/discover", None, Map::new());
    match visit.ask(&ask).await {
        Ok(answer) if answer.status == first.status => {
            if !visit.note_kind(&ask, &answer) && answer.status == StatusCode::UNAUTHORIZED {
                visit.report.ok("clients of either era are asked for a token");
            }
        }
        Ok(answer) => {
            let text = format!("(initialize: {}, server/discover: {})", first.status, answer.status);
            visit.report.found(&ERAS_DIFFER, text);
        }
        Err(trouble) => visit.failed(&ERAS_DIFFER, "server/discover", &trouble),
    }
}

/// The endpoint's other spelling: with a slash at the end, or without.
fn other_spelling(endpoint: &Url) -> Option<Url> {
    let path = endpoint.path();
    let other = match path.strip_suffix('/') {
        Some("") => return None,
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };
    let mut url = endpoint.clone();
    url.set_path(&other);
    Some(url)
}

fn has_challenge(answer: &Answer) -> bool {
    answer.headers.contains_key("www-authenticate")
}

async fn slash(visit: &mut Visit<'_>, first: &Answer) {
    if visit.report.has(&SLASH_REDIRECTS) {
        return;
    }
    let Some(other) = other_spelling(&visit.endpoint) else { return };
    let ask = mcp::initialize(&other);
    match visit.ask(&ask).await {
        Ok(answer) if answer.status.is_redirection() => {
            visit.report.found(&SLASH_REDIRECTS, format!("({}: {})", ask.shown(), answer.shown()));
        }
        Ok(answer) if has_challenge(first) && !has_challenge(&answer) => {
            visit.report.found(&SLASH_DIFFERS, format!("({}: no WWW-Authenticate)", ask.shown()));
        }
        Ok(answer) if answer.status != first.status => {
            visit.report.found(&SLASH_DIFFERS, format!("({}: {})", ask.shown(), answer.shown()));
        }
        Ok(answer) => {
            if !visit.note_kind(&ask, &answer) {
                visit.report.ok(format!("{} is served alike", other.path()));
            }
        }
        Err(trouble) => visit.failed(&SLASH_DIFFERS, &ask.shown(), &trouble),
    }
}

/// GET and HEAD: 405, a challenge, or a stream; what else there is makes clients loop.
async fn get(visit: &mut Visit<'_>) {
    let (mut odd, silences) = (Vec::new(), visit.silences());
    for method in [Method::GET, Method::HEAD] {
        let ask = Ask::new(method, &visit.endpoint).header("accept", "text/event-stream");
        // Only the head of the answer: a stream has no end.
        let said = match visit.probe.open(&ask).await {
            Ok(answer) => {
                let is_stream = answer
                    .headers()
                    .get("content-type")
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
                let fine = matches!(answer.status().as_u16(), 401 | 405)
                    || (answer.status() == StatusCode::OK && is_stream);
                (!fine).then(|| answer.status().to_string())
            }
            Err(Trouble::Silence(_)) => None,
            Err(trouble) => Some(trouble.to_string()),
        };
        odd.extend(said.map(|said| format!("{}: {said}", ask.shown())));
    }
    if odd.is_empty() {
        let all = visit.silences() == silences;
        visit.fine(all, "GET and HEAD say that messages are POSTed");
    } else {
        visit.report.found(&GET_ANSWERS, format!("({})", odd.join("; ")));
    }
}

/// A wrong token must be called wrong: else it did not arrive.
async fn authorization(visit: &mut Visit<'_>) {
    let ask = mcp::initialize(&visit.endpoint).header("authorization", format!("Bearer {WRONG_TOKEN}"));
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&AUTHORIZATION_STRIPPED, &ask.shown(), &trouble);
            return;
        }
    };
    let challenge = Challenge::of(&answer.headers);
    match challenge.error.as_deref() {
        _ if is_kept(&answer) => visit.report.found(&ANSWERS_KEPT, format!("({})", ask.shown())),
        Some("invalid_token") => visit.report.ok("the Authorization header arrives"),
        other => {
            let said = other.map_or_else(|| "no error".to_owned(), |error| format!("error {error}"));
            visit.report.found(&AUTHORIZATION_STRIPPED, format!("({}, {said})", answer.shown()));
        }
    }
}

/// Whether somebody on the way answered with what he had kept (RFC 9111 §5.1; the other names are those of nginx
/// configurations and CDNs).
fn is_kept(answer: &Answer) -> bool {
    let hit = |name: &str| answer.header(name).to_ascii_uppercase().contains("HIT");
    !answer.header("age").is_empty()
        || ["x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status"].iter().any(|name| hit(name))
}

/// What becomes of a long message.
#[derive(Debug, PartialEq, Eq)]
enum Long {
    /// It is read.
    Passes,
    /// It is not, and this is said instead.
    Refused(StatusCode),
    /// There is nothing to be learnt: a server that answers before it has read everything may close the connection, and
    /// a gateway in front of it then says that it fails.
    Unknown,
}

async fn bodies(visit: &mut Visit<'_>) {
    let status = match long(visit, MUST_PASS).await {
        Long::Refused(status) => status,
        Long::Passes => {
            match long(visit, MAY_PASS).await {
                Long::Passes => visit.report.ok(format!("messages of {MAY_PASS} KiB pass")),
                Long::Refused(status) => visit.report.found(&BODY_LIMIT_LOW, format!("({status})")),
                Long::Unknown => visit.report.ok(format!("messages of {MUST_PASS} KiB pass")),
            }
            return;
        }
        Long::Unknown => return,
    };
    let mut passes = "nothing that was tried passes".to_owned();
    for size in SMALLER {
        if long(visit, size).await == Long::Passes {
            passes = format!("{size} KiB pass");
            break;
        }
    }
    visit.report.found(&BODY_LIMIT, format!("({status} at {MUST_PASS} KiB; {passes})"));
}

/// Sends a message of so many KiB. It has no token, so whoever reads it answers 401.
async fn long(visit: &Visit<'_>, kib: usize) -> Long {
    let message =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": { "x": "x".repeat(kib << 10) } });
    let ask =
        Ask::post_json(&visit.endpoint, &message).header("accept", "application/json, text/event-stream");
    match visit.ask(&ask).await {
        Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => Long::Passes,
        Ok(answer) if answer.status.is_client_error() => Long::Refused(answer.status),
        Ok(_) | Err(_) => Long::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_spelling_differs_by_the_slash_alone() {
        for (url, expected) in [
            ("https://t.example/mcp", Some("https://t.example/mcp/")),
            ("https://t.example/a/mcp/", Some("https://t.example/a/mcp")),
            ("https://t.example/", None),
        ] {
            let other = other_spelling(&Url::parse(url).unwrap()).map(String::from);
            assert_eq!(other.as_deref(), expected);
        }
    }
}
