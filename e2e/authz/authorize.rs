//! The authorization request (OAuth 2.1 §4.1.1, A3): who is told of what, and what may be asked.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::Server;
use crate::support::browser::{Browser, Loaded};
use crate::support::client::{Client, REDIRECT_URI, VERIFIER, challenge, claims, register, token};

const WEBSITE: &str = "https://app.example/cb";

/// A website that registered itself: nobody vouches for it.
async fn website(server: &Server) -> Client<'_> {
    let metadata =
        json!({"client_name": "Website", "redirect_uris": [WEBSITE], "token_endpoint_auth_method": "none"});
    let (_, body) = register(server, &metadata).await;
    Client::known(server, body["client_id"].as_str().unwrap())
}

/// Whether an answer went back to the client with this error, and with everything that belongs to it.
#[track_caller]
fn assert_error(server: &Server, loaded: &Loaded, redirect_uri: &str, error: &str) {
    assert_eq!(loaded.status, StatusCode::SEE_OTHER, "{error}: {}", loaded.body);
    assert!(
        loaded.location.starts_with(&format!("{redirect_uri}?error={error}&")),
        "{error}: {}",
        loaded.location
    );
    let answer = loaded.answer();
    assert_eq!(answer["iss"], server.url, "{error}");
    let legal = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    assert!(
        !answer["error_description"].is_empty() && answer["error_description"].chars().all(legal),
        "{answer:?}"
    );
    assert_eq!(loaded.headers["cache-control"], "no-store");
    assert_eq!(loaded.headers["referrer-policy"], "no-referrer");
}

#[tokio::test]
async fn an_unknown_client_gets_a_page_that_says_the_cure_and_no_redirect() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let long = format!("https://app.example/{}", "x".repeat(3000));
    for changes in [
        vec![("client_id", "client_unknown")],
        vec![("client_id", "https://app.example")],
        vec![("client_id", "HTTPS://app.example/c")],
        vec![("client_id", long.as_str())],
        vec![("client_id", client.client_id.as_str()), ("client_id", client.client_id.as_str())],
    ] {
        let loaded = browser.get(&client.authorize(&changes)).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "This app is not known here");
        assert!(loaded.body.contains("remove the connection to this server and add it again"), "{changes:?}");
        assert!(loaded.body.contains(loaded.headers["x-reference-id"].to_str().unwrap()));
    }
}

#[tokio::test]
async fn a_request_that_names_no_client_is_said_to_name_none() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    for address in [client.authorize(&[("client_id", "")]), "/authorize".to_owned()] {
        let loaded = Browser::new(&server).get(&address).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "This request names no app");
        assert!(loaded.body.contains("client_id is missing"), "{address}: {}", loaded.body);
        assert!(!loaded.body.contains("registration"), "{address}: {}", loaded.body);
        assert!(loaded.body.contains(loaded.headers["x-reference-id"].to_str().unwrap()));
    }
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_the_clients_gets_a_page_and_no_redirect() {
    let server = Server::start().await;
    let metadata = json!({
        "redirect_uris": ["https://app.example/cb", "https://app.example:8443/x?a=1"], "token_endpoint_auth_method": "none"
    });
    let (_, body) = register(&server, &metadata).await;
    let client = Client::known(&server, body["client_id"].as_str().unwrap());
    let mut browser = Browser::new(&server);
    for redirect_uri in [
        "",
        "cb",
        "https://app.example/cb/",
        "https://app.example/cb?x",
        "https://app.example/cb#f",
        "https://app.example/CB",
        "https://APP.example/cb",
        "https://app.example/%63b",
        "https://app.example/x/../cb",
        "https://app.example:443/cb",
        "https://app.example:8444/x?a=1",
        "https://app.example:8443/x",
        "https://app.example.evil.example/cb",
        "https://app.example@evil.example/cb",
        "https://evil.example\\@app.example/cb",
        "https://evil.example/https://app.example/cb",
        "http://app.example/cb",
        "http://127.0.0.1/cb",
        "javascript:alert(1)",
        "https://app.example/cb\r\nX: y",
    ] {
        let loaded = browser.get(&client.authorize(&[("redirect_uri", redirect_uri)])).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "The way back to the app is not safe");
        assert!(!loaded.headers.contains_key("x"), "{redirect_uri}");
    }
    let twice = [("redirect_uri", "https://app.example/cb"), ("redirect_uri", "https://app.example/cb")];
    let loaded = browser.get(&client.authorize(&twice)).await;
    loaded.assert_page(StatusCode::BAD_REQUEST, "The way back to the app is not safe");
    let binary = client.authorize(&[("redirect_uri", "")]) + "&redirect_uri=%ff%fe";
    browser.get(&binary).await.assert_page(StatusCode::BAD_REQUEST, "The way back to the app is not safe");
}

