//! Clients and what they say of themselves (RFC 7591 §2), whichever way they became known.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::error::{Error, invalid_client_metadata, invalid_redirect_uri};
use super::id::ClientId;
use super::machine;
use super::redirect_uri::{Destination, RedirectUri};
use super::scope::Scopes;
use super::secret::SecretHash;

/// How long a name may be, in characters; the rest is cut.
const MAX_NAME: usize = 200;
/// How long a key set by value may be, in bytes.
const MAX_JWKS: usize = 8 * 1024;
/// How many redirect URIs are kept.
const MAX_REDIRECT_URIS: usize = 32;

/// How a client authenticates at the token endpoint (RFC 7591 §2, RFC 7523).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client: it only names itself.
    None,
    /// The secret in the `Authorization` header.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// A signed assertion.
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Every method that the token endpoint takes, as the metadata lists them.
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretPost, Self::ClientSecretBasic, Self::PrivateKeyJwt];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether it rests on a shared secret.
    pub fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// How a client became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// By a client ID metadata document: the host of its id is proven.
    Document,
    /// By dynamic registration: nothing it says is proven.
    Dynamic,
    /// By an operator of this server.
    Registered,
    /// By an operator of this server, to act for itself and never for a person.
    Machine,
    /// By tokens of another issuer that is trusted here: the issuer knows it, we do not.
    External,
}

impl ClientKind {
    /// The kind in one word, as it is stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Dynamic => "dynamic",
            Self::Registered => "registered",
            Self::Machine => "machine",
            Self::External => "external",
        }
    }
}

/// What a client says of itself, as far as we keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// The self-given name, at most 200 characters.
    pub client_name: Option<String>,
    /// At least one; none of a machine, which no browser ever comes back to.
    #[serde(deserialize_with = "stored_uris")]
    pub redirect_uris: Vec<RedirectUri>,
    /// The registered method.
    pub token_endpoint_auth_method: AuthMethod,
    /// Further methods that the client says it can use; only metadata documents list them.
    #[serde(default)]
    pub further_auth_methods: Vec<AuthMethod>,
    /// Its home page, https only.
    pub client_uri: Option<String>,
    /// `native` or `web`, as sent.
    pub application_type: Option<String>,
    /// As sent; it never caps what may be requested later, except by a machine.
    pub scope: Option<String>,
    /// Public keys by value.
    pub jwks: Option<Value>,
    /// Public keys by reference, https only.
    pub jwks_uri: Option<String>,
    /// Identifies the software across installs.
    pub software_id: Option<String>,
    /// Its version.
    pub software_version: Option<String>,
    /// Whether it said none of this to us: the description came with this program, because its host could not be
    /// asked. Nothing is proven then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub came_along: bool,
}

/// A client that may be dealt with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub client_id: ClientId,
    /// How it became known.
    pub kind: ClientKind,
    /// What it says of itself.
    pub metadata: ClientMetadata,
    /// The hash of its secret, if it has one. Never leaves the store with the rest.
    #[serde(skip)]
    pub secret_hash: Option<SecretHash>,
}

/// What parsing metadata depends on.
#[derive(Clone, Copy, Debug)]
pub struct MetadataRules<'a> {
    /// Private-use redirect schemes that the configuration allows.
    pub private_use_schemes: &'a [String],
    /// The auth method when none is named: `client_secret_basic` for registrations (RFC 7591 §2), `none` for
    /// documents, which cannot share a secret.
    pub default_auth_method: AuthMethod,
    /// Whether `token_endpoint_auth_methods_supported` is looked at: metadata documents list further methods.
    pub further_methods: bool,
}

impl ClientMetadata {
    /// Of a client that says nothing of itself, because it is described here. What is known is put over it.
    pub fn unsaid(token_endpoint_auth_method: AuthMethod) -> Self {
        Self {
            client_name: None,
            redirect_uris: Vec::new(),
            token_endpoint_auth_method,
            further_auth_methods: Vec::new(),
            client_uri: None,
            application_type: None,
            scope: None,
            jwks: None,
            jwks_uri: None,
            software_id: None,
            software_version: None,
            came_along: false,
        }
    }

