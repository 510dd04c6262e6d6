//! `[….accounts]`: what account somebody has whom an issuer vouches for. The same keys below every provider and every
//! issuer of tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ConfigError;
use super::parse::list;
use crate::storage::users::Role;

/// What accounts its people have here.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAccounts {
    /// Whether somebody who comes for the first time gets an account.
    pub(super) create: bool,
    /// Whether the account whose name is their e-mail address, which must be verified there, is theirs. Whoever is given
    /// that address there is given the account.
    pub(super) link_by_email: bool,
    /// The claim that a new account is named after; claims within claims are named with dots.
    pub(super) username_claim: String,
    /// The claim that roles follow, each time somebody comes; claims within claims are named with dots. Without it
    /// everybody new has the one of `role`, and what an account has stays.
    pub(super) role_claim: String,
    /// Values of `role_claim` that make an agent, who sees all tickets.
    #[serde(deserialize_with = "list")]
    pub(super) agents: Vec<String>,
    /// Values of `role_claim` that make a requester, who sees their own.
    #[serde(deserialize_with = "list")]
    pub(super) requesters: Vec<String>,
    /// The role of new accounts, `requester` unless it is set; or with `role_claim`, that of those to whom the claim gives
    /// none, who are refused unless it is set.
    #[schemars(extend("enum" = ["requester", "agent"]))]
    pub(super) role: String,
}

impl Default for RawAccounts {
    fn default() -> Self {
        Self {
            create: false,
            link_by_email: false,
            username_claim: "preferred_username".into(),
            role_claim: String::new(),
            agents: Vec::new(),
            requesters: Vec::new(),
            role: String::new(),
        }
    }
}

/// What account somebody has whom an issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Whether an account is made for whom none is linked.
    pub create: bool,
    /// Whether the account whose username is the verified e-mail address is theirs. Then whoever is given that address
    /// by the issuer is given the account.
    pub link_by_email: bool,
    /// The claim that a new account is named after; a path of members joined by dots.
    pub username_claim: String,
    roles: Roles,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Roles {
    /// Every new account has this one; what an account has is left as it is.
    Fixed(Role),
    /// They follow a claim, at each sign-in.
    Claimed { claim: String, agents: Vec<String>, requesters: Vec<String>, otherwise: Option<Role> },
}

/// What an issuer's claims say of somebody's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleSaid {
    /// Nothing: a new account has this one, and what an account has stays.
    Default(Role),
    /// It is this one now.
    Now(Role),
    /// None: there is nothing here for them.
    None,
}

impl Accounts {
    pub(super) fn parse(key: &str, raw: RawAccounts) -> Result<Self, ConfigError> {
        let wrong = |name: &str, problem: &str| ConfigError::new(format!("{key}.{name}"), problem);
        let role = match raw.role.as_str() {
            "" => None,
            name => Some(Role::parse(name).ok_or_else(|| wrong("role", "write requester or agent"))?),
        };
        if raw.username_claim.is_empty() {
            return Err(wrong(
                "username_claim",
                "name the claim that holds the name, such as preferred_username",
            ));
        }
        let mapped = !raw.agents.is_empty() || !raw.requesters.is_empty();
        let roles = match (raw.role_claim.is_empty(), mapped) {
            (true, true) => {
                return Err(wrong("role_claim", "name the claim that agents and requesters are values of"));
            }
            (true, false) => Roles::Fixed(role.unwrap_or(Role::Requester)),
            (false, false) => {
                return Err(wrong("agents", "say which values of role_claim make an agent, or a requester"));
            }
            (false, true) => Roles::Claimed {
                claim: raw.role_claim,
                agents: raw.agents,
                requesters: raw.requesters,
                otherwise: role,
            },
        };
        let (create, link_by_email, username_claim) = (raw.create, raw.link_by_email, raw.username_claim);
        Ok(Self { create, link_by_email, username_claim, roles })
    }

    /// Whether these claims lack one that the account or its role follows from.
    pub fn lack(&self, claims: &Map<String, Value>) -> bool {
        let missing = |path: &str| claim(claims, path).is_none();
        let of_the_role = match &self.roles {
            Roles::Fixed(_) => false,
            Roles::Claimed { claim, .. } => missing(claim),
        };
        of_the_role
            || (self.create && missing(&self.username_claim))
            || (self.link_by_email && (missing("email") || missing("email_verified")))
    }

    /// Whether roles follow a claim.
    pub fn say_roles(&self) -> bool {
        matches!(self.roles, Roles::Claimed { .. })
    }