#[tokio::test]
async fn redirect_uri_may_be_left_out_when_one_is_registered() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let loaded =
        Browser::new(&server).get(&client.authorize(&[("redirect_uri", ""), ("response_type", "")])).await;
    assert_error(&server, &loaded, "http://127.0.0.1/callback", "invalid_request");
}

#[tokio::test]
async fn every_registered_redirect_uri_is_honoured() {
    let server = Server::start().await;
    let uris = ["http://127.0.0.1/a", "http://127.0.0.1/b", "cursor://anysphere.cursor-mcp/oauth/callback"];
    let (_, body) =
        register(&server, &json!({"redirect_uris": uris, "token_endpoint_auth_method": "none"})).await;
    let client = Client::known(&server, body["client_id"].as_str().unwrap());
    for uri in uris {
        let changes = [("redirect_uri", uri), ("response_type", "")];
        let loaded = Browser::new(&server).get(&client.authorize(&changes)).await;
        assert_error(&server, &loaded, uri, "invalid_request");
    }
}

#[tokio::test]
async fn the_port_of_a_loopback_redirect_is_free_and_nothing_else() {
    let server = Server::start().await;
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let registered = [format!("http://{host}/callback?a=1"), format!("http://{host}:3000/fixed")];
        let metadata = json!({"redirect_uris": registered, "token_endpoint_auth_method": "none"});
        let (_, body) = register(&server, &metadata).await;
        let client = Client::known(&server, body["client_id"].as_str().unwrap());
        let mut browser = Browser::new(&server);
        for tail in
            ["/callback?a=1", ":1/callback?a=1", ":65535/callback?a=1", ":3000/fixed", ":4/fixed", "/fixed"]
        {
            let uri = format!("http://{host}{tail}");
            let loaded =
                browser.get(&client.authorize(&[("redirect_uri", &uri), ("response_type", "")])).await;
            assert!(loaded.location.starts_with(&uri), "{uri}: {loaded:?}");
        }
        let others = ["127.0.0.1", "[::1]", "localhost"].into_iter().filter(|other| *other != host);
        let mut refused: Vec<String> = others.map(|other| format!("http://{other}:1/callback?a=1")).collect();
        for tail in
            [":1/callback", ":1/callback?a=2", ":1/Callback?a=1", ":0/callback?a=1", ":65536/callback?a=1"]
        {
            refused.push(format!("http://{host}{tail}"));
        }
        refused.push(format!("https://{host}:1/callback?a=1"));
        refused.push(format!("http://{host}.evil.example:1/callback?a=1"));
        refused.push(format!("http://{host}:1@evil.example/callback?a=1"));
        refused.push("http://127.0.0.2:1/callback?a=1".to_owned());
        for uri in refused {
            let loaded = browser.get(&client.authorize(&[("redirect_uri", &uri)])).await;
            loaded.assert_page(StatusCode::BAD_REQUEST, "The way back to the app is not safe");
        }
    }
}

