//! `POST /token` and the grant type `authorization_code` (OAuth 2.1 §3.2, §4.1.3; A4.1–A4.9).

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, StatusCode};

use super::ask::{
    Answer, BOTH, audited, call, code, code_for, post, redeem, refresh, send, token, until_judged,
};
use crate::support::browser::Browser;
use crate::support::client::{Client, REDIRECT_URI, VERIFIER, challenge, claims};
use crate::support::{Server, at_most, http};

const FORM: &str = "application/x-www-form-urlencoded";

/// A server, and a public client of it.
async fn prepared(server: &Server) -> (Client<'_>, Browser<'_>) {
    (Client::register(server).await, Browser::signed_in(server, "alice").await)
}

#[tokio::test]
async fn only_post_is_answered() {
    let server = Server::start().await;
    for path in ["/token", "/revoke"] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
            let answer = send(http().request(method.clone(), server.at(path))).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), "POST", "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn only_a_form_is_read_even_when_its_type_comes_in_a_list() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let form = format!("grant_type=refresh_token&refresh_token=none&client_id={}", client.client_id);
    let json = r#"{"grant_type":"refresh_token","refresh_token":"none"}"#;
    let read = (400, "invalid_grant");
    let not_read = (400, "invalid_request");
    for (content_type, body, expected) in [
        (Some(FORM), form.as_str(), read),
        (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), &form, read),
        (Some("application/json, application/x-www-form-urlencoded"), &form, read),
        (Some("application/x-www-form-urlencoded,application/json"), &form, read),
        (Some("application/json"), json, not_read),
        (Some("application/json"), &form, not_read),
        (Some("text/plain"), &form, not_read),
        (Some("multipart/form-data; boundary=application/x-www-form-urlencoded"), &form, not_read),
        (Some("application/x-www-form-urlencoded2"), &form, not_read),
        (None, &form, not_read),
    ] {
        let mut request = http().post(server.at("/token")).body(body.to_owned());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let (status, code) = expected;
        send(request).await.refused(status, code);
    }
}

#[tokio::test]
async fn the_query_is_not_read() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let query = format!(
        "/token?grant_type=authorization_code&code={code}&code_verifier={VERIFIER}&client_id={}",
        client.client_id
    );
    post(&server, &query, &[]).await.refused(401, "invalid_client");
    let in_query = [("client_secret", "x"), ("resource", "https://other.example"), ("code", "x")];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(in_query).finish();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &client.client_id),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    post(&server, &format!("/token?{query}"), &form).await.granted();
}

#[tokio::test]
async fn browser_clients_may_call_from_any_origin_without_cookies() {
    let server = Server::start().await;
    for path in ["/token", "/revoke"] {
        let preflight = http()
            .request(Method::OPTIONS, server.at(path))
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,mcp-protocol-version");
        let answer = send(preflight).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
        for name in ["authorization", "content-type", "accept", "dpop", "mcp-protocol-version"] {
            assert!(allowed.split(',').any(|listed| listed.trim() == name), "{name} in {allowed}");
        }
        let refused = http().post(server.at(path)).header("origin", "https://app.example");
        let refused = send(refused.form(&[("client_id", "nobody")])).await;
        refused.refused(401, "invalid_client");
        for answer in [&answer, &refused] {
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer:?}");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{answer:?}");
        }
        assert!(
            refused.header("access-control-expose-headers").to_ascii_lowercase().contains("www-authenticate")
        );
    }
}

