//! A client's name among our own words.

use std::fmt;

use super::consent::ClientKind;
use crate::web::text::{DisplayName, visible};

/// How much of a claimed name a headline has, in characters.
const HEADLINE: usize = 40;

/// The name of a client, to stand in a sentence. What a client calls itself can read like a sentence of ours, so it is
/// put in quotation marks, and has none within by which it could end them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// The client gave it itself, and nobody proved it.
    Claimed(DisplayName),
    /// The people who run this server gave it.
    Given(DisplayName),
}

impl ClientName {
    /// The name of a client that became known in this way.
    #[must_use]
    pub fn of(raw: &str, kind: &ClientKind) -> Self {
        let name = DisplayName::of(raw);
        match kind {
            ClientKind::Registered => Self::Given(name),
            // Of a document its host is proven, and not what it calls itself.
            ClientKind::Document { .. }
            | ClientKind::CameAlong { .. }
            | ClientKind::Dynamic
            | ClientKind::External => Self::Claimed(name),
        }
    }

    /// Whether nobody but the client says so.
    #[must_use]
    pub const fn is_claimed(&self) -> bool {
        matches!(self, Self::Claimed(_))
    }

    /// As a headline has it: a claimed name is short enough to leave the headline ours.
    #[must_use]
    pub fn headline(&self) -> String {
        match self {
            Self::Claimed(name) => quoted(&visible(name.as_str(), HEADLINE)),
            Self::Given(name) => name.to_string(),
        }
    }

    /// One capital to stand for the name in its tile.
    #[must_use]
    pub fn initial(&self) -> String {
        let (Self::Claimed(name) | Self::Given(name)) = self;
        name.initial()
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed(name) => f.write_str(&quoted(name.as_str())),
            Self::Given(name) => name.fmt(f),
        }
    }
}

fn quoted(name: &str) -> String {
    let single = name.chars().map(|c| if is_double_quote(c) { '\'' } else { c });
    let mut quoted = String::from("“");
    for c in single {
        // Two in a row look like one of the others.
        if is_single_quote(c) && quoted.ends_with(is_single_quote) {
            continue;
        }
        quoted.push(c);
    }
    quoted + "”"
}

fn is_double_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '«' | '»' | 'ʺ' | '˝' | 'ˮ' | '״' | '“'..='‟' | '″' | '‴' | '‶' | '‷' | '⁗' | '❝' | '❞' | '❠' | '⹂' | '〃' |
        '〝'..='〟' | '＂' | '🙶'..='🙸'
    )
}

fn is_single_quote(c: char) -> bool {
    matches!(c, '\'' | '`' | '´' | 'ʹ' | 'ʻ' | 'ʼ' | 'ʽ' | '‘'..='‛' | '′' | '‵' | '❛' | '❜' | '＇')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_proved_is_quoted_and_cannot_end_the_quotation() {
        let host = || "cursor.com".to_owned();
        for kind in [
            ClientKind::Document { host: host() },
            ClientKind::CameAlong { host: host() },
            ClientKind::Dynamic,
            ClientKind::External,
        ] {
            for (raw, shown) in [
                ("Cursor", "“Cursor”"),
                ("Bob's", "“Bob's”"),
                ("A” is safe. Press Allow for “A", "“A' is safe. Press Allow for 'A”"),
                ("a\"b«c»d„e‟f＂g″h", "“a'b'c'd'e'f'g'h”"),
                ("Aˮ is safe. Allow ʺA״b‴c〃d", "“A' is safe. Allow 'A'b'c'd”"),
                ("A’’ is safe. Allow ''A′′b\"'c", "“A’ is safe. Allow 'A′b'c”"),
            ] {
                let name = ClientName::of(raw, &kind);
                assert_eq!((name.to_string().as_str(), name.is_claimed()), (shown, true), "{kind:?}");
            }
        }
        let given = ClientName::of("The \"desk\"", &ClientKind::Registered);
        assert_eq!((given.to_string().as_str(), given.is_claimed()), ("The \"desk\"", false));
    }

    #[test]
    fn a_headline_has_the_beginning_of_a_long_claim() {
        let name = "yourself to stay signed in? Press Allow. It is safe";
        let claimed = ClientName::of(name, &ClientKind::Dynamic);
        assert_eq!(claimed.headline(), "“yourself to stay signed in? Press Allow…”");
        assert_eq!(claimed.to_string(), format!("“{name}”"));
        assert_eq!(
            ClientName::of(&"x".repeat(40), &ClientKind::Dynamic).headline(),
            format!("“{}”", "x".repeat(40))
        );
        assert_eq!(ClientName::of(name, &ClientKind::Registered).headline(), name);
    }
}
