//! What a browser asks and reads on behalf of a client that runs in a page (CORS, the Fetch standard).

use http::{Method, header};
use url::Url;

use super::{Found, Visit, mcp};
use crate::cli::doctor::findings::{CORS_HEADERS, CORS_HIDDEN, CORS_MISSING, CORS_TWICE, PREFLIGHT_REFUSED};
use crate::cli::doctor::probe::{Answer, Ask, Trouble, has_token};

/// What pages send to the MCP endpoint.
const TO_MCP: &[&str] = &[
    "authorization",
    "content-type",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "last-event-id",
];
/// What they send elsewhere.
const TO_OTHERS: &[&str] = &["content-type", "mcp-protocol-version"];
/// What they must be able to read of the MCP endpoint's answers.
const READ: [&str; 2] = ["www-authenticate", "mcp-session-id"];

/// What was odd, by kind: a finding each, whichever the places.
#[derive(Default)]
struct Odd {
    refused: Vec<String>,
    missing: Vec<String>,
    twice: Vec<String>,
    headers: Vec<String>,
}

/// What an answer says of who may read it.
#[derive(Debug, PartialEq, Eq)]
enum Readable {
    Yes,
    No,
    /// It says so more than once, and a browser then takes none of it (Fetch, "CORS check").
    Twice,
}

impl Odd {
    /// Whether pages may read the answer; if not, it is remembered.
    fn reads(&mut self, ask: &Ask, answer: &Answer, origin: &str) -> bool {
        match readable(answer, origin) {
            Readable::Yes => return true,
            Readable::No => self.missing.push(ask.shown()),
            Readable::Twice => self.twice.push(ask.shown()),
        }
        false
    }
}

/// Asks as a page on the server's own origin does: other origins are the operator's to allow.
pub(super) async fn check(visit: &mut Visit<'_>, server: Found<'_>) {
    let origin = visit.endpoint.origin().ascii_serialization();
    let (mut odd, silences) = (Odd::default(), visit.silences());
    let endpoint = visit.endpoint.clone();
    if visit.reached {
        preflight(visit, (&endpoint, Method::POST), TO_MCP, &origin, &mut odd).await;
    }
    if let Some(server) = server {
        preflight(visit, (&server.place, Method::GET), TO_OTHERS, &origin, &mut odd).await;
        for url in [&server.token_endpoint, &server.registration_endpoint].into_iter().flatten() {
            preflight(visit, (url, Method::POST), TO_OTHERS, &origin, &mut odd).await;
        }
        let ask = Ask::get(&server.place).header("origin", &origin);
        if let Ok(answer) = visit.ask(&ask).await {
            odd.reads(&ask, &answer, &origin);
        }
    }
    challenge(visit, &origin, &mut odd).await;
    let all = visit.silences() == silences;
    if !odd.twice.is_empty() {
        visit.report.found(&CORS_TWICE, format!("({})", odd.twice.join("; ")));
    }
    let told = [
        (odd.refused, &PREFLIGHT_REFUSED, "preflights are answered"),
        (odd.missing, &CORS_MISSING, "pages may read the answers"),
        (odd.headers, &CORS_HEADERS, "pages may send every header that clients send"),
    ];
    for (places, finding, fine) in told {
        if places.is_empty() {
            visit.fine(all && !visit.report.has(&CORS_TWICE), fine);
        } else {
            visit.report.found(finding, format!("({})", places.join("; ")));
        }
    }
}

async fn preflight(
    visit: &Visit<'_>,
    (url, method): (&Url, Method),
    headers: &[&str],
    origin: &str,
    odd: &mut Odd,
) {
    let ask = Ask::new(Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", method.as_str())
        .header("access-control-request-headers", headers.join(","));
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(Trouble::Silence(_)) => return,
        Err(trouble) => {
            odd.refused.push(format!("{}: {trouble}", ask.shown()));
            return;
        }
    };
    if !answer.status.is_success() {
        odd.refused.push(format!("{}: {}", ask.shown(), answer.shown()));
    } else if odd.reads(&ask, &answer, origin) {
        let allowed = answer.header("access-control-allow-headers");
        // A wildcard covers everything but Authorization.
        let is_allowed =
            |name: &&str| has_token(allowed, name) || (has_token(allowed, "*") && *name != "authorization");
        let lacking: Vec<&str> = headers.iter().copied().filter(|name| !is_allowed(name)).collect();
        if !lacking.is_empty() {
            odd.headers.push(format!("{}: {}", ask.shown(), lacking.join(", ")));
        }
    }
}

fn readable(answer: &Answer, origin: &str) -> Readable {
    let mut said = answer.headers.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter();
    match (said.next(), said.next()) {
        (Some(_), Some(_)) => Readable::Twice,
        (Some(one), None) if one == "*" || one == origin => Readable::Yes,
        (Some(one), None) if one.as_bytes().contains(&b',') => Readable::Twice,
        _ => Readable::No,
    }
}

/// The challenge as a page sees it.
async fn challenge(visit: &mut Visit<'_>, origin: &str, odd: &mut Odd) {
    let ask = mcp::initialize(&visit.endpoint).header("origin", origin);
    let Ok(answer) = visit.ask(&ask).await else { return };
    if answer.status != http::StatusCode::UNAUTHORIZED {
        return;
    }
    if !odd.reads(&ask, &answer, origin) {
        return;
    }
    let exposed = answer.header("access-control-expose-headers");
    let hidden: Vec<&str> =
        READ.into_iter().filter(|name| !has_token(exposed, name) && exposed != "*").collect();
    if hidden.is_empty() {
        visit.report.ok("pages can read the challenge and the session");
    } else {
        visit.report.found(&CORS_HIDDEN, format!("({})", hidden.join(", ")));
    }
}
