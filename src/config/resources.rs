//! The resources that others serve and we issue tokens for: the tables `[resources.<name>]`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ConfigError, raw};
use crate::oauth::scope::{
    self, Catalogue, LONGEST_SENTENCE, LONGEST_TITLE, MOST_SCOPES, RESERVED_SCOPES, is_line,
};
use crate::oauth::secret::SecretHash;
use crate::oauth::{Resource, Scopes};

/// The longest name of a resource, in characters.
const LONGEST_NAME: usize = 32;
/// The shortest secret that cannot be guessed, in characters.
const SHORTEST_SECRET: usize = 32;
/// The longest one, in characters.
const LONGEST_SECRET: usize = 512;

/// What is wrong with a scope that is one of ours.
const TAKEN: &str = "this server has a scope of this name; choose another";

/// One resource of somebody else.
#[derive(Clone, Debug)]
pub struct OtherResource {
    name: String,
    resource: Resource,
    title: String,
    sentences: BTreeMap<String, String>,
    credential: Option<Credential>,
}

/// With what its server proves itself when it asks about tokens.
#[derive(Clone)]
struct Credential(SecretHash);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl OtherResource {
    /// A resource of this name, with its scopes and what each lets a client do, in a sentence. `secret` is what its
    /// server proves itself with. An error names the key below `resources`.
    pub fn new(
        name: &str,
        (uri, title): (&str, &str),
        scopes: impl IntoIterator<Item = (String, String)>,
        secret: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let table = format!("resources.{name}");
        let wrong = |key: &str, problem: &str| ConfigError::new(format!("{table}.{key}"), problem);
        let named = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !named || !(1..=LONGEST_NAME).contains(&name.len()) {
            let cure = "call it by 1 to 32 small letters, digits and dashes";
            return Err(ConfigError::new(table, cure));
        }
        let resource = Resource::parse(uri).map_err(|problem| wrong("uri", problem))?;
        if !is_line(title, LONGEST_TITLE) {
            return Err(wrong("title", "write what people call it, in at most 60 characters"));
        }
        let sentences: BTreeMap<_, _> = scopes.into_iter().collect();
        if !(1..=MOST_SCOPES).contains(&sentences.len()) {
            return Err(wrong(
                "scopes",
                "write from 1 to 32 scopes, each with a sentence for the consent page",
            ));
        }
        for (scope, sentence) in &sentences {
            let problem = scope_problem(scope, sentence);
            problem.map_or(Ok(()), |problem| Err(wrong(&format!("scopes.{scope}"), problem)))?;
        }
        let credential = secret.map(|secret| {
            let length = (SHORTEST_SECRET..=LONGEST_SECRET).contains(&secret.len());
            let good = length && secret.bytes().all(|b| b.is_ascii_graphic());
            good.then(|| Credential(SecretHash::of(secret))).ok_or_else(|| {
                let cure =
                    "it must hold one line of 32 to 512 visible ASCII characters: openssl rand -hex 32";
                wrong("secret_file", cure)
            })
        });
        let credential = credential.transpose()?;
        Ok(Self { name: name.to_owned(), resource, title: title.to_owned(), sentences, credential })
    }

    /// Its name in the configuration, which its server proves itself under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identifier.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its scopes.
    pub fn scopes(&self) -> Scopes {
        Scopes::of(self.sentences.keys().map(String::as_str))
    }

    /// What a scope of it lets a client do.
    pub fn sentence(&self, scope: &str) -> Option<&str> {
        self.sentences.get(scope).map(String::as_str)
    }

    /// Whether its server may ask about tokens.
    pub fn may_introspect(&self) -> bool {
        self.credential.is_some()
    }

    /// Whether `secret` is its server's, in constant time.
    pub fn is_proven_by(&self, secret: &str) -> bool {
        self.credential.as_ref().is_some_and(|credential| credential.0.matches(secret))
    }
}

/// All of them, by name. No two have an identifier or a scope in common.
#[derive(Clone, Debug, Default)]
pub struct OtherResources(BTreeMap<String, OtherResource>);

