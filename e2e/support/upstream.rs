//! An OpenID Connect provider on loopback whose answers the test sets: good unless it is told otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use mandate::clock::Timestamp;
use mandate::config::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::START;
use crate::support::signer::{Signer, encode, jwks};

/// Who we are at the provider.
pub(crate) const CLIENT_ID: &str = "mandate at acme";
/// What we prove it with; characters that a form must escape are in it.
pub(crate) const SECRET: &str = "s3cret+ / %?";
const ACCESS_TOKEN: &str = "an-access-token-of-the-provider";

/// What the provider does.
pub(crate) struct Script {
    /// Signs ID tokens.
    pub(crate) signer: Signer,
    /// The keys that it publishes.
    pub(crate) published: Value,
    /// Claims beside the usual ones; null takes one away.
    pub(crate) claims: Value,
    /// Changes to the metadata; null takes a member away.
    pub(crate) metadata: Value,
    /// What userinfo says.
    pub(crate) userinfo: Value,
    /// Paths that answer with this status and nothing else.
    pub(crate) broken: BTreeMap<&'static str, u16>,
    /// The ID token's header, where it is another than the usual one.
    pub(crate) header: Option<Value>,
    /// What time it is there.
    pub(crate) now: Timestamp,
    /// Changes an ID token after it was signed.
    pub(crate) spoil: Option<fn(String) -> String>,
    /// What was asked for, path by path.
    pub(crate) asked: Vec<String>,
    /// The last token request: `Authorization` and form.
    pub(crate) token_request: (String, BTreeMap<String, String>),
    nonces: BTreeMap<String, String>,
}

/// A running provider.
pub(crate) struct Upstream {
    /// Its issuer.
    pub(crate) issuer: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its name here.
    pub(crate) name: &'static str,
    script: Arc<Mutex<Script>>,
    accepting: Mutex<JoinSet<()>>,
}

impl Upstream {
    /// Starts one that is called `acme`.
    pub(crate) async fn start() -> Self {
        Self::named("acme").await
    }

    /// Starts one.
    pub(crate) async fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signer = Signer::new("ES256", "first");
        let script = Arc::new(Mutex::new(Script {
            published: jwks(&[&signer]),
            signer,
            claims: json!({ "preferred_username": "alice", "groups": ["staff"] }),
            metadata: json!({}),
            userinfo: json!({ "sub": "subject of alice" }),
            broken: BTreeMap::new(),
            header: None,
            now: START,
            spoil: None,
            asked: Vec::new(),
            token_request: Default::default(),
            nonces: BTreeMap::new(),
        }));
        let issuer = format!("http://localhost:{}", address.port());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, issuer.clone(), script.clone()));
        Self { issuer, address, name, script, accepting: Mutex::new(accepting) }
    }

    /// Sets what it does.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Stops answering: connections are refused.
    pub(crate) fn go_away(&self) {
        self.accepting.lock().unwrap().abort_all();
    }

    /// Makes it known to a server, with lines of its table, and of `accounts` below it.
    pub(crate) fn configure(&self, config: &mut Config, lines: &str, accounts: &str) {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let text = format!(
            "[providers.{}]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\ntitle = \"Acme {}\"\n\
             client_secret_file = \"{}\"\n{lines}\n[providers.{}.accounts]\n{accounts}\n",
            self.name,
            self.issuer,
            self.name,
            secret.display(),
            self.name,
        );
        config.providers.extend(Config::written(&text).unwrap().providers);
        config.outbound.allowed_hosts.push(format!("localhost:{}", self.address.port()));
    }

    /// What the provider sends a browser back with, that was sent to `location`: where, with `code`, `state` and `iss`.
    pub(crate) fn sign_in(&self, location: &str) -> String {
        self.answer(location, |params| {
            params.insert("code".into(), "a-code".into());
        })
    }

    /// The same with other parameters: those that are set go back beside `state` and `iss`.
    pub(crate) fn answer(
        &self,
        location: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> String {
        let sent = query(location);
        let mut params = BTreeMap::from([
            ("state".to_owned(), sent["state"].clone()),
            ("iss".to_owned(), self.issuer.clone()),
        ]);
        change(&mut params);
        if let Some(code) = params.get_mut("code") {
            *code = format!("{code} {}", sent["state"]);
            self.script().nonces.insert(code.clone(), sent["nonce"].clone());
        }
        let back = Url::parse_with_params(&sent["redirect_uri"], params).unwrap();
        format!("{}?{}", back.path(), back.query().unwrap())
    }

    /// A logout token, good but for the changes; null takes a claim away.
    pub(crate) fn logout_token(&self, changes: &Value) -> String {
        let script = self.script();
        let now = script.now.unix_seconds();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": "logout-1",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} }, "sub": "subject of alice",
        });
        merge(&mut claims, changes);
        script.signer.sign_as(&json!({ "alg": "ES256", "kid": "first", "typ": "logout+jwt" }), &claims)
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.script().asked.iter().filter(|asked| *asked == path).count()
    }
}

