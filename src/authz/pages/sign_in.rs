//! The page for a sign-in at a provider that came to nothing: what happened, whom to ask, and the other ways in.

use askama::Template;
use axum::http::StatusCode;

use crate::identity::linking::Nobody;

/// What is said where nobody is named to ask.
const OPERATORS: &str = "the people who run this server";

/// The answer to a sign-in at a provider that came to nothing.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_in_stopped.html")]
pub struct SignInStopped {
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// The heading: a short sentence without a full stop.
    pub title: String,
    /// What happened.
    pub message: String,
    /// What the person can do now.
    pub advice: String,
    /// The id under which the log holds the details.
    pub reference: String,
    /// The page with the ways to sign in.
    pub again: String,
}

impl SignInStopped {
    fn new(status: StatusCode, title: String, message: String, advice: String) -> Self {
        Self { status, title, message, advice, reference: String::new(), again: "/login".to_owned() }
    }

    /// The provider cannot be reached (503).
    #[must_use]
    pub fn provider_away(provider: &str, contact: Option<&str>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{provider} cannot be reached right now"),
            format!("This server asked {provider} who you are and got no answer. You did nothing wrong."),
            format!("Try again in a minute, or sign in another way. If it goes on, tell {}.", whom(contact)),
        )
    }

    /// What the provider says cannot be used (502).
    #[must_use]
    pub fn provider_wrong(provider: &str, contact: Option<&str>) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            format!("The answer of {provider} cannot be used"),
            format!(
                "What {provider} answered did not pass this server’s checks, so nobody was signed in. You did nothing \
                 wrong."
            ),
            format!("Try again. If it goes on, tell {} and give them the reference.", whom(contact)),
        )
    }

    /// The provider was to ask anew who somebody is, and did not, or does not say so (502).
    #[must_use]
    pub fn not_asked_anew(provider: &str, contact: Option<&str>) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            format!("{provider} did not ask you to sign in again"),
            format!(
                "A fresh sign-in is needed, and {provider} let you through on an earlier one, or does not say when \
                 you signed in."
            ),
            format!(
                "Sign out at {provider} and try again, or sign in another way. If it goes on, tell {}.",
                whom(contact)
            ),
        )
    }

    /// Nobody here has an account for who was let in there (403).
    #[must_use]
    pub fn no_account(provider: &str, why: Nobody, contact: Option<&str>) -> Self {
        let message = match why {
            Nobody::NoAccount => {
                format!("You signed in at {provider}, but there is no account here for you yet.")
            }
            Nobody::NoRole => {
                format!(
                    "You signed in at {provider}, but it does not list you among those who may use this server."
                )
            }
            Nobody::Disabled => {
                format!("You signed in at {provider}, but your account here has been disabled.")
            }
            Nobody::Unusable => {
                format!(
                    "You signed in at {provider}, but this server cannot keep the name that it knows you by."
                )
            }
        };
        Self::new(
            StatusCode::FORBIDDEN,
            "You have no access here".to_owned(),
            message,
            format!(
                "Ask {} for access and give them the reference. If you have another account at {provider}, sign in \
                 with that one.",
                whom(contact)
            ),
        )
    }

    /// The provider let somebody not in, or they did not want to go on (403).
    #[must_use]
    pub fn declined(provider: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("You were not signed in at {provider}"),
            format!(
                "{provider} sent you back without signing you in: it did not let you in, or you cancelled."
            ),
            "Try again, or sign in another way.".to_owned(),
        )
    }

    /// The sign-in belongs to another browser (403).
    #[must_use]
    pub fn of_another_browser() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This sign-in was started in another browser".to_owned(),
            "A sign-in can only be finished in the browser that it was started in.".to_owned(),
            "Start again and stay in this browser. If you followed a link from somebody else, close this page."
                .to_owned(),
        )
    }

    /// The sign-in ran out, was used, or never was (400).
    #[must_use]
    pub fn over() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This sign-in is over".to_owned(),
            "It took too long, was finished before, or this page was loaded a second time.".to_owned(),
            "Start again. If you are signed in already, you go straight on.".to_owned(),
        )
    }
}

fn whom(contact: Option<&str>) -> &str {
    contact.unwrap_or(OPERATORS)
}