impl OtherResources {
    /// These resources, beside our own. Without one of our own there must be another.
    pub fn new(
        resources: impl IntoIterator<Item = OtherResource>,
        own: Option<&Resource>,
    ) -> Result<Self, ConfigError> {
        let mut all = BTreeMap::new();
        for resource in resources {
            tell_apart(&resource, own, &all)?;
            all.insert(resource.name.clone(), resource);
        }
        if own.is_none() && all.is_empty() {
            let cure = "it is off and there is no other resource to give access to; add a table \
                        [resources.<name>], or write on";
            return Err(ConfigError::new("resource_server", cure));
        }
        Ok(Self(all))
    }

    /// The resource of this name.
    pub fn find(&self, name: &str) -> Option<&OtherResource> {
        self.0.get(name)
    }

    /// Every one, by name.
    pub fn iter(&self) -> impl Iterator<Item = &OtherResource> {
        self.0.values()
    }
}

/// From the tables, with the secrets read from their files. `taken` are our own scopes.
pub(super) fn parse(
    tables: BTreeMap<String, raw::Resource>,
    own: Option<&Resource>,
    taken: &Catalogue,
) -> Result<OtherResources, ConfigError> {
    let one = |(name, table): (String, raw::Resource)| {
        if let Some(scope) = table.scopes.keys().find(|scope| taken.find(scope).is_some()) {
            return Err(ConfigError::new(format!("resources.{name}.scopes.{scope}"), TAKEN));
        }
        let secret = table.secret_file.as_deref().map(|file| read_secret(&name, file)).transpose()?;
        OtherResource::new(&name, (&table.uri, table.title.trim()), table.scopes, secret.as_deref())
    };
    OtherResources::new(tables.into_iter().map(one).collect::<Result<Vec<_>, _>>()?, own)
}

fn read_secret(name: &str, file: &Path) -> Result<String, ConfigError> {
    let key = || format!("resources.{name}.secret_file");
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(key(), file, &error))?;
    Ok(text.trim().to_owned())
}

/// What would make one request mean two resources: an identifier or a scope that two of them have.
fn tell_apart(
    new: &OtherResource,
    own: Option<&Resource>,
    others: &BTreeMap<String, OtherResource>,
) -> Result<(), ConfigError> {
    let wrong =
        |key: &str, problem: String| Err(ConfigError::new(format!("resources.{}.{key}", new.name), problem));
    let uri = new.resource.as_str();
    if own.is_some_and(|own| own.is_named_or_below(uri)) {
        return wrong(
            "uri",
            "it names this server's own resource; write that of the other server".to_owned(),
        );
    }
    for other in others.values() {
        if other.name == new.name || other.resource.is_named_by(uri) {
            return wrong(
                "uri",
                format!("it is the one of resources.{}; each resource has its own", other.name),
            );
        }
        if let Some(scope) = other.scopes().intersection(&new.scopes()).iter().next() {
            let problem = format!("resources.{} has a scope of this name; choose another", other.name);
            return wrong(&format!("scopes.{scope}"), problem);
        }
    }
    Ok(())
}

