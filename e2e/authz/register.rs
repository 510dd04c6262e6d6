//! Dynamic client registration (RFC 7591; A6, G16-G25, G30-G33).

use std::time::Duration;

use mandate::authz::housekeeping;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, register, token};
use crate::support::{Server, at_most, header, http};

const WEB: &str = "https://app.example/cb";

async fn send(server: &Server, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    http().post(server.at("/register")).header("content-type", content_type).body(body).send().await.unwrap()
}

/// Registers, and expects that to work.
async fn registered(server: &Server, metadata: Value) -> Value {
    let (status, body) = register(server, &metadata).await;
    assert_eq!(status, StatusCode::CREATED, "{metadata}: {body}");
    body
}

#[tokio::test]
async fn a_registration_answers_201_with_what_was_registered() {
    let server = Server::start().await;
    let metadata = json!({
        "client_name": "App",
        "client_uri": "https://app.example/",
        "redirect_uris": [WEB, "http://localhost:3000/cb"],
        "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "tickets:read",
        "application_type": "web",
        "software_id": "software-1",
        "software_version": "1.2",
    });
    let response = send(&server, "application/json", metadata.to_string()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "cache-control"), "no-store");
    let body: Value = response.json().await.unwrap();
    for (name, value) in metadata.as_object().unwrap() {
        assert_eq!(&body[name], value, "{name}");
    }
    let client_id = body["client_id"].as_str().unwrap();
    assert!(!client_id.starts_with("https://") && client_id.len() > 16, "{client_id}");
    assert!(body["client_secret"].as_str().unwrap().len() >= 43, "256 random bits");
    assert_eq!(body["client_secret_expires_at"], 0);
    assert_eq!(body["client_id_issued_at"], 1_795_392_000);
    assert!(!body.as_object().unwrap().values().any(Value::is_null), "{body}");
    assert_ne!(registered(&server, metadata).await["client_id"], body["client_id"], "each is its own");
}

#[tokio::test]
async fn what_is_left_out_gets_its_default_and_a_secret() {
    let server = Server::start().await;
    let body = registered(&server, json!({"redirect_uris": [WEB]})).await;
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(body["response_types"], json!(["code"]));
    assert!(body["grant_types"].as_array().unwrap().contains(&json!("authorization_code")));
    assert_eq!(body["scope"], "offline_access tickets:read tickets:write");
    assert!(body["client_secret"].is_string());
    for absent in ["client_name", "client_uri", "application_type", "jwks", "jwks_uri", "software_id"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    let public =
        registered(&server, json!({"redirect_uris": [WEB], "token_endpoint_auth_method": "none"})).await;
    assert!(public.get("client_secret").is_none() && public.get("client_secret_expires_at").is_none());
}

#[tokio::test]
async fn what_cannot_be_registered_is_named() {
    let server = Server::start().await;
    let with = |name: &str, value: Value| {
        let mut metadata = json!({"redirect_uris": [WEB]});
        metadata[name] = value;
        metadata
    };
    let jwks = json!({"keys": []});
    for (metadata, error) in [
        (json!({}), "invalid_redirect_uri"),
        (with("redirect_uris", json!([])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(WEB)), "invalid_redirect_uri"),
        (with("redirect_uris", json!(null)), "invalid_redirect_uri"),
        (with("redirect_uris", json!([7])), "invalid_redirect_uri"),
        (with("token_endpoint_auth_method", json!("tls_client_auth")), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!("private_key_jwt")), "invalid_client_metadata"),
        (with("jwks", json!([])), "invalid_client_metadata"),
        (with("jwks_uri", json!("http://app.example/jwks")), "invalid_client_metadata"),
        (
            json!({"redirect_uris": [WEB], "jwks": jwks, "jwks_uri": "https://app.example/jwks"}),
            "invalid_client_metadata",
        ),
    ] {
        let (status, body) = register(&server, &metadata).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!(error)), "{metadata}");
        let description = body["error_description"].as_str().unwrap();
        let legal = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        assert!(description.chars().all(legal), "{description}");
    }
}

