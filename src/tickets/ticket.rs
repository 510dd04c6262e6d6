//! A ticket and its parts, each made by parsing, with the limits of the contract.

use std::fmt;
use std::ops::RangeInclusive;

use crate::clock::Timestamp;

/// Why a text cannot stand where it was given. Its `Display` is the rule, to be read after a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Nothing, or nothing but white space.
    #[error("must not be blank")]
    Blank,
    /// Longer than this many characters.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A control character other than tab and line break.
    #[error("must not contain control characters other than tab and line break")]
    ControlCharacter,
    /// Not the id of a ticket.
    #[error("must be a ticket id: T- and a number, such as T-42")]
    NotATicketId,
    /// Not the id of a comment.
    #[error("must be a comment id: C- and a number, such as C-17")]
    NotACommentId,
    /// Only punctuation: nothing to look for.
    #[error("must contain a letter or a digit, or be * for every ticket")]
    Wordless,
}

/// Checks a text of 1 to `max` characters (Unicode scalar values, as JSON Schema counts them).
pub(super) fn check_text(text: &str, max: usize) -> Result<(), Flaw> {
    if text.trim().is_empty() {
        return Err(Flaw::Blank);
    }
    // A character has four bytes at most, so most texts need no counting.
    if text.len() > max && text.chars().count() > max {
        return Err(Flaw::TooLong(max));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Flaw::ControlCharacter);
    }
    Ok(())
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The most characters it may have.
            pub const MAX: usize = $max;

            /// Parses a text: not blank, within the limit, without control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, Flaw> {
                let text = text.into();
                check_text(&text, Self::MAX).map(|()| Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// What a ticket is about, in one line.
    Title, 200
}
text! {
    /// What is wrong or wanted; also the text of a comment.
    Body, 10_000
}
text! {
    /// What was done about a ticket, said when it is closed.
    Resolution, 1_000
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $pattern:literal, $flaw:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The pattern, for schemas.
            pub const PATTERN: &'static str = $pattern;

            /// The id of a stored number.
            pub fn of(number: i64) -> Self {
                Self(number)
            }

            /// Parses the pattern, with ASCII digits. A number beyond all others is an id of nothing, not an error.
            pub fn parse(text: &str) -> Result<Self, Flaw> {
                let digits = text.strip_prefix($prefix).ok_or($flaw)?;
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err($flaw);
                }
                Ok(Self(digits.parse().unwrap_or(i64::MAX)))
            }

            /// The number.
            pub fn number(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

numbered! {
    /// A ticket's number, written `T-42`.
    TicketId, "T-", r"^T-\d+$", Flaw::NotATicketId
}
numbered! {
    /// A comment's number, written `C-17`; greater than that of every earlier comment.
    CommentId, "C-", r"^C-\d+$", Flaw::NotACommentId
}

/// The beginning of a ticket's id, as somebody types it: nothing, `T`, `T-4`, or only digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(Option<i64>);

impl IdPrefix {
    /// Parses the beginning of an id. `None` when no id begins so.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = match text.get(..1) {
            Some("T" | "t") => text.get(1..)?.strip_prefix('-').or((text.len() == 1).then_some(""))?,
            _ => text,
        };
        if digits.is_empty() {
            return Some(Self(None));
        }
        let is_number = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        is_number.then(|| digits.parse().ok()).flatten().map(|number| Self(Some(number)))
    }

    /// The ranges of numbers up to `newest` that begin so, from the highest.
    pub fn ranges(&self, newest: i64) -> Vec<RangeInclusive<i64>> {
        let Some(prefix) = self.0 else { return vec![1..=newest] };
        let with_more_digits = |more: u32| {
            let tail = 10_i64.checked_pow(more)?;
            let first = prefix.checked_mul(tail)?;
            (first <= newest).then(|| first..=first.saturating_add(tail - 1).min(newest))
        };
        let mut ranges: Vec<_> = (0..).map_while(with_more_digits).collect();
        ranges.reverse();
        ranges
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value as stored and on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The value of this name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

choice! {
    /// Where a ticket stands.
    Status {
        /// Somebody has to do something about it.
        Open = "open",
        /// It waits for an answer or a delivery.
        Pending = "pending",
        /// It is done with.
        Closed = "closed",
    }
}
choice! {
    /// How much it presses.
    Priority {
        /// When there is time.
        Low = "low",
        /// In its turn.
        Medium = "medium",
        /// Before the others.
        High = "high",
    }
}

/// The beginning of a text, and whether there is more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The text, or as much of it as was asked for.
    pub text: String,
    /// Whether something was cut off.
    pub is_cut: bool,
}