impl Script {
    /// Publishes another key, and signs with it from now on.
    pub(crate) fn rotate(&mut self, alg: &'static str, kid: &str) {
        self.signer = Signer::new(alg, kid);
        self.published = jwks(&[&self.signer]);
    }

    fn metadata(&self, issuer: &str) -> Value {
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "end_session_endpoint": format!("{issuer}/logout?tenant=1"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": true,
        });
        merge(&mut metadata, &self.metadata);
        metadata
    }

    fn id_token(&self, issuer: &str, code: &str) -> String {
        let now = self.now.unix_seconds();
        let mut claims = json!({
            "iss": issuer, "aud": CLIENT_ID, "sub": "subject of alice", "iat": now, "exp": now + 300,
            "auth_time": now, "sid": "session-1", "nonce": self.nonces.get(code),
            "at_hash": encode(&hash(ACCESS_TOKEN)[..16]),
        });
        merge(&mut claims, &self.claims);
        let header = self.header.clone().unwrap_or_else(|| self.signer.header());
        let token = self.signer.sign_as(&header, &claims);
        self.spoil.map_or(token.clone(), |spoil| spoil(token))
    }

    fn answer(&mut self, issuer: &str, request: &Request) -> (u16, String) {
        let path = request.path.split('?').next().unwrap();
        self.asked.push(path.to_owned());
        if let Some((_, status)) = self.broken.iter().find(|(broken, _)| **broken == path) {
            return (*status, String::new());
        }
        match path {
            "/.well-known/openid-configuration" => (200, self.metadata(issuer).to_string()),
            "/jwks" => (200, self.published.to_string()),
            "/userinfo" if request.authorization == format!("Bearer {ACCESS_TOKEN}") => {
                (200, self.userinfo.to_string())
            }
            "/token" => {
                let form: BTreeMap<String, String> =
                    url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
                let token = self.id_token(issuer, &form["code"]);
                self.token_request = (request.authorization.clone(), form);
                let body = json!({
                    "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300, "id_token": token,
                });
                (200, body.to_string())
            }
            _ => (404, String::new()),
        }
    }
}

/// The parameters of an address.
pub(crate) fn query(location: &str) -> BTreeMap<String, String> {
    Url::parse(location).unwrap_or_else(|_| panic!("{location}")).query_pairs().into_owned().collect()
}

fn hash(text: &str) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => {
                into.as_object_mut().unwrap().remove(name);
            }
            value => into[name] = value.clone(),
        }
    }
}

struct Request {
    path: String,
    authorization: String,
    body: String,
}

async fn accept(listener: TcpListener, issuer: String, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, issuer.clone(), script.clone()));
    }
}

async fn serve(stream: TcpStream, issuer: String, script: Arc<Mutex<Script>>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await else { return };
    let (status, body) = script.lock().unwrap().answer(&issuer, &request);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The server may have closed already.
    let _ = stream.get_mut().write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.get_mut().shutdown().await;
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut head, mut line) = (Vec::new(), String::new());
    while stream.read_line(&mut line).await.ok()? > 2 {
        head.push(std::mem::take(&mut line).trim_end().to_owned());
    }
    let header = |name: &str| {
        let lines = head.iter().filter_map(|line| line.split_once(": "));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        path: head.first()?.split(' ').nth(1)?.to_owned(),
        authorization: header("authorization").unwrap_or_default(),
        body: String::from_utf8(body).unwrap(),
    })
}
