//! The way there: name, port, TLS, the clocks.

use std::time::Duration;

use chrono::DateTime;
use http::{StatusCode, Version};
use url::Url;

use super::{Visit, mcp};
use crate::cli::doctor::findings::{
    CLOCK_DIFFERS, Finding, GATEWAY_FAILS, HTTP_1_ONLY, HTTP_ANSWERS, HTTP_LOSES_POST, HTTPS_ONLY,
    PLAIN_HTTP, SLASH_REDIRECTS, THIS_MACHINE_ONLY, TLS_EXPIRED, TLS_EXPIRES_SOON, TLS_IS_AUTHORITY,
    TLS_NAME, TLS_UNTRUSTED, UNREACHABLE,
};
use crate::cli::doctor::probe::{Answer, Trouble};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::connect::{HttpError, is_loopback, shown};
use crate::server::tls::certificate::Certificate;

/// How far apart two clocks may be.
const APART: Duration = Duration::from_secs(60);
/// How long before its end a certificate should have been renewed.
const RENEWED_BEFORE: Duration = Duration::from_hours(14 * 24);

/// What was given to find the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A bare origin: the endpoint is looked for in two places.
    Origin,
    /// The endpoint itself.
    Endpoint,
}

/// Whether there is any use in going on.
pub(super) async fn check(visit: &mut Visit<'_>, way: Way) -> bool {
    let mut asked = visit.ask(&mcp::initialize(&visit.endpoint)).await;
    if way == Way::Origin && asked.as_ref().is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND) {
        let root = visit.at("/");
        let other = visit.ask(&mcp::initialize(&root)).await;
        if other.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED) {
            visit.endpoint = root;
            asked = other;
        }
    }
    let answer = match asked {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(reason(&trouble), &shown(&visit.endpoint), &trouble);
            return false;
        }
    };
    let at = format!("({}: {})", shown(&visit.endpoint), answer.shown());
    match entrance(&visit.endpoint, &answer) {
        Entrance::Open => {}
        Entrance::Shut(finding) => {
            visit.report.found(finding, at);
            return false;
        }
        Entrance::Moved(endpoint) => {
            visit.report.found(&SLASH_REDIRECTS, at);
            visit.endpoint = endpoint;
        }
    }
    if visit.endpoint.scheme() == "https" {
        tls(visit, &answer);
        plain(visit).await;
    } else if is_loopback(&visit.endpoint) {
        visit.report.found(&THIS_MACHINE_ONLY, format!("({})", shown(&visit.endpoint)));
    } else {
        visit.report.found(&PLAIN_HTTP, format!("({})", shown(&visit.endpoint)));
    }
    clock(visit, &answer);
    true
}

/// What stands at the endpoint's door.
#[derive(Debug, PartialEq, Eq)]
enum Entrance {
    /// Somebody who can be asked further.
    Open,
    /// Somebody of whom every further question would only say the same.
    Shut(&'static Finding),
    /// The endpoint is at its other spelling, where all questions can be asked.
    Moved(Url),
}

fn entrance(endpoint: &Url, answer: &Answer) -> Entrance {
    let target = endpoint.join(answer.header("location")).ok().filter(|_| answer.status.is_redirection());
    let leads_to_tls =
        |to: &Url| endpoint.scheme() == "http" && to.scheme() == "https" && to.host() == endpoint.host();
    let differs_by_slash = |to: &Url| {
        to.origin() == endpoint.origin()
            && to.path() != endpoint.path()
            && to.path().trim_end_matches('/') == endpoint.path().trim_end_matches('/')
    };
    match answer.status.as_u16() {
        502 | 504 => Entrance::Shut(&GATEWAY_FAILS),
        // A server that is up says why it is not ready, in JSON.
        503 if answer.object().is_none() => Entrance::Shut(&GATEWAY_FAILS),
        400 if endpoint.scheme() == "http" && speaks_tls(&answer.body) => Entrance::Shut(&HTTPS_ONLY),
        _ => match target {
            Some(to) if leads_to_tls(&to) => Entrance::Shut(&HTTPS_ONLY),
            Some(to) if differs_by_slash(&to) => Entrance::Moved(to),
            _ => Entrance::Open,
        },
    }
}

/// Whether somebody says that he was spoken to without TLS: this server, nginx, servers in Go, Apache.
fn speaks_tls(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["https only", "https port", "https server", "ssl-enabled server port"]
        .iter()
        .any(|words| text.contains(words))
}

/// What a certificate is refused for is told in words alone.
fn reason(trouble: &Trouble) -> &'static Finding {
    let Trouble::Http(HttpError::Untrusted(text)) = trouble else { return &UNREACHABLE };
    let text = text.to_ascii_lowercase();
    if text.contains("expired") || text.contains("not valid yet") || text.contains("notvalidyet") {
        &TLS_EXPIRED
    } else if text.contains("not valid for name") || text.contains("notvalidforname") {
        &TLS_NAME
    } else if text.contains("causedasendentity") {
        &TLS_IS_AUTHORITY
    } else {
        &TLS_UNTRUSTED
    }
}

