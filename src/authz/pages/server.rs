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
    /// Of a server that others run, which knows by itself what is done there: for how many minutes it may let an app in
    /// after that was revoked.
    pub lingers: Option<u64>,
}
