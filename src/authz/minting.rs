//! Minting: a short-lived access token for somebody, without asking them. For operators of this server, and for
//! control planes that they trust.
//!
//! A minted token has a grant of its own, which ends with it. So whom it is for sees it under Connected apps and
//! takes it back there, and each call asks whether it is still there. Who minted it, and what for, stands in the
//! audit log.

use std::time::Duration;

use super::token::{Issued, access_alone};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::error::{Error, invalid_request, invalid_scope, unauthorized_client};
use crate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};
use crate::storage::grants::{self, Grant};
use crate::storage::users::User;
use crate::storage::{audit, commit, disabled_clients, machines, undo};
use crate::telemetry;

/// The id of the client that mints from the command line: no registration hands it out.
const CONTROL_PLANE: &str = "control-plane";
/// Its name.
const CONTROL_PLANE_NAME: &str = "Control plane";
/// How long a purpose may be, in characters.
const LONGEST_PURPOSE: usize = 200;

/// Whom a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The person of this name.
    User(&'a str),
    /// The machine of this client id.
    Machine(&'a str),
}

/// What is to be minted.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// For whom.
    pub whom: Whom<'a>,
    /// What it may reach.
    pub scope: &'a str,
    /// What it is for (RFC 8707); the default resource when there is none.
    pub resources: Vec<&'a str>,
    /// How long it lives, unless as long as is configured.
    pub lifetime: Option<Duration>,
    /// What it is needed for, in words for the audit log.
    pub purpose: Option<&'a str>,
}

/// Who mints.
#[derive(Clone, Debug)]
pub struct Minter {
    client: Client,
    said: String,
}

impl Minter {
    /// An operator at the command line: `who` as the audit log is to say it.
    pub fn operator(who: &str) -> Self {
        Self { client: control_plane(), said: who.to_owned() }
    }

    /// A control plane, which has proven who it is.
    pub fn control_plane(client: &Client) -> Self {
        let said = format!("the control plane {}", client.client_id);
        Self { client: Client { secret_hash: None, ..client.clone() }, said }
    }
}

/// What was minted.
pub struct Minted {
    /// The answer.
    pub issued: Issued,
    /// Its grant, which ends with it.
    pub grant: Grant,
}

/// Mints a token.
pub async fn mint(app: &App, minter: &Minter, order: &Order<'_>) -> Result<Minted, Error> {
    let audience = app.config.audiences().named_or_default(order.resources.iter().copied())?;
    let (user, most) = find(app, minter, order.whom).await?;
    let offered = audience.offered();
    let scopes =
        scopes(order.scope, &most.map_or_else(|| offered.clone(), |most| most.intersection(&offered)))?;
    let lifetime = lifetime(app, order.lifetime)?;
    check_purpose(order.purpose)?;
    let now = app.now();
    let grant = Grant {
        grant_id: GrantId::issue(&app.random),
        user_id: user.user_id,
        client: minter.client.clone(),
        redirect_uri: RedirectUri::stored(""),
        resource: audience.resource().as_str().to_owned(),
        scopes,
        authentication: Authentication::at(now),
        created_at: now,
        expires_at: now.plus(lifetime),
        activated_at: Some(now),
        last_used_at: None,
        revoked_at: None,
    };
    let issued = access_alone(app, (&grant, audience), &grant.scopes, lifetime, now)?;
    record(app, minter, &grant, order.purpose).await?;
    app.metrics.tokens_issued("mint");
    telemetry::note("mandate.outcome", "issued");
    Ok(Minted { issued, grant })
}

async fn record(app: &App, minter: &Minter, grant: &Grant, purpose: Option<&str>) -> Result<(), Error> {
    let now = grant.created_at;
    let lasting = humantime::format_duration(grant.expires_at.since(now));
    let mut what = format!("by {}; {} for {lasting}", minter.said, grant.scopes);
    if let Some(purpose) = purpose {
        what.push_str("; ");
        what.push_str(purpose);
    }
    let event = Event::new(Kind::TokenMinted, Outcome::Done)
        .user(&grant.user_id)
        .client(&grant.client.client_id)
        .grant(&grant.grant_id)
        .detail(what);
    let mut tx = app.store.write().await?;
    let is_registered = grant.client.client_id.as_str() != CONTROL_PLANE;
    // Whoever is removed meanwhile leaves no token behind that the removal did not see.
    if is_registered && !machines::hold(&mut tx, &grant.client.client_id, now).await? {
        undo(tx).await?;
        return Err(unauthorized_client("the control plane is unknown: it was removed"));
    }
    // Nor does whoever is disabled meanwhile.
    let machine = grant.user_id.machine_client();
    for client_id in machine.iter().chain([&grant.client.client_id]) {
        if disabled_clients::exists(&mut tx, client_id).await? {
            undo(tx).await?;
            return Err(unauthorized_client("this machine is disabled"));
        }
    }
    grants::record(&mut tx, grant).await?;
    grants::activate(&mut tx, &grant.grant_id, now).await?;
    audit::record(&mut tx, now, &event);
    Ok(commit(tx).await?)
}