fn tls(visit: &mut Visit<'_>, answer: &Answer) {
    let now = SystemClock.now();
    match answer.certificate.as_deref().and_then(Certificate::read) {
        Some(read) if ends_soon(read.not_before, read.not_after, now) => {
            visit.report.found(&TLS_EXPIRES_SOON, format!("({})", read.not_after.rfc3339()));
        }
        Some(read) => {
            let ends = read.not_after.rfc3339();
            visit.report.ok(format!("the certificate is trusted and good until {ends}"));
        }
        None => visit.report.ok("the certificate is trusted"),
    }
    if answer.version == Version::HTTP_2 {
        visit.report.ok("it speaks HTTP/2");
    } else {
        visit.report.found(&HTTP_1_ONLY, format!("({:?})", answer.version));
    }
}

/// Certificates for few days are renewed when a third of their life is left.
fn ends_soon(begins: Timestamp, ends: Timestamp, now: Timestamp) -> bool {
    ends.since(now) < RENEWED_BEFORE.min(ends.since(begins) / 3)
}

/// The same host without TLS: closed, or a redirect to https. Only where both use the ports that belong to them.
async fn plain(visit: &mut Visit<'_>) {
    let Some(url) = without_tls(&visit.endpoint) else { return };
    let Ok(answer) = visit.ask(&mcp::initialize(&url)).await else {
        visit.report.ok("nothing answers over plain http");
        return;
    };
    match judge_plain(&answer) {
        None => visit.report.ok(format!("plain http leads to https ({})", answer.shown())),
        Some(finding) => visit.report.found(finding, format!("({})", answer.shown())),
    }
}

fn without_tls(url: &Url) -> Option<Url> {
    let mut plain = url.clone();
    plain.set_scheme("http").ok()?;
    url.port().is_none().then_some(plain)
}

/// A refusal in plain text is as good as a closed port; a token that was sent is lost either way.
fn judge_plain(answer: &Answer) -> Option<&'static Finding> {
    let to_https = answer.header("location").starts_with("https://");
    match answer.status.as_u16() {
        307 | 308 if to_https => None,
        301..=303 if to_https => Some(&HTTP_LOSES_POST),
        403 | 404 | 410 | 421 | 426 | 400 => None,
        _ => Some(&HTTP_ANSWERS),
    }
}

