//! Text that not every database can hold: the null character, which PostgreSQL refuses, and halves of surrogate
//! pairs, which are no characters at all. Wherever somebody can put one, the answer is about what was sent and the
//! same on every profile; it is never a fault of ours.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mandate::storage::users::Role;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, challenge};
use crate::support::mcp::{BOTH, Mcp, mint, send};
use crate::support::{Server, http};

/// As they stand in queries and forms.
const IN_FORMS: [&str; 3] = ["%00", "a%00b", "a%ED%A0%80"];
/// As they stand in JSON.
const IN_JSON: [&str; 3] = [r"\u0000", r"a\u0000b", r"a\ud800"];

/// Names and values.
type Form<'a> = &'a [(&'static str, &'a str)];

/// The form or query with one parameter after the other replaced by each of these texts.
fn each_replaced(params: Form) -> Vec<(&'static str, String)> {
    let replaced = |changed: &'static str, odd: &'static str| {
        let pair =
            |(name, value): &(&str, &str)| format!("{name}={}", if *name == changed { odd } else { value });
        (changed, params.iter().map(pair).collect::<Vec<_>>().join("&"))
    };
    params.iter().flat_map(|(name, _)| IN_FORMS.map(|odd| replaced(name, odd))).collect()
}

fn form(server: &Server, path: &str, body: String) -> RequestBuilder {
    let request = http().post(server.at(path)).header("content-type", "application/x-www-form-urlencoded");
    request.body(body)
}

/// Checks that a client is told in JSON that its request is wrong.
async fn check_refused(what: &str, request: RequestBuilder) {
    let answer = send(request).await;
    assert!([400, 401].contains(&answer.status.as_u16()), "{what}: {answer:?}");
    assert!(
        answer.body["error"].is_string() && answer.body["error_description"].is_string(),
        "{what}: {answer:?}"
    );
}

#[tokio::test]
async fn no_parameter_of_an_authorization_request_is_odd() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let challenge = challenge(VERIFIER);
    let params = [
        ("client_id", client.client_id.as_str()),
        ("redirect_uri", "http%3A%2F%2F127.0.0.1%3A49152%2Fcallback"),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("scope", "tickets%3Aread"),
        ("resource", "x"),
        ("prompt", "login"),
        ("request", "x"),
    ];
    for (name, query) in each_replaced(&params) {
        let answer = Browser::new(&server).get(&format!("/authorize?{query}")).await;
        match name {
            "client_id" | "redirect_uri" => {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer:?}");
            }
            _ => assert!(answer.answer().contains_key("error"), "{name}: {answer:?}"),
        }
    }
    // Its own state goes back to the client byte for byte.
    let mut browser = Browser::signed_in(&server, "alice").await;
    for odd in IN_FORMS {
        let path = client.authorize(&[("state", ""), ("prompt", "none")]) + "&state=" + odd;
        let answer = browser.get(&path).await;
        assert!(answer.location.contains(&format!("state={odd}")), "{answer:?}");
    }
}

