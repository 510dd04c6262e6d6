//! Tokens for the resources of others, and a server that has none of its own (RFC 8707; A3.10, A4.2).

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::ask::{Answer, call, code_for, people_on, post, redeem, refresh, send};
use crate::binary::Place;
use crate::support::browser::Browser;
use crate::support::client::{Client, claims, register};
use crate::support::{Server, http};
use mandate::config::{Config, OtherResource, OtherResources};

/// One resource of somebody else.
pub(super) const BILLING: &str = "https://billing.example/mcp";
/// What its server proves itself with.
pub(super) const BILLING_SECRET: &str = "billing-0123456789abcdef0123456789";
/// Its scopes.
pub(super) const BILLING_SCOPES: [&str; 2] = ["billing:pay", "billing:read"];
/// Another one.
pub(super) const WIKI: &str = "https://wiki.example";
/// What its server proves itself with.
pub(super) const WIKI_SECRET: &str = "wiki-0123456789abcdef0123456789abc";
/// Where the codes of a website go.
const WEBSITE: &str = "https://app.example/callback";

/// A resource with scopes of these names.
pub(super) fn other(name: &str, uri: &str, scopes: &[&str], secret: Option<&str>) -> OtherResource {
    let title = format!("The {name} server");
    let scopes = scopes.iter().map(|scope| ((*scope).to_owned(), format!("Do what {scope} lets you do")));
    OtherResource::new(name, (uri, &title), scopes, secret).unwrap()
}

/// Both of them.
pub(super) fn both() -> [OtherResource; 2] {
    [
        other("billing", BILLING, &BILLING_SCOPES, Some(BILLING_SECRET)),
        other("wiki", WIKI, &["wiki:read"], Some(WIKI_SECRET)),
    ]
}

/// With these resources beside our own.
pub(super) fn beside_ours(config: &mut Config, others: impl IntoIterator<Item = OtherResource>) {
    config.other_resources = OtherResources::new(others, Some(config.public_url.resource())).unwrap();
}

/// With these resources and none of our own.
fn instead_of_ours(config: &mut Config, others: impl IntoIterator<Item = OtherResource>) {
    config.resource_server = false;
    config.other_resources = OtherResources::new(others, None).unwrap();
}

async fn document(server: &Server, path: &str) -> Value {
    http().get(server.at(path)).send().await.unwrap().json().await.unwrap()
}

/// Tokens for a resource, with these boxes ticked.
pub(super) async fn tokens_for(
    server: &Server,
    client: &Client<'_>,
    resource: &str,
    boxes: &[&str],
) -> Answer {
    let mut browser = Browser::signed_in(server, "alice").await;
    let code = code_for(&mut browser, client, &[("resource", resource)], boxes).await;
    let tokens = redeem(client, server, &code, &[]).await;
    tokens.granted();
    tokens
}

#[tokio::test]
async fn the_metadata_lists_every_resource_and_the_scopes_of_all() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let metadata = document(&server, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["protected_resources"], json!([server.at("/mcp"), BILLING, WIKI]));
    let scopes =
        ["billing:pay", "billing:read", "offline_access", "tickets:read", "tickets:write", "wiki:read"];
    assert_eq!(metadata["scopes_supported"], json!(scopes));
    assert_eq!(metadata["introspection_endpoint"], server.at("/introspect"));
    let methods = ["client_secret_basic", "client_secret_post"];
    assert_eq!(metadata["introspection_endpoint_auth_methods_supported"], json!(methods));
    let protected = document(&server, "/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(protected["scopes_supported"], json!(["tickets:read", "tickets:write"]), "ours alone");

    let without = people_on(|config| beside_ours(config, [other("wiki", WIKI, &["wiki:read"], None)])).await;
    let metadata = document(&without, "/.well-known/oauth-authorization-server").await;
    for member in ["introspection_endpoint", "introspection_endpoint_auth_methods_supported"] {
        assert!(metadata.get(member).is_none(), "nobody could use it: {member}");
    }
}