#[tokio::test]
async fn once_the_redirect_uri_is_proven_the_client_is_told_with_state_and_iss() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let (good, other) = (challenge(VERIFIER), "https://other.example/mcp");
    let plus = good.replace(['-', '_'], "+").replacen(&good[..1], "+", 1);
    for (changes, error) in [
        (vec![("response_type", "")], "invalid_request"),
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("response_type", "code token")], "unsupported_response_type"),
        (vec![("response_type", "CODE")], "unsupported_response_type"),
        (vec![("response_mode", "fragment")], "invalid_request"),
        (vec![("response_mode", "form_post")], "invalid_request"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge", ""), ("code_challenge_method", "")], "invalid_request"),
        (vec![("code_challenge_method", "")], "invalid_request"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("code_challenge_method", "s256")], "invalid_request"),
        (vec![("code_challenge", &good[..42])], "invalid_request"),
        (vec![("code_challenge", plus.as_str())], "invalid_request"),
        (vec![("code_challenge", VERIFIER)], "invalid_request"),
        (vec![("scope", "unknown")], "invalid_scope"),
        (vec![("scope", "tickets:read \"quoted\" <b>")], "invalid_scope"),
        (vec![("resource", other)], "invalid_target"),
        (vec![("resource", "mcp")], "invalid_target"),
        (vec![("request", "a.b.c")], "request_not_supported"),
        (vec![("request_uri", "https://app.example/r")], "request_uri_not_supported"),
        (vec![("prompt", "none login")], "invalid_request"),
        (vec![("prompt", "none")], "login_required"),
        (vec![("max_age", "soon")], "invalid_request"),
        (vec![("max_age", "-1")], "invalid_request"),
    ] {
        let loaded = Browser::new(&server).get(&client.authorize(&changes)).await;
        assert_error(&server, &loaded, REDIRECT_URI, error);
        assert_eq!(loaded.answer()["state"], "st", "{changes:?}");
    }
}

#[tokio::test]
async fn no_parameter_twice_but_resource() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let good = challenge(VERIFIER);
    for (name, value) in [
        ("response_type", "code"),
        ("scope", "tickets:read"),
        ("state", "st"),
        ("code_challenge", good.as_str()),
        ("code_challenge_method", "S256"),
        ("prompt", "consent"),
        ("response_mode", "query"),
    ] {
        let loaded = Browser::new(&server).get(&client.authorize(&[(name, value), (name, value)])).await;
        assert_error(&server, &loaded, REDIRECT_URI, "invalid_request");
        let state = loaded.answer().get("state").cloned();
        assert_eq!(state.as_deref(), (name != "state").then_some("st"), "{name}");
    }
    let resource = server.at("/mcp");
    let twice = client.authorize(&[("resource", &resource), ("resource", &resource)]);
    assert!(Browser::new(&server).get(&twice).await.location.starts_with("/login"));
}

#[tokio::test]
async fn unknown_parameters_are_ignored_and_empty_ones_count_as_omitted() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let odd = client.authorize(&[]) + "&scope=&resource=&prompt=&request=&x=1&x=2&nonce=n&%ff=1&=&&";
    let (_, page) = Browser::new(&server).open_consent(&odd, "alice").await;
    assert_eq!(page.boxes(), [("tickets:read", true), ("tickets:write", true)]);
}

#[tokio::test]
async fn state_goes_back_byte_for_byte_in_success_and_in_error() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for (sent, back) in [
        ("a%2Bb+c%2525", "a%2Bb+c%2525"),
        ("%ff%00%0d%0aX:1", "%FF%00%0D%0AX%3A1"),
        ("%7B%22a%22%3A%22%3Cb%3E%26%22%7D", "%7B%22a%22%3A%22%3Cb%3E%26%22%7D"),
        ("%F0%9F%8E%AB", "%F0%9F%8E%AB"),
    ] {
        let request = client.authorize(&[("state", "")]) + &format!("&state={sent}");
        let (path, page) = browser.open_consent(&request, "alice").await;
        let allowed = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
        assert!(allowed.location.contains(&format!("&state={back}&iss=")), "{}", allowed.location);
        let refused = browser.get(&(request + "&scope=unknown")).await;
        assert!(refused.location.contains(&format!("&state={back}&iss=")), "{}", refused.location);
    }
    let without = browser.get(&client.authorize(&[("state", ""), ("scope", "unknown")])).await;
    assert!(!without.answer().contains_key("state"));
}