#[tokio::test]
async fn no_parameter_of_a_token_or_revocation_request_is_odd() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let client_id = ("client_id", client.client_id.as_str());
    let bearer = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let code = [("grant_type", "authorization_code"), client_id, ("code", "x"), ("code_verifier", VERIFIER)];
    let further = [("redirect_uri", "x"), ("resource", "x"), ("client_secret", "x")];
    let refresh = [("grant_type", "refresh_token"), client_id, ("refresh_token", "x"), ("scope", "x")];
    let assertion =
        [("grant_type", "refresh_token"), ("client_assertion", "x"), ("client_assertion_type", bearer)];
    for params in [&[&code[..], &further].concat(), &refresh[..], &assertion[..]] {
        for (name, body) in each_replaced(params) {
            check_refused(name, form(&server, "/token", body)).await;
        }
    }
    for (name, body) in each_replaced(&[client_id, ("token", "x")]) {
        check_refused(name, form(&server, "/revoke", body)).await;
    }
    for credentials in ["\0:x", "%00:x", "x:%00", "a%ED%A0%80:x"] {
        let request = form(&server, "/token", "grant_type=refresh_token&refresh_token=x".to_owned());
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        check_refused(credentials, request.header("authorization", basic)).await;
    }
    for odd in IN_JSON {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = part(&format!(r#"{{"sub":"{odd}","iss":"{odd}"}}"#));
        let jwt = format!("{}.{claims}.AAAA", part(r#"{"alg":"ES256"}"#));
        let body = format!("grant_type=refresh_token&client_assertion={jwt}&client_assertion_type={bearer}");
        check_refused(odd, form(&server, "/token", body)).await;
    }
}

#[tokio::test]
async fn no_text_of_a_clients_metadata_is_odd() {
    let server = Server::start().await;
    for odd in IN_JSON {
        for member in [
            format!(r#""client_name": "{odd}""#),
            format!(r#""client_uri": "https://c.example/{odd}""#),
            format!(r#""scope": "{odd}""#),
            format!(r#""software_id": "{odd}""#),
            format!(r#""software_version": "{odd}""#),
            format!(r#""token_endpoint_auth_method": "{odd}""#),
            format!(r#""jwks_uri": "https://c.example/{odd}""#),
            format!(r#""jwks": {{ "keys": [{{ "kid": "{odd}" }}] }}"#),
            format!(r#""jwks": {{ "keys": [], "{odd}": 1 }}"#),
            format!(r#""redirect_uris": ["https://c.example/{odd}"]"#),
            format!(r#""contacts": ["{odd}"]"#),
        ] {
            let body = format!(r#"{{ "redirect_uris": ["http://127.0.0.1/callback"], {member} }}"#);
            let request = http().post(server.at("/register")).header("content-type", "application/json");
            check_refused(&member, request.body(body)).await;
        }
    }
}

#[tokio::test]
async fn nothing_that_a_person_types_is_odd() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let (consent, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let csrf = page.hidden("csrf");
    let account = browser.get("/account").await.hidden("csrf");
    let setup = mandate::authz::setup::issue_link(&server.app).await.unwrap();
    let (_, token) = setup.split_once("token=").unwrap();
    let mut stranger = Browser::new(&server);
    let login = stranger.get("/login").await.hidden("csrf");
    let cookies = |browser: &Browser<'_>| {
        let pairs: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    };
    let (hers, theirs) = (cookies(&browser), cookies(&stranger));
    let forms: [(&str, &str, Form); 5] = [
        ("/login", &theirs, &[("csrf", &login), ("username", "alice"), ("password", "x")]),
        ("/login", &theirs, &[("csrf", &login), ("username", "a"), ("password", "x"), ("flow", "x")]),
        ("/account/revoke", &hers, &[("csrf", &account), ("grant_id", "x")]),
        (&consent, &hers, &[("csrf", &csrf), ("decision", "x"), ("scope", "x")]),
        ("/setup", "", &[("token", token), ("username", "x"), ("password", "x"), ("password_again", "x")]),
    ];
    for (path, cookie, params) in forms {
        for (name, body) in each_replaced(params) {
            let request = form(&server, path, body).header("sec-fetch-site", "same-origin");
            let answer = request.header("cookie", cookie).send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_client_error(), "{name} of {path}: {status} {text}");
        }
    }
    for odd in IN_FORMS {
        for path in
            [format!("/consent/{odd}"), format!("/setup?token={odd}"), format!("/account?welcome={odd}")]
        {
            let answer = browser.get(&path).await;
            assert!(answer.status.is_client_error(), "{path}: {answer:?}");
        }
        let answer = browser.get(&format!("/account?revoked={odd}")).await;
        assert_eq!(answer.status, StatusCode::OK, "a notice of nothing");
        let answer = browser.get(&format!("/login?flow={odd}")).await;
        assert!(!answer.status.is_server_error(), "{answer:?}");
    }
}

/// A call as text, because no `Value` can hold every one of these.
async fn call(client: &Mcp<'_>, tool: &str, arguments: &str) -> (StatusCode, Value) {
    let params = format!(r#"{{ "name": "{tool}", "arguments": {arguments} }}"#);
    ask(client, &format!(r#"{{ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {params} }}"#))
        .await
}

async fn ask(client: &Mcp<'_>, message: &str) -> (StatusCode, Value) {
    let request = client.post().header("mcp-protocol-version", "2025-11-25");
    let answer = send(request.body(message.to_owned())).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn no_text_of_a_tool_call_is_odd() {
    let server = Server::start().await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    let client = Mcp::legacy(&server, &mint(&server, &alice, "client_1", BOTH).await.token);
    client.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    for odd in IN_JSON {
        let is_json = !odd.contains("ud800");
        for (tool, arguments) in [
            ("create_ticket", format!(r#"{{ "title": "{odd}", "body": "b" }}"#)),
            ("create_ticket", format!(r#"{{ "title": "t", "body": "{odd}" }}"#)),
            ("create_ticket", format!(r#"{{ "title": "t", "body": "b", "priority": "{odd}" }}"#)),
            ("create_ticket", format!(r#"{{ "title": "t", "body": "b", "idempotency_key": "{odd}" }}"#)),
            ("create_ticket", format!(r#"{{ "title": "t", "body": "b", "{odd}": 1 }}"#)),
            ("comment_ticket", format!(r#"{{ "id": "T-1", "body": "{odd}" }}"#)),
            ("comment_ticket", format!(r#"{{ "id": "{odd}", "body": "b" }}"#)),
            ("close_ticket", format!(r#"{{ "id": "T-1", "resolution": "{odd}" }}"#)),
            ("search_tickets", format!(r#"{{ "query": "{odd}" }}"#)),
            ("search_tickets", format!(r#"{{ "query": "*", "cursor": "{odd}" }}"#)),
            ("search_tickets", format!(r#"{{ "query": "*", "status": "{odd}" }}"#)),
            ("get_ticket", format!(r#"{{ "id": "{odd}" }}"#)),
        ] {
            let (status, body) = call(&client, tool, &arguments).await;
            if is_json {
                assert_eq!(
                    (status, &body["result"]["isError"]),
                    (StatusCode::OK, &json!(true)),
                    "{arguments}: {body}"
                );
            } else {
                assert_eq!(
                    (status, &body["error"]["code"]),
                    (StatusCode::BAD_REQUEST, &json!(-32700)),
                    "{body}"
                );
            }
        }
        for message in [
            format!(
                r#"{{ "jsonrpc": "2.0", "id": 7, "method": "resources/read", "params": {{ "uri": "{odd}" }} }}"#
            ),
            format!(r#"{{ "jsonrpc": "2.0", "id": 7, "method": "{odd}" }}"#),
            format!(r#"{{ "jsonrpc": "2.0", "id": "{odd}", "method": "x" }}"#),
            format!(
                r#"{{ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {{ "name": "{odd}" }} }}"#
            ),
        ] {
            let (status, body) = ask(&client, &message).await;
            assert!(!status.is_server_error() && body["error"].is_object(), "{message}: {status} {body}");
        }
    }
    let found = client.call("search_tickets", json!({ "query": "*" })).await;
    assert_eq!(found.structured()["tickets"].as_array().unwrap().len(), 1, "nothing of it was done");
}