#[tokio::test]
async fn the_body_is_a_json_object_of_at_most_16_kilobytes() {
    let server = Server::start().await;
    let good = json!({"redirect_uris": [WEB]}).to_string();
    for content_type in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(send(&server, content_type, good.clone()).await.status(), StatusCode::CREATED);
    }
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", good.as_str()),
        ("text/plain", &good),
        ("application/json", "[]"),
        ("application/json", "{"),
        ("application/json", ""),
        ("application/json", "\"text\""),
    ] {
        let response = send(&server, content_type, body.to_owned()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{content_type} {body}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"], "invalid_client_metadata");
    }
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let full = send(&server, "application/json", padded(16 * 1024)).await;
    assert_eq!(full.status(), StatusCode::CREATED);
    let over = send(&server, "application/json", padded(16 * 1024 + 1)).await;
    assert_eq!(over.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&over, "cache-control"), "no-store");
    assert_eq!(over.json::<Value>().await.unwrap()["error"], "invalid_request");
    let deep = format!("{{\"redirect_uris\":[\"{WEB}\"],\"x\":{}", "[".repeat(10_000));
    assert_eq!(send(&server, "application/json", deep).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn acceptable_redirect_uris_are_kept_and_the_others_dropped() {
    let server = Server::start().await;
    let cursor = "cursor://anysphere.cursor-mcp/oauth/callback";
    for (listed, kept) in [
        (vec!["https://www.cursor.com/cb", cursor, "http://localhost:8787/cb", "javascript:alert(1)"], 3),
        (
            vec![
                "data:text/html,x",
                "JaVaScRiPt:alert(1)",
                "file:///etc/passwd",
                "http://app.example/cb",
                WEB,
            ],
            1,
        ),
        (
            vec![
                "unknownapp://cb",
                "http://10.0.0.1/cb",
                "http://localhost.evil.example/cb",
                "http://127.0.0.1/cb",
            ],
            1,
        ),
        (
            vec![
                "https://app.example/cb#f",
                "https://user@app.example/cb",
                "https://a.example\\@b.example/",
                "/cb",
                WEB,
            ],
            1,
        ),
        (vec![WEB, WEB], 1),
    ] {
        let body = registered(&server, json!({"redirect_uris": listed})).await;
        let stored: Vec<&str> =
            body["redirect_uris"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
        assert_eq!(stored.len(), kept, "{stored:?}");
        assert!(stored.iter().all(|uri| listed.contains(uri)));
    }
    let (status, body) =
        register(&server, &json!({"redirect_uris": ["javascript:alert(1)", "unknownapp://cb"]})).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_redirect_uri")));
}

#[tokio::test]
async fn private_use_schemes_are_those_of_the_configuration() {
    let shipped = Server::start().await;
    let schemes = shipped.app.config.clients.private_use_schemes.clone();
    assert!(schemes.iter().any(|scheme| scheme == "cursor"), "{schemes:?}");
    for scheme in &schemes {
        registered(&shipped, json!({"redirect_uris": [format!("{scheme}://callback")]})).await;
    }
    let server =
        Server::start_with(|config| config.clients.private_use_schemes = vec!["com.example.app".into()])
            .await;
    registered(&server, json!({"redirect_uris": ["com.example.app:/cb"]})).await;
    for scheme in ["cursor", "com.example", "com.example.app2", "COM.example.app"] {
        let (status, _) = register(&server, &json!({"redirect_uris": [format!("{scheme}:/cb")]})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{scheme}");
    }
}

#[tokio::test]
async fn application_type_is_never_demanded() {
    let server = Server::start().await;
    for uri in ["http://127.0.0.1/cb", "http://localhost:1/cb", "http://[::1]/cb", "cursor://x/cb"] {
        for kind in [json!("native"), json!("web"), json!("odd"), json!(null)] {
            registered(&server, json!({"redirect_uris": [uri], "application_type": kind})).await;
        }
        registered(&server, json!({"redirect_uris": [uri]})).await;
    }
}

#[tokio::test]
async fn grant_and_response_types_are_intersected_and_not_refused() {
    let server = Server::start().await;
    for grant_types in [
        json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]),
        json!(["authorization_code", "client_credentials", "password", "implicit"]),
        json!(["authorization_code"]),
        json!("odd"),
    ] {
        let metadata =
            json!({"redirect_uris": [WEB], "grant_types": grant_types, "response_types": ["code", "token"]});
        let body = registered(&server, metadata).await;
        assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
        assert_eq!(body["response_types"], json!(["code"]));
    }
}

#[tokio::test]
async fn unknown_scopes_are_dropped_and_the_registered_scope_never_caps_a_request() {
    let server = Server::with_people().await;
    for (scope, echoed) in [
        (json!("tickets:read"), "tickets:read"),
        (json!("tickets:read admin"), "tickets:read"),
        (json!("admin"), "offline_access tickets:read tickets:write"),
        (json!(""), "offline_access tickets:read tickets:write"),
        (json!(7), "offline_access tickets:read tickets:write"),
    ] {
        let metadata = json!({
            "redirect_uris": ["http://127.0.0.1/callback"], "scope": scope, "token_endpoint_auth_method": "none"
        });
        let body = registered(&server, metadata).await;
        assert_eq!(body["scope"], echoed, "{scope}");
        let client = Client::known(&server, body["client_id"].as_str().unwrap());
        let request = client.authorize(&[("scope", "tickets:write offline_access")]);
        let (_, page) = Browser::new(&server).open_consent(&request, "alice").await;
        assert_eq!(page.boxes(), [("tickets:write", true)], "{scope}");
    }
}

#[tokio::test]
async fn odd_metadata_is_cut_or_dropped_and_never_sent_back_as_null() {
    let server = Server::start().await;
    let metadata = json!({
        "redirect_uris": [WEB],
        "client_name": "n".repeat(5000),
        "client_name#ja-Jpan-JP": "\u{30af}\u{30e9}\u{30a4}\u{30a2}\u{30f3}\u{30c8}",
        "client_uri": "javascript:alert(1)",
        "logo_uri": "javascript:alert(1)",
        "tos_uri": "",
        "policy_uri": null,
        "contacts": [{}],
        "software_id": "",
        "jwks_uri": "",
        "jwks": null,
        "token_endpoint_auth_method": "",
        "software_statement": "a.b.c",
        "unheard_of": {"deep": [1, 2]},
    });
    let body = registered(&server, metadata).await;
    assert_eq!(body["client_name"].as_str().unwrap().len(), 200);
    for absent in [
        "client_uri",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "contacts",
        "software_id",
        "jwks",
        "jwks_uri",
        "unheard_of",
        "software_statement",
    ] {
        assert!(body.get(absent).is_none(), "{absent}: {body}");
    }
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    assert!(!body.to_string().contains("javascript"));
}

#[tokio::test]
async fn an_unknown_client_learns_that_it_must_register_again() {
    let server = Server::start().await;
    let (status, body) = Client::known(&server, "client_gone").redeem("code").await;
    assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    assert!(body["error_description"].as_str().unwrap().contains("register again"), "{body}");
}

#[tokio::test]
async fn too_many_registrations_wait_and_are_told_how_long() {
    let server = Server::start_with(|config| {
        config.limits.register = at_most(3);
    })
    .await;
    for _ in 0..3 {
        registered(&server, json!({"redirect_uris": [WEB]})).await;
    }
    let response = send(&server, "application/json", json!({"redirect_uris": [WEB]}).to_string()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let wait: u64 = header(&response, "retry-after").parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], "temporarily_unavailable");
    assert!(body["error_description"].is_string() && body["reference"].is_string(), "{body}");
    server.advance(Duration::from_secs(wait));
    registered(&server, json!({"redirect_uris": [WEB]})).await;
}

