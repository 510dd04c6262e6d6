//! `[issuers.<name>]`: whose access tokens are taken besides our own, or instead of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::accounts::Accounts;
use super::raw::{ALGORITHMS, RawIssuer};
use super::{ConfigError, PublicUrl};
use crate::oauth::Scopes;
use crate::oauth::scope::{Catalogue, TICKETS};

/// Names that would make a client's id look like something else.
const TAKEN: [&str; 3] = ["http", "https", "client"];
/// The longest tolerated difference of clocks.
const WIDEST_SKEW: Duration = Duration::from_mins(10);

/// An issuer of tokens that is trusted.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its short name here.
    pub name: String,
    /// The issuer identifier, byte for byte.
    pub issuer: String,
    /// The audiences of tokens for us; none stands for the resource identifier.
    pub audience: Vec<String>,
    /// Audiences that a token may have besides.
    pub other_audiences: Vec<String>,
    /// Where its keys lie, when it is not asked.
    pub jwks_uri: Option<Url>,
    /// What it may sign with; none of them with a shared secret.
    pub algorithms: Vec<Algorithm>,
    /// What `typ` its tokens may have, in lower case; an empty one stands for none.
    pub types: Vec<String>,
    /// Where the scope stands, in the order of looking.
    pub scope_claims: Vec<String>,
    /// Where the client's id stands, in the order of looking.
    pub client_claims: Vec<String>,
    /// Where the subject stands.
    pub subject_claim: String,
    /// Tolerated between its clock and ours, in seconds.
    pub skew_seconds: i64,
    /// Whether clients are told to ask it for tokens; unless said, where we issue none ourselves.
    pub advertise: Option<bool>,
    /// What accounts its people have here.
    pub accounts: Accounts,
    scopes: BTreeMap<String, Scopes>,
    scope_prefix: String,
    /// Those of our own resource.
    ours: Scopes,
}

impl Issuer {
    /// What its scopes come to here. Without a mapping they are taken as they are named; what is not ours is nothing.
    pub fn scopes(&self, said: &Scopes) -> Scopes {
        if self.scopes.is_empty() {
            return said.intersection(&self.ours);
        }
        let mapped = said.iter().filter_map(|name| self.scopes.get(name));
        mapped.fold(Scopes::default(), |all, some| all.union(some))
    }

    /// What a client asks it for, so that its token has these scopes of ours: for each the name that brings the least
    /// besides. What no name brings stands as it is.
    pub fn asked_for(&self, ours: &Scopes) -> Scopes {
        let name = |scope: &str| {
            let all = self.scopes.iter().filter(|(_, brought)| brought.contains(scope));
            let least = all.min_by_key(|(_, brought)| brought.iter().count());
            format!("{}{}", self.scope_prefix, least.map_or(scope, |(name, _)| name))
        };
        let names: Vec<String> = ours.iter().map(name).collect();
        Scopes::of(names.iter().map(String::as_str))
    }

    /// Whether a token with these audiences is for us and for nobody who could be somebody else: it names us, and
    /// besides us only what the configuration names. Another resource server that a token is also for could pass it on.
    pub fn is_for_us(&self, audiences: &[&str], resource: &str) -> bool {
        let ours = |audience: &&str| {
            if self.audience.is_empty() {
                *audience == resource
            } else {
                self.audience.iter().any(|one| one == audience)
            }
        };
        let known =
            |audience: &&str| ours(audience) || self.other_audiences.iter().any(|one| one == audience);
        audiences.iter().any(ours) && audiences.iter().all(known)
    }
}

/// The issuers whose tokens are taken.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

impl Issuers {
    /// The same from the keys as JSON: for tests.
    pub fn from_json(keys: serde_json::Value) -> Result<Self, ConfigError> {
        let raw =
            serde_json::from_value(keys).map_err(|error| ConfigError::new("issuers", error.to_string()))?;
        Self::parse(raw, None, &Catalogue::of(TICKETS))
    }

    /// `own` is none of them, and `ours` are the scopes that theirs can stand for.
    pub(super) fn parse(
        raw: BTreeMap<String, RawIssuer>,
        own: Option<&PublicUrl>,
        ours: &Catalogue,
    ) -> Result<Self, ConfigError> {
        let mut all: Vec<Arc<Issuer>> = Vec::with_capacity(raw.len());
        for (name, raw) in raw {
            let issuer = parse(name, raw, ours)?;
            let wrong = |problem: &str| {
                Err(ConfigError::new(format!("issuers.{}.issuer", issuer.name), problem.to_owned()))
            };
            if own.is_some_and(|own| own.issuer() == issuer.issuer) {
                return wrong("that is this server itself; leave the table out");
            }
            if all.iter().any(|other| other.issuer == issuer.issuer) {
                return wrong("another table is of the same issuer; write one");
            }
            all.push(Arc::new(issuer));
        }
        Ok(Self(all))
    }