#[tokio::test]
async fn each_fault_has_its_own_code() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let id = ("client_id", client.client_id.as_str());
    let code_grant = ("grant_type", "authorization_code");
    let refresh_grant = ("grant_type", "refresh_token");
    let unsupported =
        |grant_type| vec![id, ("grant_type", grant_type), ("code", "x"), ("refresh_token", "x")];
    for (form, status, code) in [
        (vec![code_grant, ("code", "x")], 401, "invalid_client"),
        (vec![("client_id", "client_unknown"), code_grant], 401, "invalid_client"),
        (vec![id], 400, "invalid_request"),
        (vec![id, ("grant_type", "")], 400, "invalid_request"),
        (vec![id, code_grant], 400, "invalid_request"),
        (vec![id, code_grant, ("code", "")], 400, "invalid_request"),
        (vec![id, code_grant, ("code", "x"), ("code_verifier", VERIFIER)], 400, "invalid_grant"),
        (vec![id, refresh_grant], 400, "invalid_request"),
        (vec![id, refresh_grant, ("refresh_token", "x")], 400, "invalid_grant"),
        (vec![id, code_grant, ("code", "x"), ("resource", "https://other.example")], 400, "invalid_target"),
        (vec![id, refresh_grant, ("refresh_token", "x"), ("resource", "mcp")], 400, "invalid_target"),
        (unsupported("password"), 400, "unsupported_grant_type"),
        (unsupported("implicit"), 400, "unsupported_grant_type"),
        (unsupported("client_credentials"), 400, "unauthorized_client"),
        (unsupported("Authorization_Code"), 400, "unsupported_grant_type"),
        (unsupported("urn:ietf:params:oauth:grant-type:token-exchange"), 400, "unsupported_grant_type"),
        (unsupported("urn:ietf:params:oauth:grant-type:device_code"), 400, "unsupported_grant_type"),
        (unsupported("urn:ietf:params:oauth:grant-type:jwt-bearer"), 400, "unsupported_grant_type"),
    ] {
        let answer = token(&server, &form).await;
        answer.refused(status, code);
        assert_eq!(answer.header("www-authenticate"), "", "no Authorization header was sent: {form:?}");
    }
}

#[tokio::test]
async fn no_parameter_twice_except_resource_and_unknown_ones() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let resource = server.at("/mcp");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client.client_id.as_str()),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT_URI),
    ];
    for name in form.map(|(name, _)| name) {
        let mut twice = form.to_vec();
        twice.extend(form.iter().filter(|(given, _)| *given == name));
        token(&server, &twice).await.refused(400, "invalid_request");
    }
    for name in ["refresh_token", "scope", "client_secret", "client_assertion", "client_assertion_type"] {
        let mut twice = form.to_vec();
        twice.extend([(name, ""), (name, "")]);
        token(&server, &twice).await.refused(400, "invalid_request");
    }
    let mut harmless = form.to_vec();
    harmless.extend([("resource", resource.as_str()), ("resource", &resource), ("x", "1"), ("x", "2")]);
    harmless.extend([("audience", "https://other.example"), ("dpop_jkt", "")]);
    token(&server, &harmless).await.granted();
}

#[tokio::test]
async fn a_parameter_without_a_value_counts_as_omitted() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let empty = ["redirect_uri", "resource", "scope", "client_secret", "client_assertion", "refresh_token"];
    let changes: Vec<_> = empty.iter().map(|name| (*name, "")).collect();
    redeem(&client, &server, &code, &[("code_verifier", "")]).await.refused(400, "invalid_grant");
    redeem(&client, &server, &code, &changes).await.granted();
}

#[tokio::test]
async fn the_answer_names_type_lifetime_and_scope() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    for (asked, ticked, scope) in [
        ("", &BOTH[..], "tickets:read tickets:write"),
        ("", &["tickets:read"], "tickets:read"),
        ("tickets:read", &["tickets:read"], "tickets:read"),
        ("tickets:write tickets:read unheard-of", &BOTH, "tickets:read tickets:write"),
        ("offline_access", &BOTH, "offline_access tickets:read tickets:write"),
        ("tickets:read offline_access", &["tickets:read"], "offline_access tickets:read"),
    ] {
        let code = code_for(&mut browser, &client, &[("scope", asked)], ticked).await;
        let answer = redeem(&client, &server, &code, &[]).await;
        answer.granted();
        assert_eq!(answer.text_of("scope"), scope, "{asked}");
        assert_eq!(answer.text_of("token_type"), "Bearer");
        assert_eq!(answer.body["expires_in"].as_u64(), Some(3600), "a whole number");
        assert!(!answer.text_of("access_token").is_empty());
        assert!(!answer.text_of("refresh_token").is_empty(), "with or without offline_access");
    }
}

