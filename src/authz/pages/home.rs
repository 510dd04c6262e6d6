//! The front page: what this is, and how to connect a client to it.

use askama::Template;

use super::server::ServerView;
use crate::web::snippets::Snippets;

/// `GET /`.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// The server that an MCP client is given, where it is clear which.
    pub given: Option<Snippets>,
    /// The servers of others, when there is none of our own.
    pub others: Vec<ServerView>,
    /// What our own server is called, where it is not the one for tickets.
    pub title: Option<&'static str>,
    /// Who is signed in in this browser.
    pub username: Option<String>,
}
