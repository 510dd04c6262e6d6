//! The company's own issuer: it publishes its metadata and its keys, and signs whatever a test wants.

use mandate::config::Config;
use mandate::config::issuers::Issuers;
use serde_json::{Value, json};

use super::Server;
use super::key_host::KeyHost;
use super::mcp::{BOTH, Mcp};
use super::signer::{Signer, jwks};

/// Where its keys lie.
pub(crate) const KEYS: &str = "/keys";

/// The issuer.
pub(crate) struct Acme {
    /// Where it publishes.
    pub(crate) host: KeyHost,
    /// Its key.
    pub(crate) signer: Signer,
    path: &'static str,
}

impl Acme {
    /// Starts at an issuer without a path.
    pub(crate) async fn start() -> Self {
        Self::start_at("").await
    }

    /// Starts at an issuer with this path.
    pub(crate) async fn start_at(path: &'static str) -> Self {
        Self::on(KeyHost::start().await, path)
    }

    fn on(host: KeyHost, path: &'static str) -> Self {
        let acme = Self { host, signer: Signer::new("ES256", "acme-1"), path };
        acme.host.put(
            &format!("{path}/.well-known/openid-configuration"),
            &json!({ "issuer": acme.issuer(), "jwks_uri": acme.host.url(KEYS) }),
        );
        acme.publish(&[&acme.signer]);
        acme
    }

    /// Its identifier.
    pub(crate) fn issuer(&self) -> String {
        self.host.url(self.path)
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, signers: &[&Signer]) {
        self.host.put(KEYS, &jwks(signers));
    }

    /// Its table, which makes accounts for whoever comes, with these keys changed.
    pub(crate) fn table(&self, change: &Value) -> Value {
        let mut table = json!({ "issuer": self.issuer(), "accounts": { "create": true } });
        for (name, value) in change.as_object().unwrap() {
            table[name] = value.clone();
        }
        table
    }

    /// Lets a server trust it under the name `acme`.
    pub(crate) fn trust(&self, config: &mut Config, change: &Value) {
        self.host.allow(config);
        config.issuers = Issuers::from_json(json!({ "acme": self.table(change) })).unwrap();
    }

    /// A server that trusts it.
    pub(crate) async fn server(&self, change: &Value) -> Server {
        Server::start_with(|config| self.trust(config, change)).await
    }

    /// What a good token for a server says.
    pub(crate) fn claims(&self, server: &Server) -> Value {
        let now = server.app.now().unix_seconds();
        json!({
            "iss": self.issuer(), "aud": server.at("/mcp"), "sub": "s-1", "client_id": "app-1", "scope": BOTH,
            "iat": now, "exp": now + 3600, "jti": server.app.random.id(),
        })
    }

    /// A token that says so, with these claims changed; null takes one away.
    pub(crate) fn token(&self, server: &Server, change: &Value) -> String {
        self.signed_by(&self.signer, server, change)
    }

    /// The same signed with another key.
    pub(crate) fn signed_by(&self, signer: &Signer, server: &Server, change: &Value) -> String {
        let header = json!({ "alg": signer.alg, "kid": signer.kid, "typ": "at+jwt" });
        signer.sign_as(&header, &self.changed(server, change))
    }

    /// The claims with these changed.
    pub(crate) fn changed(&self, server: &Server, change: &Value) -> Value {
        let mut claims = self.claims(server);
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    /// A client that holds such a token.
    pub(crate) fn client<'a>(&self, server: &'a Server, change: &Value) -> Mcp<'a> {
        Mcp::modern(server, &self.token(server, change))
    }
}