#[tokio::test]
async fn redirect_uri_may_be_left_out_but_is_compared_as_text() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    for other in [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:49153/callback",
        "http://127.0.0.1:49152/callback/",
        "http://127.0.0.1:49152/callback?",
        "http://127.0.0.1:49152/%63allback",
        "HTTP://127.0.0.1:49152/callback",
        "http://localhost:49152/callback",
        "https://other.example/",
        "not a URL",
    ] {
        redeem(&client, &server, &code, &[("redirect_uri", other)]).await.refused(400, "invalid_grant");
    }
    redeem(&client, &server, &code, &[("redirect_uri", REDIRECT_URI)]).await.granted();
    let second = super::ask::code(&mut browser, &client, &[]).await;
    redeem(&client, &server, &second, &[]).await.granted();
}

#[tokio::test]
async fn a_wrong_verifier_is_refused_and_burns_nothing() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    let (challenge, padded) = (challenge(VERIFIER), format!("{VERIFIER} "));
    let upper = VERIFIER.to_uppercase();
    for wrong in ["", "x", &short, &long, &challenge, &padded, &upper, "\u{1}", "é".repeat(43).as_str()] {
        redeem(&client, &server, &code, &[("code_verifier", wrong)]).await.refused(400, "invalid_grant");
    }
    redeem(&client, &server, &code, &[]).await.granted();
}

#[tokio::test]
async fn verifiers_of_43_and_of_128_characters_are_taken() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    for verifier in ["-._~".repeat(11)[..43].to_owned(), "aZ09".repeat(32)] {
        let challenge = challenge(&verifier);
        let code = code(&mut browser, &client, &[("code_challenge", &challenge)]).await;
        redeem(&client, &server, &code, &[("code_verifier", &verifier)]).await.granted();
    }
}

#[tokio::test]
async fn no_code_is_issued_without_an_s256_challenge() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let plain = [("code_challenge", VERIFIER), ("code_challenge_method", "plain")];
    let no_method = [("code_challenge_method", "")];
    let nothing = [("code_challenge", ""), ("code_challenge_method", "")];
    for changes in [&plain[..], &no_method, &nothing] {
        let answer = browser.get(&client.authorize(changes)).await.answer();
        assert_eq!(answer["error"], "invalid_request", "{changes:?}");
        assert!(answer.contains_key("error_description") && !answer.contains_key("code"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_code_is_for_its_client_only() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let other = Client::register(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    redeem(&other, &server, &code, &[]).await.refused(400, "invalid_grant");
    redeem(&client, &server, &code, &[]).await.granted();
}

#[tokio::test]
async fn a_code_lives_for_sixty_seconds() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let in_time = code(&mut browser, &client, &[]).await;
    let late = code(&mut browser, &client, &[]).await;
    server.advance(Duration::from_millis(59_999));
    redeem(&client, &server, &in_time, &[]).await.granted();
    server.advance(Duration::from_millis(1));
    redeem(&client, &server, &late, &[]).await.refused(400, "invalid_grant");
    assert_eq!(audited(&server, "code_replayed").await, [], "late is not stolen");
}

#[tokio::test]
async fn no_other_kind_of_secret_passes_for_a_code() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let tokens = redeem(&client, &server, &code, &[]).await;
    let session = browser.cookies.values().next().unwrap().clone();
    let relabelled = tokens.text_of("refresh_token").replace("mdt_refresh_", "mdt_code_");
    let (longer, long) = (format!("{code}x"), "x".repeat(8000));
    for wrong in [
        tokens.text_of("refresh_token"),
        tokens.text_of("access_token"),
        &relabelled,
        &session,
        &client.client_id,
        &longer,
        &code[..code.len() - 1],
        &long,
        "\u{1}",
        "' OR 1=1 --",
        "é",
    ] {
        redeem(&client, &server, wrong, &[]).await.refused(400, "invalid_grant");
    }
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 200, "nothing was revoked by that");
}

