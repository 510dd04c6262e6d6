//! Each way to break a server from in front of it, and what is found then: that, and nothing else.

use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use super::Scene;
use super::front::{HONEST, Meddling, plain, with};

/// A proxy, and what is found of it.
struct Case {
    what: &'static str,
    tls: bool,
    token: bool,
    meddling: Meddling,
    found: &'static [&'static str],
}

const PLAIN: Case = Case { what: "", tls: false, token: false, meddling: HONEST, found: &[] };

async fn check(cases: &[Case]) {
    for case in cases {
        let scene = Scene::start(case.tls, case.meddling).await;
        let said = scene.examine(case.token).await;
        assert_eq!(said.trouble(case.found), case.found, "{}: {}", case.what, said.all);
        assert!(!said.all.contains(&scene.token), "{}: a token is shown", case.what);
        let faults = said.found(&["fault"]).len();
        assert_eq!(said.code, i32::from(faults > 0), "{}: {}", case.what, said.all);
    }
}

fn is(parts: &Parts, method: &Method, path: &str) -> bool {
    parts.method == *method && parts.uri.path() == path
}

fn redirect(status: u16, to: &str) -> Response<Body> {
    with(plain(StatusCode::from_u16(status).unwrap(), ""), "location", to)
}

fn page(status: StatusCode) -> Response<Body> {
    with(plain(status, "<!doctype html><title>Oops</title>"), "content-type", "text/html; charset=utf-8")
}

fn replace(body: &mut Vec<u8>, from: &str, to: &str) {
    *body = String::from_utf8_lossy(body).replace(from, to).into_bytes();
}

fn pack(asked: &HeaderMap, answered: &mut HeaderMap) {
    // Nobody unpacks it: the header alone tells.
    if asked.get("accept-encoding").is_some_and(|names| names.to_str().unwrap().contains("gzip")) {
        answered.insert("content-encoding", "gzip".parse().unwrap());
    }
}