#[tokio::test]
async fn the_redirect_uris_own_query_is_kept() {
    let server = Server::with_people().await;
    let uri = "http://127.0.0.1/callback?tenant=%20a&x";
    let (_, body) =
        register(&server, &json!({"redirect_uris": [uri], "token_endpoint_auth_method": "none"})).await;
    let client = Client::known(&server, body["client_id"].as_str().unwrap());
    let request = client.authorize(&[("redirect_uri", uri)]);
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&request, "alice").await;
    let allowed = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
    assert!(allowed.location.starts_with(&format!("{uri}&code=")), "{}", allowed.location);
}

#[tokio::test]
async fn success_carries_code_state_and_iss_and_nothing_else() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let allowed = browser.decide(&path, &page, "allow", &["tickets:read"]).await;
    assert_eq!(allowed.status, StatusCode::SEE_OTHER, "never 307: the form would go along");
    let answer = allowed.answer();
    assert_eq!(answer.keys().collect::<Vec<_>>(), ["code", "iss", "state"]);
    assert_eq!((answer["iss"].as_str(), answer["state"].as_str()), (server.url.as_str(), "st"));
    assert!(answer["code"].len() >= 43, "256 random bits");
}

#[tokio::test]
async fn scopes_have_a_default_unknown_ones_are_dropped_and_the_granted_set_is_reported() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let both = "tickets:read tickets:write";
    for (scope, boxes, granted) in [
        ("", both, both),
        ("tickets:write", "tickets:write", "tickets:write"),
        ("tickets:read reports:all", "tickets:read", "tickets:read"),
        ("tickets:write tickets:read tickets:read", both, both),
        ("offline_access", both, "offline_access tickets:read tickets:write"),
        ("openid offline_access tickets:read", "tickets:read", "offline_access tickets:read"),
    ] {
        let mut browser = Browser::new(&server);
        let (path, page) = browser.open_consent(&client.authorize(&[("scope", scope)]), "alice").await;
        let shown: Vec<&str> = page.boxes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(shown.join(" "), boxes, "{scope:?}");
        let answer = browser.decide(&path, &page, "allow", &shown).await.answer();
        let (_, tokens) = client.redeem(&answer["code"]).await;
        assert_eq!(tokens["scope"], granted, "{scope:?}");
        assert_eq!(claims(&tokens["access_token"])["scope"], boxes, "{scope:?}");
        assert!(tokens["refresh_token"].is_string(), "whatever the scope");
    }
}

#[tokio::test]
async fn every_spelling_of_the_resource_gives_the_one_audience() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let port = server.address.port();
    let mcp = server.at("/mcp");
    for resources in [
        vec![],
        vec![mcp.clone()],
        vec![format!("{mcp}/")],
        vec![server.url.clone()],
        vec![server.at("/")],
        vec![format!("HTTP://LOCALHOST:{port}/mcp")],
        vec![format!("{mcp}?session=1")],
        vec![mcp.clone(), mcp.clone()],
        vec![mcp.clone(), server.at("/")],
    ] {
        let changes: Vec<_> = resources.iter().map(|resource| ("resource", resource.as_str())).collect();
        let mut browser = Browser::signed_in(&server, "alice").await;
        let (path, page) = browser.open_consent(&client.authorize(&changes), "alice").await;
        let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
        let (_, tokens) = client.redeem(&answer["code"]).await;
        assert_eq!(claims(&tokens["access_token"])["aud"], mcp, "{resources:?}");
    }
}

