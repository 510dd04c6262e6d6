//! Machines: the grant type `client_credentials` (OAuth 2.1 §4.2, RFC 9068 §5; A4.11).

use futures::future::join_all;
use mandate::identity::machine;
use mandate::oauth::ClientId;
use mandate::oauth::client::{Client as Registered, ClientKind, ClientMetadata};
use mandate::oauth::secret::ClientSecret;
use mandate::storage::users::{Recorded, Role};
use mandate::storage::{commit, users};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::ask::{Answer, BOTH, audited, call, people_on, post, send, token, until_judged};
use super::resources::{BILLING, WIKI, beside_ours, both};
use crate::support::browser::Browser;
use crate::support::client::{Client, VERIFIER, claims, register};
use crate::support::mcp::Mcp;
use crate::support::signer::{Signer, jwks};
use crate::support::{PASSWORD, Server, at_most, http};

const CLIENT_CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");

/// A machine with a secret.
pub(super) struct Machine<'a> {
    server: &'a Server,
    /// Its id.
    pub(super) client_id: String,
    /// Its secret.
    pub(super) secret: String,
}

impl<'a> Machine<'a> {
    /// Registers one as an operator does.
    pub(super) async fn register(server: &'a Server, client_id: &str, role: Role, scope: &str) -> Self {
        let metadata = json!({ "client_name": "Nightly report", "scope": scope });
        let secret = record(server, client_id, role, &metadata).await.unwrap();
        Self { server, client_id: client_id.to_owned(), secret }
    }

    /// Posts a form, authenticated in the header.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = http().post(self.server.at(path)).basic_auth(&self.client_id, Some(&self.secret));
        send(request.form(form)).await
    }

    /// Asks for a token.
    pub(super) async fn ask(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/token", &[&[CLIENT_CREDENTIALS], form].concat()).await
    }

    /// A token for all that it may reach.
    pub(super) async fn token(&self) -> String {
        self.ask(&[]).await.granted().text_of("access_token").to_owned()
    }

    /// An MCP client of it.
    async fn mcp(&self) -> Mcp<'a> {
        Mcp::modern(self.server, &self.token().await)
    }
}

/// Registers a machine; returns its secret, if its method needs one.
async fn record(server: &Server, client_id: &str, role: Role, metadata: &Value) -> Option<String> {
    let metadata = ClientMetadata::parse_machine(
        metadata.as_object().unwrap(),
        &server.app.config.audiences().every_scope(),
    )
    .unwrap();
    let secret = metadata.token_endpoint_auth_method.uses_secret();
    let secret = secret.then(|| ClientSecret::issue(&server.app.random));
    let client = Registered {
        client_id: ClientId::new(client_id),
        kind: ClientKind::Machine,
        metadata,
        secret_hash: secret.as_ref().map(ClientSecret::hash),
    };
    let mut tx = server.app.store.write().await.unwrap();
    let recorded = machine::register(&server.app, &mut tx, &client, role).await.unwrap();
    assert_eq!(recorded, Recorded::Yes);
    commit(tx).await.unwrap();
    secret.map(|secret| secret.reveal().to_owned())
}

/// The account of a machine is disabled, as an operator does.
async fn disable(server: &Server, client_id: &str) {
    let name = format!("client:{client_id}");
    let user = server.app.store.find_user_by_name(&name).await.unwrap().unwrap();
    let mut tx = server.app.store.write().await.unwrap();
    users::disable(&mut tx, &user.user_id, server.app.now()).await.unwrap();
    let ended =
        mandate::storage::grants::list_unended(&mut tx, &user.user_id, server.app.now()).await.unwrap();
    server.app.commit_ending(tx, &ended).await.unwrap();
}

#[tokio::test]
async fn a_machine_gets_an_access_token_of_its_own_and_nothing_else() {
    let server = Server::with_people().await;
    let machine = Machine::register(&server, "report", Role::Requester, "tickets:read tickets:write").await;
    let in_form = [("client_id", "report"), ("client_secret", machine.secret.as_str())];
    for answer in [
        machine.ask(&[]).await,
        machine.ask(&[("resource", &server.at("/mcp"))]).await,
        token(&server, &[&[CLIENT_CREDENTIALS], &in_form[..]].concat()).await,
    ] {
        let body = answer.granted().body.as_object().unwrap();
        let members: Vec<&str> = body.keys().map(String::as_str).collect();
        assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"], "no refresh token");
        assert_eq!(answer.body["expires_in"], 3600);
        assert_eq!(answer.text_of("scope"), "tickets:read tickets:write");
        let claims = claims(&answer.body["access_token"]);
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("client:report"), &json!("report")));
        assert_eq!(claims["aud"], server.at("/mcp"));
        assert_eq!(claims.get("auth_time"), None, "nobody signed in");
        assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
    }
    let given = audited(&server, "grant_given").await;
    assert_eq!(given.len(), 1, "one standing grant, however many tokens: {given:?}");
    assert_eq!(audited(&server, "tokens_issued").await, []);
}