    /// Parses a registration request or a document. Unknown members are ignored, `""` counts as absent,
    /// redirect URIs that we do not accept are dropped as long as one is left (RFC 7591 §2 lets a server
    /// replace what was asked for, and real clients list several kinds).
    pub fn parse(members: &Map<String, Value>, rules: MetadataRules<'_>) -> Result<Self, Error> {
        Self::parse_with(members, rules, || redirect_uris(members, rules.private_use_schemes))
    }

    /// Parses what an operator says of a machine. It proves who it is by a secret or a key, no browser ever comes
    /// back to it, and its scope is fixed. `resources` are the scopes of every resource that tokens are issued for.
    pub fn parse_machine(members: &Map<String, Value>, resources: &Scopes) -> Result<Self, Error> {
        let rules = MetadataRules {
            private_use_schemes: &[],
            default_auth_method: AuthMethod::ClientSecretBasic,
            further_methods: false,
        };
        let metadata = Self::parse_with(members, rules, || Ok(Vec::new()))?;
        if metadata.token_endpoint_auth_method == AuthMethod::None {
            return Err(invalid_client_metadata(
                "a machine must prove who it is: token_endpoint_auth_method must be client_secret_basic, \
                 client_secret_post or private_key_jwt",
            ));
        }
        if members.contains_key("redirect_uris") {
            return Err(invalid_client_metadata(
                "a machine has no redirect URI: no browser comes back to it",
            ));
        }
        let scopes = machine::parse_registered(metadata.scope.as_deref().unwrap_or_default(), resources)?;
        Ok(Self { scope: Some(scopes.to_string()), ..metadata })
    }

    fn parse_with(
        members: &Map<String, Value>,
        rules: MetadataRules<'_>,
        redirect_uris: impl FnOnce() -> Result<Vec<RedirectUri>, Error>,
    ) -> Result<Self, Error> {
        if members.values().any(holds_null) {
            return Err(invalid_client_metadata("a text contains a null character"));
        }
        let token_endpoint_auth_method = match text(members, "token_endpoint_auth_method") {
            None => rules.default_auth_method,
            Some(name) => AuthMethod::parse(&name).ok_or_else(|| {
                invalid_client_metadata(
                    "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or \
                     private_key_jwt",
                )
                .detail(name)
            })?,
        };
        let (jwks, jwks_uri) = keys(members)?;
        if token_endpoint_auth_method == AuthMethod::PrivateKeyJwt && jwks.is_none() && jwks_uri.is_none() {
            return Err(invalid_client_metadata("private_key_jwt needs jwks or jwks_uri"));
        }
        Ok(Self {
            client_name: text(members, "client_name").map(|name| name.chars().take(MAX_NAME).collect()),
            redirect_uris: redirect_uris()?,
            token_endpoint_auth_method,
            further_auth_methods: if rules.further_methods {
                further_auth_methods(members, token_endpoint_auth_method)
            } else {
                Vec::new()
            },
            client_uri: text(members, "client_uri").filter(|uri| is_https(uri)),
            application_type: text(members, "application_type")
                .filter(|kind| kind == "native" || kind == "web"),
            scope: text(members, "scope").filter(|scope| scope.len() <= 2048),
            jwks,
            jwks_uri,
            software_id: text(members, "software_id").filter(|id| id.len() <= 255),
            software_version: text(members, "software_version").filter(|version| version.len() <= 255),
            came_along: false,
        })
    }

    /// The registered URI that `requested` stands for. Without a request the only registered one is meant
    /// (OAuth 2.1 §2.3.2).
    pub fn find_redirect_uri(&self, requested: Option<&str>) -> Option<&RedirectUri> {
        match (requested, self.redirect_uris.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(requested), all) => all.iter().find(|registered| registered.admits(requested)),
        }
    }

    /// Whether every way back to the client stays on the user's own machine, where no owner can be named.
    pub fn only_local_redirects(&self) -> bool {
        self.redirect_uris.iter().all(|uri| uri.destination() != Destination::Web)
    }
}

impl Client {
    /// What people are shown: the self-given name, or the id when there is none.
    pub fn shown_name(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or_else(|| self.client_id.as_str())
    }

    /// What a machine was registered for. Nothing for every other client: what those say caps nothing.
    pub fn registered_scopes(&self) -> Scopes {
        let scope = self.metadata.scope.as_deref().filter(|_| self.kind == ClientKind::Machine);
        Scopes::parse(scope.unwrap_or_default()).unwrap_or_default()
    }

