//! Access tokens of another issuer beside our own (B2, RFC 9068 §4, RFC 8725).

use std::time::Duration;

use mandate::config::issuers::Issuers;
use mandate::oauth::{ClientId, Scopes};
use mandate::storage::users::Role;
use mandate::storage::{commit, disabled_clients, grants, users};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::acme::{Acme, KEYS};
use crate::support::at_most;
use crate::support::browser::Browser;
use crate::support::mcp::{Answer, BOTH, Mcp, mint, tool_calls};
use crate::support::signer::{Signer, encode};

const READ: &str = "tickets:read";

async fn search(client: &Mcp<'_>) -> Answer {
    client.call("search_tickets", json!({ "query": "*" })).await
}

async fn details(server: &Server) -> Vec<String> {
    tool_calls(server).await.into_iter().filter_map(|event| event.detail).collect()
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_is_good_and_its_first_one_makes_account_and_grant() {
    for (path, alg) in [("", "ES256"), ("/realms/acme", "RS256"), ("/t/v2.0", "EdDSA")] {
        let mut acme = Acme::start_at(path).await;
        acme.signer = Signer::new(alg, "acme-1");
        acme.publish(&[&acme.signer]);
        let server = acme.server(&json!({})).await;
        let client = acme.client(&server, &json!({ "preferred_username": "carol" }));
        let made = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
        assert_eq!(made.status, StatusCode::OK, "{alg}: {}", made.body);
        assert_eq!(search(&client).await.structured()["tickets"].as_array().unwrap().len(), 1, "{alg}");
        let carol = server.app.store.find_user_by_name("carol").await.unwrap().unwrap();
        let grants = server.app.store.list_live_grants(&carol.user_id, server.app.now()).await.unwrap();
        assert_eq!(grants.len(), 1, "{alg}");
        assert_eq!(grants[0].client.client_id.as_str(), "acme:app-1");
        assert_eq!(grants[0].scopes, Scopes::parse(BOTH).unwrap());
        assert_eq!(acme.host.asked(KEYS), 1, "{alg}: the keys are kept");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_401_whatever_is_wrong_with_it() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({ "types": ["at+jwt", "JWT"] })).await;
    let now = server.app.now().unix_seconds();
    let resource = server.at("/mcp");
    let signer = &acme.signer;
    let token = |change: Value| acme.token(&server, &change);
    let with_header = |header: Value, change: Value| signer.sign_as(&header, &acme.changed(&server, &change));
    let header = |typ: &str| json!({ "alg": "ES256", "kid": "acme-1", "typ": typ });
    let claims = encode(acme.claims(&server).to_string());
    let unsigned = encode(json!({ "alg": "none", "typ": "at+jwt" }).to_string());
    // The public key as a shared secret (RFC 8725 §2.1).
    let hmac = {
        let head = encode(json!({ "alg": "HS256", "kid": "acme-1", "typ": "at+jwt" }).to_string());
        let key =
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, signer.jwk().to_string().as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, format!("{head}.{claims}").as_bytes());
        format!("{head}.{claims}.{}", encode(tag.as_ref()))
    };
    let stranger = Signer::new("ES256", "acme-1");
    let embedded = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "mine", "jwk": stranger.jwk() });
    let critical = json!({ "alg": "ES256", "kid": "acme-1", "typ": "at+jwt", "crit": ["x"], "x": 1 });
    let cases = [
        ("no algorithm", format!("{unsigned}.{claims}."), "malformed"),
        ("a shared secret", hmac, "algorithm"),
        ("critical extensions", with_header(critical, json!({})), "critical_extension"),
        ("another kind", with_header(header("logout+jwt"), json!({})), "wrong_type"),
        ("an ID token", with_header(header("JWT"), json!({ "nonce": "n", "scope": null })), "claims"),
        ("an ID token with a scope", with_header(header("JWT"), json!({ "at_hash": "h" })), "claims"),
        ("somebody else's key", acme.signed_by(&stranger, &server, &json!({})), "signature"),
        ("a key that it brings along", stranger.sign_as(&embedded, &acme.claims(&server)), "unknown_key"),
        ("another issuer", token(json!({ "iss": format!("{}/", acme.issuer()) })), "unknown_key"),
        ("another audience", token(json!({ "aud": "https://other.example/mcp" })), "foreign"),
        ("a prefix of ours", token(json!({ "aud": server.url })), "foreign"),
        ("more than ours", token(json!({ "aud": format!("{resource}/x") })), "foreign"),
        ("ours among others", token(json!({ "aud": [resource, "https://other.example"] })), "foreign"),
        ("no audience", token(json!({ "aud": null })), "foreign"),
        ("an old one", token(json!({ "exp": now - 60 })), "expired"),
        ("one for later", token(json!({ "nbf": now + 61 })), "expired"),
        ("one from the future", token(json!({ "iat": now + 61 })), "expired"),
        ("one without end", token(json!({ "exp": null })), "claims"),
        ("nobody's client", token(json!({ "client_id": null })), "claims"),
        ("one bound to a key", token(json!({ "cnf": { "jkt": "k" } })), "bound_to_a_key"),
    ];
    for (name, token, word) in cases {
        let answer = search(&Mcp::modern(&server, &token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {}", answer.body);
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{name}");
        let counted = server.app.metrics.text();
        let line = format!("credential=\"access_token\",reason=\"{word}\"");
        assert!(counted.contains(&line), "{name}: {counted}");
    }
    assert_eq!(tool_calls(&server).await.len(), 20, "each is recorded");
    assert!(server.app.store.has_no_users().await.unwrap(), "no account was made");
    assert_eq!(search(&acme.client(&server, &json!({ "aud": [resource] }))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_issuer_may_call_its_tokens_jwt_where_that_is_configured() {
    let acme = Acme::start().await;
    let strict = acme.server(&json!({})).await;
    let lax = acme.server(&json!({ "types": ["JWT", ""], "other_audiences": ["account"] })).await;
    for header in [json!({ "alg": "ES256", "typ": "JWT" }), json!({ "alg": "ES256", "kid": "acme-1" })] {
        let token = |server: &Server| {
            let change = json!({ "aud": ["account", server.at("/mcp")], "typ": "Bearer", "azp": "app-2" });
            acme.signer.sign_as(&header, &acme.changed(server, &change))
        };
        assert_eq!(search(&Mcp::modern(&lax, &token(&lax))).await.status, StatusCode::OK, "{header}");
        let refused = search(&Mcp::modern(&strict, &token(&strict))).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{header}");
    }
}

#[tokio::test]
async fn g56_a_new_key_is_fetched_once_and_a_flood_of_unknown_ones_is_not() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    assert_eq!(search(&acme.client(&server, &json!({}))).await.status, StatusCode::OK);
    let next = Signer::new("ES256", "acme-2");
    acme.publish(&[&acme.signer, &next]);
    let rotated = acme.signed_by(&next, &server, &json!({}));
    assert_eq!(search(&Mcp::modern(&server, &rotated)).await.status, StatusCode::OK);
    assert_eq!(acme.host.asked(KEYS), 2);
    for number in 0..10 {
        let forged = Signer::new("ES256", &format!("forged-{number}"));
        let forged = acme.signed_by(&forged, &server, &json!({}));
        assert_eq!(search(&Mcp::modern(&server, &forged)).await.status, StatusCode::UNAUTHORIZED);
    }
    assert!(acme.host.asked(KEYS) <= 4, "asked {} times", acme.host.asked(KEYS));
    // A key that is published no more is not good for new tokens, once the copy is renewed.
    server.advance(Duration::from_secs(120));
    acme.publish(&[&next]);
    let old = acme.token(&server, &json!({}));
    server.advance(Duration::from_secs(120));
    assert_eq!(search(&Mcp::modern(&server, &old)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_503_for_what_may_be_good_and_401_for_what_is_not() {
    let acme = Acme::start().await;
    acme.host.break_down();
    let server = acme.server(&json!({})).await;
    let client = acme.client(&server, &json!({}));
    let away = search(&client).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "{}", away.body);
    assert_eq!(away.header("retry-after"), "10");
    let bad = search(&acme.client(&server, &json!({ "aud": "https://other.example" }))).await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED, "bad whoever signed it");
    acme.host.recover();
    server.advance(Duration::from_secs(60));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    // From now on a copy stands in, for the keys that it has.
    acme.host.break_down();
    server.advance(Duration::from_secs(120));
    assert_eq!(search(&acme.client(&server, &json!({}))).await.status, StatusCode::OK);
    let unknown = acme.signed_by(&Signer::new("ES256", "acme-2"), &server, &json!({}));
    let answer = search(&Mcp::modern(&server, &unknown)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "nobody can tell: {}", answer.body);
}

#[tokio::test]
async fn metadata_of_another_issuer_leads_nowhere() {
    let acme = Acme::start().await;
    let metadata = json!({ "issuer": "https://other.example", "jwks_uri": acme.host.url(KEYS) });
    acme.host.put("/.well-known/openid-configuration", &metadata);
    let server = acme.server(&json!({})).await;
    let answer = search(&acme.client(&server, &json!({}))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(acme.host.asked(KEYS), 0);
    let named = acme.server(&json!({ "jwks_uri": acme.host.url(KEYS) })).await;
    assert_eq!(search(&acme.client(&named, &json!({}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_scope_too_few_is_403_with_the_names_of_the_issuer() {
    let acme = Acme::start().await;
    let scopes = json!({ "Tickets.Read": READ, "Tickets.ReadWrite": BOTH });
    let change = json!({ "scopes": scopes, "scope_prefix": "api://tickets/", "audience": ["api://tickets"] });
    let server = acme.server(&change).await;
    let with =
        |scope: Value| acme.client(&server, &json!({ "aud": "api://tickets", "scope": null, "scp": scope }));
    assert_eq!(search(&with(json!("Tickets.Read"))).await.status, StatusCode::OK);
    assert_eq!(search(&with(json!(["openid", "Tickets.ReadWrite"]))).await.status, StatusCode::OK);
    for (scope, named) in [
        (json!("Tickets.Read"), "scope=\"api://tickets/Tickets.Read api://tickets/Tickets.ReadWrite\""),
        (json!("tickets:write"), "scope=\"api://tickets/Tickets.ReadWrite\""),
        (json!(""), "scope=\"api://tickets/Tickets.ReadWrite\""),
        (Value::Null, "scope=\"api://tickets/Tickets.ReadWrite\""),
    ] {
        let answer = with(scope.clone()).call("create_ticket", json!({ "title": "t", "body": "b" })).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{scope}: {}", answer.body);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("error=\"insufficient_scope\""), "{scope}: {challenge}");
        assert!(challenge.contains(named), "{scope}: {challenge}");
    }
}

#[tokio::test]
async fn somebody_without_an_account_is_403_and_recorded() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({ "accounts": { "create": false } })).await;
    let answer = search(&acme.client(&server, &json!({}))).await;
    assert_eq!((answer.status, &answer.body["error"]), (StatusCode::FORBIDDEN, &json!("access_denied")));
    assert_eq!(answer.header("www-authenticate"), "", "no other token would help");
    assert_eq!(details(&server).await, ["no_account"]);
    assert_eq!(tool_calls(&server).await[0].client_id.as_deref(), Some("acme:app-1"));
}

#[tokio::test]
async fn a_verified_address_finds_an_account_where_that_is_wanted() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({ "accounts": { "link_by_email": true } })).await;
    let alice = server.add_user("alice@acme.example", Role::Agent).await;
    let unverified = json!({ "email": "alice@acme.example" });
    assert_eq!(search(&acme.client(&server, &unverified)).await.status, StatusCode::FORBIDDEN);
    let verified = json!({ "email": "alice@acme.example", "email_verified": true });
    assert_eq!(search(&acme.client(&server, &verified)).await.status, StatusCode::OK);
    let grants = server.app.store.list_live_grants(&alice.user_id, server.app.now()).await.unwrap();
    assert_eq!(grants.len(), 1);
}

#[tokio::test]
async fn a_role_follows_the_groups_of_the_newest_token() {
    let acme = Acme::start().await;
    let accounts =
        json!({ "create": true, "role_claim": "groups", "agents": ["support"], "requesters": ["staff"] });
    let server = acme.server(&json!({ "accounts": accounts })).await;
    server.add_user("bob", Role::Requester).await;
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    let his = Mcp::of(&server, &bob.user_id, BOTH).await;
    his.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    let seen_with = async |client: &Mcp| {
        // What is remembered of a grant is a few seconds old at most.
        server.advance(Duration::from_secs(15));
        let answer = search(client).await;
        let tickets = answer.body["result"]["structuredContent"]["tickets"].as_array().map(Vec::len);
        (answer.status, tickets)
    };
    let client = |groups: Value| acme.client(&server, &json!({ "groups": groups }));
    let seen = async |groups: Value| {
        server.advance(Duration::from_secs(1));
        seen_with(&client(groups)).await
    };
    let [first, unused] = [(); 2].map(|()| client(json!(["support"])));
    assert_eq!(seen(json!(["other"])).await, (StatusCode::FORBIDDEN, None));
    assert_eq!(seen(json!(["staff"])).await, (StatusCode::OK, Some(0)));
    assert_eq!(seen(json!(["staff", "support"])).await, (StatusCode::OK, Some(1)));
    assert_eq!(seen(json!("staff")).await, (StatusCode::OK, Some(0)));
    assert_eq!(seen_with(&first).await, (StatusCode::OK, Some(0)), "an older token undoes nothing");
    assert_eq!(seen(json!([])).await, (StatusCode::FORBIDDEN, None));
    assert_eq!(seen_with(&unused).await, (StatusCode::FORBIDDEN, None), "nor that there is no role any more");
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_an_enabled_one_needs_no_new_token() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let client = acme.client(&server, &json!({ "preferred_username": "carol" }));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    let carol = server.app.store.find_user_by_name("carol").await.unwrap().unwrap().user_id;
    let now = server.app.now();
    let mut tx = server.app.store.write().await.unwrap();
    users::disable(&mut tx, &carol, now).await.unwrap();
    let ended = grants::list_unended(&mut tx, &carol, now).await.unwrap();
    server.app.commit_ending(tx, &ended).await.unwrap();
    assert_eq!(search(&client).await.status, StatusCode::UNAUTHORIZED);
    let another = acme.client(&server, &json!({}));
    assert_eq!(search(&another).await.status, StatusCode::UNAUTHORIZED);
    let mut tx = server.app.store.write().await.unwrap();
    assert!(users::enable(&mut tx, &carol).await.unwrap());
    let ended = grants::revoke_all(&mut tx, &carol, "the account was disabled", now).await.unwrap();
    server.app.commit_ending(tx, &ended).await.unwrap();
    assert_eq!(search(&client).await.status, StatusCode::OK);
    assert_eq!(search(&another).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_disabled_client_is_refused_and_let_in_again_under_a_new_grant() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let client = acme.client(&server, &json!({}));
    let other = acme.client(&server, &json!({ "client_id": "app-2" }));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    let id = ClientId::new("acme:app-1");
    let now = server.app.now();
    let mut tx = server.app.store.write().await.unwrap();
    assert!(disabled_clients::record(&mut tx, &id, now).await.unwrap());
    let ended = grants::revoke_some_of(&mut tx, &id, "the client was disabled", now, 500).await.unwrap();
    assert_eq!(ended.len(), 1);
    server.app.commit_ending(tx, &ended).await.unwrap();
    assert_eq!(search(&client).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        search(&acme.client(&server, &json!({ "sub": "s-2" }))).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(search(&other).await.status, StatusCode::OK, "another client of the same issuer");
    let mut tx = server.app.store.write().await.unwrap();
    assert!(disabled_clients::remove(&mut tx, &id).await.unwrap());
    commit(tx).await.unwrap();
    assert_eq!(search(&client).await.status, StatusCode::OK, "the same token, under a new grant");
}

#[tokio::test]
async fn what_a_user_took_back_stays_so_until_they_allow_it_again() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({ "accounts": { "link_by_email": true } })).await;
    server.add_user("alice@acme.example", Role::Agent).await;
    let alice = json!({ "email": "alice@acme.example", "email_verified": true });
    let client = acme.client(&server, &alice);
    assert_eq!(search(&client).await.status, StatusCode::OK);
    let mut browser = Browser::signed_in(&server, "alice@acme.example").await;
    let page = browser.get("/account").await;
    assert!(page.body.contains("acme:app-1") && page.body.contains("Access was granted at localhost:"));
    let form = [("csrf", page.hidden("csrf")), ("grant_id", page.hidden("grant_id"))];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/account/revoke", &form).await;
    assert_eq!(search(&client).await.status, StatusCode::UNAUTHORIZED);
    let newer = acme.client(&server, &alice);
    assert_eq!(search(&newer).await.status, StatusCode::UNAUTHORIZED, "a new token is no way around it");
    assert_eq!(search(&acme.client(&server, &json!({ "client_id": "app-2" }))).await.status, StatusCode::OK);
    let page = browser.get("/account").await;
    assert!(page.body.contains("Allow again"), "{}", page.body);
    assert_eq!(browser.post("/account/allow", &form[1..]).await.status, StatusCode::FORBIDDEN);
    let answer = browser.post("/account/allow", &form).await;
    assert_eq!((answer.status, &answer.location[..17]), (StatusCode::SEE_OTHER, "/account?allowed="));
    let page = browser.get(&answer.location).await;
    assert!(page.body.contains("may use your tickets again") && !page.body.contains("Allow again"));
    for client in [&client, &newer] {
        assert_eq!(search(client).await.status, StatusCode::OK);
    }
    let events = server.app.store.list_audit_events(None, 1000).await.unwrap();
    assert!(events.iter().any(|event| event.event == "client_allowed"));
}

#[tokio::test]
async fn nobody_else_lets_a_client_in_again() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({ "accounts": { "link_by_email": true } })).await;
    for name in ["alice@acme.example", "bob@acme.example"] {
        server.add_user(name, Role::Requester).await;
    }
    let client = acme.client(&server, &json!({ "email": "alice@acme.example", "email_verified": true }));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    let mut alice = Browser::signed_in(&server, "alice@acme.example").await;
    let page = alice.get("/account").await;
    let grant_id = page.hidden("grant_id");
    alice.post("/account/revoke", &[("csrf", &page.hidden("csrf")), ("grant_id", &grant_id)]).await;
    let mut bob = Browser::signed_in(&server, "bob@acme.example").await;
    let csrf = bob.get("/account").await.hidden("csrf");
    let answer = bob.post("/account/allow", &[("csrf", &csrf), ("grant_id", &grant_id)]).await;
    assert_eq!((answer.status, answer.location.as_str()), (StatusCode::SEE_OTHER, "/account?allowed="));
    assert_eq!(search(&client).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn limits_are_counted_for_each_client_and_user_whoever_issued_the_token() {
    let acme = Acme::start().await;
    let server = Server::start_with(|config| {
        acme.trust(config, &json!({ "accounts": { "link_by_email": true } }));
        config.mcp.read_rate = at_most(2);
    })
    .await;
    let alice = server.add_user("alice@acme.example", Role::Agent).await;
    let said =
        |client: &str| json!({ "email": "alice@acme.example", "email_verified": true, "client_id": client });
    let first = acme.client(&server, &said("app-1"));
    let again = acme.client(&server, &said("app-1"));
    for client in [&first, &again] {
        assert_eq!(search(client).await.status, StatusCode::OK);
    }
    assert_eq!(search(&again).await.status, StatusCode::TOO_MANY_REQUESTS, "a new token is no new limit");
    assert_eq!(search(&acme.client(&server, &said("app-2"))).await.status, StatusCode::OK);
    let own = Mcp::modern(&server, &mint(&server, &alice.user_id, "app-1", BOTH).await.token);
    assert_eq!(search(&own).await.status, StatusCode::OK, "a client of ours of the same id is another");
}

#[tokio::test]
async fn two_issuers_share_neither_people_nor_clients() {
    let (acme, other) = (Acme::start().await, Acme::start_at("/other").await);
    let server = Server::start_with(|config| {
        let tables = json!({ "acme": acme.table(&json!({})), "other": other.table(&json!({})) });
        config.issuers = Issuers::from_json(tables).unwrap();
        acme.host.allow_both(&other.host, config);
    })
    .await;
    let (first, second) = (acme.client(&server, &json!({})), other.client(&server, &json!({})));
    first.call("create_ticket", json!({ "title": "t", "body": "b" })).await.structured();
    assert_eq!(search(&second).await.structured()["tickets"], json!([]), "the same subject is somebody else");
    assert_eq!(server.app.store.list_users().await.unwrap().len(), 2);
    // One's key does not sign for the other.
    let crossed = acme.signed_by(&acme.signer, &server, &json!({ "iss": other.issuer() }));
    assert_eq!(search(&Mcp::modern(&server, &crossed)).await.status, StatusCode::UNAUTHORIZED);
    let id = ClientId::new("acme:app-1");
    let mut tx = server.app.store.write().await.unwrap();
    disabled_clients::record(&mut tx, &id, server.app.now()).await.unwrap();
    let ended = grants::revoke_some_of(&mut tx, &id, "test", server.app.now(), 500).await.unwrap();
    server.app.commit_ending(tx, &ended).await.unwrap();
    assert_eq!(search(&first).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(search(&second).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_brings_more_widens_the_grant_and_reaches_no_further_than_it_says() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let reader = acme.client(&server, &json!({ "scope": READ, "preferred_username": "carol" }));
    assert_eq!(search(&reader).await.status, StatusCode::OK);
    let writer = acme.client(&server, &json!({ "scope": BOTH }));
    let arguments = json!({ "title": "t", "body": "b" });
    assert_eq!(writer.call("create_ticket", arguments.clone()).await.status, StatusCode::OK, "at once");
    assert_eq!(reader.call("create_ticket", arguments).await.status, StatusCode::FORBIDDEN);
    let carol = server.app.store.find_user_by_name("carol").await.unwrap().unwrap().user_id;
    let grants = server.app.store.list_live_grants(&carol, server.app.now()).await.unwrap();
    assert_eq!((grants.len(), grants[0].scopes.to_string().as_str()), (1, BOTH));
}

#[tokio::test]
async fn of_many_first_calls_at_once_each_is_let_in_under_one_grant() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let clients: Vec<Mcp<'_>> = (0..16).map(|_| acme.client(&server, &json!({}))).collect();
    let answers = futures::future::join_all(clients.iter().map(search)).await;
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let users = server.app.store.list_users().await.unwrap();
    assert_eq!(users.len(), 1);
    let grants = server.app.store.list_live_grants(&users[0].user_id, server.app.now()).await.unwrap();
    assert_eq!(grants.len(), 1);
}

#[tokio::test]
async fn expiry_is_looked_at_on_every_call_with_the_tolerance_for_clocks() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let client = acme.client(&server, &json!({}));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    server.advance(Duration::from_secs(3659));
    assert_eq!(search(&client).await.status, StatusCode::OK);
    server.advance(Duration::from_secs(1));
    assert_eq!(search(&client).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn beside_ours_the_issuer_is_named_where_that_is_wanted_and_ours_comes_first() {
    let acme = Acme::start().await;
    for (change, named) in [(json!({}), false), (json!({ "advertise": true }), true)] {
        let server = acme.server(&change).await;
        let metadata = crate::support::http().get(server.at("/.well-known/oauth-protected-resource/mcp"));
        let metadata: Value = metadata.send().await.unwrap().json().await.unwrap();
        let expected = if named { json!([server.url, acme.issuer()]) } else { json!([server.url]) };
        assert_eq!(metadata["authorization_servers"], expected);
        assert_eq!(metadata["scopes_supported"], json!(["tickets:read", "tickets:write"]));
    }
}

#[tokio::test]
async fn our_revocation_endpoint_knows_nothing_of_such_tokens() {
    let acme = Acme::start().await;
    let server = acme.server(&json!({})).await;
    let client = crate::support::client::Client::register(&server).await;
    let token = acme.token(&server, &json!({}));
    let form = [("token", token.as_str()), ("client_id", client.client_id.as_str())];
    let answer = crate::support::http().post(server.at("/revoke")).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(search(&Mcp::modern(&server, &token)).await.status, StatusCode::OK);
}
