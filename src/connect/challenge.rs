//! What a server says in `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use url::Url;

use crate::oauth::Scopes;

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 8192;

/// A Bearer challenge. Everything in it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// `error`, such as `invalid_token` or `insufficient_scope`.
    pub(crate) error: Option<String>,
    /// `scope`: what is needed.
    pub(crate) scope: Option<Scopes>,
    /// `resource_metadata`: where the server says who signs people in.
    pub(crate) resource_metadata: Option<Url>,
}

impl Challenge {
    /// The Bearer challenge of an answer; an empty one when there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        values.filter(|value| value.len() <= LONGEST).find_map(Self::parse).unwrap_or_default()
    }

    /// Whether the token is good, and reaches not far enough.
    pub(super) fn wants_more_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn parse(value: &str) -> Option<Self> {
        let mut rest = value;
        let mut challenge = None;
        while let Some(item) = next_item(&mut rest) {
            match item {
                Item::Scheme(scheme) if scheme.eq_ignore_ascii_case("bearer") && challenge.is_none() => {
                    challenge = Some(Self::default());
                }
                Item::Scheme(_) if challenge.is_some() => break,
                Item::Parameter(name, value) => {
                    if let Some(challenge) = &mut challenge {
                        challenge.take(&name, value);
                    }
                }
                Item::Scheme(_) => {}
            }
        }
        challenge
    }

    fn take(&mut self, name: &str, value: String) {
        match name {
            "error" => self.error = Some(value),
            "scope" => self.scope = Scopes::parse(&value).ok().filter(|scopes| !scopes.is_empty()),
            "resource_metadata" => self.resource_metadata = Url::parse(&value).ok(),
            _ => {}
        }
    }
}

enum Item<'a> {
    Scheme(&'a str),
    Parameter(String, String),
}

/// The next scheme or parameter (RFC 9110 §11.6.1), which differ by what follows the word.
fn next_item<'a>(rest: &mut &'a str) -> Option<Item<'a>> {
    *rest = rest.trim_start_matches([' ', '\t', ',']);
    let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    if word.is_empty() {
        return None;
    }
    let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
    let Some(value) = value else {
        *rest = after;
        return Some(Item::Scheme(word));
    };
    let value = value.trim_start_matches([' ', '\t']);
    let (text, after) = if let Some(quoted) = value.strip_prefix('"') {
        unquote(quoted)
    } else {
        let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
        let (text, after) = value.split_at(end);
        (text.to_owned(), after)
    };
    *rest = after;
    Some(Item::Parameter(word.to_ascii_lowercase(), text))
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            other => text.push(other),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_is_found_among_others_in_every_spelling() {
        let all = "https://t.example/.well-known/oauth-protected-resource/mcp";
        for (value, error, scope, metadata) in [
            ("Bearer", None, None, None),
            (
                r#"Bearer resource_metadata="https://t.example/.well-known/oauth-protected-resource/mcp", scope="a b""#,
                None,
                Some("a b"),
                Some(all),
            ),
            (r#"bearer error = "insufficient_scope" , scope=a"#, Some("insufficient_scope"), Some("a"), None),
            (
                r#"Basic realm="x, Bearer scope=\"no\"", BEARER Error="invalid_token""#,
                Some("invalid_token"),
                None,
                None,
            ),
            (r#"Bearer scope="a", Basic error="not ours""#, None, Some("a"), None),
            (r#"Bearer error="no end"#, Some("no end"), None, None),
            ("Digest error=\"x\"", None, None, None),
            (r#"Bearer scope="", resource_metadata="not a url""#, None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, value.parse().unwrap());
            let challenge = Challenge::of(&headers);
            assert_eq!(challenge.error.as_deref(), error, "{value}");
            assert_eq!(challenge.scope.map(|scope| scope.to_string()).as_deref(), scope, "{value}");
            assert_eq!(challenge.resource_metadata.as_ref().map(Url::as_str), metadata, "{value}");
        }
    }
}