    /// Whether it may use `method` at the token endpoint. The two ways to present a secret are one: real
    /// clients register one and use the other.
    pub fn may_use(&self, method: AuthMethod) -> bool {
        let registered = self.metadata.token_endpoint_auth_method;
        registered == method
            || (registered.uses_secret() && method.uses_secret())
            || self.metadata.further_auth_methods.contains(&method)
    }
}

fn stored_uris<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<RedirectUri>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(RedirectUri::stored).collect())
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whether a null character stands somewhere in a value: PostgreSQL cannot hold it as text.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_null),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || holds_null(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_https(uri: &str) -> bool {
    uri.len() <= 2048 && Url::parse(uri).is_ok_and(|url| url.scheme() == "https" && url.has_host())
}

fn redirect_uris(members: &Map<String, Value>, schemes: &[String]) -> Result<Vec<RedirectUri>, Error> {
    let listed = match members.get("redirect_uris") {
        Some(Value::Array(listed)) if !listed.is_empty() => listed,
        _ => return Err(invalid_redirect_uri("redirect_uris must list at least one URI")),
    };
    let mut refused = None;
    let mut kept = Vec::new();
    for uri in listed.iter().take(MAX_REDIRECT_URIS) {
        match uri.as_str().map(|text| RedirectUri::parse(text, schemes)) {
            Some(Ok(uri)) if !kept.contains(&uri) => kept.push(uri),
            Some(Ok(_)) => {}
            Some(Err(why)) => refused = Some(why.to_string()),
            None => refused = Some("it is not a string".to_owned()),
        }
    }
    if kept.is_empty() {
        return Err(invalid_redirect_uri(
            "no redirect URI is acceptable: use https, http on 127.0.0.1, [::1] or localhost, or a \
             private-use scheme that this server allows; no fragment, no user name",
        )
        .detail(refused.unwrap_or_default()));
    }
    Ok(kept)
}

fn keys(members: &Map<String, Value>) -> Result<(Option<Value>, Option<String>), Error> {
    let jwks = members.get("jwks").filter(|jwks| !jwks.is_null()).cloned();
    let jwks_uri = text(members, "jwks_uri");
    match (&jwks, &jwks_uri) {
        (Some(_), Some(_)) => Err(invalid_client_metadata("jwks and jwks_uri exclude each other")),
        (Some(jwks), None) if !jwks.get("keys").is_some_and(Value::is_array) => {
            Err(invalid_client_metadata("jwks must be a JWK set: an object with an array named keys"))
        }
        (Some(jwks), None) if jwks.to_string().len() > MAX_JWKS => {
            Err(invalid_client_metadata("jwks must not be longer than 8 KB"))
        }
        (None, Some(uri)) if !is_https(uri) => Err(invalid_client_metadata("jwks_uri must be an https URL")),
        _ => Ok((jwks, jwks_uri)),
    }
}

fn further_auth_methods(members: &Map<String, Value>, registered: AuthMethod) -> Vec<AuthMethod> {
    let listed = members.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let named = listed.into_iter().flatten().filter_map(|name| AuthMethod::parse(name.as_str()?));
    named.filter(|method| *method != registered && !method.uses_secret()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;
    use serde_json::json;

    fn parse(value: Value) -> Result<ClientMetadata, Error> {
        let schemes = ["cursor".to_owned()];
        let rules = MetadataRules {
            private_use_schemes: &schemes,
            default_auth_method: AuthMethod::ClientSecretBasic,
            further_methods: false,
        };
        let Value::Object(members) = value else { panic!("an object") };
        ClientMetadata::parse(&members, rules)
    }

    #[test]
    fn acceptable_redirect_uris_are_kept_and_the_others_dropped() {
        let metadata = parse(json!({
            "redirect_uris": ["javascript:alert(1)", "cursor://x/cb", "https://www.cursor.com/cb", 7]
        }))
        .unwrap();
        let kept: Vec<_> = metadata.redirect_uris.iter().map(RedirectUri::as_str).collect();
        assert_eq!(kept, ["cursor://x/cb", "https://www.cursor.com/cb"]);
    }

    #[test]
    fn a_client_without_an_acceptable_redirect_uri_is_refused() {
        for bad in [json!({}), json!({"redirect_uris": []}), json!({"redirect_uris": ["http://c.example"]})] {
            assert_eq!(parse(bad).unwrap_err().code, ErrorCode::InvalidRedirectUri);
        }
    }

    #[test]
    fn empty_texts_count_as_absent_and_odd_ones_are_dropped() {
        let metadata = parse(json!({
            "redirect_uris": ["https://c.example/cb"], "client_name": " ", "client_uri": "javascript:x",
            "token_endpoint_auth_method": "", "scope": null, "logo_uri": 5, "unheard_of": {}
        }))
        .unwrap();
        assert_eq!(metadata.client_name, None);
        assert_eq!(metadata.client_uri, None);
        assert_eq!(metadata.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
    }

    #[test]
    fn keys_are_given_by_value_or_by_reference_not_both() {
        let base = "https://c.example/cb";
        for bad in [
            json!({"redirect_uris": [base], "jwks": {"keys": []}, "jwks_uri": "https://c.example/jwks"}),
            json!({"redirect_uris": [base], "jwks": []}),
            json!({"redirect_uris": [base], "jwks_uri": "http://c.example/jwks"}),
            json!({"redirect_uris": [base], "token_endpoint_auth_method": "private_key_jwt"}),
            json!({"redirect_uris": [base], "token_endpoint_auth_method": "tls_client_auth"}),
        ] {
            assert_eq!(parse(bad).unwrap_err().code, ErrorCode::InvalidClientMetadata);
        }
    }

    #[test]
    fn redirect_uri_may_be_left_out_only_when_one_is_registered() {
        let one = parse(json!({"redirect_uris": ["https://c.example/cb"]})).unwrap();
        let two = parse(json!({"redirect_uris": ["https://c.example/a", "https://c.example/b"]})).unwrap();
        assert!(one.find_redirect_uri(None).is_some());
        assert!(two.find_redirect_uri(None).is_none());
        assert_eq!(
            two.find_redirect_uri(Some("https://c.example/b")).unwrap().as_str(),
            "https://c.example/b"
        );
    }

    #[test]
    fn a_machine_proves_who_it_is_has_no_redirect_uri_and_names_its_scope() {
        let parse = |value: Value| {
            ClientMetadata::parse_machine(
                value.as_object().unwrap(),
                &Scopes::of(crate::oauth::scope::RESOURCE_SCOPES),
            )
        };
        let metadata = parse(json!({"scope": " tickets:write  tickets:read"})).unwrap();
        assert_eq!(metadata.scope.as_deref(), Some("tickets:read tickets:write"));
        assert_eq!(metadata.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(metadata.find_redirect_uri(None), None);
        for bad in [
            json!({}),
            json!({"scope": "everything"}),
            json!({"scope": "tickets:read", "token_endpoint_auth_method": "none"}),
            json!({"scope": "tickets:read", "token_endpoint_auth_method": "private_key_jwt"}),
            json!({"scope": "tickets:read", "redirect_uris": ["https://c.example/cb"]}),
        ] {
            assert_eq!(parse(bad).unwrap_err().code, ErrorCode::InvalidClientMetadata);
        }
    }

    #[test]
    fn only_what_a_machine_was_registered_for_caps_anything() {
        let metadata =
            parse(json!({"redirect_uris": ["https://c.example/cb"], "scope": "tickets:read tokens:mint"}))
                .unwrap();
        for kind in [ClientKind::Document, ClientKind::Dynamic, ClientKind::Registered, ClientKind::Machine] {
            let client =
                Client { client_id: ClientId::new("c"), kind, metadata: metadata.clone(), secret_hash: None };
            let registered = client.registered_scopes();
            assert_eq!(registered.contains("tokens:mint"), kind == ClientKind::Machine, "{kind:?}");
            assert_eq!(registered.is_empty(), kind != ClientKind::Machine, "{kind:?}");
        }
    }

    #[test]
    fn stored_metadata_reads_back_equal() {
        let metadata = parse(json!({"redirect_uris": ["https://c.example/cb"], "client_name": "C"})).unwrap();
        let text = serde_json::to_string(&metadata).unwrap();
        assert_eq!(serde_json::from_str::<ClientMetadata>(&text).unwrap(), metadata);
    }
}
