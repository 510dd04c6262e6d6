//! `[providers.<name>]`: where people sign in elsewhere, by OpenID Connect; and `[sign_in]`: the ways to sign in at all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::ConfigError;
use super::accounts::{Accounts, RawAccounts};
use super::parse::{duration, list, one_of};
use super::raw::shapes::{FilePath, Link, Period};

/// The longest name of a provider: it stands in addresses, and in names of accounts.
const LONGEST_NAME: usize = 32;
/// What an ID token may be signed with: nothing that the secret of a client could sign (RFC 8725 §3.1).
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The keys of one provider as they are written.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer", "client_id"]))]
pub(super) struct RawProvider {
    /// Who it is, as the provider writes it, to the last slash: `https`, or `http` on this machine.
    #[schemars(with = "Link")]
    pub(super) issuer: String,
    /// Who Mandate is there.
    pub(super) client_id: String,
    /// A file whose first line is our secret there. Without it Mandate is a public client.
    #[schemars(with = "Option<FilePath>")]
    pub(super) client_secret_file: Option<PathBuf>,
    /// What the button says. Without it, the name of the table.
    pub(super) title: Option<String>,
    /// What is asked for, separated by spaces; `openid` must be among them.
    pub(super) scopes: String,
    /// What its ID tokens and logout tokens may be signed with; never with a secret that is shared.
    #[serde(deserialize_with = "list")]
    #[schemars(extend("items" = { "type": "string", "enum": ALGORITHMS.map(|(name, _)| name) }))]
    pub(super) algorithms: Vec<String>,
    /// Whom people are told to ask when a sign-in there is refused. Without it, as `sign_in.contact` says.
    pub(super) contact: Option<String>,
    /// Whether its answers must name it (RFC 9207). Without it, as its metadata says.
    pub(super) require_iss: Option<bool>,
    /// Whether it may end browser sessions here, by OpenID Connect Back-Channel Logout.
    pub(super) backchannel_logout: bool,
    /// How long ago somebody may have signed in there, such as `8h`. Without it that does not matter.
    #[schemars(with = "Option<Period>")]
    pub(super) max_age: Option<String>,
    pub(super) accounts: RawAccounts,
}

impl Default for RawProvider {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret_file: None,
            title: None,
            scopes: "openid profile email".into(),
            algorithms: ["RS256", "ES256", "PS256", "EdDSA"].map(str::to_owned).into(),
            contact: None,
            require_iss: None,
            backchannel_logout: true,
            max_age: None,
            accounts: RawAccounts::default(),
        }
    }
}

/// The ways to sign in.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSignIn {
    /// Whether people can sign in with a password of this server. Otherwise `[providers.<name>]` is the only way in.
    pub(super) local_accounts: bool,
    /// Whom people are told to ask when a sign-in is refused, such as `the IT desk (it@acme.example)`. Without it, the
    /// people who run this server.
    pub(super) contact: Option<String>,
}

impl Default for RawSignIn {
    fn default() -> Self {
        Self { local_accounts: true, contact: None }
    }
}

/// A provider at which people sign in.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name here: it stands in addresses and in the log.
    pub name: String,
    /// The issuer, byte for byte.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// What we prove it with; a public client has none.
    pub client_secret: Option<ProviderSecret>,
    /// Its name for people.
    pub title: String,
    /// What is asked for; `openid` is among them.
    pub scopes: Vec<String>,
    /// What its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Whom to ask when a sign-in is refused.
    pub contact: Option<String>,
    /// Whether its answers must name it (RFC 9207); otherwise as its metadata says.
    pub require_iss: Option<bool>,
    /// Whether it may end sessions here.
    pub backchannel_logout: bool,
    /// How long ago somebody may have proven there who they are.
    pub max_age: Option<Duration>,
    /// What accounts its people have.
    pub accounts: Accounts,
}

/// Our secret at a provider.
#[derive(Clone)]
pub struct ProviderSecret(String);

impl ProviderSecret {
    fn read(key: &str, path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(key, path, &error))?;
        match text.lines().next().map(str::trim).unwrap_or_default() {
            "" => Err(ConfigError::new(key, format!("{}: its first line is empty", path.display()))),
            secret => Ok(Self(secret.to_owned())),
        }
    }

    /// The secret itself, for the request that proves who we are.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderSecret")
    }
}

/// The ways to sign in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Whether passwords are asked for.
    pub local_accounts: bool,
    /// Whom to ask when a sign-in is refused.
    pub contact: Option<String>,
}

/// Both tables, which depend on each other.
pub(super) fn parse(
    providers: BTreeMap<String, RawProvider>,
    sign_in: RawSignIn,
) -> Result<(BTreeMap<String, Provider>, SignIn), ConfigError> {
    let mut parsed = BTreeMap::<String, Provider>::new();
    for (name, raw) in providers {
        let provider = provider(&name, raw)?;
        // Whoever is told that somebody of this issuer signed out must know at which client of ours.
        if let Some(other) = parsed.values().find(|other| other.issuer == provider.issuer) {
            let problem = format!("providers.{} has the same one; leave one of the two out", other.name);
            return Err(ConfigError::new(format!("providers.{name}.issuer"), problem));
        }
        parsed.insert(name, provider);
    }
    if !sign_in.local_accounts && parsed.is_empty() {
        let cure = "without accounts of its own this server needs a provider; add a table [providers.<name>]";
        return Err(ConfigError::new("sign_in.local_accounts", cure));
    }
    Ok((parsed, SignIn { local_accounts: sign_in.local_accounts, contact: sign_in.contact }))
}

