//! Foreign text on our pages. Templates escape it; here it loses what escaping leaves: characters that reorder, hide or
//! stack text, and length. (Unicode Technical Report 36 §2; OWASP text on bidirectional overrides.)

use std::fmt;

use url::Url;

/// The longest name shown, in characters.
pub const NAME_LIMIT: usize = 80;

/// A name somebody else chose, safe to show: one line, visible characters, at most [`NAME_LIMIT`] of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// What can be shown of `raw`; `Unnamed app` when nothing of it is left.
    #[must_use]
    pub fn of(raw: &str) -> Self {
        let name = display_name(raw);
        let blank = name.chars().all(|c| c.is_whitespace() || is_joiner(c) || is_combining(c));
        Self(if blank { "Unnamed app".to_owned() } else { name })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One capital to stand for the name in its tile.
    #[must_use]
    pub fn initial(&self) -> String {
        let first = self.0.chars().find(|c| c.is_alphanumeric());
        first.map_or_else(|| "?".to_owned(), |c| c.to_uppercase().take(1).collect())
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `raw` as one line of visible text, cut to [`NAME_LIMIT`] characters with an ellipsis.
#[must_use]
pub fn display_name(raw: &str) -> String {
    visible(raw, NAME_LIMIT)
}

/// `raw` as one line of visible text, cut to `limit` characters with an ellipsis.
#[must_use]
pub fn visible(raw: &str, limit: usize) -> String {
    let mut shown: Vec<char> = Vec::new();
    let mut marks = 0;
    for c in raw.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if is_unseen(c) || (c == ' ' && shown.last().is_none_or(|last| *last == ' ')) {
            continue;
        }
        marks = if is_combining(c) { marks + 1 } else { 0 };
        if marks > 2 {
            continue;
        }
        shown.push(c);
        if shown.len() > limit {
            shown.truncate(limit.saturating_sub(1));
            return shown.into_iter().collect::<String>().trim_end().to_owned() + "…";
        }
    }
    shown.into_iter().collect::<String>().trim_end().to_owned()
}

/// Controls, bidirectional controls, and characters without a glyph. The two joiners stay: Persian and Hindi need them.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}' | '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// Marks drawn over their neighbour: a pile of them would cover the lines around it.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

/// An address somebody else chose that a page may link to: `https`, with a host, without user or password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsLink {
    href: String,
    host: String,
}

impl HttpsLink {
    /// The link, or `None` for anything but a plain `https` address.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let url = Url::parse(raw).ok().filter(|url| url.scheme() == "https")?;
        let plain = url.username().is_empty() && url.password().is_none() && url.as_str().len() <= 2048;
        let host = url.host_str().filter(|_| plain)?.to_owned();
        Some(Self { href: url.into(), host })
    }

    /// The address, for `href`.
    #[must_use]
    pub fn href(&self) -> &str {
        &self.href
    }

    /// Its host, in ASCII, for the words of the link.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_visible_text() {
        for (raw, shown) in [
            ("Cursor", "Cursor"),
            ("  Claude\n\tCode  ", "Claude Code"),
            ("safe\u{202E}gpj.exe", "safegpj.exe"),
            ("\u{2066}Bank\u{2069}\u{200F}\u{061C}", "Bank"),
            ("a\u{0000}b\u{001B}[31mc\u{0085}", "ab[31mc "),
            ("zero\u{200B}width\u{FEFF}", "zerowidth"),
            ("line\u{2028}two\u{2029}three", "line two three"),
            ("e\u{0301}\u{0301}\u{0301}\u{0301}x", "e\u{0301}\u{0301}x"),
            ("می\u{200C}خواهم", "می\u{200C}خواهم"),
            ("<b>bold</b>", "<b>bold</b>"),
        ] {
            assert_eq!(display_name(raw), shown.trim_end(), "{raw:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_with_an_ellipsis() {
        let cut = display_name(&"é".repeat(300));
        assert_eq!(cut.chars().count(), NAME_LIMIT);
        assert!(cut.ends_with("é…"));
        let whole = "x".repeat(NAME_LIMIT);
        assert_eq!(display_name(&whole), whole);
    }

    #[test]
    fn a_name_of_nothing_is_said_to_be_missing() {
        for raw in ["", "   ", "\u{202E}", "\u{200D}\u{200C}", "\u{3164}\u{2800}"] {
            assert_eq!(DisplayName::of(raw).as_str(), "Unnamed app", "{raw:?}");
        }
    }

    #[test]
    fn the_initial_is_the_first_letter_or_digit() {
        for (raw, initial) in [("cursor", "C"), ("«édition»", "É"), ("ß", "S"), ("🚀", "?"), ("9lives", "9")]
        {
            assert_eq!(DisplayName::of(raw).initial(), initial);
        }
    }

    #[test]
    fn only_plain_https_becomes_a_link() {
        let link = HttpsLink::parse("https://Cursor.com/mcp?a=1").map(|l| (l.href, l.host));
        assert_eq!(link, Some(("https://cursor.com/mcp?a=1".to_owned(), "cursor.com".to_owned())));
        for raw in [
            "http://cursor.com",
            "javascript:alert(1)",
            "https://user@cursor.com",
            "https://:pw@cursor.com",
            "data:text/html,x",
            "//cursor.com",
            "cursor.com",
            "",
        ] {
            assert_eq!(HttpsLink::parse(raw), None, "{raw}");
        }
        assert_eq!(HttpsLink::parse(&format!("https://a.example/{}", "x".repeat(2048))), None);
    }
}
