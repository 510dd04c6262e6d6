//! What is looked for, and where in the results a page ends.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ticket::{Flaw, Status, check_text};
use super::words::words;
use crate::oauth::secret::SecretHash;

/// A search for tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `*`: every ticket.
    Everything,
    /// Tickets that hold all of these phrases. A phrase is what stood between two spaces: one word, or several
    /// that must follow each other, as in `e-mail`.
    Phrases(Vec<Vec<String>>),
}

impl Query {
    /// The most characters a query may have.
    pub const MAX: usize = 500;

    /// Parses what a caller asks for. Nothing in it is syntax, except that `*` alone means every ticket.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        check_text(text, Self::MAX)?;
        if text.trim() == "*" {
            return Ok(Self::Everything);
        }
        let mut phrases: Vec<Vec<String>> = Vec::new();
        for phrase in text.split_whitespace().map(words).filter(|phrase| !phrase.is_empty()) {
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        if phrases.is_empty() { Err(Flaw::Wordless) } else { Ok(Self::Phrases(phrases)) }
    }

    /// Tells one search from another, so that a cursor is not used with the wrong one.
    fn fingerprint(&self, status: Option<Status>) -> String {
        let status = status.map_or("any", Status::as_str);
        SecretHash::of(&format!("{status} {self:?}")).as_str().chars().take(8).collect()
    }
}

/// Which part of the results: first the tickets that have every phrase in their title, then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Every phrase stands in the title.
    Title,
    /// Some phrase stands only in the body or a comment.
    Anywhere,
}

/// Where a page ended: the next one goes on in this tier with tickets older than this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The tier of the last ticket shown.
    pub tier: Tier,
    /// The number of the last ticket shown.
    pub number: i64,
}

impl Position {
    /// The position as a cursor: opaque, and good for this search only. It carries no authority: the next page
    /// is read with the same visibility rule as the first.
    pub fn cursor(self, query: &Query, status: Option<Status>) -> String {
        let tier = match self.tier {
            Tier::Title => 't',
            Tier::Anywhere => 'a',
        };
        URL_SAFE_NO_PAD.encode(format!("{tier}{} {}", self.number, query.fingerprint(status)))
    }

    /// Parses a cursor of this search. `None` for anything else.
    pub fn parse(cursor: &str, query: &Query, status: Option<Status>) -> Option<Self> {
        if cursor.len() > 128 {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (position, fingerprint) = text.split_once(' ')?;
        let tier = match position.get(..1)? {
            "t" => Tier::Title,
            "a" => Tier::Anywhere,
            _ => return None,
        };
        let number = position.get(1..)?.parse().ok()?;
        (fingerprint == query.fingerprint(status)).then_some(Self { tier, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_words_and_never_syntax() {
        let phrases = |text: &str| match Query::parse(text).unwrap() {
            Query::Phrases(phrases) => phrases.iter().map(|phrase| phrase.join(" ")).collect::<Vec<_>>(),
            Query::Everything => vec!["*".to_owned()],
        };
        assert_eq!(phrases("vpn e-mail vpn"), ["vpn", "e mail"]);
        assert_eq!(phrases("\"a b\" OR -c title:d*"), ["a", "b", "OR", "c", "title d"]);
        assert_eq!(phrases(" * "), ["*"]);
        for wordless in ["!!!", "🖨️", "**"] {
            assert_eq!(Query::parse(wordless), Err(Flaw::Wordless), "{wordless}");
        }
        assert_eq!(Query::parse("  "), Err(Flaw::Blank));
        assert_eq!(Query::parse(&"x".repeat(501)), Err(Flaw::TooLong(500)));
        assert!(Query::parse(&"あ".repeat(500)).is_ok());
    }

    #[test]
    fn a_cursor_is_good_for_its_own_search_only() {
        let (vpn, printer) = (Query::parse("vpn").unwrap(), Query::parse("printer").unwrap());
        for tier in [Tier::Title, Tier::Anywhere] {
            let position = Position { tier, number: 42 };
            let cursor = position.cursor(&vpn, Some(Status::Open));
            assert_eq!(Position::parse(&cursor, &vpn, Some(Status::Open)), Some(position));
            assert_eq!(Position::parse(&cursor, &vpn, None), None);
            assert_eq!(Position::parse(&cursor, &printer, Some(Status::Open)), None);
        }
        for bad in ["", "x", "dDQy", "€", &"a".repeat(200)] {
            assert_eq!(Position::parse(bad, &vpn, None), None, "{bad}");
        }
    }
}