#[tokio::test]
async fn a_resource_that_is_not_ours_is_an_invalid_target() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let mcp = server.at("/mcp");
    for resources in [
        vec![server.at("/mcp2")],
        vec![server.at("/mcp/x")],
        vec![server.at("/token")],
        vec![format!("{mcp}#f")],
        vec!["mcp".to_owned()],
        vec!["/mcp".to_owned()],
        vec!["https://other.example/mcp".to_owned()],
        vec![mcp.replace("http://", "https://")],
        vec!["http://localhost:1/mcp".to_owned()],
        vec![mcp.replace("localhost", "user@localhost")],
        vec![mcp.clone(), "https://other.example/mcp".to_owned()],
    ] {
        let changes: Vec<_> = resources.iter().map(|resource| ("resource", resource.as_str())).collect();
        let loaded = Browser::new(&server).get(&client.authorize(&changes)).await;
        assert_error(&server, &loaded, REDIRECT_URI, "invalid_target");
    }
}

#[tokio::test]
async fn an_unproven_website_hears_of_an_error_only_after_somebody_signed_in() {
    let server = Server::with_people().await;
    let client = website(&server).await;
    let bad = client.authorize(&[("redirect_uri", WEBSITE), ("scope", "unknown")]);
    let mut browser = Browser::new(&server);
    let loaded = browser.get(&bad).await;
    assert!(loaded.location.starts_with("/login?flow="), "{loaded:?}");
    let page = browser.get(&loaded.location).await;
    let signed_in = browser.sign_in(&page, "alice", crate::support::PASSWORD).await;
    let told = browser.get(&signed_in.location).await;
    assert_error(&server, &told, WEBSITE, "invalid_scope");
    assert_error(&server, &browser.get(&bad).await, WEBSITE, "invalid_scope");
}

#[tokio::test]
async fn prompt_none_does_not_lead_to_an_unproven_website_unseen() {
    let server = Server::with_people().await;
    let client = website(&server).await;
    for scope in ["", "unknown"] {
        let request = client.authorize(&[("redirect_uri", WEBSITE), ("prompt", "none"), ("scope", scope)]);
        let loaded = Browser::new(&server).get(&request).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "Nobody is signed in here");
    }
    let mut browser = Browser::signed_in(&server, "alice").await;
    let loaded = browser.get(&client.authorize(&[("redirect_uri", WEBSITE), ("prompt", "none")])).await;
    assert_error(&server, &loaded, WEBSITE, "consent_required");
}

#[tokio::test]
async fn clients_of_the_operator_are_told_at_once() {
    let server = Server::start().await;
    server.add_client("client_portal", &json!({"redirect_uris": [WEBSITE]})).await;
    let client = Client::known(&server, "client_portal");
    let loaded = Browser::new(&server)
        .get(&client.authorize(&[("redirect_uri", WEBSITE), ("scope", "unknown")]))
        .await;
    assert_error(&server, &loaded, WEBSITE, "invalid_scope");
}

#[tokio::test]
async fn prompt_login_asks_for_the_password_again() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for prompt in ["login", "login consent", "select_account"] {
        server.advance(std::time::Duration::from_secs(1));
        let loaded = browser.get(&client.authorize(&[("prompt", prompt)])).await;
        assert!(loaded.location.starts_with("/login?flow="), "{prompt}: {loaded:?}");
        let consent = loaded.location.replace("/login?flow=", "/consent/");
        assert_eq!(browser.get(&consent).await.location, loaded.location, "there is no way around");
        let page = browser.get(&loaded.location).await;
        assert_eq!(browser.sign_in(&page, "alice", crate::support::PASSWORD).await.location, consent);
        browser.get(&consent).await.assert_page(StatusCode::OK, "Allow “Test client” to use your tickets?");
    }
}

