//! The sign-in page.

use askama::Template;

use super::client_name::ClientName;
use crate::web::moment::wait_words;
use crate::web::text::DisplayName;

/// `GET /login`, and the answer to a `POST /login` that did not succeed.
///
/// The form posts `csrf`, `flow` (if any), `username` and `password` to `/login`; each button for a provider posts
/// `csrf`, `flow` and `switch` (if any) to `/login/{provider}`.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    /// The form's proof of origin.
    pub csrf: String,
    /// The parked authorization request to go on with after signing in.
    pub flow: Option<String>,
    /// What was typed last time; empty at first.
    pub username: String,
    /// Why the last try did not succeed.
    pub problem: Option<LoginProblem>,
    /// The client that waits.
    pub client_name: Option<ClientName>,
    /// The providers to sign in at.
    pub ways: Vec<WayIn>,
    /// Whether passwords are asked for.
    pub local_accounts: bool,
    /// Whether the person wants to be somebody else than they are now.
    pub switching: bool,
    /// Whom to ask for an account.
    pub contact: Option<String>,
}

/// A provider to sign in at.
#[derive(Debug, Clone)]
pub struct WayIn {
    /// As addresses have it.
    pub name: String,
    /// As people know it.
    pub title: DisplayName,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginProblem {
    /// No such user, or another password; which of the two is not said.
    WrongCredentials,
    /// Too many wrong tries for now (send with 429).
    TooManyTries {
        /// Seconds until the next try is looked at.
        wait_seconds: u64,
    },
    /// The password was right, but the account has been disabled.
    AccountDisabled,
    /// The browser session ran out.
    SessionEnded,
}

impl LoginProblem {
    /// The problem in one word, for whoever watches the server.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong_credentials",
            Self::TooManyTries { .. } => "too_many_tries",
            Self::AccountDisabled => "account_disabled",
            Self::SessionEnded => "session_ended",
        }
    }

    /// The sentence for the person.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::WrongCredentials => {
                "That username and password do not match. Check both and try again.".to_owned()
            }
            Self::TooManyTries { wait_seconds } => {
                format!("Too many wrong tries. Wait {}, then try again.", wait_words(wait_seconds))
            }
            Self::AccountDisabled => {
                "This account has been disabled. Ask the people who run this server to enable it.".to_owned()
            }
            Self::SessionEnded => "Your session has ended. Sign in again to carry on.".to_owned(),
        }
    }

    /// Whether what was typed is at fault, so that the fields are marked as invalid.
    #[must_use]
    pub const fn blames_the_fields(self) -> bool {
        matches!(self, Self::WrongCredentials)
    }
}