#[tokio::test]
async fn a_token_is_for_the_resource_that_was_named_byte_for_byte() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for (named, audience, scope) in [
        (BILLING, BILLING, "billing:read"),
        ("HTTPS://Billing.EXAMPLE:443/mcp/", BILLING, "billing:read"),
        ("https://billing.example/mcp?session=1", BILLING, "billing:read"),
        ("https://wiki.example/", WIKI, "wiki:read"),
        ("", &server.at("/mcp"), "tickets:read"),
        (&server.url, &server.at("/mcp"), "tickets:read"),
    ] {
        let code = code_for(&mut browser, &client, &[("resource", named)], &[scope]).await;
        let first = redeem(&client, &server, &code, &[]).await;
        let second = refresh(&client, &server, first.text_of("refresh_token"), &[]).await;
        for tokens in [&first, &second] {
            tokens.granted();
            let claims = claims(&tokens.body["access_token"]);
            assert_eq!((&claims["aud"], &claims["scope"]), (&json!(audience), &json!(scope)), "{named}");
            assert_eq!(tokens.text_of("scope"), scope, "{named}");
        }
    }
}

#[tokio::test]
async fn what_is_no_resource_here_is_an_invalid_target() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let own = server.at("/mcp");
    let cases: [&[&str]; 8] = [
        &["https://other.example"],
        &["https://billing.example"],
        &["https://billing.example/mcp/x"],
        &["https://wiki.example/mcp"],
        &["http://wiki.example"],
        &[BILLING, WIKI],
        &[BILLING, &own],
        &[BILLING, "https://other.example"],
    ];
    for values in cases {
        let changes: Vec<_> = values.iter().map(|value| ("resource", *value)).collect();
        let answer = browser.get(&client.authorize(&changes)).await.answer();
        assert_eq!(answer["error"], "invalid_target", "{values:?}");
    }
}

#[tokio::test]
async fn only_scopes_of_the_named_resource_are_asked_for() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let everything =
        "billing:pay billing:read offline_access tickets:read tickets:write wiki:read openid profile";
    for (resource, scope, boxes) in [
        (BILLING, everything, &BILLING_SCOPES[..]),
        (BILLING, "", &BILLING_SCOPES),
        (BILLING, "offline_access", &BILLING_SCOPES),
        (BILLING, "billing:read wiki:read", &["billing:read"]),
        (WIKI, everything, &["wiki:read"]),
        ("", everything, &["tickets:read", "tickets:write"]),
    ] {
        let request = client.authorize(&[("resource", resource), ("scope", scope)]);
        let (path, page) = browser.open_consent(&request, "alice").await;
        let shown: Vec<&str> = page.boxes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(shown, boxes, "{resource} {scope}");
        // A box that was not there cannot be ticked.
        let forged = [boxes, &["tickets:write", "wiki:read", "billing:pay"][..]].concat();
        let code = browser.decide(&path, &page, "allow", &forged).await.answer()["code"].clone();
        let tokens = redeem(&client, &server, &code, &[]).await;
        let granted = claims(&tokens.body["access_token"])["scope"].clone();
        assert_eq!(granted, boxes.join(" "), "{resource} {scope}");
    }
    for (resource, scope) in [(BILLING, "wiki:read tickets:read"), ("", "billing:read"), (WIKI, "unknown")] {
        let request = client.authorize(&[("resource", resource), ("scope", scope)]);
        assert_eq!(browser.get(&request).await.answer()["error"], "invalid_scope", "{resource} {scope}");
    }
}

#[tokio::test]
async fn a_code_and_a_refresh_token_are_for_the_resource_that_was_allowed() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let own = server.at("/mcp");
    for (allowed, scope, others) in [
        (BILLING, "billing:read", [WIKI, &own, "https://other.example"]),
        (&own, "tickets:read", [WIKI, BILLING, "https://other.example"]),
    ] {
        let code = code_for(&mut browser, &client, &[("resource", allowed)], &[scope]).await;
        for other in others {
            redeem(&client, &server, &code, &[("resource", other)]).await.refused(400, "invalid_target");
        }
        let both = [("resource", allowed), ("resource", WIKI)];
        redeem(&client, &server, &code, &both).await.refused(400, "invalid_target");
        let tokens = redeem(&client, &server, &code, &[("resource", allowed)]).await;
        let token = tokens.granted().text_of("refresh_token");
        for other in others {
            refresh(&client, &server, token, &[("resource", other)]).await.refused(400, "invalid_target");
        }
        let scope_of_another = if allowed == BILLING { "tickets:read" } else { "billing:read" };
        refresh(&client, &server, token, &[("scope", scope_of_another)]).await.refused(400, "invalid_scope");
        // Nothing was burnt by all that.
        let named = refresh(&client, &server, token, &[("resource", &format!("{allowed}/"))]).await;
        assert_eq!(claims(&named.granted().body["access_token"])["aud"], *allowed);
    }
}