#[tokio::test]
async fn max_age_asks_for_the_password_again_once_the_sign_in_is_older() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let request = client.authorize(&[("max_age", "60")]);
    server.advance(std::time::Duration::from_secs(59));
    assert!(browser.get(&request).await.location.starts_with("/consent/"));
    server.advance(std::time::Duration::from_secs(2));
    let silent = client.authorize(&[("max_age", "60"), ("prompt", "none")]);
    assert_error(&server, &browser.get(&silent).await, REDIRECT_URI, "login_required");
    let loaded = browser.get(&request).await;
    assert!(loaded.location.starts_with("/login?flow="), "{loaded:?}");
    let consent = loaded.location.replace("/login?flow=", "/consent/");
    assert_eq!(browser.get(&consent).await.location, loaded.location, "there is no way around");
    let page = browser.get(&loaded.location).await;
    assert_eq!(browser.sign_in(&page, "alice", crate::support::PASSWORD).await.location, consent);
    browser.get(&consent).await.assert_page(StatusCode::OK, "Allow “Test client” to use your tickets?");
}

#[tokio::test]
async fn prompt_consent_and_unknown_prompts_show_the_page() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for prompt in ["consent", "create", "consent create"] {
        let changes = [("prompt", prompt), ("scope", "tickets:read offline_access")];
        let (_, page) = browser.open_consent(&client.authorize(&changes), "alice").await;
        page.assert_page(StatusCode::OK, "Allow “Test client” to use your tickets?");
    }
}

#[tokio::test]
async fn prompt_none_never_grants_to_a_client_that_cannot_be_proven() {
    let server = Server::with_people().await;
    server.add_client("client_public", &json!({"redirect_uris": [WEBSITE]})).await;
    let clients = [
        (Client::register(&server).await, REDIRECT_URI),
        (website(&server).await, WEBSITE),
        (Client::known(&server, "client_public"), WEBSITE),
    ];
    for (client, redirect_uri) in clients {
        let request = client.authorize(&[("redirect_uri", redirect_uri)]);
        let mut browser = Browser::new(&server);
        let (path, page) = browser.open_consent(&request, "alice").await;
        let answer = browser.decide(&path, &page, "allow", &["tickets:read", "tickets:write"]).await.answer();
        assert_eq!(client.redeem(&answer["code"]).await.0, StatusCode::OK);
        let loaded = browser.get(&(request + "&prompt=none")).await;
        assert_error(&server, &loaded, redirect_uri, "consent_required");
    }
}

#[tokio::test]
async fn prompt_none_is_silent_for_a_proven_client_within_what_this_user_granted() {
    let server = Server::with_people().await;
    let metadata = json!({"redirect_uris": [WEBSITE], "token_endpoint_auth_method": "client_secret_basic"});
    let secret = server.add_client("client_portal", &metadata).await.unwrap();
    let client = Client::known(&server, "client_portal");
    let ask = |scope| client.authorize(&[("redirect_uri", WEBSITE), ("prompt", "none"), ("scope", scope)]);
    let redeem = async |code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "client_portal"),
            ("client_secret", secret.as_str()),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        token(&server, &form).await
    };
    let mut browser = Browser::signed_in(&server, "alice").await;
    assert_error(&server, &browser.get(&ask("tickets:read")).await, WEBSITE, "consent_required");
    let interactive = client.authorize(&[("redirect_uri", WEBSITE), ("scope", "tickets:read")]);
    let (path, page) = browser.open_consent(&interactive, "alice").await;
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    // What was allowed counts once the client took it up, and for this user alone.
    assert_error(&server, &browser.get(&ask("tickets:read")).await, WEBSITE, "consent_required");
    assert_eq!(redeem(&answer["code"]).await.0, StatusCode::OK);
    let silent = browser.get(&ask("tickets:read")).await.answer();
    assert_eq!((silent["state"].as_str(), silent["iss"].as_str()), ("st", server.url.as_str()));
    assert_eq!(redeem(&silent["code"]).await.1["scope"], "tickets:read");
    assert_error(&server, &browser.get(&ask("tickets:write")).await, WEBSITE, "consent_required");
    let mut bobs = Browser::signed_in(&server, "bob").await;
    assert_error(&server, &bobs.get(&ask("tickets:read")).await, WEBSITE, "consent_required");
    assert_error(&server, &Browser::new(&server).get(&ask("")).await, WEBSITE, "login_required");
}

