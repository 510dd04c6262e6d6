//! How a user was authenticated: when, and by what (OpenID Connect Core §2: `auth_time`, `acr`, `amr`).

use crate::clock::Timestamp;

/// One authentication of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// When it happened.
    pub auth_time: Timestamp,
    /// The class that it satisfied, in the words of who did it.
    pub acr: Option<String>,
    /// The methods that were used (RFC 8176).
    pub amr: Vec<String>,
}

impl Authentication {
    /// One of which only the time is known.
    pub fn at(auth_time: Timestamp) -> Self {
        Self { auth_time, acr: None, amr: Vec::new() }
    }

    /// The methods as one text.
    pub fn amr_text(&self) -> Option<String> {
        (!self.amr.is_empty()).then(|| self.amr.join(" "))
    }

    /// What [`Self::amr_text`] wrote.
    pub fn parse_amr(text: Option<&str>) -> Vec<String> {
        text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}