#[tokio::test]
async fn the_registered_scope_is_the_ceiling_and_the_default() {
    let server = Server::start().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    for scope in ["", "tickets:read", "tickets:read offline_access"] {
        let answer = machine.ask(&[("scope", scope)]).await;
        assert_eq!(answer.granted().text_of("scope"), "tickets:read", "{scope}");
        assert_eq!(claims(&answer.body["access_token"])["scope"], "tickets:read");
    }
    for scope in ["tickets:write", "tickets:read tickets:write", "openid", "tokens:mint", "a\"b"] {
        machine.ask(&[("scope", scope)]).await.refused(400, "invalid_scope");
    }
    machine.ask(&[("resource", "https://other.example/mcp")]).await.refused(400, "invalid_target");
    machine
        .ask(&[("scope", "tickets:read"), ("scope", "tickets:read")])
        .await
        .refused(400, "invalid_request");
    let refused = machine.mcp().await.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_machine_is_never_a_user_and_no_user_a_machine() {
    let server = Server::with_people().await;
    let machine = Machine::register(&server, "alice", Role::Agent, "tickets:read").await;
    let alice = server.app.store.find_user_by_name("alice").await.unwrap().unwrap();
    let sub = claims(&json!(machine.token().await))["sub"].clone();
    assert_eq!(sub, "client:alice");
    assert!(sub != alice.user_id.as_str() && sub != alice.username.as_str());
    // Nobody signs in as a machine, whatever they know.
    for password in [PASSWORD, machine.secret.as_str(), ""] {
        let mut browser = Browser::new(&server);
        let page = browser.get("/login").await;
        let page = browser.sign_in(&page, "client:alice", password).await;
        assert_ne!(page.status, StatusCode::SEE_OTHER, "{password}");
        server.advance(std::time::Duration::from_hours(1));
    }
}

#[tokio::test]
async fn a_machine_is_no_first_account() {
    let server = Server::start().await;
    Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    assert!(server.app.store.has_no_users().await.unwrap());
    let mut tx = server.app.store.write().await.unwrap();
    assert!(!users::exists(&mut tx).await.unwrap());
    drop(tx);
    server.add_user("alice", Role::Agent).await;
    assert!(!server.app.store.has_no_users().await.unwrap());
}

#[tokio::test]
async fn only_a_machine_that_has_proven_who_it_is_gets_a_token() {
    let server = Server::with_people().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let wrong = http().post(server.at("/token")).basic_auth("report", Some("wrong"));
    let answer = send(wrong.form(&[CLIENT_CREDENTIALS])).await;
    answer.refused(401, "invalid_client");
    for form in [
        vec![CLIENT_CREDENTIALS, ("client_id", "report")],
        vec![CLIENT_CREDENTIALS, ("client_id", "report"), ("client_secret", "wrong")],
        vec![CLIENT_CREDENTIALS],
    ] {
        token(&server, &form).await.refused(401, "invalid_client");
    }
    // A public client, a metadata document, one that registered itself with a secret, and one that an operator registered
    // for people: whatever they say of themselves.
    let public = Client::register(&server).await;
    token(&server, &[CLIENT_CREDENTIALS, ("client_id", &public.client_id)])
        .await
        .refused(400, "unauthorized_client");
    let document = ("client_id", "https://client.example/metadata.json");
    token(&server, &[CLIENT_CREDENTIALS, document]).await.refused(400, "unauthorized_client");
    let asking = json!({
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["client_credentials"],
        "scope": "tickets:read",
    });
    let (_, dynamic) = register(&server, &asking).await;
    let by_hand = server
        .add_client(
            "portal",
            &json!({
                "redirect_uris": ["https://portal.example/cb"],
                "token_endpoint_auth_method": "client_secret_basic",
                "scope": "tickets:read",
            }),
        )
        .await
        .unwrap();
    let dynamic =
        [&dynamic["client_id"], &dynamic["client_secret"]].map(|text| text.as_str().unwrap().to_owned());
    for [client_id, secret] in [dynamic, ["portal".to_owned(), by_hand]] {
        let other = Machine { server: &server, client_id, secret };
        other.ask(&[]).await.refused(400, "unauthorized_client");
    }
    machine.ask(&[]).await.granted();
}

#[tokio::test]
async fn a_machine_acts_for_nobody_else() {
    let server = Server::with_people().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let public = Client::register(&server).await;
    let tokens = public.obtain_tokens("alice").await;
    for form in [
        vec![("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", VERIFIER)],
        vec![("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())],
    ] {
        machine.post("/token", &form).await.refused(400, "unauthorized_client");
    }
    let mut browser = Browser::signed_in(&server, "alice").await;
    let asks = Client::known(&server, "report");
    for changes in [&[][..], &[("redirect_uri", "")]] {
        let page = browser.get(&asks.authorize(changes)).await;
        assert_eq!((page.status, page.location.as_str()), (StatusCode::BAD_REQUEST, ""), "{}", page.body);
    }
    assert_eq!(call(&server, tokens["access_token"].as_str().unwrap()).await, 200, "alice's grant lives on");
}

#[tokio::test]
async fn a_machine_sees_what_its_role_lets_it_see() {
    let server = Server::with_people().await;
    let own = Machine::register(&server, "own", Role::Requester, &BOTH.join(" ")).await.mcp().await;
    let all = Machine::register(&server, "all", Role::Agent, &BOTH.join(" ")).await.mcp().await;
    let bob = server.app.store.find_user_by_name("bob").await.unwrap().unwrap();
    let bob = Mcp::of(&server, &bob.user_id, &BOTH.join(" ")).await;
    bob.call("create_ticket", json!({ "title": "Bob's printer", "body": "It blinks." })).await.structured();
    let opened = own.call("create_ticket", json!({ "title": "A full disk", "body": "It is full." })).await;
    assert_eq!(opened.structured()["id"], "T-2");
    let found = async |client: &Mcp<'_>| {
        let found = client.call("search_tickets", json!({ "query": "*" })).await;
        let tickets = found.structured()["tickets"].as_array().unwrap().clone();
        tickets.iter().map(|ticket| ticket["reporter"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&own).await, ["client:own"]);
    assert_eq!(found(&bob).await, ["bob"]);
    assert_eq!(found(&all).await, ["client:own", "bob"]);
    assert!(own.call("get_ticket", json!({ "id": "T-1" })).await.problem().contains("was not found"));
}

#[tokio::test]
async fn limits_and_idempotency_keys_of_a_machine_are_its_own() {
    let server = Server::start_with(|config| config.mcp.write_rate = at_most(2)).await;
    let bob = server.add_user("bob", Role::Requester).await.user_id;
    let bob = Mcp::of(&server, &bob, &BOTH.join(" ")).await;
    let one = Machine::register(&server, "one", Role::Requester, &BOTH.join(" ")).await.mcp().await;
    let two = Machine::register(&server, "two", Role::Requester, &BOTH.join(" ")).await.mcp().await;
    let draft = json!({ "title": "t", "body": "b", "idempotency_key": "k" });
    let mut ids = Vec::new();
    for client in [&bob, &one, &two] {
        for _ in 0..2 {
            let opened = client.call("create_ticket", draft.clone()).await;
            ids.push(opened.structured()["id"].as_str().unwrap().to_owned());
        }
        let limited = client.call("create_ticket", json!({ "title": "t", "body": "b" })).await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(ids, ["T-1", "T-1", "T-2", "T-2", "T-3", "T-3"], "each key is done once for each of them");
}

#[tokio::test]
async fn revoking_one_token_ends_all_of_that_machine_and_it_may_ask_again() {
    let server = Server::start().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let other = Machine::register(&server, "other", Role::Agent, "tickets:read").await;
    let (first, second, others) = (machine.token().await, machine.token().await, other.token().await);
    other.post("/revoke", &[("token", &first)]).await;
    assert_eq!(call(&server, &first).await, 200, "another machine's token is left alone");
    assert_eq!(machine.post("/revoke", &[("token", &first)]).await.status, StatusCode::OK);
    assert_eq!([call(&server, &first).await, call(&server, &second).await], [401, 401]);
    assert_eq!(call(&server, &others).await, 200);
    assert_eq!(call(&server, &machine.token().await).await, 200);
    assert_eq!(audited(&server, "grant_given").await.len(), 3);
}

#[tokio::test]
async fn a_disabled_machine_is_refused_at_the_next_call_and_gets_no_token() {
    let server = Server::start().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let token = machine.token().await;
    assert_eq!(call(&server, &token).await, 200);
    disable(&server, "report").await;
    assert_eq!(call(&server, &token).await, 401);
    machine.ask(&[]).await.refused(400, "unauthorized_client");
}

#[tokio::test]
async fn of_many_requests_at_once_all_are_answered_under_one_grant() {
    let server = Server::start().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    let answers = join_all((0..16).map(|_| until_judged(async || machine.ask(&[]).await))).await;
    let mut grants: Vec<Value> = answers
        .iter()
        .map(|answer| claims(&answer.granted().body["access_token"])["grant_id"].clone())
        .collect();
    grants.dedup();
    assert_eq!(grants.len(), 1, "{grants:?}");
    assert_eq!(audited(&server, "grant_given").await.len(), 1);
}

#[tokio::test]
async fn the_standing_grant_is_made_anew_before_it_ends() {
    let server = Server::start().await;
    let machine = Machine::register(&server, "report", Role::Agent, "tickets:read").await;
    machine.token().await;
    let lifetime = server.app.config.tokens.grant_lifetime;
    server.advance(lifetime.checked_sub(std::time::Duration::from_secs(60)).unwrap());
    let answer = machine.ask(&[]).await;
    assert_eq!(answer.granted().body["expires_in"], 3600);
    assert_eq!(call(&server, answer.text_of("access_token")).await, 200);
    assert_eq!(audited(&server, "grant_given").await.len(), 2);
}

#[tokio::test]
async fn a_machine_may_sign_instead_of_having_a_secret_and_each_assertion_is_good_once() {
    let server = Server::start().await;
    let signer = Signer::new("ES256", "k");
    let metadata = json!({
        "client_name": "Signing machine",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": jwks(&[&signer]),
        "scope": "tickets:read",
    });
    assert_eq!(record(&server, "signing", Role::Agent, &metadata).await, None);
    let now = server.app.now().unix_seconds();
    let assertion = |jti: &str| {
        signer.sign(&json!({
            "iss": "signing", "sub": "signing", "aud": server.url, "iat": now, "exp": now + 300, "jti": jti,
        }))
    };
    let present = async |assertion: &str| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let proof = [("client_assertion_type", kind), ("client_assertion", assertion)];
        post(&server, "/token", &[&[CLIENT_CREDENTIALS], &proof[..]].concat()).await
    };
    let first = assertion("1");
    let answer = present(&first).await;
    assert_eq!(claims(&answer.granted().body["access_token"])["sub"], "client:signing");
    present(&first).await.refused(401, "invalid_client");
    present(&assertion("2")).await.granted();
    let stranger = Signer::new("ES256", "k");
    let forged = stranger.sign(&json!({
        "iss": "signing", "sub": "signing", "aud": server.url, "iat": now, "exp": now + 300, "jti": "3",
    }));
    present(&forged).await.refused(401, "invalid_client");
    token(&server, &[CLIENT_CREDENTIALS, ("client_id", "signing")]).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_machine_reaches_each_resource_with_its_scopes_alone() {
    let server = people_on(|config| beside_ours(config, both())).await;
    let scope = "tickets:read billing:read billing:pay tokens:mint";
    let machine = Machine::register(&server, "report", Role::Agent, scope).await;
    for (resource, scope) in
        [(server.at("/mcp"), "tickets:read"), (BILLING.to_owned(), "billing:pay billing:read")]
    {
        let answer = machine.ask(&[("resource", resource.as_str())]).await;
        assert_eq!(answer.granted().text_of("scope"), scope);
        let claims = claims(&answer.body["access_token"]);
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!(resource), &json!(scope)));
    }
    let theirs = machine.ask(&[("resource", BILLING), ("scope", "billing:read")]).await;
    assert_eq!(call(&server, theirs.granted().text_of("access_token")).await, 401);
    for (resource, scope) in [(BILLING, "tickets:read"), (BILLING, "tokens:mint"), (WIKI, "wiki:read")] {
        machine.ask(&[("resource", resource), ("scope", scope)]).await.refused(400, "invalid_scope");
    }
    machine.ask(&[("resource", WIKI)]).await.refused(400, "invalid_scope");
    machine.ask(&[("resource", "https://else.example")]).await.refused(400, "invalid_target");
}
