//! What a machine may ask for (OAuth 2.1 §4.2). Its registration is both the ceiling and what it gets when it names no
//! scope: nobody is there to be asked.

use super::error::{Error, invalid_client_metadata, invalid_scope};
use super::scope::{OFFLINE_ACCESS, Scopes, TOKENS_MINT};

/// Parses the scope of a registration. `resources` are the scopes of every resource that tokens are issued for.
pub fn parse_registered(text: &str, resources: &Scopes) -> Result<Scopes, Error> {
    let scopes = Scopes::parse(text);
    let scopes = scopes.map_err(|error| invalid_client_metadata("scope is malformed").detail(error))?;
    let known = resources.union(&Scopes::of([TOKENS_MINT]));
    let unknown = scopes.difference(&known);
    if scopes.is_empty() {
        Err(invalid_client_metadata("a machine needs a scope, such as tickets:read"))
    } else if unknown.is_empty() {
        Ok(scopes)
    } else {
        let problem = "the scope of a machine is made of those of the resources here and tokens:mint";
        Err(invalid_client_metadata(problem).detail(format!("not {unknown}; known are {known}")))
    }
}

/// What an access token of a machine may reach at most, where its resource has these scopes: `tokens:mint` is for the
/// minting endpoint alone.
pub fn reach(registered: &Scopes, resource: &Scopes) -> Scopes {
    registered.intersection(resource)
}

/// What a machine gets that asks for `asked` and may have `most` ([`reach`]). Clients add `offline_access` to whatever they ask for: it reaches
/// nothing, so it is never too much, and it is never given, because there is no refresh token.
pub fn negotiate(most: &Scopes, asked: Option<&Scopes>) -> Result<Scopes, Error> {
    let asked = asked.map(|asked| asked.difference(&Scopes::of([OFFLINE_ACCESS])));
    match asked.filter(|asked| !asked.is_empty()) {
        None if most.is_empty() => Err(invalid_scope(
            "this machine is registered for no scope of this resource: send the resource that it is for",
        )),
        None => Ok(most.clone()),
        Some(asked) if asked.is_subset(most) => Ok(asked),
        Some(asked) => {
            Err(invalid_scope("scope must lie within what the machine is registered for").detail(asked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;
    use crate::oauth::scope::RESOURCE_SCOPES;

    #[test]
    fn a_registration_names_known_scopes_and_at_least_one() {
        for good in ["tickets:read", "tickets:write  tickets:read", "tokens:mint", "tickets:read tokens:mint"]
        {
            assert!(parse_registered(good, &Scopes::of(RESOURCE_SCOPES)).is_ok(), "{good}");
        }
        for bad in ["", " ", "tickets:admin", "offline_access", "openid", "a\"b"] {
            let refused = parse_registered(bad, &Scopes::of(RESOURCE_SCOPES)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidClientMetadata, "{bad}");
        }
    }

    #[test]
    fn the_registered_scope_is_the_ceiling_and_the_default() {
        for (registered, asked, given) in [
            ("tickets:read", None, Some("tickets:read")),
            ("tickets:read tickets:write", None, Some("tickets:read tickets:write")),
            ("tickets:read tickets:write", Some("tickets:read"), Some("tickets:read")),
            ("tickets:read", Some("offline_access"), Some("tickets:read")),
            ("tickets:read", Some("tickets:read offline_access"), Some("tickets:read")),
            ("tickets:read tokens:mint", None, Some("tickets:read")),
            ("tickets:read", Some("tickets:read tickets:write"), None),
            ("tickets:read", Some("openid"), None),
            ("tickets:read tokens:mint", Some("tickets:read tokens:mint"), None),
            ("tokens:mint", Some("tokens:mint"), None),
            ("tokens:mint", None, None),
        ] {
            let (registered, asked) =
                (Scopes::parse(registered).unwrap(), asked.map(|text| Scopes::parse(text).unwrap()));
            let most = reach(&registered, &Scopes::of(RESOURCE_SCOPES));
            let got = negotiate(&most, asked.as_ref());
            match given {
                Some(given) => assert_eq!(got.unwrap().to_string(), given),
                None => assert_eq!(got.unwrap_err().code, ErrorCode::InvalidScope, "{registered} {asked:?}"),
            }
        }
    }
}
