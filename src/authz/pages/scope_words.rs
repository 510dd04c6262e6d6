//! What each scope means, in plain words. The one home of these sentences, except for those that come with the
//! scopes of our own resource.

use crate::oauth::scope::{Scope, TICKETS};

/// A scope as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeWords {
    /// A few words, the label of the checkbox.
    pub title: String,
    /// What it lets the client do, in one or two sentences.
    pub description: String,
}

/// The words for the scope called `name`. A scope without words of its own is shown by its name.
#[must_use]
pub fn scope_words(name: &str) -> ScopeWords {
    if let Some(scope) = TICKETS.iter().find(|scope| scope.name == name) {
        return words_of(scope);
    }
    let (title, description) = match name {
        "offline_access" => (
            "Stay connected",
            "Keep this access while you are away, without asking you to sign in each time.",
        ),
        "openid" => ("Know who you are", "Recognise your account on this server the next time you sign in."),
        "profile" => ("See your profile", "Read your username and the name you go by."),
        "email" => {
            ("See your email address", "Read the email address of your account, and whether it is confirmed.")
        }
        other => {
            (other, "The people who run this server have added this permission. Ask them what it allows.")
        }
    };
    ScopeWords { title: title.to_owned(), description: description.to_owned() }
}

/// The words that a scope of our own resource comes with.
#[must_use]
pub fn words_of(scope: &Scope) -> ScopeWords {
    ScopeWords { title: scope.title.to_owned(), description: scope.description.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_of_ours_has_words_of_its_own() {
        let names = ["tickets:read", "tickets:write", "offline_access", "openid", "profile", "email"];
        let words = names.map(scope_words);
        for (name, one) in names.iter().zip(&words) {
            assert_ne!(one.title, *name);
            assert!(one.description.ends_with('.'), "{name}");
            assert_eq!(words.iter().filter(|other| other.title == one.title).count(), 1, "{name}");
        }
    }

    #[test]
    fn an_unknown_scope_is_shown_by_its_name() {
        assert_eq!(scope_words("reports:read").title, "reports:read");
    }
}