#[tokio::test]
async fn a_request_that_is_fetched_without_cookies_and_dropped_changes_nothing() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let request = client.authorize(&[]);
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let loaded = Browser::new(&server).send(method, &request, None, &[]).await;
        assert_eq!(loaded.status, StatusCode::SEE_OTHER);
    }
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&request, "alice").await;
    let answer = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer();
    assert_eq!(client.redeem(&answer["code"]).await.0, StatusCode::OK);
    assert_eq!(browser.get("/account").await.body.matches("action=\"/account/revoke\"").count(), 1);
}

#[tokio::test]
async fn authorize_is_asked_with_get() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let loaded = Browser::new(&server).post(&client.authorize(&[]), &[]).await;
    assert_eq!(loaded.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(loaded.location, "");
}

#[tokio::test]
async fn a_request_without_bounds_is_refused_with_a_page() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let request = client.authorize(&[]);
    let flood = format!("{request}{}", "&x=1".repeat(70));
    let long = format!("{request}&x={}", "x".repeat(16 * 1024));
    for request in [flood, long] {
        let loaded = Browser::new(&server).get(&request).await;
        loaded.assert_page(StatusCode::BAD_REQUEST, "This request cannot be read");
    }
}

#[tokio::test]
async fn a_code_lives_a_minute_and_belongs_to_its_client_redirect_uri_and_verifier() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let other = Client::register(&server).await;
    let code = client.obtain_code("alice", &["tickets:read"]).await;
    let wrong = "x".repeat(43);
    let refused = [
        other.redeem(&code).await,
        client
            .token(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", &wrong)])
            .await,
        client
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("code_verifier", VERIFIER),
                ("redirect_uri", "http://127.0.0.1/callback"),
            ])
            .await,
    ];
    for (status, body) in refused {
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    }
    server.advance(std::time::Duration::from_secs(59));
    assert_eq!(client.redeem(&code).await.0, StatusCode::OK, "none of that burned it");
    let late = client.obtain_code("alice", &["tickets:read"]).await;
    server.advance(std::time::Duration::from_secs(60));
    assert_eq!(client.redeem(&late).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn no_secret_is_stored_as_it_is() {
    let server = Server::with_people().await;
    let client = Client::register(&server).await;
    let (_, confidential) = register(&server, &json!({"redirect_uris": [WEBSITE]})).await;
    let mut browser = Browser::new(&server);
    let (path, page) = browser.open_consent(&client.authorize(&[]), "alice").await;
    let code = browser.decide(&path, &page, "allow", &["tickets:read"]).await.answer()["code"].clone();
    let (_, tokens) = client.redeem(&code).await;
    let mut secrets: Vec<String> = browser.cookies.values().cloned().collect();
    secrets.extend(
        [&tokens["access_token"], &tokens["refresh_token"], &confidential["client_secret"]]
            .map(|token| token.as_str().unwrap().to_owned()),
    );
    secrets.extend([code, crate::support::PASSWORD.to_owned()]);
    let stored = server.profile.everything_stored().await;
    assert!(stored.contains(&client.client_id), "these are the stores");
    for secret in secrets {
        assert!(!stored.contains(&secret), "{secret}");
    }
}

#[tokio::test]
async fn without_writing_tools_nobody_is_asked_to_allow_writing() {
    let server = Server::start_with(|config| {
        config.mcp.writes.set(false);
    })
    .await;
    server.add_user("alice", mandate::storage::users::Role::Agent).await;
    let client = Client::register(&server).await;
    for scope in ["", "tickets:read tickets:write"] {
        let mut browser = Browser::new(&server);
        let (_, page) = browser.open_consent(&client.authorize(&[("scope", scope)]), "alice").await;
        assert!(page.body.contains("value=\"tickets:read\""));
        assert!(!page.body.contains("tickets:write"), "{scope:?}");
    }
    let mut browser = Browser::signed_in(&server, "alice").await;
    let answer = browser.get(&client.authorize(&[("scope", "tickets:write")])).await.answer();
    assert_eq!(answer["error"], "invalid_scope");
}