fn drop_cors(headers: &mut HeaderMap) {
    let names: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_is_done_to_headers_has_its_own_name() {
    check(&[
        Case {
            what: "strips WWW-Authenticate",
            meddling: Meddling {
                response: |_, head, _| drop(head.headers.remove("www-authenticate")),
                ..HONEST
            },
            found: &["challenge-stripped"],
            ..PLAIN
        },
        Case {
            what: "strips Authorization",
            meddling: Meddling { request: |headers| drop(headers.remove("authorization")), ..HONEST },
            found: &["authorization-stripped"],
            ..PLAIN
        },
        Case {
            what: "strips Authorization of good tokens, too",
            token: true,
            meddling: Meddling { request: |headers| drop(headers.remove("authorization")), ..HONEST },
            found: &["authorization-stripped"],
            ..PLAIN
        },
        Case {
            what: "keeps refusals",
            token: true,
            meddling: Meddling {
                request: |headers| drop(headers.remove("authorization")),
                response: |_, head, _| {
                    if head.status == StatusCode::UNAUTHORIZED {
                        head.headers.insert("age", "7".parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["answers-kept"],
            ..PLAIN
        },
        Case {
            what: "asks for a password of its own",
            token: true,
            meddling: Meddling {
                response: |_, head, _| {
                    if head.headers.contains_key("www-authenticate") {
                        head.headers.insert("www-authenticate", "Basic realm=\"proxy\"".parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["challenge-incomplete"],
            ..PLAIN
        },
        Case {
            what: "drops what MCP adds",
            token: true,
            meddling: Meddling {
                request: |headers| {
                    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
                        headers.remove(name);
                    }
                },
                ..HONEST
            },
            found: &["mcp-headers-stripped"],
            ..PLAIN
        },
        Case {
            what: "drops the session",
            token: true,
            meddling: Meddling { request: |headers| drop(headers.remove("mcp-session-id")), ..HONEST },
            found: &["session-hidden"],
            ..PLAIN
        },
        Case {
            what: "says another host",
            token: true,
            meddling: Meddling {
                request: |headers| drop(headers.insert("host", "backend.internal".parse().unwrap())),
                ..HONEST
            },
            found: &["host-refused"],
            ..PLAIN
        },
        Case {
            what: "has an old date",
            meddling: Meddling {
                response: |_, head, _| {
                    head.headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
                },
                ..HONEST
            },
            found: &["clock-differs"],
            ..PLAIN
        },
        Case {
            what: "takes the page's policy away",
            meddling: Meddling {
                response: |_, head, _| {
                    head.headers.remove("content-security-policy");
                    head.headers.remove("x-frame-options");
                },
                ..HONEST
            },
            found: &["framing-allowed"],
            ..PLAIN
        },
        Case {
            what: "rewrites cookies",
            tls: true,
            meddling: Meddling {
                response: |_, head, _| {
                    if let Some(cookie) = head.headers.get("set-cookie") {
                        let bare = cookie.to_str().unwrap().replace("; Secure", "");
                        head.headers.insert("set-cookie", bare.parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["cookie-insecure"],
            ..PLAIN
        },
    ])
    .await;
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_is_redirected_or_answered_in_the_servers_place_has_its_own_name() {
    check(&[
        Case {
            what: "redirects /mcp/ to /mcp",
            meddling: Meddling {
                instead: |parts, _| (parts.uri.path() == "/mcp/").then(|| redirect(301, "/mcp")),
                ..HONEST
            },
            found: &["slash-redirects"],
            ..PLAIN
        },
        Case {
            what: "redirects /mcp to /mcp/",
            token: true,
            meddling: Meddling {
                instead: |parts, _| (parts.uri.path() == "/mcp").then(|| redirect(307, "/mcp/")),
                ..HONEST
            },
            found: &["slash-redirects"],
            ..PLAIN
        },
        Case {
            what: "does not reach the server",
            token: true,
            meddling: Meddling { instead: |_, _| Some(page(StatusCode::BAD_GATEWAY)), ..HONEST },
            found: &["gateway-fails"],
            ..PLAIN
        },
        Case {
            what: "wants TLS",
            meddling: Meddling {
                instead: |_, _| {
                    let text = "<h1>400</h1>The plain HTTP request was sent to HTTPS port";
                    Some(plain(StatusCode::BAD_REQUEST, text))
                },
                ..HONEST
            },
            found: &["https-only"],
            ..PLAIN
        },
        Case {
            what: "leads to TLS",
            meddling: Meddling { instead: |_, _| Some(redirect(301, "https://localhost:9/mcp")), ..HONEST },
            found: &["https-only"],
            ..PLAIN
        },
        Case {
            what: "answers 302 to each POST",
            meddling: Meddling {
                instead: |parts, _| (parts.method == Method::POST).then(|| redirect(302, "/elsewhere")),
                ..HONEST
            },
            found: &["post-redirects"],
            ..PLAIN
        },
        Case {
            what: "answers the endpoint itself",
            meddling: Meddling {
                instead: |parts, _| {
                    let is_mcp = parts.uri.path().starts_with("/mcp") && parts.method == Method::POST;
                    is_mcp.then(|| plain(StatusCode::OK, "{}"))
                },
                ..HONEST
            },
            found: &["no-challenge"],
            ..PLAIN
        },
        Case {
            what: "has pages for errors",
            meddling: Meddling {
                response: |_, head, body| {
                    if matches!(head.status.as_u16(), 401 | 404) {
                        head.headers.insert("content-type", "text/html".parse().unwrap());
                        *body = b"<!doctype html><title>Oops</title>".to_vec();
                    }
                },
                ..HONEST
            },
            found: &["errors-are-pages"],
            ..PLAIN
        },
        Case {
            what: "has one page for everything",
            meddling: Meddling {
                response: |parts, head, body| {
                    if head.status == StatusCode::NOT_FOUND && parts.method == Method::GET {
                        let (own, _) = page(StatusCode::OK).into_parts();
                        *head = own;
                        *body = b"<!doctype html><title>App</title>".to_vec();
                    }
                },
                ..HONEST
            },
            found: &["well-known-page"],
            ..PLAIN
        },
        Case {
            what: "shows metrics",
            meddling: Meddling {
                instead: |parts, _| {
                    let text = "# HELP up Up.\n# TYPE up gauge\nup 1\n";
                    is(parts, &Method::GET, "/metrics").then(|| plain(StatusCode::OK, text))
                },
                ..HONEST
            },
            found: &["metrics-exposed"],
            ..PLAIN
        },
        Case {
            what: "sends everybody back to wherever they like",
            meddling: Meddling {
                instead: |parts, _| {
                    let asked = parts.uri.query().unwrap_or_default();
                    asked
                        .contains("mandate-doctor.invalid")
                        .then(|| redirect(302, "https://mandate-doctor.invalid/?error=invalid_request"))
                },
                ..HONEST
            },
            found: &["open-redirect"],
            ..PLAIN
        },
        Case {
            what: "leads calls away with their token",
            token: true,
            meddling: Meddling {
                instead: |parts, _| {
                    let token = parts.headers.get("authorization")?.to_str().unwrap();
                    let token = token.strip_prefix("Bearer ").filter(|token| !token.contains("nobody"))?;
                    Some(redirect(302, &format!("/{token}")))
                },
                ..HONEST
            },
            found: &["call-fails", "call-fails"],
            ..PLAIN
        },
        Case {
            what: "hides the sign-in",
            meddling: Meddling {
                instead: |parts, _| is(parts, &Method::GET, "/login").then(|| page(StatusCode::NOT_FOUND)),
                ..HONEST
            },
            found: &["authorize-fails"],
            ..PLAIN
        },
        Case {
            what: "lets no client register",
            meddling: Meddling {
                instead: |parts, _| {
                    is(parts, &Method::POST, "/register").then(|| plain(StatusCode::FORBIDDEN, "{}"))
                },
                ..HONEST
            },
            found: &["registration-fails"],
            ..PLAIN
        },
    ])
    .await;
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_is_done_to_metadata_has_its_own_name() {
    check(&[
        Case {
            what: "serves the root form alone",
            meddling: Meddling {
                instead: |parts, _| {
                    let path = "/.well-known/oauth-protected-resource/mcp";
                    (parts.uri.path() == path).then(|| plain(StatusCode::NOT_FOUND, "{}"))
                },
                ..HONEST
            },
            found: &["resource-metadata-missing"],
            ..PLAIN
        },
        Case {
            what: "serves the inserted form alone",
            meddling: Meddling {
                instead: |parts, _| {
                    let path = "/.well-known/oauth-protected-resource";
                    (parts.uri.path() == path).then(|| plain(StatusCode::NOT_FOUND, "{}"))
                },
                ..HONEST
            },
            found: &["resource-metadata-root"],
            ..PLAIN
        },
        Case {
            what: "has no authorization server",
            meddling: Meddling {
                instead: |parts, _| {
                    let path = "/.well-known/oauth-authorization-server";
                    parts.uri.path().starts_with(path).then(|| plain(StatusCode::NOT_FOUND, "{}"))
                },
                ..HONEST
            },
            found: &["server-metadata-missing"],
            ..PLAIN
        },
        Case {
            what: "rewrites the issuer",
            meddling: Meddling {
                response: |_, _, body| replace(body, "\"issuer\":\"http", "\"issuer\":\"HTTP"),
                ..HONEST
            },
            found: &["issuer-differs"],
            ..PLAIN
        },
        Case {
            what: "rewrites the resource",
            meddling: Meddling {
                response: |_, _, body| {
                    replace(body, "\"resource\":\"http://localhost", "\"resource\":\"http://10.0.0.7");
                },
                ..HONEST
            },
            found: &["resource-differs"],
            ..PLAIN
        },
        Case {
            what: "is known to the server by another name",
            meddling: Meddling {
                response: |_, head, body| {
                    replace(body, "\"resource\":\"http://localhost", "\"resource\":\"http://10.0.0.7");
                    let Some(to) = head.headers.get("location") else { return };
                    if to.to_str().unwrap().contains("/login") {
                        let refused = "http://127.0.0.1:9/mandate-doctor?error=invalid_target";
                        head.headers.insert("location", refused.parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["resource-differs"],
            ..PLAIN
        },
        Case {
            what: "rewrites an endpoint",
            meddling: Meddling {
                response: |_, _, body| {
                    let name = "\"revocation_endpoint\":\"http://";
                    replace(body, &format!("{name}localhost"), &format!("{name}127.0.0.1"));
                },
                ..HONEST
            },
            found: &["endpoint-elsewhere"],
            ..PLAIN
        },
        Case {
            what: "serves two versions",
            meddling: Meddling {
                response: |parts, _, body| {
                    if parts.uri.path().ends_with("oauth-authorization-server/mcp") {
                        replace(body, "\"/jwks\"", "\"/old\"");
                        replace(body, "select_account", "old");
                    }
                },
                ..HONEST
            },
            found: &["forms-differ"],
            ..PLAIN
        },
        Case {
            what: "says http behind https",
            tls: true,
            token: true,
            meddling: Meddling {
                response: |_, head, body| {
                    replace(body, "https://localhost", "http://localhost");
                    if let Some(challenge) = head.headers.get("www-authenticate") {
                        let text =
                            challenge.to_str().unwrap().replace("https://localhost", "http://localhost");
                        head.headers.insert("www-authenticate", text.parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["http-behind-https"],
        },
        Case {
            what: "takes PKCE away",
            meddling: Meddling { response: |_, _, body| replace(body, "\"S256\"", "\"plain\""), ..HONEST },
            found: &["pkce-not-advertised"],
            ..PLAIN
        },
        Case {
            what: "hides the keys",
            meddling: Meddling {
                instead: |parts, _| {
                    is(parts, &Method::GET, "/jwks").then(|| plain(StatusCode::NOT_FOUND, "{}"))
                },
                ..HONEST
            },
            found: &["keys-missing"],
            ..PLAIN
        },
        Case {
            what: "lets it be kept for a year",
            meddling: Meddling {
                response: |parts, head, _| {
                    if parts.uri.path().starts_with("/.well-known/") {
                        let year = "public, max-age=31536000".parse().unwrap();
                        head.headers.insert("cache-control", year);
                    }
                },
                ..HONEST
            },
            found: &["metadata-kept"],
            ..PLAIN
        },
    ])
    .await;
}

#[tokio::test]
async fn what_is_done_to_browsers_has_its_own_name() {
    check(&[
        Case {
            what: "drops OPTIONS",
            meddling: Meddling {
                instead: |parts, _| {
                    let is_asked = parts.method == Method::OPTIONS;
                    is_asked.then(|| plain(StatusCode::METHOD_NOT_ALLOWED, ""))
                },
                ..HONEST
            },
            found: &["preflight-refused"],
            ..PLAIN
        },
        Case {
            what: "drops CORS headers",
            meddling: Meddling { response: |_, head, _| drop_cors(&mut head.headers), ..HONEST },
            found: &["cors-missing"],
            ..PLAIN
        },
        Case {
            what: "adds CORS headers to those that are there",
            meddling: Meddling {
                response: |_, head, _| {
                    head.headers.append("access-control-allow-origin", "*".parse().unwrap());
                },
                ..HONEST
            },
            found: &["cors-twice"],
            ..PLAIN
        },
        Case {
            what: "answers preflights with a wildcard",
            meddling: Meddling {
                response: |_, head, _| {
                    if head.headers.contains_key("access-control-allow-headers") {
                        head.headers.insert("access-control-allow-headers", "*".parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["cors-headers"],
            ..PLAIN
        },
        Case {
            what: "exposes nothing",
            meddling: Meddling {
                response: |_, head, _| drop(head.headers.remove("access-control-expose-headers")),
                ..HONEST
            },
            found: &["cors-hidden"],
            ..PLAIN
        },
    ])
    .await;
}

#[tokio::test]
async fn what_is_done_to_bodies_has_its_own_name() {
    check(&[
        Case {
            what: "packs everything",
            token: true,
            meddling: Meddling {
                response: |parts, head, _| pack(&parts.headers, &mut head.headers),
                ..HONEST
            },
            found: &["metadata-compressed", "stream-compressed", "token-compressed"],
            ..PLAIN
        },
        Case {
            what: "keeps streams back",
            token: true,
            meddling: Meddling { holds_streams: true, ..HONEST },
            found: &["stream-held"],
            ..PLAIN
        },
        Case {
            what: "takes 100 KiB at most",
            meddling: Meddling {
                instead: |_, body| (body.len() > 100 << 10).then(|| plain(StatusCode::PAYLOAD_TOO_LARGE, "")),
                ..HONEST
            },
            found: &["body-limit"],
            ..PLAIN
        },
        Case {
            what: "fails now and then on long messages",
            meddling: Meddling {
                instead: |_, body| (body.len() > 100 << 10).then(|| plain(StatusCode::BAD_GATEWAY, "")),
                ..HONEST
            },
            found: &[],
            ..PLAIN
        },
        Case {
            what: "keeps tokens",
            meddling: Meddling {
                response: |parts, head, _| {
                    if parts.uri.path() == "/token" {
                        head.headers.insert("cache-control", "max-age=300".parse().unwrap());
                    }
                },
                ..HONEST
            },
            found: &["token-kept"],
            ..PLAIN
        },
        Case {
            what: "takes its time",
            meddling: Meddling { delay: Duration::from_millis(1100), ..HONEST },
            found: &["slow"],
            ..PLAIN
        },
    ])
    .await;
}