/// Whom it is for, and for a machine all that may be minted for it: a token never gives more than its holder could have.
async fn find(app: &App, minter: &Minter, whom: Whom<'_>) -> Result<(User, Option<Scopes>), Error> {
    let (user, most) = match whom {
        Whom::User(name) => {
            let user = app.store.find_user_by_name(name).await?;
            // A machine has a name, too, and a ceiling, which this way would leave out.
            (user.filter(|user| !user.user_id.is_machine()), None)
        }
        Whom::Machine(client_id) => {
            let client_id = ClientId::new(client_id);
            if client_id == minter.client.client_id {
                return Err(invalid_request("a machine gets its own tokens by client_credentials"));
            }
            let client = app.store.find_client(&client_id).await?.map(|row| row.client);
            let most = client.map(|client| client.registered_scopes());
            if app.store.is_client_disabled(&client_id).await? {
                return Err(invalid_request("this machine is disabled"));
            }
            let user = match most {
                Some(_) => app.store.find_user(&UserId::of_machine(&client_id)).await?,
                None => None,
            };
            (user, most)
        }
    };
    let user = user.ok_or_else(|| match whom {
        Whom::User(_) => invalid_request("there is no user of this name"),
        Whom::Machine(_) => invalid_request("there is no machine of this client id"),
    })?;
    if user.disabled_at.is_some() {
        return Err(match whom {
            Whom::User(_) => invalid_request("this user is disabled: nobody can act with the account"),
            Whom::Machine(_) => invalid_request("this machine is disabled"),
        });
    }
    Ok((user, most))
}

fn scopes(text: &str, most: &Scopes) -> Result<Scopes, Error> {
    let asked = Scopes::parse(text);
    let asked = asked.map_err(|error| invalid_scope("scope must be space-separated tokens").detail(error))?;
    if asked.is_empty() {
        return Err(invalid_scope("scope names nothing"));
    }
    let beyond = asked.difference(most);
    if beyond.is_empty() {
        return Ok(asked);
    }
    let problem =
        "scope must lie within what this server offers and, for a machine, what it is registered for";
    Err(invalid_scope(problem).detail(beyond))
}

fn lifetime(app: &App, asked: Option<Duration>) -> Result<Duration, Error> {
    let tokens = &app.config.tokens;
    match asked.unwrap_or(tokens.minted_lifetime) {
        short if short < Duration::from_secs(1) => {
            Err(invalid_request("lifetime must be one second at least"))
        }
        long if long > tokens.minted_lifetime_most => {
            let most = humantime::format_duration(tokens.minted_lifetime_most);
            Err(invalid_request("lifetime is longer than tokens.minted_lifetime_most allows").detail(most))
        }
        // Tokens count in seconds.
        fits => Ok(Duration::from_secs(fits.as_secs())),
    }
}

fn check_purpose(purpose: Option<&str>) -> Result<(), Error> {
    let fits = |text: &str| text.chars().count() <= LONGEST_PURPOSE && !text.chars().any(char::is_control);
    if purpose.is_none_or(fits) {
        Ok(())
    } else {
        Err(invalid_request("the purpose must be one line of 200 characters at most"))
    }
}

/// What mints from the command line. It is nobody's way in: there is nothing that it could authenticate with.
fn control_plane() -> Client {
    Client {
        client_id: ClientId::new(CONTROL_PLANE),
        kind: ClientKind::Machine,
        metadata: ClientMetadata {
            client_name: Some(CONTROL_PLANE_NAME.to_owned()),
            ..ClientMetadata::unsaid(AuthMethod::PrivateKeyJwt)
        },
        secret_hash: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;

    #[test]
    fn a_minted_scope_lies_within_the_ceiling_and_names_something() {
        let most = Scopes::of(["tickets:read"]);
        assert_eq!(scopes("tickets:read", &most).unwrap(), most);
        for bad in
            ["", " ", "tickets:write", "tickets:read tickets:write", "tokens:mint", "offline_access", "a\"b"]
        {
            assert_eq!(scopes(bad, &most).unwrap_err().code, ErrorCode::InvalidScope, "{bad}");
        }
    }

    #[test]
    fn a_purpose_is_one_short_line() {
        for good in [None, Some("nightly report"), Some("für Ångström")] {
            assert!(check_purpose(good).is_ok(), "{good:?}");
        }
        for bad in ["a\nb".to_owned(), "\u{1b}[2J".to_owned(), "x".repeat(LONGEST_PURPOSE + 1)] {
            assert_eq!(check_purpose(Some(&bad)).unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }
}
