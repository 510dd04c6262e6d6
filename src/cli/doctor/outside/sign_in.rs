//! The sign-in up to its page: registration, the authorization request, the token endpoint's refusals. Nobody signs in.

use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::{AuthorizationServer, Visit};
use crate::cli::doctor::findings::{
    AUTHORIZE_FAILS, CLIENT_LEFT, COOKIE_INSECURE, FRAMING_ALLOWED, OPEN_REDIRECT, REGISTRATION_FAILS,
    RESOURCE_DIFFERS, SIGN_IN_ELSEWHERE, TOKEN_COMPRESSED, TOKEN_KEPT, TOKEN_NOT_JSON,
};
use crate::cli::doctor::probe::{Answer, Ask, has_token};
use crate::connect::{canonical, shown};
use crate::oauth::secret::SecretHash;

/// Where the client that is registered says to live. Nobody listens there.
const REDIRECT_URI: &str = "http://127.0.0.1:9/mandate-doctor";
/// A redirect URI that nobody registered, at a name that cannot exist (RFC 2606 §2).
const FOREIGN_URI: &str = "https://mandate-doctor.invalid/";
/// How many redirects on the way to the page are followed.
const HOPS: usize = 4;

/// Registers a client, begins a sign-in with it, and asks for tokens that there are not.
pub(super) async fn check(visit: &mut Visit<'_>, server: &AuthorizationServer) {
    let client = match &server.registration_endpoint {
        Some(url) if visit.options.registration => register(visit, url).await,
        _ => None,
    };
    let client_id = client.as_ref().and_then(|client| Some(client.get("client_id")?.as_str()?.to_owned()));
    if let (Some(endpoint), Some(client_id)) = (&server.authorization_endpoint, &client_id) {
        authorize(visit, endpoint, client_id).await;
        foreign_redirect(visit, endpoint, client_id).await;
    }
    if let Some(endpoint) = &server.token_endpoint {
        token(visit, endpoint, client_id.as_deref().unwrap_or("mandate-doctor")).await;
    }
    if let Some(client) = client {
        take_back(visit, server, &client).await;
    }
}