#[tokio::test]
async fn a_replay_ends_the_grant_and_what_it_gave() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let first = code(&mut browser, &client, &[]).await;
    let bystander = code(&mut browser, &client, &[]).await;
    let bystander = redeem(&client, &server, &bystander, &[]).await;
    let tokens = redeem(&client, &server, &first, &[]).await;
    let (access_token, refresh_token) = (tokens.text_of("access_token"), tokens.text_of("refresh_token"));
    let newer = refresh(&client, &server, refresh_token, &[]).await;
    assert_eq!(call(&server, access_token).await, 200);
    redeem(&client, &server, &first, &[]).await.refused(400, "invalid_grant");
    for dead in [access_token, newer.text_of("access_token")] {
        assert_eq!(call(&server, dead).await, 401);
    }
    for dead in [refresh_token, newer.text_of("refresh_token")] {
        refresh(&client, &server, dead, &[]).await.refused(400, "invalid_grant");
    }
    let recorded = audited(&server, "code_replayed").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].grant_id, claims(&tokens.body["access_token"])["grant_id"]);
    assert_eq!(call(&server, bystander.text_of("access_token")).await, 200, "only that grant");
}

#[tokio::test]
async fn a_strangers_replay_revokes_nothing() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let stranger = Client::register(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let tokens = redeem(&client, &server, &code, &[]).await;
    let wrong = "w".repeat(43);
    for (by, changes) in [
        (&stranger, vec![]),
        (&client, vec![("code_verifier", wrong.as_str())]),
        (&client, vec![("code_verifier", "")]),
        (&client, vec![("redirect_uri", "https://other.example/")]),
    ] {
        redeem(by, &server, &code, &changes).await.refused(400, "invalid_grant");
    }
    redeem(&client, &server, &code, &[("resource", "https://other.example")])
        .await
        .refused(400, "invalid_target");
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 200);
    refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await.granted();
    assert_eq!(audited(&server, "code_replayed").await, []);
}

#[tokio::test]
async fn of_32_redeemers_one_wins() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let answers =
        join_all((0..32).map(|_| until_judged(async || redeem(&client, &server, &code, &[]).await))).await;
    let (won, lost): (Vec<&Answer>, Vec<_>) = answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.refused(400, "invalid_grant");
    }
    // The others were replays with everything right, so what the winner got has ended too.
    assert_eq!(call(&server, won[0].text_of("access_token")).await, 401);
}

#[tokio::test]
async fn every_token_is_for_our_resource_whichever_way_it_is_named() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let resource = server.at("/mcp");
    let (slash, query, root) = (server.at("/mcp/"), server.at("/mcp?v=1"), server.at("/"));
    let upper = resource.replace("http://localhost", "HTTP://LOCALHOST");
    let ways: [&[&str]; 8] = [
        &[],
        &[&resource],
        &[&resource, &resource],
        &[&slash],
        &[&query],
        &[&root],
        &[&server.url],
        &[&upper, &resource],
    ];
    for named in ways {
        let code = code(&mut browser, &client, &[]).await;
        let named: Vec<_> = named.iter().map(|value| ("resource", *value)).collect();
        let first = redeem(&client, &server, &code, &named).await;
        first.granted();
        let second = refresh(&client, &server, first.text_of("refresh_token"), &named).await;
        for answer in [&first, second.granted()] {
            assert_eq!(claims(&answer.body["access_token"])["aud"], resource.as_str(), "{named:?}");
        }
    }
}

