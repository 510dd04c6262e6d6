//! `mandate grant list|revoke`.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use clap::{Args, Subcommand};

use super::open::{Opening, Stored};
use super::output::{aside, named, say, table};
use super::{Failure, operator};
use crate::app::App;
use crate::authz::taking_back::{By, take_back};
use crate::authz::views;
use crate::clock::Timestamp;
use crate::oauth::client::ClientKind;
use crate::oauth::{ClientId, GrantId, UserId};
use crate::storage::external_grants::TAKEN_BACK;
use crate::storage::grant_list::{Filter, Listed};
use crate::storage::grants::Grant as Found;
use crate::storage::users::User;
use crate::web::text::{display_name, visible};

/// See what clients were granted, and end a grant.
#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// List the grants under which calls can be made, newest first.
    #[command(after_help = "Example:\n  mandate grant list --user alice")]
    List(List),
    /// End one grant: whoever acts under it is refused from the next call on, and its refresh token is of no use.
    #[command(
        after_help = "What rests on the tokens of another issuer stays out until its user lets it in again. A machine can \
                      get another grant by itself: `mandate client disable` keeps it out.\n\n\
                      Example:\n  mandate grant revoke grant_4fB1"
    )]
    Revoke {
        /// Which.
        grant_id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// To the client with this id.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Those under which no call can be made, too: ended, expired, not taken up by their client, or of somebody who
    /// is disabled.
    #[arg(long)]
    all: bool,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// How many grants are read at once.
const PAGE: u32 = 500;
/// How much of a client's id is shown, in characters: what is shown can be given to `--client`, as a rule.
const ID_LIMIT: usize = 256;

pub(super) async fn run(command: Grant, opening: Opening<'_>) -> Result<(), Failure> {
    match command {
        Grant::List(asked) => list(&opening.stored().await?, asked).await,
        Grant::Revoke { grant_id } => revoke(&opening.existing().await?, &GrantId::new(grant_id)).await,
    }
}

/// How a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    NotTakenUp,
    UserDisabled,
    ClientDisabled,
    Expired,
    Ended(Timestamp),
}

/// Who is disabled of those that grants name.
struct Disabled {
    users: HashSet<UserId>,
    clients: HashSet<ClientId>,
}

impl Disabled {
    fn state(&self, grant: &Listed, now: Timestamp) -> State {
        match grant.revoked_at {
            Some(at) => State::Ended(at),
            None if grant.expires_at <= now => State::Expired,
            None if self.users.contains(&grant.user_id) => State::UserDisabled,
            None if self.clients.contains(&grant.client_id) => State::ClientDisabled,
            None if grant.activated_at.is_none() => State::NotTakenUp,
            None => State::Active,
        }
    }
}

fn state_words(state: State, grant: &Listed) -> String {
    let because = grant.revoked_because.as_deref().unwrap_or("why is not recorded");
    match state {
        State::Active => "active".to_owned(),
        State::NotTakenUp => "not taken up".to_owned(),
        State::UserDisabled => "user disabled".to_owned(),
        State::ClientDisabled => "client disabled".to_owned(),
        State::Expired => format!("expired {}", grant.expires_at.rfc3339()),
        // That is recorded whoever took it back: it is what keeps the client out.
        State::Ended(at) if grant.client_kind == ClientKind::External && because == TAKEN_BACK => {
            format!("ended {}: taken back until its user lets the client in again", at.rfc3339())
        }
        State::Ended(at) => format!("ended {}: {}", at.rfc3339(), display_name(because)),
    }
}

/// Only the newest are kept while the others go by.
async fn list(Stored { store, now, .. }: &Stored, asked: List) -> Result<(), Failure> {
    let users: Vec<User> = match &asked.user {
        None => store.list_users().await?,
        Some(name) => {
            let found = store.find_user_by_name(name).await?;
            let unknown =
                || format!("--user: there is no account named {name}; `mandate user list` shows them all");
            vec![found.ok_or_else(|| Failure::Said(unknown()))?]
        }
    };
    let user_id = asked.user.as_ref().and_then(|_| users.first()).map(|user| &user.user_id);
    let client_id = asked.client.map(ClientId::new);
    let filter = Filter { user_id, client_id: client_id.as_ref() };
    let is_disabled = |user: &&User| user.disabled_at.is_some();
    let disabled = Disabled {
        users: users.iter().filter(is_disabled).map(|user| user.user_id.clone()).collect(),
        clients: store.list_disabled_clients().await?.into_iter().map(|(id, _)| id).collect(),
    };
    let most = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let (mut newest, mut count) = (Vec::new(), 0);
    let mut after: Option<GrantId> = None;
    loop {
        let page = store.list_grants(filter, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.grant_id.clone());
        let with_state = page.into_iter().map(|grant| (disabled.state(&grant, *now), grant));
        let before = newest.len();
        newest.extend(with_state.filter(|(state, _)| asked.all || *state == State::Active));
        count += newest.len() - before;
        newest.sort_by_key(|(_, grant)| Reverse(grant.created_at));
        newest.truncate(most);
    }
    let names: HashMap<&UserId, &str> =
        users.iter().map(|user| (&user.user_id, user.username.as_str())).collect();
    let rows: Vec<_> = newest.iter().map(|(state, grant)| row(*state, grant, &names)).collect();
    table(&["GRANT", "USER", "CLIENT", "SCOPE", "RESOURCE", "CREATED", "LAST_USED", "STATE"], &rows);
    if count > rows.len() {
        let more = count - rows.len();
        aside(&format!(
            "{more} more, which are older: --limit shows more, --user and --client narrow them down."
        ));
    }
    Ok(())
}