fn provider(name: &str, raw: RawProvider) -> Result<Provider, ConfigError> {
    let key = |member: &str| format!("providers.{name}.{member}");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(ConfigError::new(
            format!("providers.{name}"),
            "name it with 1 to 32 lower-case letters, digits and dashes",
        ));
    }
    if raw.client_id.is_empty() {
        return Err(ConfigError::new(key("client_id"), "write the client_id that the provider gave you"));
    }
    let scopes: Vec<String> = raw.scopes.split_whitespace().map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err(ConfigError::new(key("scopes"), "openid must be among them"));
    }
    let algorithms = raw.algorithms.iter().map(|name| one_of(&key("algorithms"), name, &ALGORITHMS));
    let algorithms: Vec<Algorithm> = algorithms.collect::<Result<_, _>>()?;
    if algorithms.is_empty() {
        return Err(ConfigError::new(key("algorithms"), "name one at least, such as RS256"));
    }
    let secret = raw.client_secret_file;
    let secret = secret.map(|path| ProviderSecret::read(&key("client_secret_file"), &path)).transpose()?;
    let max_age = raw.max_age.map(|text| duration(&key("max_age"), &text)).transpose()?;
    Ok(Provider {
        issuer: issuer(&key("issuer"), raw.issuer)?,
        client_id: raw.client_id,
        client_secret: secret,
        title: raw.title.unwrap_or_else(|| name.to_owned()),
        scopes,
        algorithms,
        contact: raw.contact,
        require_iss: raw.require_iss,
        backchannel_logout: raw.backchannel_logout,
        max_age,
        accounts: Accounts::parse(&key("accounts"), raw.accounts)?,
        name: name.to_owned(),
    })
}

/// An https URL without query and fragment (OpenID Connect Discovery §3), or http on this machine. It is kept as it
/// is written: issuers are compared byte for byte.
fn issuer(key: &str, text: String) -> Result<String, ConfigError> {
    let wrong = |problem: &str| ConfigError::new(key, problem);
    let url = Url::parse(&text)
        .map_err(|_| wrong("write the issuer as the provider does, like https://login.example.com"))?;
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(wrong("it must be https; plain http is for localhost only"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong("it must not have a query, a fragment or a user name"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const ACME: &str = "[providers.acme]\nissuer = \"https://id.acme.example/\"\nclient_id = \"c\"\n";

    #[test]
    fn the_defaults_of_a_provider_hold() {
        let config = Config::written(ACME).unwrap();
        let acme = &config.providers["acme"];
        assert_eq!((acme.title.as_str(), acme.issuer.as_str()), ("acme", "https://id.acme.example/"));
        assert_eq!(acme.scopes, ["openid", "profile", "email"]);
        assert!(acme.client_secret.is_none() && acme.backchannel_logout && acme.require_iss.is_none());
        assert!(!acme.accounts.create && config.sign_in.local_accounts);
        assert!(acme.algorithms.contains(&Algorithm::ES256));
    }

    #[test]
    fn a_secret_is_the_first_line_of_its_file_and_prints_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let text = format!("{ACME}client_secret_file = \"{}\"\n", file.display());
        let refused = |text: &str| Config::written(text).unwrap_err().to_string();
        assert!(refused(&text).starts_with("providers.acme.client_secret_file: "));
        std::fs::write(&file, "\n").unwrap();
        assert!(refused(&text).ends_with("its first line is empty"));
        std::fs::write(&file, " s3cret \n").unwrap();
        let config = Config::written(&text).unwrap();
        assert_eq!(config.providers["acme"].client_secret.as_ref().unwrap().reveal(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let with = |line: &str| format!("{ACME}{line}\n");
        for (key, text) in [
            ("providers.Acme", ACME.replace("acme]", "Acme]")),
            ("providers.acme.issuer", ACME.replace("https:", "http:")),
            ("providers.acme.issuer", ACME.replace("example/", "example/?tenant=1")),
            ("providers.acme.client_id", ACME.replace("\"c\"", "\"\"")),
            ("providers.acme.scopes", with("scopes = \"profile\"")),
            ("providers.acme.algorithms", with("algorithms = [\"none\"]")),
            ("providers.acme.algorithms", with("algorithms = \"RS256,HS256\"")),
            ("providers.acme.algorithms", with("algorithms = []")),
            ("providers.acme.max_age", with("max_age = \"soon\"")),
            ("providers.acme.accounts.role", with("accounts.role = \"admin\"")),
            ("providers.other.issuer", format!("{ACME}{}", ACME.replace("acme]", "other]"))),
            ("sign_in.local_accounts", "[sign_in]\nlocal_accounts = false\n".to_owned()),
        ] {
            let error = Config::written(&text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: ")), "{key}: {error}");
        }
        for good in
            [ACME.replace("https://id.acme.example", "http://localhost:9"), with("require_iss = true")]
        {
            Config::written(&good).unwrap();
        }
    }
}
