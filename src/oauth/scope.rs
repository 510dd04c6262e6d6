//! Scopes (OAuth 2.1 §1.4.1): an ordered set of tokens, and the catalogue of those we know.

use std::collections::BTreeSet;
use std::fmt;

/// Read tickets and their comments.
pub const TICKETS_READ: &str = "tickets:read";
/// Open, comment on and close tickets.
pub const TICKETS_WRITE: &str = "tickets:write";
/// Asked for by clients that want a refresh token. Always accepted, never required: a refresh token is issued
/// either way, so it stands in the AS metadata only (MCP authorization, "Refresh Tokens").
pub const OFFLINE_ACCESS: &str = "offline_access";

/// Mint tokens for others. Only a machine has it, from its registration: it is no scope of any resource, so that no
/// consent gives it, no metadata offers it and no access token carries it.
pub const TOKENS_MINT: &str = "tokens:mint";

/// The names of the scopes for tickets.
pub const RESOURCE_SCOPES: [&str; 2] = [TICKETS_READ, TICKETS_WRITE];
/// The scopes for tickets, with their words.
pub const TICKETS: [Scope; 2] = [
    Scope::read(
        TICKETS_READ,
        "See your tickets",
        "Search and read the tickets you can see, with their comments. It changes nothing.",
    ),
    Scope::write(
        TICKETS_WRITE,
        "Open, comment on and close tickets as you",
        "What it writes appears under your name, and other people can see it.",
    ),
];
/// Scopes that no resource can have, because they ask for something of the authorization server itself.
pub const RESERVED_SCOPES: [&str; 5] = [OFFLINE_ACCESS, TOKENS_MINT, "openid", "profile", "email"];

/// The longest name of a scope, in bytes.
pub(crate) const LONGEST_NAME: usize = 128;
/// The longest title of a scope or of what it belongs to, in characters: it stands in a heading or beside a box.
pub(crate) const LONGEST_TITLE: usize = 60;
/// The longest sentence about a scope, in characters.
pub(crate) const LONGEST_SENTENCE: usize = 200;
/// The most scopes of one resource: each has a box on the consent page.
pub(crate) const MOST_SCOPES: usize = 32;

/// Whether words can stand on a page as one line of so many characters at most.
pub(crate) fn is_line(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control)
}

/// What a scope lets a client do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look.
    Read,
    /// Change something. There is no such scope while writes are switched off (`mcp.writes`).
    Write,
}

/// A scope of our own resource, with the words in which people are asked to allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name, as tokens carry it.
    pub(crate) name: &'static str,
    /// A few words: the label of its box on the consent page.
    pub(crate) title: &'static str,
    /// What it lets the client do, in one or two sentences.
    pub(crate) description: &'static str,
    /// What it is for.
    pub(crate) access: Access,
}

impl Scope {
    /// A scope for looking, such as `notes:read`. `title` is the label of its box on the consent page, such as `See
    /// your notes`; `description` says in a sentence what it lets an app do.
    pub const fn read(name: &'static str, title: &'static str, description: &'static str) -> Self {
        Self { name, title, description, access: Access::Read }
    }

    /// A scope for changing something, such as `notes:write`. It is offered only while writes are switched on
    /// (`mcp.writes`).
    pub const fn write(name: &'static str, title: &'static str, description: &'static str) -> Self {
        Self { name, title, description, access: Access::Write }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// The scopes of our own resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue(Vec<Scope>);

impl Catalogue {
    /// These scopes.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// The scope of this name.
    pub fn find(&self, name: &str) -> Option<&Scope> {
        self.0.iter().find(|scope| scope.name == name)
    }

    /// Every one, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Their names.
    pub fn names(&self) -> Scopes {
        Scopes::of(self.0.iter().map(|scope| scope.name))
    }

    /// The names of those that give this access.
    pub fn of_access(&self, access: Access) -> Scopes {
        Scopes::of(self.0.iter().filter(|scope| scope.access == access).map(|scope| scope.name))
    }

    /// The names of those that there is a use for: without writing tools, none is for writing.
    pub fn offered(&self, writes: bool) -> Scopes {
        if writes { self.names() } else { self.of_access(Access::Read) }
    }
}

/// How long a `scope` parameter may be, in bytes.
const MAX_LENGTH: usize = 2048;

/// A set of scope tokens, printed in alphabetical order so that equal sets are equal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(BTreeSet<String>);

/// A `scope` parameter that is not a list of scope tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope must be space-separated tokens of printable ASCII without quotes or backslashes")]
pub struct MalformedScope;

impl Scopes {
    /// Parses a `scope` parameter. The grammar is OAuth 2.1 §1.4.1: %x21 / %x23-5B / %x5D-7E.
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        if text.len() > MAX_LENGTH {
            return Err(MalformedScope);
        }
        let legal = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
        text.split(' ')
            .filter(|token| !token.is_empty())
            .map(|token| token.bytes().all(legal).then(|| token.to_owned()).ok_or(MalformedScope))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The set of these known tokens.
    pub fn of<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self(tokens.into_iter().map(str::to_owned).collect())
    }

    /// Whether the set holds `token`.
    pub fn contains(&self, token: &str) -> bool {
        self.0.contains(token)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every token of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The tokens that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The tokens that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The tokens of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// The tokens in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, token) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_scope_is_a_set_without_order() {
        let scopes = Scopes::parse("tickets:write  tickets:read tickets:read").unwrap();
        assert_eq!(scopes.to_string(), "tickets:read tickets:write");
    }

    #[test]
    fn illegal_characters_are_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "caf\u{e9}", "a\u{0}"] {
            assert_eq!(Scopes::parse(bad), Err(MalformedScope), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(text in "[a-z:!#\\[\\]~ ]{0,60}") {
            let scopes = Scopes::parse(&text).unwrap();
            prop_assert_eq!(Scopes::parse(&scopes.to_string()).unwrap(), scopes);
        }
    }
}