/// A ticket as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The username of whoever opened it.
    pub reporter: String,
    /// What it is about.
    pub title: String,
    /// The body, or its beginning.
    pub body: Excerpt,
    /// Where it stands.
    pub status: Status,
    /// How much it presses.
    pub priority: Priority,
    /// What was done, once it is closed.
    pub resolution: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed or was commented on.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// A comment on a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// The username of whoever wrote it.
    pub author: String,
    /// The text, or its beginning.
    pub body: Excerpt,
    /// When it was written.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_counted_in_characters() {
        assert!(Title::parse("ü".repeat(200)).is_ok());
        assert_eq!(Title::parse("ü".repeat(201)), Err(Flaw::TooLong(200)));
        assert!(Body::parse("🖨".repeat(10_000)).is_ok());
        assert_eq!(Resolution::parse("x".repeat(1_001)), Err(Flaw::TooLong(1_000)));
    }

    #[test]
    fn a_text_is_not_blank_and_has_no_control_characters() {
        for blank in ["", " ", "\n\t", "\u{3000}"] {
            assert_eq!(Body::parse(blank), Err(Flaw::Blank), "{blank:?}");
        }
        for bad in ["a\u{0}b", "\u{1b}[31mred", "a\u{85}b"] {
            assert_eq!(Body::parse(bad), Err(Flaw::ControlCharacter), "{bad:?}");
        }
        assert!(Body::parse("one\r\n\ttwo").is_ok());
    }

    #[test]
    fn a_ticket_id_is_t_and_digits() {
        assert_eq!(TicketId::parse("T-42").unwrap().to_string(), "T-42");
        assert_eq!(TicketId::parse("T-0042"), TicketId::parse("T-42"));
        assert_eq!(TicketId::parse("T-99999999999999999999").unwrap().number(), i64::MAX);
        assert_eq!(CommentId::parse("C-17").unwrap().to_string(), "C-17");
        assert_eq!(CommentId::parse("T-17"), Err(Flaw::NotACommentId));
        for bad in ["", "T-", "42", "t-42", "T-4x", "T--4", "T-٤٢", " T-4", "T-4\n", "T-+4"] {
            assert_eq!(TicketId::parse(bad), Err(Flaw::NotATicketId), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_of_an_id_stands_for_all_numbers_that_begin_so() {
        let ranges = |text: &str, newest| IdPrefix::parse(text).map(|prefix| prefix.ranges(newest));
        for all in ["", "T", "t", "T-", " t-"] {
            assert_eq!(ranges(all, 205), Some(vec![1..=205]), "{all:?}");
        }
        assert_eq!(ranges("T-2", 205), Some(vec![200..=205, 20..=29, 2..=2]));
        assert_eq!(ranges("20", 205), Some(vec![200..=205, 20..=20]));
        assert_eq!(ranges("t-9", 8), Some(vec![]));
        assert_eq!(ranges("9223372036854775807", i64::MAX), Some(vec![i64::MAX..=i64::MAX]));
        for bad in ["0", "T-0", "T4", "TT", "x", "T-x", "T--4", "99999999999999999999", "vpn", "ü"] {
            assert_eq!(ranges(bad, 205), None, "{bad:?}");
        }
    }

    #[test]
    fn every_choice_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(priority.as_str()), Some(*priority));
        }
        assert_eq!(Status::parse("Open"), None);
    }

    proptest! {
        #[test]
        fn ids_print_and_parse_back(number in 0..i64::MAX) {
            prop_assert_eq!(TicketId::parse(&TicketId::of(number).to_string()), Ok(TicketId::of(number)));
        }
    }
}