#[tokio::test]
async fn our_own_resource_takes_no_token_for_another_one() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let tokens = tokens_for(&server, &client, BILLING, &BILLING_SCOPES).await;
    assert_eq!(call(&server, tokens.text_of("access_token")).await, 401);
    let ours = client.obtain_tokens("alice").await;
    assert_eq!(call(&server, ours["access_token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn the_pages_tell_of_the_resource_in_its_own_words() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let request = client.authorize(&[("resource", BILLING)]);
    let (path, page) = browser.open_consent(&request, "alice").await;
    page.assert_page(StatusCode::OK, "Allow “Test client” to use The billing server?");
    for part in
        [BILLING, "The billing server", "Do what billing:read lets you do", "Do what billing:pay lets you do"]
    {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    assert!(!page.body.contains("tickets"), "{}", page.body);
    let code = browser.decide(&path, &page, "allow", &BILLING_SCOPES).await.answer()["code"].clone();
    redeem(&client, &server, &code, &[]).await.granted();
    let account = browser.get("/account").await;
    for part in [
        BILLING,
        "The billing server",
        "Do what billing:read lets you do",
        "may let it in for 60 minutes more",
        "What it does there is not recorded here",
    ] {
        assert!(account.body.contains(part), "{part} in {}", account.body);
    }
    assert!(!account.body.contains("Can read now"), "our limits are not its: {}", account.body);
    let form = [("csrf", account.hidden("csrf")), ("grant_id", account.hidden("grant_id"))];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let revoked = browser.post("/account/revoke", &form).await;
    let account = browser.get(&revoked.location).await;
    assert!(account.body.contains("can no longer use The billing server"), "{}", account.body);
}

#[tokio::test]
async fn consent_at_one_resource_is_none_at_another() {
    let server = people_on(|config| beside_ours(config, both())).await;
    // Known by its secret, at a website: it may go unasked where it was allowed before.
    let metadata = json!({"redirect_uris": [WEBSITE], "token_endpoint_auth_method": "client_secret_post"});
    let secret = server.add_client("client_portal", &metadata).await.unwrap();
    let client = Client::known(&server, "client_portal");
    let mut browser = Browser::signed_in(&server, "alice").await;
    let at = |resource| [("redirect_uri", WEBSITE), ("resource", resource)];
    let code = code_for(&mut browser, &client, &at(BILLING), &BILLING_SCOPES).await;
    redeem(&client, &server, &code, &[("client_secret", &secret)]).await.granted();
    let silently = |resource| client.authorize(&[&at(resource)[..], &[("prompt", "none")]].concat());
    let code = browser.get(&silently(BILLING)).await.answer()["code"].clone();
    let tokens = redeem(&client, &server, &code, &[("client_secret", &secret)]).await;
    assert_eq!(claims(&tokens.granted().body["access_token"])["aud"], BILLING);
    assert_eq!(browser.get(&silently(WIKI)).await.answer()["error"], "consent_required");

    let (_, widened) = browser.open_consent(&client.authorize(&at(BILLING)), "alice").await;
    assert!(widened.body.contains("Allowed before"), "{}", widened.body);
    let (_, first) = browser.open_consent(&client.authorize(&at(WIKI)), "alice").await;
    assert!(!first.body.contains("You have allowed this app"), "{}", first.body);
}

#[tokio::test]
async fn either_token_of_another_resource_ends_its_grant() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    for which in ["access_token", "refresh_token"] {
        let tokens = tokens_for(&server, &client, BILLING, &["billing:read"]).await;
        let form = [("client_id", client.client_id.as_str()), ("token", tokens.text_of(which))];
        assert_eq!(post(&server, "/revoke", &form).await.status, StatusCode::OK);
        refresh(&client, &server, tokens.text_of("refresh_token"), &[]).await.refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn without_a_resource_of_its_own_it_is_an_authorization_server_alone() {
    let server = people_on(|config| instead_of_ours(config, both())).await;
    for path in [
        "/mcp",
        "/mcp/",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let answer = send(http().get(server.at(path))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("www-authenticate"), "", "{path}");
    }
    assert_eq!(call(&server, "x").await, 404);
    let metadata = document(&server, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["protected_resources"], json!([BILLING, WIKI]));
    assert_eq!(
        metadata["scopes_supported"],
        json!(["billing:pay", "billing:read", "offline_access", "wiki:read"])
    );
    let (_, registered) = register(&server, &json!({"redirect_uris": ["http://127.0.0.1/callback"]})).await;
    assert_eq!(registered["scope"], "billing:pay billing:read offline_access wiki:read");
    let home = Browser::new(&server).get("/").await;
    home.assert_page(StatusCode::OK, "Home");
    assert!(home.body.contains(BILLING) && home.body.contains(WIKI), "{}", home.body);
    assert!(!home.body.contains("/mcp</code>\n</section>") && !home.body.contains(&server.at("/mcp")));

    let client = Client::register(&server).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    for resource in ["", &server.at("/mcp"), &server.url] {
        let answer = browser.get(&client.authorize(&[("resource", resource)])).await.answer();
        assert_eq!(answer["error"], "invalid_target", "{resource:?}");
    }
    let tokens = tokens_for(&server, &client, WIKI, &["wiki:read"]).await;
    assert_eq!(claims(&tokens.body["access_token"])["aud"], WIKI);
}

#[tokio::test]
async fn the_only_resource_need_not_be_named() {
    let only = || other("billing", BILLING, &BILLING_SCOPES, None);
    let server = people_on(|config| instead_of_ours(config, [only()])).await;
    let client = Client::register(&server).await;
    let tokens = tokens_for(&server, &client, "", &["billing:read"]).await;
    assert_eq!(claims(&tokens.body["access_token"])["aud"], BILLING);
    assert!(Browser::new(&server).get("/").await.body.contains(BILLING));
}

#[tokio::test]
async fn a_grant_for_a_resource_that_is_gone_gives_no_more_tokens() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let client = Client::register(&server).await;
    let tokens = tokens_for(&server, &client, BILLING, &["billing:read"]).await;
    let mut browser = Browser::signed_in(&server, "alice").await;
    let code = code_for(&mut browser, &client, &[("resource", BILLING)], &["billing:read"]).await;
    server.restart_with(|config| beside_ours(config, [other("wiki", WIKI, &["wiki:read"], None)])).await;
    redeem(&client, &server, &code, &[]).await.refused(400, "invalid_grant");
    let token = tokens.text_of("refresh_token");
    refresh(&client, &server, token, &[]).await.refused(400, "invalid_grant");
    refresh(&client, &server, token, &[("resource", BILLING)]).await.refused(400, "invalid_target");
    let account = browser.get("/account").await;
    assert!(account.body.contains("A server that is not offered any more"), "{}", account.body);
}

#[tokio::test]
async fn tables_come_from_the_file_with_the_environment_over_it() {
    let place = Place::on_a_file();
    let table = |secret_file: &str| {
        format!(
            "resource_server = \"off\"\n[resources.billing]\nuri = \"{BILLING}\"\ntitle = \"Billing\"\n\
             secret_file = \"{secret_file}\"\n[resources.billing.scopes]\n\"billing:read\" = \"See invoices\"\n"
        )
    };
    std::fs::write(place.path("secret"), format!("{BILLING_SECRET}\n")).unwrap();
    std::fs::write(place.path("short"), "short\n").unwrap();
    let said = |secret_file: &str, environment: &[(&str, &str)]| {
        std::fs::write(place.path("mandate.toml"), table(secret_file)).unwrap();
        let mut command = place.command(&["--config", "mandate.toml", "migrate"]);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (done, problem) = said("secret", &[]);
    assert!(done, "{problem}");
    let (done, problem) = said("nowhere", &[("MANDATE_RESOURCES__BILLING__SECRET_FILE", "secret")]);
    assert!(done, "{problem}");
    for (secret_file, environment, key) in [
        ("nowhere", &[][..], "resources.billing.secret_file: "),
        ("short", &[], "resources.billing.secret_file: "),
        ("secret", &[("MANDATE_RESOURCES__BILLING__URI", "ftp://x")], "resources.billing.uri: "),
        ("secret", &[("MANDATE_RESOURCES__WIKI__TITLE", "Wiki")], "resources.wiki.uri: "),
        (
            "secret",
            &[("MANDATE_RESOURCES__BILLING__URL", "https://x.example")],
            "MANDATE_RESOURCES__BILLING__URI?",
        ),
        ("secret", &[("MANDATE_RESOURCE_SERVER", "maybe")], "resource_server: "),
    ] {
        let (done, problem) = said(secret_file, environment);
        assert!(!done && problem.contains(key), "{key} in {problem}");
        assert!(!problem.contains("short\n"), "{problem}");
    }
    let mut command = place.command(&["--config", "mandate.toml", "stdio", "--user", "alice"]);
    let output = command.output().unwrap();
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && problem.contains("resource_server: it is off"), "{problem}");
}
