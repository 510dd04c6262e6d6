//! A server that access is given to, as people see it.

/// A resource (RFC 8707).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// What it is called.
    pub title: String,
    /// Its identifier.
    pub identifier: String,
    /// What an app uses there, after "to use".
    pub used: String,
}