fn clock(visit: &mut Visit<'_>, answer: &Answer) {
    let Ok(date) = DateTime::parse_from_rfc2822(answer.header("date")) else { return };
    let (theirs, ours) = (Timestamp(date.timestamp_millis()), SystemClock.now());
    let apart = theirs.since(ours).max(ours.since(theirs));
    if apart > APART {
        let text = format!("(theirs: {}, ours: {})", theirs.rfc3339(), ours.rfc3339());
        visit.report.found(&CLOCK_DIFFERS, text);
    } else {
        visit.report.ok("its clock agrees with this machine's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use http::HeaderMap;

    #[test]
    fn plain_http_is_closed_or_leads_to_https_without_losing_the_method() {
        for (status, location, expected) in [
            (308, "https://t.example/mcp", None),
            (301, "https://t.example/mcp", Some(&HTTP_LOSES_POST)),
            (308, "http://t.example/mcp/", Some(&HTTP_ANSWERS)),
            (401, "", Some(&HTTP_ANSWERS)),
            (200, "", Some(&HTTP_ANSWERS)),
            (403, "", None),
            (404, "", None),
        ] {
            assert_eq!(judge_plain(&answer(status, location, "")), expected, "{status} {location}");
        }
    }

    fn answer(status: u16, location: &str, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        if !location.is_empty() {
            headers.insert("location", location.parse().unwrap());
        }
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            version: Version::HTTP_11,
            body: Bytes::from_static(body.as_bytes()),
            took: Duration::ZERO,
            certificate: None,
        }
    }

    #[test]
    fn who_stands_at_the_door_is_known_by_the_first_answer() {
        let moved = |to: &str| Entrance::Moved(Url::parse(to).unwrap());
        for (endpoint, status, location, body, expected) in [
            ("https://t.example/mcp", 502, "", "", Entrance::Shut(&GATEWAY_FAILS)),
            ("https://t.example/mcp", 503, "", "<html>", Entrance::Shut(&GATEWAY_FAILS)),
            ("https://t.example/mcp", 503, "", "{\"error\":\"x\"}", Entrance::Open),
            ("https://t.example/mcp", 401, "", "", Entrance::Open),
            ("http://t.example/mcp", 400, "", "This port speaks https only.", Entrance::Shut(&HTTPS_ONLY)),
            ("http://t.example/mcp", 400, "", "no", Entrance::Open),
            ("http://t.example/mcp", 308, "https://t.example/mcp", "", Entrance::Shut(&HTTPS_ONLY)),
            ("http://t.example/mcp", 302, "https://login.example/", "", Entrance::Open),
            ("https://t.example/mcp", 301, "/mcp/", "", moved("https://t.example/mcp/")),
            ("https://t.example/mcp/", 308, "https://t.example/mcp", "", moved("https://t.example/mcp")),
            ("https://t.example/mcp", 302, "/elsewhere", "", Entrance::Open),
            ("https://t.example/mcp", 302, "/mcp", "", Entrance::Open),
        ] {
            let url = Url::parse(endpoint).unwrap();
            assert_eq!(entrance(&url, &answer(status, location, body)), expected, "{endpoint} {status}");
        }
    }

    #[test]
    fn a_port_of_ones_own_has_no_plain_twin() {
        let twin = |url: &str| without_tls(&Url::parse(url).unwrap()).map(String::from);
        assert_eq!(twin("https://t.example/mcp").as_deref(), Some("http://t.example/mcp"));
        assert_eq!(twin("https://t.example:8443/mcp"), None);
    }

    #[test]
    fn a_certificate_ends_soon_by_the_length_of_its_life() {
        let day = |days: i64| Timestamp(days * 86_400_000);
        for (begins, ends, now, expected) in
            [(0, 90, 70, false), (0, 90, 77, true), (0, 6, 3, false), (0, 6, 5, true), (0, 90, 91, true)]
        {
            assert_eq!(ends_soon(day(begins), day(ends), day(now)), expected, "{begins} {ends} {now}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_has_its_own_name() {
        for (text, expected) in [
            ("invalid peer certificate: certificate expired: verification time 1 (UNIX)", &TLS_EXPIRED),
            ("invalid peer certificate: certificate not valid for name \"a\"", &TLS_NAME),
            ("invalid peer certificate: UnknownIssuer", &TLS_UNTRUSTED),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", &TLS_IS_AUTHORITY),
        ] {
            assert_eq!(reason(&HttpError::Untrusted(text.into()).into()), expected, "{text}");
        }
        assert_eq!(reason(&Trouble::Local), &UNREACHABLE);
    }
}