    /// What these claims say of a role.
    pub fn role(&self, claims: &Map<String, Value>) -> RoleSaid {
        let Roles::Claimed { claim, agents, requesters, otherwise } = &self.roles else {
            let Roles::Fixed(role) = self.roles else { return RoleSaid::None };
            return RoleSaid::Default(role);
        };
        let has = |any: &[String]| values(claims, claim).any(|value| any.iter().any(|one| one == value));
        match otherwise {
            _ if has(agents) => RoleSaid::Now(Role::Agent),
            _ if has(requesters) => RoleSaid::Now(Role::Requester),
            Some(role) => RoleSaid::Now(*role),
            None => RoleSaid::None,
        }
    }
}

/// The claim at a path of members joined by dots; a claim of the whole name comes first, because some names are URLs.
pub fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// The texts of a claim: one, or those of a list.
fn values<'a>(claims: &'a Map<String, Value>, path: &str) -> impl Iterator<Item = &'a str> {
    let found = claim(claims, path);
    let list = found.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    found.and_then(Value::as_str).into_iter().chain(list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accounts(change: impl FnOnce(&mut RawAccounts)) -> Result<Accounts, ConfigError> {
        let mut raw = RawAccounts::default();
        change(&mut raw);
        Accounts::parse("providers.acme.accounts", raw)
    }

    #[test]
    fn without_a_claim_new_accounts_have_one_role() {
        let none = Map::new();
        assert_eq!(accounts(|_| {}).unwrap().role(&none), RoleSaid::Default(Role::Requester));
        let agents = accounts(|raw| raw.role = "agent".into()).unwrap();
        assert_eq!(agents.role(&none), RoleSaid::Default(Role::Agent));
    }

    #[test]
    fn the_role_follows_its_claim_and_whoever_has_none_has_no_business_here() {
        let mapped = |claim: &str, otherwise: &str| {
            accounts(|raw| {
                raw.role_claim = claim.into();
                raw.agents = vec!["support".into()];
                raw.requesters = vec!["staff".into(), "guest".into()];
                raw.role = otherwise.into();
            })
            .unwrap()
        };
        let cases = [
            ("groups", "", json!({"groups": ["staff", "support"]}), RoleSaid::Now(Role::Agent)),
            ("groups", "", json!({"groups": "guest"}), RoleSaid::Now(Role::Requester)),
            ("groups", "", json!({"groups": ["other", 1, null]}), RoleSaid::None),
            ("groups", "", json!({}), RoleSaid::None),
            ("groups", "requester", json!({}), RoleSaid::Now(Role::Requester)),
            ("a.roles", "", json!({"a": {"roles": ["support"]}}), RoleSaid::Now(Role::Agent)),
            (
                "https://acme.example/roles",
                "",
                json!({"https://acme.example/roles": ["staff"]}),
                RoleSaid::Now(Role::Requester),
            ),
            ("a.roles", "", json!({"a": "support"}), RoleSaid::None),
        ];
        for (claim, otherwise, claims, expected) in cases {
            assert_eq!(
                mapped(claim, otherwise).role(claims.as_object().unwrap()),
                expected,
                "{claim} {claims}"
            );
        }
    }

    #[test]
    fn claims_lack_what_the_account_follows_from() {
        let claims = json!({ "sub": "1", "email": "a@b.example" });
        let lacks =
            |change: fn(&mut RawAccounts)| accounts(change).unwrap().lack(claims.as_object().unwrap());
        assert!(!lacks(|_| {}));
        assert!(lacks(|raw| raw.create = true));
        assert!(!lacks(|raw| (raw.create, raw.username_claim) = (true, "email".into())));
        assert!(lacks(|raw| raw.link_by_email = true), "whether it is verified is not said");
        assert!(lacks(|raw| (raw.role_claim, raw.agents) = ("groups".into(), vec!["x".into()])));
    }

    #[test]
    fn half_a_mapping_is_refused_with_its_key() {
        type Change = fn(&mut RawAccounts);
        let cases: [(&str, Change); 4] = [
            ("role", |raw| raw.role = "admin".into()),
            ("role_claim", |raw| raw.agents = vec!["x".into()]),
            ("agents", |raw| raw.role_claim = "groups".into()),
            ("username_claim", |raw| raw.username_claim = String::new()),
        ];
        for (key, change) in cases {
            let error = accounts(change).unwrap_err().to_string();
            assert!(error.starts_with(&format!("providers.acme.accounts.{key}: ")), "{error}");
        }
    }
}