    /// The one that calls itself so, byte for byte.
    pub fn find(&self, issuer: &str) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|known| known.issuer == issuer)
    }

    /// Each, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter().map(AsRef::as_ref)
    }
}

fn parse(name: String, raw: RawIssuer, ours: &Catalogue) -> Result<Issuer, ConfigError> {
    let table = format!("issuers.{name}");
    let wrong = |key: &str, problem: String| ConfigError::new(format!("{table}.{key}"), problem);
    let shaped = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(shaped) || TAKEN.contains(&name.as_str()) {
        let problem =
            "name it with 1 to 32 lower-case letters, digits and dashes, and not http, https or client";
        return Err(ConfigError::new(table, problem));
    }
    issuer_url(&raw.issuer).map_err(|problem| wrong("issuer", problem.to_owned()))?;
    let jwks_uri = match &raw.jwks_uri {
        None => None,
        Some(text) => match Url::parse(text) {
            Ok(url) if url.scheme() == "https" => Some(url),
            _ => return Err(wrong("jwks_uri", format!("{text:?} is not an https URL"))),
        },
    };
    if let Some(empty) = raw.audience.iter().chain(&raw.other_audiences).find(|text| text.is_empty()) {
        return Err(wrong("audience", format!("{empty:?} is nobody's; leave it out")));
    }
    let algorithms = algorithms(&raw.algorithms).map_err(|problem| wrong("algorithms", problem))?;
    let known_types = ["at+jwt", "jwt", ""];
    let types: Vec<String> = raw.types.iter().map(|name| name.to_ascii_lowercase()).collect();
    if types.is_empty() || types.iter().any(|name| !known_types.contains(&name.as_str())) {
        return Err(wrong("types", "list any of \"at+jwt\", \"JWT\" and \"\"".to_owned()));
    }
    if raw.subject_claim.is_empty() {
        return Err(wrong("subject_claim", "name the claim that says who it is, such as sub".to_owned()));
    }
    let skew = humantime::parse_duration(&raw.clock_skew).ok().filter(|skew| *skew <= WIDEST_SKEW);
    let skew = skew.ok_or_else(|| wrong("clock_skew", "write a duration of at most 10m".to_owned()))?;
    let ours = ours.names();
    let scopes = mapping(raw.scopes, &ours).map_err(|problem| wrong("scopes", problem))?;
    let prefixed = scopes.keys().map(|name| format!("{}{name}", raw.scope_prefix));
    if prefixed
        .chain([raw.scope_prefix.clone()])
        .any(|name| Scopes::parse(&name).is_err() || name.contains(' '))
    {
        return Err(wrong(
            "scope_prefix",
            "it and the scopes must be printable ASCII without spaces".to_owned(),
        ));
    }
    let claims = |one: String, defaults: &[&str]| match one.as_str() {
        "" => defaults.iter().map(|name| (*name).to_owned()).collect(),
        _ => vec![one],
    };
    Ok(Issuer {
        issuer: raw.issuer,
        audience: raw.audience,
        other_audiences: raw.other_audiences,
        jwks_uri,
        algorithms,
        types,
        scope_claims: claims(raw.scope_claim, &["scope", "scp"]),
        client_claims: claims(raw.client_claim, &["client_id", "azp", "appid"]),
        subject_claim: raw.subject_claim,
        skew_seconds: i64::try_from(skew.as_secs()).unwrap_or_default(),
        advertise: raw.advertise,
        accounts: Accounts::parse(&format!("{table}.accounts"), raw.accounts)?,
        scopes,
        scope_prefix: raw.scope_prefix,
        ours,
        name,
    })
}

/// RFC 8414 §2: https, without query or fragment.
fn issuer_url(text: &str) -> Result<(), &'static str> {
    match Url::parse(text) {
        Ok(url) if url.scheme() != "https" => Err("it must be an https URL"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Err("an issuer has no query and no fragment")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("an issuer has no user name")
        }
        Ok(_) => Ok(()),
        Err(_) => {
            Err("write it exactly as its tokens and its metadata do, like https://login.example.com/acme")
        }
    }
}

/// Those with a public key alone: with a shared secret, whoever verifies could sign (RFC 8725 §3.1).
fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
    let parse = |name: &String| {
        let known = name.parse::<Algorithm>().ok().filter(|_| !name.starts_with("HS"));
        known.ok_or_else(|| format!("{name:?} is not acceptable; write any of {}", ALGORITHMS.join(", ")))
    };
    let all: Vec<Algorithm> = names.iter().map(parse).collect::<Result<_, _>>()?;
    if all.is_empty() { Err(format!("write any of {}", ALGORITHMS.join(", "))) } else { Ok(all) }
}

