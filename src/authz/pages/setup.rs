//! The page that makes the first account, reached by a link that works once.

use askama::Template;

/// `GET /setup`, and the answer to a `POST /setup` that did not succeed.
///
/// The form posts `csrf`, `token`, `username`, `password` and `password_again` to `/setup`.
#[derive(Debug, Template)]
#[template(path = "setup.html")]
pub struct SetupPage {
    /// The form's proof of origin.
    pub csrf: String,
    /// The secret of the link, carried on as a hidden field so that the address can be without it.
    pub token: String,
    /// What was typed last time; empty at first.
    pub username: String,
    /// The fewest characters a password may have.
    pub password_min: usize,
    /// Whether our own server is the one for tickets, of which the account's role lets it see all.
    pub has_tickets: bool,
    /// What is wrong with what was typed, each as a sentence for the person.
    pub problems: SetupProblems,
}

/// What is wrong with each field: a sentence, or `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetupProblems {
    /// With `username`.
    pub username: Option<String>,
    /// With `password`.
    pub password: Option<String>,
    /// With `password_again`.
    pub password_again: Option<String>,
}

impl SetupProblems {
    /// How many fields have a problem.
    #[must_use]
    pub fn count(&self) -> usize {
        [&self.username, &self.password, &self.password_again].into_iter().flatten().count()
    }
}
