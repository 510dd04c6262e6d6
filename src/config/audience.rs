//! Whom tokens are for: our own resource, unless it is switched off, and those of others. The one home of the rule
//! which of them a request names (RFC 8707 §2).

use super::own::Own;
use super::resources::{OtherResource, OtherResources};
use super::switch::Switch;
use crate::oauth::error::{Error, invalid_target};
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::oauth::{Resource, Scopes};

/// A resource that tokens are issued for.
#[derive(Clone, Copy, Debug)]
pub enum Audience<'a> {
    /// Our own: the MCP endpoint.
    Own {
        /// Its identifier.
        resource: &'a Resource,
        /// What it has.
        own: &'a Own,
        /// Whether there are tools that write.
        writes: &'a Switch,
    },
    /// Somebody else's.
    Other(&'a OtherResource),
}

impl<'a> Audience<'a> {
    /// Its identifier: the `aud` of its tokens.
    pub fn resource(self) -> &'a Resource {
        match self {
            Self::Own { resource, .. } => resource,
            Self::Other(other) => other.resource(),
        }
    }

    /// What it is called where a client is given it.
    pub fn name(self) -> &'a str {
        match self {
            Self::Own { own, .. } => own.name,
            Self::Other(other) => other.name(),
        }
    }

    /// What people call it.
    pub fn title(self) -> &'a str {
        match self {
            Self::Own { own, .. } => own.title,
            Self::Other(other) => other.title(),
        }
    }

    /// Every scope that its tokens may have.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Own { own, .. } => own.scopes.names(),
            Self::Other(other) => other.scopes(),
        }
    }

    /// The scopes that there is a use for at present.
    pub fn offered(self) -> Scopes {
        match self {
            Self::Own { own, writes, .. } => own.scopes.offered(writes.is_on()),
            Self::Other(other) => other.scopes(),
        }
    }

    fn is_named_by(self, value: &str) -> bool {
        match self {
            Self::Own { resource, .. } => resource.is_named_or_below(value),
            Self::Other(other) => other.resource().is_named_by(value),
        }
    }
}

/// All resources that tokens are issued for.
#[derive(Clone, Copy, Debug)]
pub struct Audiences<'a> {
    own: Option<Audience<'a>>,
    others: &'a OtherResources,
}

impl<'a> Audiences<'a> {
    pub(super) fn new(own: Option<Audience<'a>>, others: &'a OtherResources) -> Self {
        Self { own, others }
    }

    /// Every one: our own first, then by name.
    pub fn iter(self) -> impl Iterator<Item = Audience<'a>> {
        self.own.into_iter().chain(self.others.iter().map(Audience::Other))
    }

    /// The one of this identifier, byte for byte: that of a grant. None when it is not configured any more.
    pub fn find(self, identifier: &str) -> Option<Audience<'a>> {
        self.iter().find(|audience| audience.resource().as_str() == identifier)
    }

    /// The one that is meant when nobody says which: our own, or else the only one.
    pub fn default(self) -> Option<Audience<'a>> {
        let mut others = self.others.iter();
        let only = others.next().filter(|_| others.next().is_none());
        self.own.or_else(|| only.map(Audience::Other))
    }

    /// The one that the `resource` values of a request name, if there are any: each must name the same one.
    pub fn named<'v>(self, values: impl IntoIterator<Item = &'v str>) -> Result<Option<Audience<'a>>, Error> {
        let mut named: Option<Audience<'a>> = None;
        for value in values {
            let one = self.iter().find(|audience| audience.is_named_by(value)).ok_or_else(|| {
                invalid_target("resource must be one of the protected_resources in this server's metadata")
            })?;
            if named.is_some_and(|before| before.resource() != one.resource()) {
                return Err(invalid_target("a token is for one resource: send one value of resource"));
            }
            named = Some(one);
        }
        Ok(named)
    }

    /// The same, where one must be meant: for an authorization request.
    pub fn named_or_default<'v>(
        self,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Result<Audience<'a>, Error> {
        self.named(values)?.or_else(|| self.default()).ok_or_else(|| {
            invalid_target("resource is needed: one of the protected_resources in this server's metadata")
        })
    }

    /// Every scope that tokens may have, whichever the resource.
    pub fn every_scope(self) -> Scopes {
        self.iter().fold(Scopes::default(), |all, audience| all.union(&audience.scopes()))
    }

    /// Every scope there is a use for, whichever the resource, and `offline_access`: what the AS metadata lists.
    pub fn scopes(self) -> Scopes {
        self.iter().fold(Scopes::of([OFFLINE_ACCESS]), |all, audience| all.union(&audience.offered()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;
    use url::Url;

    const OWN: &str = "https://tickets.example/mcp";
    const BILLING: &str = "https://billing.example/mcp";
    const WIKI: &str = "https://tickets.example/wiki/";

    fn other(name: &str, uri: &str) -> OtherResource {
        let scopes = [(format!("{name}:read"), "Read".to_owned())];
        OtherResource::new(name, (uri, name), scopes, None).unwrap()
    }

    /// What each request names: an identifier, or nothing where that is refused.
    fn check(own: bool, others: &[(&str, &str)], cases: &[(&[&str], Option<&str>)]) {
        let resource = Resource::below(&Url::parse("https://tickets.example").unwrap());
        let writes = Switch::new(true);
        let tickets = Own::default();
        let own = own.then_some(Audience::Own { resource: &resource, own: &tickets, writes: &writes });
        let others = others.iter().map(|(name, uri)| other(name, uri));
        let others = OtherResources::new(others, own.map(Audience::resource)).unwrap();
        let audiences = Audiences::new(own, &others);
        for (values, expected) in cases {
            let named = audiences.named_or_default(values.iter().copied());
            match (&named, expected) {
                (Ok(audience), Some(identifier)) => assert_eq!(audience.resource().as_str(), *identifier),
                (Err(error), None) => assert_eq!(error.code, ErrorCode::InvalidTarget),
                _ => panic!("{values:?}: {named:?}"),
            }
        }
    }

    #[test]
    fn a_request_names_one_resource_or_means_our_own_or_the_only_one() {
        let both = [("billing", BILLING), ("wiki", WIKI)];
        let named: [(&[&str], Option<&str>); 8] = [
            (&[BILLING], Some(BILLING)),
            (&["HTTPS://BILLING.example:443/mcp/", BILLING], Some(BILLING)),
            (&["https://tickets.example/wiki"], Some(WIKI)),
            (&["https://billing.example"], None),
            (&["https://billing.example/mcp/x"], None),
            (&[BILLING, WIKI], None),
            (&[BILLING, "https://other.example"], None),
            (&["https://other.example"], None),
        ];
        check(true, &both, &named);
        check(false, &both, &named);
        check(
            true,
            &both,
            &[(&[], Some(OWN)), (&["https://tickets.example/"], Some(OWN)), (&[OWN, BILLING], None)],
        );
        check(true, &[], &[(&[], Some(OWN)), (&[OWN], Some(OWN))]);
        check(false, &both, &[(&[], None), (&[OWN], None), (&["https://tickets.example"], None)]);
        check(false, &both[..1], &[(&[], Some(BILLING)), (&[OWN], None)]);
    }
}