#[tokio::test]
async fn a_whole_office_of_clients_registers_behind_one_address() {
    let server = Server::start().await;
    for _ in 0..100 {
        registered(&server, json!({"redirect_uris": [WEB], "token_endpoint_auth_method": "none"})).await;
    }
}

#[tokio::test]
async fn switched_off_it_is_neither_offered_nor_there() {
    let server = Server::start_with(|config| config.clients.dynamic_registration = false).await;
    let metadata: Value = http()
        .get(server.at("/.well-known/oauth-authorization-server"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(metadata.get("registration_endpoint").is_none());
    let response = send(&server, "application/json", json!({"redirect_uris": [WEB]}).to_string()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.json::<Value>().await.unwrap()["error"], "not_found");
}

#[tokio::test]
async fn clients_that_nobody_uses_are_forgotten_and_those_with_a_live_grant_are_not() {
    let server = Server::with_people().await;
    let (used, dropped) = (Client::register(&server).await, Client::register(&server).await);
    used.obtain_tokens("alice").await;
    server.advance(Duration::from_secs(31 * 86_400));
    let fresh = Client::register(&server).await;
    server.advance(Duration::from_secs(12 * 3600));
    housekeeping::once(&server.app).await.unwrap();
    let mut browser = Browser::new(&server);
    for client in [&used, &fresh] {
        assert!(browser.get(&client.authorize(&[])).await.location.starts_with("/login"));
    }
    let gone = browser.get(&dropped.authorize(&[])).await;
    gone.assert_page(StatusCode::BAD_REQUEST, "This app is not known here");
    assert!(gone.body.contains("remove the connection to this server and add it again"));
}

#[tokio::test]
async fn a_secret_is_taken_in_the_header_or_the_body_whichever_was_registered() {
    let server = Server::with_people().await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let metadata =
            json!({"redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": method});
        let body = registered(&server, metadata).await;
        let (id, secret) = (body["client_id"].as_str().unwrap(), body["client_secret"].as_str().unwrap());
        let client = Client::known(&server, id);
        for in_header in [true, false] {
            let code = client.obtain_code("alice", &["tickets:read"]).await;
            let mut form =
                vec![("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
            let mut request = http().post(server.at("/token"));
            if in_header {
                request = request.basic_auth(id, Some(secret));
            } else {
                form.extend([("client_id", id), ("client_secret", secret)]);
            }
            assert_eq!(
                request.form(&form).send().await.unwrap().status(),
                StatusCode::OK,
                "{method} {in_header}"
            );
        }
    }
    // An empty secret of a public client is no secret.
    let public = Client::register(&server).await;
    let code = public.obtain_code("alice", &["tickets:read"]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("client_id", &public.client_id),
        ("client_secret", ""),
    ];
    assert_eq!(token(&server, &form).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_cannot_be_guessed_without_end() {
    let server = Server::start().await;
    let body = registered(&server, json!({"redirect_uris": [WEB]})).await;
    let (id, secret) = (body["client_id"].as_str().unwrap(), body["client_secret"].as_str().unwrap());
    let guess = async |secret: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", id),
            ("client_secret", secret),
            ("refresh_token", "x"),
        ];
        token(&server, &form).await
    };
    for _ in 0..20 {
        assert_eq!(guess("wrong").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(guess("wrong").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(guess(secret).await.1["error"], "invalid_grant", "the rightful client is not kept out by it");
}
