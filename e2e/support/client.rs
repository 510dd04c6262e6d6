//! A public client with a loopback redirect, registered dynamically: what most tests need.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::browser::{Address, Browser};

/// The verifier of every test.
pub(crate) const VERIFIER: &str = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ";
/// Where codes go.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";

/// The S256 challenge of a verifier.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// A registered client.
pub(crate) struct Client<'a> {
    server: &'a dyn Address,
    /// Its id.
    pub(crate) client_id: String,
}

impl<'a> Client<'a> {
    /// Registers a public client.
    pub(crate) async fn register(server: &'a dyn Address) -> Self {
        let metadata = json!({
            "client_name": "Test client",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "none",
        });
        let (status, body) = register(server, &metadata).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        Self { server, client_id: body["client_id"].as_str().unwrap().to_owned() }
    }

    /// A client that is known already.
    pub(crate) fn known(server: &'a dyn Address, client_id: impl Into<String>) -> Self {
        Self { server, client_id: client_id.into() }
    }

    /// The path of an authorization request, with `changes` replacing or adding parameters; an empty value
    /// removes one.
    pub(crate) fn authorize(&self, changes: &[(&str, &str)]) -> String {
        let challenge = challenge(VERIFIER);
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", REDIRECT_URI),
            ("state", "st"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        params.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        params.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        format!("/authorize?{query}")
    }

    /// Walks a new browser through sign-in and consent; returns the code.
    pub(crate) async fn obtain_code(&self, username: &str, scopes: &[&str]) -> String {
        let mut browser = Browser::new(self.server);
        let (path, page) = browser.open_consent(&self.authorize(&[]), username).await;
        let answer = browser.decide(&path, &page, "allow", scopes).await.answer();
        answer["code"].clone()
    }

    /// Sends a token request of this public client.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut form = form.to_vec();
        form.push(("client_id", &self.client_id));
        token(self.server, &form).await
    }

    /// Redeems a code with the right verifier.
    pub(crate) async fn redeem(&self, code: &str) -> (StatusCode, Value) {
        self.token(&[("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)]).await
    }

    /// Uses a refresh token.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> (StatusCode, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    /// The whole dance: tokens for `username` with both scopes.
    pub(crate) async fn obtain_tokens(&self, username: &str) -> Value {
        self.obtain_tokens_for(username, &["tickets:read", "tickets:write"]).await
    }

    /// The whole dance with these boxes ticked.
    pub(crate) async fn obtain_tokens_for(&self, username: &str, scopes: &[&str]) -> Value {
        let code = self.obtain_code(username, scopes).await;
        let (status, body) = self.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

/// Sends a registration.
pub(crate) async fn register(server: &dyn Address, metadata: &Value) -> (StatusCode, Value) {
    let response = server.http().post(server.at("/register")).json(metadata).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Sends a token request.
pub(crate) async fn token(server: &dyn Address, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let response = server.http().post(server.at("/token")).form(form).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// The claims of an access token, not verified.
pub(crate) fn claims(access_token: &Value) -> Value {
    let payload = access_token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
