//! What `serve` says once it is ready.

use super::demo::{Demo, Known};
use super::output::{self, say};
use crate::app::App;
use crate::extension::Checked;
use crate::tickets::demo::COLLEAGUES;
use crate::web::snippets::Snippets;

/// Says where everything is, from where the configuration was read, and how to go on.
pub(super) fn greet(
    app: &App,
    program: &Checked,
    (places, read): (&[String], &str),
    demo: Option<&Demo>,
    setup_link: Option<&str>,
) {
    let config = &app.config;
    let mcp_url = config.resource_server.then(|| config.public_url.resource().as_str());
    let name = if program.is_mandate() { "Mandate" } else { program.title() };
    say(&format!("{name} {} is ready.", program.version()));
    say("");
    if config.authorization_server {
        say(&format!("  Sign in and manage apps   {}", config.public_url.join("/account")));
    } else {
        say("  Authorization server      off: people sign in and connect apps elsewhere");
    }
    for issuer in config.issuers.iter() {
        say(&format!("  Tokens are taken of       {} ({})", issuer.issuer, issuer.name));
    }
    if let Some(mcp_url) = mcp_url {
        say(&format!("  MCP endpoint              {mcp_url}"));
    }
    for other in config.other_resources.iter() {
        let how = if other.may_introspect() { "JWKS, introspection" } else { "JWKS" };
        say(&format!("  Tokens for                {} ({}, {how})", other.resource(), other.name()));
    }
    for place in places {
        say(&format!("  Listening on              {place}"));
    }
    say(&format!("  Configuration file        {read}"));
    say(&format!("  Database                  {}", config.database));
    say(&format!("  Ephemeral store           {}", app.ephemeral.describe()));
    if let Some(astray) = config.astray() {
        say("");
        say(&format!("  Warning                   {astray}"));
    }
    if let Some(link) = setup_link {
        say("");
        say("  There is no account yet. This link creates the first one; it works once, for an hour:");
        say(&format!("    {link}"));
    }
    if let Some(demo) = demo {
        say("");
        greet_users(demo, config.own.has_tickets());
    }
    say("");
    if let Some(mcp_url) = mcp_url {
        greet_clients(&Snippets::of(config.own.name, mcp_url));
    }
    // A server whose greeting nobody can read serves all the same.
    if let Err(failure) = output::check() {
        tracing::warn!(detail = %failure, "the greeting is lost");
    }
}

fn greet_users(demo: &Demo, has_tickets: bool) {
    let Demo::Users(accounts) = demo else {
        return say("  The database has accounts of its own already, so nothing was added for the demo.");
    };
    say("  Demo users");
    for account in accounts {
        let password = match &account.known {
            Known::Password(password) => format!("password {password}"),
            Known::Changed => format!("{:<25}", "password was changed"),
            Known::Disabled => format!("{:<25}", "disabled"),
        };
        say(&format!("    {:<8} {password}   {}", account.username, account.what));
    }
    if has_tickets {
        let others = COLLEAGUES.len();
        say(&format!("    {others} more, who only wrote tickets, are disabled: nobody can sign in as them"));
    }
}

fn greet_clients(given: &Snippets) {
    say("  Connect a client");
    say(&format!("    Claude Code   {}", given.claude_code().join(" && ")));
    say(&format!("    Codex         {}", given.codex()));
    say(&format!("    VS Code       {}", given.vs_code()));
    say(&format!("    Cursor        in ~/.cursor/mcp.json: {}", given.cursor_in_a_line()));
    say("");
}
