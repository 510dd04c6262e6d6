//! What clients discover: metadata, keys, and what does not exist (RFC 8414, RFC 7517; A0, A1, A2).

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::{Server, header, http};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const FOREIGN: &str = "https://app.example";

async fn fetch(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = http().request(method, server.at(path));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

async fn get(server: &Server, path: &str) -> Response {
    fetch(server, Method::GET, path, &[]).await
}

async fn document(server: &Server, path: &str) -> Value {
    get(server, path).await.json().await.unwrap()
}

#[tokio::test]
async fn the_metadata_says_what_is_true() {
    let server = Server::start().await;
    let response = get(&server, METADATA).await;
    assert_eq!(
        (response.status(), header(&response, "content-type")),
        (StatusCode::OK, "application/json".into())
    );
    let metadata: Value = response.json().await.unwrap();
    let methods = json!(["none", "client_secret_post", "client_secret_basic", "private_key_jwt"]);
    let algorithms = &metadata["token_endpoint_auth_signing_alg_values_supported"];
    let expected = json!({
        "issuer": server.url,
        "authorization_endpoint": server.at("/authorize"),
        "token_endpoint": server.at("/token"),
        "registration_endpoint": server.at("/register"),
        "revocation_endpoint": server.at("/revoke"),
        "jwks_uri": server.at("/jwks"),
        "scopes_supported": ["offline_access", "tickets:read", "tickets:write"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "protected_resources": [server.at("/mcp")],
    });
    assert_eq!(metadata, expected);
    let algorithms: BTreeSet<&str> =
        algorithms.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(algorithms, BTreeSet::from(["ES256", "RS256", "PS256", "EdDSA"]));
}

#[tokio::test]
async fn no_member_is_null_or_empty() {
    fn check(value: &Value, path: &str) {
        assert!(
            !value.is_null() && *value != json!([]) && *value != json!("") && *value != json!({}),
            "{path}"
        );
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| check(member, &format!("{path}.{name}")));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, path)),
            _ => {}
        }
    }
    let server = Server::start_with(|config| {
        config.clients.dynamic_registration = false;
        config.clients.metadata_documents = false;
    })
    .await;
    for path in [METADATA, "/jwks", "/.well-known/oauth-protected-resource/mcp"] {
        check(&document(&server, path).await, path);
    }
}