fn mapping(raw: BTreeMap<String, String>, known: &Scopes) -> Result<BTreeMap<String, Scopes>, String> {
    let parse = |(theirs, ours): (String, String)| {
        let scopes = Scopes::parse(&ours).ok().filter(|all| !all.is_empty() && all.is_subset(known));
        let cure = || format!("{theirs:?} must stand for any of {known}, not for {ours:?}");
        Ok((theirs.clone(), scopes.ok_or_else(cure)?))
    };
    raw.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn issuer(change: &Value) -> Result<Arc<Issuer>, ConfigError> {
        let mut keys = json!({ "issuer": "https://login.example/acme" });
        for (name, value) in change.as_object().unwrap() {
            keys[name] = value.clone();
        }
        let all = Issuers::from_json(json!({ "acme": keys }))?;
        Ok(all.0.first().unwrap().clone())
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        for (key, value) in [
            ("issuer", json!("http://login.example")),
            ("issuer", json!("login.example")),
            ("issuer", json!("https://login.example/?tenant=acme")),
            ("jwks_uri", json!("http://login.example/keys")),
            ("audience", json!([""])),
            ("algorithms", json!(["none"])),
            ("algorithms", json!(["HS256"])),
            ("algorithms", json!([])),
            ("types", json!([])),
            ("types", json!(["logout+jwt"])),
            ("subject_claim", json!("")),
            ("clock_skew", json!("1h")),
            ("scopes", json!({ "Read": "tickets:delete" })),
            ("scopes", json!({ "Read": "" })),
            ("scope_prefix", json!("api://a b/")),
            ("accounts.role", json!("admin")),
        ] {
            let change = match key.split_once('.') {
                Some((table, inner)) => json!({ table: { inner: value } }),
                None => json!({ key: value }),
            };
            let error = issuer(&change).unwrap_err().to_string();
            assert!(error.starts_with(&format!("issuers.acme.{key}: ")), "{change}: {error}");
        }
    }

    #[test]
    fn names_and_issuers_are_told_apart() {
        let table = json!({ "issuer": "https://login.example" });
        for bad in ["", "Acme", "a:b", "https", "client", &"a".repeat(33)] {
            assert!(Issuers::from_json(json!({ bad: table })).is_err(), "{bad}");
        }
        let error = Issuers::from_json(json!({ "a": table, "b": table })).unwrap_err().to_string();
        assert!(error.starts_with("issuers.b.issuer: "), "{error}");
        let raw = serde_json::from_value(json!({ "a": { "issuer": "https://t.example" } })).unwrap();
        let own = PublicUrl::parse("https://t.example").unwrap();
        let error = Issuers::parse(raw, Some(&own), &Catalogue::of(TICKETS)).unwrap_err().to_string();
        assert!(error.starts_with("issuers.a.issuer: "), "{error}");
    }

    #[test]
    fn an_audience_is_equal_and_every_one_is_known() {
        let resource = "https://t.example/mcp";
        let plain = issuer(&json!({})).unwrap();
        let named = issuer(&json!({ "audience": ["api://1", "1"], "other_audiences": ["account"] })).unwrap();
        for (issuer, audiences, good) in [
            (&plain, &[resource][..], true),
            (&plain, &["https://t.example/mcp/"], false),
            (&plain, &["https://t.example"], false),
            (&plain, &[], false),
            (&plain, &[resource, "https://other.example"], false),
            (&named, &["api://1"], true),
            (&named, &["api://1", "1"], true),
            (&named, &["account", "1"], true),
            (&named, &["account"], false),
            (&named, &["api://1", "api://2"], false),
            (&named, &[resource], false),
        ] {
            assert_eq!(issuer.is_for_us(audiences, resource), good, "{audiences:?}");
        }
    }

    #[test]
    fn scopes_are_mapped_both_ways() {
        let both = Catalogue::of(TICKETS).names();
        let read = Scopes::of(["tickets:read"]);
        let plain = issuer(&json!({})).unwrap();
        assert_eq!(plain.scopes(&Scopes::of(["tickets:read", "openid"])), read);
        assert_eq!(plain.asked_for(&both), both);
        let mapped = issuer(&json!({
            "scopes": { "All": "tickets:read tickets:write", "Tickets.Read": "tickets:read" },
            "scope_prefix": "api://1/",
        }))
        .unwrap();
        assert_eq!(mapped.scopes(&Scopes::of(["All"])), both);
        assert_eq!(mapped.scopes(&Scopes::of(["Tickets.Read", "tickets:write"])), read);
        assert_eq!(mapped.asked_for(&read).to_string(), "api://1/Tickets.Read");
        assert_eq!(mapped.asked_for(&both).to_string(), "api://1/All api://1/Tickets.Read");
    }
}
