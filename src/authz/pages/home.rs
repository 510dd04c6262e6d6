//! The front page: what this is, and how to connect a client to it.

use askama::Template;

/// `GET /`.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// The address that an MCP client is given.
    pub mcp_url: String,
    /// Who is signed in in this browser.
    pub username: Option<String>,
}