/// A row of the table. What others wrote may not steer the terminal.
fn row(state: State, grant: &Listed, names: &HashMap<&UserId, &str>) -> Vec<String> {
    let user = names.get(&grant.user_id).copied().unwrap_or(grant.user_id.as_str());
    vec![
        visible(grant.grant_id.as_str(), ID_LIMIT),
        display_name(user),
        visible(grant.client_id.as_str(), ID_LIMIT),
        display_name(&grant.scope),
        visible(&grant.resource, ID_LIMIT),
        grant.created_at.rfc3339(),
        grant.last_used_at.map_or_else(|| "-".to_owned(), Timestamp::rfc3339),
        state_words(state, grant),
    ]
}

async fn revoke(app: &App, grant_id: &GrantId) -> Result<(), Failure> {
    let Some(grant) = app.store.find_grant(grant_id).await? else {
        return Err(Failure::Said(format!(
            "there is no grant {grant_id}; `mandate grant list` shows them, --all those that have ended, too"
        )));
    };
    let client_id = visible(grant.client.client_id.as_str(), ID_LIMIT);
    let is_external = grant.client.kind == ClientKind::External;
    if is_external && grant.revoked_at.is_none() && !app.config.authorization_server {
        return Err(Failure::Said(format!(
            "{grant_id} rests on the tokens of another issuer: with the next one it would be there again, and without \
             pages here (authorization_server) its user could not let {client_id} in again once it was kept out; take \
             it back there, or keep it out with `mandate client disable` or `mandate user disable`"
        )));
    }
    let tx = app.store.write_patiently().await?;
    if !take_back(app, tx, &grant, By::Operator(&operator::who())).await? {
        let ended = app.store.find_grant(grant_id).await?.and_then(|grant| grant.revoked_at);
        let since = ended.map_or_else(|| "before".to_owned(), |at| format!("on {}", at.rfc3339()));
        return Err(Failure::Said(format!("{grant_id} was ended {since}; nobody acts under it")));
    }
    let user = app.store.find_user(&grant.user_id).await?;
    let name = user.map_or_else(|| grant.user_id.to_string(), |user| user.username);
    let name = display_name(&name);
    say(&format!("Ended {grant_id}, of {name} to {client_id}. Its tokens are refused from now on."));
    for more in told(app, &grant, &name, &client_id) {
        say(&more);
    }
    Ok(())
}

/// What else is to be known of a grant that was just ended.
fn told(app: &App, grant: &Found, name: &str, client_id: &str) -> Vec<String> {
    let mut told = Vec::new();
    if grant.expires_at <= app.now() {
        told.push(format!("It had expired on {} already.", grant.expires_at.rfc3339()));
    }
    if grant.client.kind == ClientKind::External {
        told.push(format!(
            "It rests on the tokens of another issuer: {client_id} stays out until {name} lets it in again on /account."
        ));
    }
    let is_reserved = ClientId::RESERVED.contains(&grant.client.client_id.as_str());
    if grant.client.kind == ClientKind::Machine && !is_reserved {
        told.push(named(&format!(
            "{client_id} can get another by itself: `mandate client disable` keeps it out."
        )));
    }
    if views::server(app, &grant.resource).lingers.is_some() {
        let resource = visible(&grant.resource, ID_LIMIT);
        told.push(format!("{resource} may accept the access tokens that it was given until they expire."));
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn grant(change: impl FnOnce(&mut Listed)) -> Listed {
        let mut grant = Listed {
            grant_id: GrantId::new("grant_1"),
            user_id: UserId::new("user_1"),
            client_id: ClientId::new("client_1"),
            client_kind: ClientKind::Dynamic,
            resource: "https://t.example/mcp".into(),
            scope: "tickets:read".into(),
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(60)),
            activated_at: Some(NOW),
            last_used_at: None,
            revoked_at: None,
            revoked_because: None,
        };
        change(&mut grant);
        grant
    }

    fn ended(because: &str, kind: ClientKind) -> Listed {
        grant(|grant| {
            grant.revoked_at = Some(NOW);
            grant.revoked_because = Some(because.to_owned());
            grant.client_kind = kind;
        })
    }

    #[test]
    fn active_is_what_calls_can_be_made_under_and_of_all_else_it_is_said_why_not() {
        let disabled = Disabled {
            users: HashSet::from([UserId::new("user_out")]),
            clients: HashSet::from([ClientId::new("client_out")]),
        };
        for (grant, words) in [
            (grant(|_| {}), "active"),
            (grant(|grant| grant.activated_at = None), "not taken up"),
            (grant(|grant| grant.expires_at = NOW), "expired 1970-01-01T00:16:40Z"),
            (grant(|grant| grant.user_id = UserId::new("user_out")), "user disabled"),
            (grant(|grant| grant.client_id = ClientId::new("client_out")), "client disabled"),
            (ended("so \u{1b}[2J it is", ClientKind::Dynamic), "ended 1970-01-01T00:16:40Z: so [2J it is"),
            (ended(TAKEN_BACK, ClientKind::Dynamic), "ended 1970-01-01T00:16:40Z: the user took it back"),
            (
                ended(TAKEN_BACK, ClientKind::External),
                "ended 1970-01-01T00:16:40Z: taken back until its user lets the client in again",
            ),
        ] {
            assert_eq!(state_words(disabled.state(&grant, NOW), &grant), words);
        }
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let evil = "x\u{1b}]0;mine\u{7}\u{202e}\ny";
        let grant = grant(|grant| {
            grant.client_id = ClientId::new(evil);
            grant.scope = evil.into();
            grant.resource = evil.into();
        });
        let names = HashMap::from([(&grant.user_id, evil)]);
        let row = row(State::Active, &grant, &names).join("|");
        assert!(!row.contains(|c: char| c.is_control() || c == '\u{202e}'), "{row:?}");
    }
}