async fn register(visit: &mut Visit<'_>, url: &Url) -> Option<Map<String, Value>> {
    let metadata = json!({
        "client_name": "mandate doctor",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let ask = Ask::post_json(url, &metadata).header("accept", "application/json").once();
    let why = match visit.ask(&ask).await {
        Ok(answer) => {
            let object = answer.object().filter(|object| object.contains_key("client_id"));
            match object {
                Some(object) if matches!(answer.status.as_u16(), 200 | 201) => {
                    visit.report.ok("a client can register");
                    return Some(object);
                }
                _ if visit.note_kind(&ask, &answer) => return None,
                _ => answer.shown(),
            }
        }
        Err(trouble) => {
            visit.failed(&REGISTRATION_FAILS, &ask.shown(), &trouble);
            return None;
        }
    };
    visit.report.found(&REGISTRATION_FAILS, format!("({}: {why})", ask.shown()));
    None
}

/// An authorization request with PKCE (RFC 7636 §4.3). S256 is the base64url of a SHA-256, as which hashes are written
/// here; the verifier is never used.
fn request(visit: &Visit<'_>, endpoint: &Url, client_id: &str, redirect_uri: &str) -> Url {
    let challenge = SecretHash::of(&visit.random.token());
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", &visit.random.token())
        .append_pair("code_challenge", challenge.as_str())
        .append_pair("code_challenge_method", "S256");
    if visit.options.resource_server {
        url.query_pairs_mut().append_pair("resource", &canonical(&visit.endpoint));
    }
    url
}

/// Goes where a browser would, on this origin alone, up to the page.
async fn authorize(visit: &mut Visit<'_>, endpoint: &Url, client_id: &str) {
    let mut url = request(visit, endpoint, client_id, REDIRECT_URI);
    let (mut cookies, mut insecure) = (Vec::new(), Vec::new());
    for _ in 0..=HOPS {
        let ask = Ask::new(Method::GET, &url).header("accept", "text/html");
        let ask = if cookies.is_empty() { ask } else { ask.header("cookie", cookies.join("; ")) };
        let answer = match visit.ask(&ask).await {
            Ok(answer) => answer,
            Err(trouble) => {
                visit.failed(&AUTHORIZE_FAILS, &ask.shown(), &trouble);
                return;
            }
        };
        take_cookies(&answer.headers, &mut cookies, &mut insecure);
        let next = url.join(answer.header("location")).ok().filter(|_| answer.status.is_redirection());
        match next {
            Some(next) if next.origin() == endpoint.origin() => url = next,
            Some(next) if next.as_str().starts_with(REDIRECT_URI) => {
                let error = next.query_pairs().find(|(name, _)| name == "error").map(|(_, error)| error);
                let error = error.unwrap_or_default();
                // A resource that goes by another name is no target here (RFC 8707 §2), and was told already.
                if error != "invalid_target" || !visit.report.has(&RESOURCE_DIFFERS) {
                    visit.report.found(&AUTHORIZE_FAILS, format!("({}: {error})", ask.shown()));
                }
                return;
            }
            Some(next) => {
                visit.report.found(&SIGN_IN_ELSEWHERE, format!("({})", shown(&next)));
                return;
            }
            None => {
                page(visit, &ask, &answer);
                cookies_told(visit, &url, &cookies, &insecure);
                return;
            }
        }
    }
    visit.report.found(&AUTHORIZE_FAILS, format!("({}: more than {HOPS} redirects)", shown(endpoint)));
}

/// Keeps what goes back, by name and value; and which of them are not for TLS alone.
fn take_cookies(headers: &HeaderMap, cookies: &mut Vec<String>, insecure: &mut Vec<String>) {
    for cookie in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
        let mut parts = cookie.split(';').map(str::trim);
        let pair = parts.next().unwrap_or_default().to_owned();
        if !parts.any(|part| part.eq_ignore_ascii_case("secure")) {
            // The name alone: its value is nobody's business.
            insecure.push(pair.split('=').next().unwrap_or_default().to_owned());
        }
        cookies.push(pair);
    }
}

fn page(visit: &mut Visit<'_>, ask: &Ask, answer: &Answer) {
    if answer.status != StatusCode::OK || !answer.is_page() {
        let text = format!("({}: {}, {})", ask.shown(), answer.status, answer.header("content-type"));
        visit.report.found(&AUTHORIZE_FAILS, text);
        return;
    }
    visit.report.ok("an authorization request with PKCE reaches the page to sign in");
    let framing = answer.header("content-security-policy").contains("frame-ancestors")
        || !answer.header("x-frame-options").is_empty();
    if framing {
        visit.report.ok("no other site can show that page inside its own");
    } else {
        visit.report.found(&FRAMING_ALLOWED, "");
    }
}

fn cookies_told(visit: &mut Visit<'_>, url: &Url, cookies: &[String], insecure: &[String]) {
    if url.scheme() != "https" || cookies.is_empty() {
        return;
    }
    if insecure.is_empty() {
        visit.report.ok("its cookies are for TLS alone");
    } else {
        visit.report.found(&COOKIE_INSECURE, format!("({})", insecure.join(", ")));
    }
}

/// Nobody is ever sent to an address that no client registered.
async fn foreign_redirect(visit: &mut Visit<'_>, endpoint: &Url, client_id: &str) {
    let url = request(visit, endpoint, client_id, FOREIGN_URI);
    let ask = Ask::new(Method::GET, &url).header("accept", "text/html");
    let Ok(answer) = visit.ask(&ask).await else { return };
    if answer.header("location").contains("mandate-doctor.invalid") {
        visit.report.found(&OPEN_REDIRECT, format!("({})", answer.status));
    } else {
        visit.report.ok("a redirect URI that nobody registered is not followed");
    }
}

/// A code that there is not: the refusal must be JSON, for nobody to keep.
async fn token(visit: &mut Visit<'_>, endpoint: &Url, client_id: &str) {
    let verifier = visit.random.token();
    let ask = Ask::post_form(
        endpoint,
        &[
            ("grant_type", "authorization_code"),
            ("code", "mandate-doctor"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", &verifier),
        ],
    )
    .header("accept-encoding", "gzip, deflate, br, zstd");
    let answer = match visit.ask(&ask).await {
        Ok(answer) => answer,
        Err(trouble) => {
            visit.failed(&TOKEN_NOT_JSON, &ask.shown(), &trouble);
            return;
        }
    };
    if visit.note_kind(&ask, &answer) {
        return;
    }
    if answer.is_compressed() {
        visit.report.found(&TOKEN_COMPRESSED, format!("({})", answer.header("content-encoding")));
    } else if matches!(answer.status.as_u16(), 400 | 401 | 429 | 503)
        && answer.object().is_some_and(|object| object.get("error").is_some_and(Value::is_string))
    {
        visit.report.ok("the token endpoint refuses in JSON");
    } else {
        let text = format!("({}: {}, {})", ask.shown(), answer.shown(), answer.header("content-type"));
        visit.report.found(&TOKEN_NOT_JSON, text);
    }
    if has_token(answer.header("cache-control"), "no-store") {
        visit.report.ok("what it says is for nobody to keep");
    } else {
        visit.report.found(&TOKEN_KEPT, format!("(Cache-Control: {})", answer.header("cache-control")));
    }
}

/// Removes the client where the server offers it (RFC 7592 §2.3).
async fn take_back(visit: &mut Visit<'_>, server: &AuthorizationServer, client: &Map<String, Value>) {
    let client_id = client.get("client_id").and_then(Value::as_str).unwrap_or_default();
    if let Some((url, token)) = removal(server, client) {
        let ask = Ask::new(Method::DELETE, &url).header("authorization", format!("Bearer {token}"));
        if visit.ask(&ask).await.is_ok_and(|answer| answer.status.is_success()) {
            visit.report.ok("the client is removed again");
            return;
        }
    }
    visit.report.found(&CLIENT_LEFT, format!("(client_id {client_id}, \"mandate doctor\")"));
}

/// Where the client is removed, and the token for that: by whom it was registered, of a server that is who it says.
fn removal<'a>(server: &AuthorizationServer, client: &'a Map<String, Value>) -> Option<(Url, &'a str)> {
    let text = |name: &str| client.get(name).and_then(Value::as_str);
    let token = text("registration_access_token")?;
    let url = Url::parse(text("registration_client_uri")?).ok()?;
    let answered = server.registration_endpoint.as_ref()?;
    (server.names_itself && url.origin() == answered.origin()).then_some((url, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_removed_by_whom_it_was_registered_alone() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (names_itself, place, expected) in [
            (true, "https://as.example/register/x", true),
            (false, "https://as.example/register/x", false),
            (true, "http://as.example/register/x", false),
            (true, "https://as.example:8443/register/x", false),
            (true, "https://t.example/register/x", false),
            (true, "https://10.0.0.7/register/x", false),
            (true, "/register/x", false),
        ] {
            let server = AuthorizationServer {
                names_itself,
                place: url("https://t.example/.well-known/oauth-authorization-server"),
                authorization_endpoint: None,
                token_endpoint: None,
                registration_endpoint: Some(url("https://as.example/register")),
            };
            let client = json!({ "registration_access_token": "t", "registration_client_uri": place });
            let found = removal(&server, client.as_object().unwrap());
            assert_eq!(found, expected.then(|| (url(place), "t")), "{names_itself} {place}");
        }
    }

    #[test]
    fn a_cookie_goes_back_and_is_told_by_its_name_alone() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", "a=1; Path=/; Secure".parse().unwrap());
        headers.append("set-cookie", "b=secret; HttpOnly".parse().unwrap());
        let (mut cookies, mut insecure) = (Vec::new(), Vec::new());
        take_cookies(&headers, &mut cookies, &mut insecure);
        assert_eq!(cookies, ["a=1", "b=secret"]);
        assert_eq!(insecure, ["b"]);
    }
}