#[tokio::test]
async fn every_form_that_clients_probe_gives_the_same_bytes() {
    let server = Server::start().await;
    let root = get(&server, METADATA).await.text().await.unwrap();
    for form in ["/mcp", "/mcp/"] {
        assert_eq!(get(&server, &format!("{METADATA}{form}")).await.text().await.unwrap(), root, "{form}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_a_json_404_and_never_a_page() {
    let server = Server::start().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
        "/mcp/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/other",
        "/.well-known/oauth-authorization-server/mcp/deeper",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/",
        "/.well-known/security.txt",
    ] {
        let response = get(&server, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(&response, "content-type"), "application/json", "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn browser_clients_can_tell_that_an_entry_does_not_exist() {
    let server = Server::start().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-protected-resource/other"] {
        let response = fetch(&server, Method::GET, path, &[("origin", FOREIGN)]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test]
async fn discovery_needs_no_credentials_and_takes_get_head_and_options() {
    let server = Server::start().await;
    for path in [
        METADATA,
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/jwks",
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            for headers in [&[][..], &[("authorization", "Bearer expired")][..]] {
                let response = fetch(&server, method.clone(), path, headers).await;
                assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
                assert_eq!(header(&response, "www-authenticate"), "");
            }
        }
        let refused = fetch(&server, Method::POST, path, &[]).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn discovery_is_not_compressed_and_sets_no_cookie() {
    let server = Server::start().await;
    for path in [METADATA, "/jwks"] {
        let response =
            fetch(&server, Method::GET, path, &[("accept-encoding", "gzip, br, zstd, deflate")]).await;
        assert_eq!(header(&response, "content-encoding"), "", "{path}");
        assert_eq!(header(&response, "set-cookie"), "", "{path}");
    }
}

#[tokio::test]
async fn documents_are_kept_for_an_hour_at_most_and_confirmed_by_etag() {
    let server = Server::start().await;
    for path in [METADATA, "/jwks"] {
        let first = get(&server, path).await;
        let cache = header(&first, "cache-control");
        let seconds: u32 = cache.strip_prefix("public, max-age=").unwrap().parse().unwrap();
        assert!(seconds <= 3600, "{cache}");
        let etag = header(&first, "etag");
        for known in [etag.clone(), format!("\"other\", W/{etag}")] {
            let second = fetch(&server, Method::GET, path, &[("if-none-match", &known)]).await;
            assert_eq!(second.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        let changed = fetch(&server, Method::GET, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(changed.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn absolute_urls_come_from_configuration_and_not_from_host() {
    let server = Server::start().await;
    let response = fetch(
        &server,
        Method::GET,
        METADATA,
        &[("host", "evil.example"), ("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "gopher")],
    )
    .await;
    let metadata: Value = response.json().await.unwrap();
    assert_eq!(metadata, document(&server, METADATA).await);
    let protected = document(&server, "/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(protected["authorization_servers"], json!([metadata["issuer"]]), "the same bytes");
}

#[tokio::test]
async fn an_https_issuer_has_https_endpoints_and_hsts() {
    let server = Server::start_with(|config| {
        config.public_url = mandate::config::PublicUrl::parse("https://tickets.example").unwrap();
    })
    .await;
    let response = http().get(format!("http://{}{METADATA}", server.address)).send().await.unwrap();
    assert_eq!(header(&response, "strict-transport-security"), "max-age=31536000");
    let metadata: Value = response.json().await.unwrap();
    assert_eq!(metadata["issuer"], "https://tickets.example");
    for (name, value) in metadata.as_object().unwrap() {
        let is_url = name.ends_with("_endpoint") || name.ends_with("_uri");
        assert!(!is_url || value.as_str().unwrap().starts_with("https://tickets.example/"), "{name}");
    }
}

#[tokio::test]
async fn an_issuer_is_https_or_on_loopback() {
    for (url, accepted) in [
        ("https://tickets.example", true),
        ("http://localhost:8080", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://tickets.example", false),
        ("http://localhost.example", false),
        ("https://tickets.example/?q=1", false),
        ("https://tickets.example/#f", false),
    ] {
        assert_eq!(mandate::config::PublicUrl::parse(url).is_ok(), accepted, "{url}");
    }
}

#[tokio::test]
async fn the_key_set_holds_public_halves_with_their_names() {
    let server = Server::start().await;
    let keys = document(&server, "/jwks").await;
    let keys = keys["keys"].as_array().unwrap();
    assert!(keys.len() >= 2, "the next key is published before it signs");
    let names: BTreeSet<&str> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(names.len(), keys.len(), "no name twice");
    for key in keys {
        assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("ES256")));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_offered() {
    let server = Server::start_with(|config| {
        config.clients.dynamic_registration = false;
        config.clients.metadata_documents = false;
    })
    .await;
    let metadata = document(&server, METADATA).await;
    assert!(metadata.get("registration_endpoint").is_none());
    assert!(metadata.get("client_id_metadata_document_supported").is_none());
}

#[tokio::test]
async fn a_client_that_ignores_the_metadata_finds_the_endpoints_at_the_root() {
    let server = Server::start().await;
    for (method, path) in [(Method::GET, "/authorize"), (Method::POST, "/token"), (Method::POST, "/register")]
    {
        let status = fetch(&server, method, path, &[]).await.status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn browser_clients_may_call_each_endpoint() {
    let server = Server::start().await;
    for (path, method) in [
        (METADATA, "GET"),
        ("/.well-known/oauth-authorization-server/mcp", "GET"),
        ("/.well-known/oauth-protected-resource", "GET"),
        ("/.well-known/oauth-protected-resource/mcp", "GET"),
        ("/jwks", "GET"),
        ("/token", "POST"),
        ("/register", "POST"),
        ("/revoke", "POST"),
    ] {
        let asked = "authorization,content-type,mcp-protocol-version";
        let preflight = [
            ("origin", FOREIGN),
            ("access-control-request-method", method),
            ("access-control-request-headers", asked),
        ];
        let response = fetch(&server, Method::OPTIONS, path, &preflight).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path}");
        assert!(header(&response, "access-control-allow-methods").contains(method), "{path}");
        let listed = header(&response, "access-control-allow-headers").to_ascii_lowercase();
        let listed: BTreeSet<&str> = listed.split(',').map(str::trim).collect();
        for name in ["authorization", "content-type", "accept", "dpop", "mcp-protocol-version"] {
            assert!(listed.contains(name), "{path}: {name}");
        }
        let actual = Method::from_bytes(method.as_bytes()).unwrap();
        let response = fetch(&server, actual, path, &[("origin", FOREIGN)]).await;
        assert_eq!(header(&response, "access-control-allow-origin"), "*", "{path}");
        assert_eq!(header(&response, "access-control-allow-credentials"), "", "{path}");
        let exposed = header(&response, "access-control-expose-headers").to_ascii_lowercase();
        assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{path}: {exposed}");
    }
}

#[tokio::test]
async fn no_page_can_be_read_by_another_origin() {
    let server = Server::with_people().await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for path in ["/", "/authorize", "/authorize?client_id=x", "/login", "/account", "/setup", "/signed-out"] {
        for method in [Method::GET, Method::OPTIONS] {
            let headers = [
                ("origin", FOREIGN),
                ("access-control-request-method", "GET"),
                ("sec-fetch-site", "cross-site"),
            ];
            let loaded = browser.send(method, path, None, &headers).await;
            let leaks = loaded.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
            assert!(!leaks, "{path}: {:?}", loaded.headers);
        }
    }
}

#[tokio::test]
async fn answers_with_secrets_are_not_kept_errors_included() {
    let server = Server::start().await;
    for (path, content_type, body) in [
        ("/token", "application/x-www-form-urlencoded", "grant_type=authorization_code"),
        ("/revoke", "application/x-www-form-urlencoded", "token=x"),
        ("/register", "application/json", "{}"),
        ("/register", "application/json", r#"{"redirect_uris":["https://c.example/cb"]}"#),
    ] {
        let request = http().post(server.at(path)).header("content-type", content_type).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "cache-control"), "no-store", "{path} {body}");
        assert_eq!(header(&response, "content-type"), "application/json", "{path} {body}");
    }
}
