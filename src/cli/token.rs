//! `mandate token mint`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{aside, named, say};
use super::user::find;
use super::{Failure, operator};
use crate::app::App;
use crate::authz::minting::{self, Minter, Order, Whom};

/// Issue tokens by hand.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    Mint(Mint),
}

/// Mint a short-lived access token for a user or a machine, without asking them. Standard output is the token and
/// nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mandate token mint --user alice --scope tickets:read --for 'the nightly report'"
)]
pub(super) struct Mint {
    /// Whom it is for: a user.
    #[arg(long, value_name = "NAME", required_unless_present = "machine", conflicts_with = "machine")]
    user: Option<String>,
    /// Whom it is for: a machine, by its client id.
    #[arg(long, value_name = "CLIENT_ID")]
    machine: Option<String>,
    /// What it may reach, separated by spaces.
    #[arg(long)]
    scope: String,
    /// What it is for; this server's MCP endpoint if left out.
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
    /// How long it lives; `tokens.minted_lifetime` if left out, `tokens.minted_lifetime_most` at most.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
    /// What it is needed for, for the audit log.
    #[arg(long = "for", value_name = "TEXT")]
    purpose: Option<String>,
}

pub(super) async fn run(command: Token, app: &App) -> Result<(), Failure> {
    let Token::Mint(command) = command;
    let user = match &command.user {
        Some(name) => Some(find(app, name).await?),
        None => None,
    };
    let whom = match (&user, &command.machine) {
        (Some(user), _) => Whom::User(&user.username),
        (None, client_id) => Whom::Machine(client_id.as_deref().unwrap_or_default()),
    };
    let order = Order {
        whom,
        scope: &command.scope,
        resources: command.resource.iter().map(String::as_str).collect(),
        lifetime: command.lifetime,
        purpose: command.purpose.as_deref(),
    };
    let minted = minting::mint(app, &Minter::operator(&operator::who()), &order).await?;
    let grant = &minted.grant;
    let holder = match &user {
        Some(user) => format!("{} ({})", user.username, user.user_id),
        None => grant.user_id.to_string(),
    };
    aside(&format!("For {holder}: {} on {}.", grant.scopes, grant.resource));
    aside(&named(&format!(
        "Good until {}. `mandate grant revoke {}` ends it at once.",
        grant.expires_at.rfc3339(),
        grant.grant_id
    )));
    say(minted.issued.access_token());
    Ok(())
}