#[tokio::test]
async fn another_resource_is_invalid_target_and_burns_nothing() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    let resource = server.at("/mcp");
    let (fragment, below, beside) = (server.at("/mcp#f"), server.at("/mcp/x"), server.at("/mcp2"));
    let userinfo = resource.replace("http://", "http://u@");
    let others: [&[&str]; 8] = [
        &["https://other.example/mcp"],
        &[&resource, "https://other.example"],
        &[&fragment],
        &[&below],
        &[&beside],
        &[&userinfo],
        &["/mcp"],
        &["\u{1}"],
    ];
    for other in others {
        let named: Vec<_> = other.iter().map(|value| ("resource", *value)).collect();
        redeem(&client, &server, &code, &named).await.refused(400, "invalid_target");
    }
    let tokens = redeem(&client, &server, &code, &[]).await;
    for other in others {
        let named: Vec<_> = other.iter().map(|value| ("resource", *value)).collect();
        refresh(&client, &server, tokens.text_of("refresh_token"), &named)
            .await
            .refused(400, "invalid_target");
    }
    refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await.granted();
}

#[tokio::test]
async fn a_code_of_a_user_who_was_disabled_gives_nothing() {
    let server = Server::with_people().await;
    let (client, mut browser) = prepared(&server).await;
    let code = code(&mut browser, &client, &[]).await;
    super::refresh::disable(&server, "alice").await;
    redeem(&client, &server, &code, &[]).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_and_too_many_parameters_are_refused() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let large = "x".repeat(20_000);
    for path in ["/token", "/revoke"] {
        let form = [("client_id", client.client_id.as_str()), ("token", &large)];
        post(&server, path, &form).await.refused(413, "invalid_request");
        let many = vec![("a", "1"); 10_000];
        post(&server, path, &many).await.refused(413, "invalid_request");
        let many = vec![("a", "1"); 3_000];
        post(&server, path, &many).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_not_failed_on() {
    let server = Server::start().await;
    let client = Client::register(&server).await;
    let id = &client.client_id;
    for (body, status, code) in [
        (format!("client_id={id}&grant_type=refresh_token&refresh_token=%ff"), 400, "invalid_request"),
        (format!("client_id={id}%00&grant_type=refresh_token&refresh_token=x"), 400, "invalid_request"),
        (format!("client_id={id}&grant_type=refresh_token%00&refresh_token=x"), 400, "invalid_request"),
        (
            format!("client_id={id}&grant_type=refresh_token%01&refresh_token=x"),
            400,
            "unsupported_grant_type",
        ),
        (format!("client_id={id}&grant_type=refresh_token&refresh_token=%00"), 400, "invalid_request"),
        (format!("client_id={id}&grant_type=refresh_token&refresh_token=x&%ff=%ff"), 400, "invalid_grant"),
        (format!("&&=&client_id={id}&&grant_type=refresh_token&refresh_token=x&%zz"), 400, "invalid_grant"),
        ("client_id=%00&client_secret=%00".to_owned(), 400, "invalid_request"),
        ("client_id=' OR 1=1 --".to_owned(), 401, "invalid_client"),
        (String::new(), 401, "invalid_client"),
    ] {
        let request = http().post(server.at("/token")).header("content-type", FORM).body(body);
        send(request).await.refused(status, code);
    }
}

#[tokio::test]
async fn too_many_token_requests_from_one_address_wait_and_are_told_how_long() {
    let server = Server::start_with(|config| config.limits.token = at_most(3)).await;
    let form = [("grant_type", "refresh_token"), ("client_id", "client_unknown"), ("refresh_token", "x")];
    for _ in 0..3 {
        token(&server, &form).await.refused(401, "invalid_client");
    }
    let answer = token(&server, &form).await;
    answer.refused(429, "temporarily_unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    assert_eq!(answer.text_of("reference"), answer.header("x-reference-id"));
    server.advance(Duration::from_secs(wait));
    token(&server, &form).await.refused(401, "invalid_client");
    token(&server, &form).await.refused(429, "temporarily_unavailable");
}