fn scope_problem(scope: &str, sentence: &str) -> Option<&'static str> {
    let is_one = Scopes::parse(scope).is_ok_and(|scopes| scopes.contains(scope));
    if !is_one || scope.len() > scope::LONGEST_NAME {
        return Some(
            "a scope is at most 128 printable ASCII characters without spaces, quotes and backslashes",
        );
    }
    if RESERVED_SCOPES.contains(&scope) {
        return Some(TAKEN);
    }
    let told = is_line(sentence, LONGEST_SENTENCE);
    (!told).then_some("write what it lets an app do, in at most 200 characters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Resource;
    use url::Url;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn of(name: &str, uri: &str, title: &str, scopes: &[(&str, &str)]) -> Result<OtherResource, ConfigError> {
        let scopes = scopes.iter().map(|(scope, sentence)| ((*scope).to_owned(), (*sentence).to_owned()));
        OtherResource::new(name, (uri, title), scopes, Some(SECRET))
    }

    fn billing(uri: &str, scope: &str) -> OtherResource {
        of("billing", uri, "Billing", &[(scope, "See your invoices")]).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said_of_its_key() {
        let uri = "https://billing.example/mcp";
        let good = [("billing:read", "See your invoices")];
        assert!(of("billing-2", uri, "Billing", &good).is_ok());
        let long = "x".repeat(201);
        let cases: [(&str, Result<OtherResource, ConfigError>); 13] = [
            ("resources.Billing", of("Billing", uri, "Billing", &good)),
            ("resources.", of("", uri, "Billing", &good)),
            ("resources.billing.uri", of("billing", "", "Billing", &good)),
            ("resources.billing.uri", of("billing", "http://billing.example", "Billing", &good)),
            ("resources.billing.title", of("billing", uri, " ", &good)),
            ("resources.billing.title", of("billing", uri, &long, &good)),
            ("resources.billing.title", of("billing", uri, "two\nlines", &good)),
            ("resources.billing.scopes", of("billing", uri, "Billing", &[])),
            ("resources.billing.scopes.a b", of("billing", uri, "Billing", &[("a b", "See")])),
            ("resources.billing.scopes.", of("billing", uri, "Billing", &[("", "See")])),
            ("resources.billing.scopes.openid", of("billing", uri, "Billing", &[("openid", "See")])),
            ("resources.billing.scopes.x", of("billing", uri, "Billing", &[("x", "")])),
            ("resources.billing.scopes.x", of("billing", uri, "Billing", &[("x", &long)])),
        ];
        for (key, result) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
        }
        let many = (0..33).map(|index| (format!("s{index}"), "See".to_owned()));
        assert!(OtherResource::new("billing", (uri, "Billing"), many, None).is_err());
        for secret in ["", "short", &SECRET[1..], &format!("{SECRET} {SECRET}"), &"x".repeat(513)] {
            let one = [("x".to_owned(), "See".to_owned())];
            let error = OtherResource::new("billing", (uri, "Billing"), one, Some(secret)).unwrap_err();
            assert!(error.to_string().starts_with("resources.billing.secret_file: "), "{error}");
        }
    }

    #[test]
    fn no_resource_has_a_scope_of_ours() {
        let table = |scope: &str| {
            let table =
                serde_json::json!({ "uri": "https://b.example", "title": "B", "scopes": { scope: "See" } });
            BTreeMap::from([("b".to_owned(), serde_json::from_value(table).unwrap())])
        };
        let ours = Catalogue::of(crate::oauth::scope::TICKETS);
        let error = parse(table("tickets:read"), None, &ours).unwrap_err().to_string();
        assert!(error.starts_with("resources.b.scopes.tickets:read: "), "{error}");
        assert!(parse(table("b:read"), None, &ours).is_ok());
        assert!(parse(table("tickets:read"), None, &Catalogue::default()).is_ok());
    }

    #[test]
    fn no_two_resources_have_an_identifier_or_a_scope_in_common() {
        let own = Resource::below(&Url::parse("https://tickets.example").unwrap());
        let wiki = || of("wiki", "https://wiki.example", "Wiki", &[("wiki:read", "Read pages")]).unwrap();
        let beside = |other| OtherResources::new([wiki(), other], Some(&own)).map(|_| ());
        assert!(beside(billing("https://billing.example/mcp", "billing:read")).is_ok());
        for (key, other) in [
            ("uri", billing("https://wiki.example/", "billing:read")),
            ("uri", billing("https://WIKI.example:443", "billing:read")),
            ("uri", billing("https://tickets.example/mcp", "billing:read")),
            ("uri", billing("https://tickets.example/mcp/", "billing:read")),
            ("uri", billing("https://tickets.example", "billing:read")),
            ("scopes.wiki:read", billing("https://billing.example", "wiki:read")),
        ] {
            let error = beside(other).unwrap_err().to_string();
            assert!(error.starts_with(&format!("resources.billing.{key}: ")), "{error}");
        }
        // Where ours is switched off, somebody else may serve at its address.
        assert!(OtherResources::new([billing("https://tickets.example/mcp", "x")], None).is_ok());
        assert!(OtherResources::new([], None).unwrap_err().to_string().starts_with("resource_server: "));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let other = billing("https://billing.example", "x");
        assert!(other.is_proven_by(SECRET) && !other.is_proven_by("") && other.may_introspect());
        let printed = format!("{other:?}");
        assert!(!printed.contains(SECRET) && !printed.contains(SecretHash::of(SECRET).as_str()), "{printed}");
        let none =
            OtherResource::new("a", ("https://a.example", "A"), [("x".into(), "See".into())], None).unwrap();
        assert!(!none.may_introspect() && !none.is_proven_by("") && !none.is_proven_by(SECRET));
    }
}
