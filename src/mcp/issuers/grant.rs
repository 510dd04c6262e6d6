//! The grant that stands for what a user granted to a client at another issuer.

use serde_json::json;

use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::config::issuers::Issuer;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::error::server_error;
use crate::oauth::secret::SecretHash;
use crate::oauth::{Authentication, ClientId, Error, GrantId, RedirectUri, Scopes, UserId};
use crate::storage::external_grants::{self, Standing};
use crate::storage::grants::Grant;
use crate::storage::{audit, commit, disabled_clients, undo};

/// Between whom, and what a token brings.
#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) struct Party<'a> {
    /// Where it was granted.
    pub(in crate::mcp) issuer: &'a Issuer,
    /// By whom.
    pub(in crate::mcp) user_id: &'a UserId,
    /// To whom.
    pub(in crate::mcp) client_id: &'a ClientId,
    /// What the token reaches.
    pub(in crate::mcp) scopes: &'a Scopes,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum NoGrant {
    /// The user took this one back, and has not let the client in again.
    TakenBack(GrantId),
    /// An operator lets the client in no more.
    ClientDisabled,
    /// An operator lets the user in no more.
    AccountDisabled,
}

/// The grant to make calls under: the one that lives, with all that tokens have brought, or a new one.
pub(in crate::mcp) async fn under(app: &App, party: Party<'_>) -> Result<Result<GrantId, NoGrant>, Error> {
    let now = app.now();
    // Of two requests at once one records it, and the other finds it.
    for _ in 0..3 {
        match app.store.find_standing(party.user_id, party.client_id, now).await? {
            Standing::TakenBack(grant_id) => return Ok(Err(NoGrant::TakenBack(grant_id))),
            Standing::Live { grant_id, scopes, expires_at } => {
                if keep(app, party, &grant_id, &scopes, expires_at).await? {
                    return Ok(Ok(grant_id));
                }
            }
            Standing::None => match record(app, party, now).await? {
                Recorded::Grant(grant_id) => return Ok(Ok(grant_id)),
                Recorded::None(why) => return Ok(Err(why)),
                Recorded::Meanwhile => {}
            },
        }
    }
    Err(server_error("the server made an error").detail("a grant is neither recorded nor free"))
}

/// Widens a live grant and puts off its end where that is due. `false` when it changed meanwhile.
async fn keep(
    app: &App,
    party: Party<'_>,
    grant_id: &GrantId,
    scopes: &Scopes,
    expires_at: Timestamp,
) -> Result<bool, Error> {
    let (now, lifetime) = (app.now(), app.config.tokens.grant_lifetime);
    // Its end is put off now and then, not with every token.
    if party.scopes.is_subset(scopes) && expires_at.since(now) > lifetime / 10 * 9 {
        return Ok(true);
    }
    let all = scopes.union(party.scopes);
    let mut tx = app.store.write().await?;
    let widened = external_grants::widen(&mut tx, grant_id, scopes, &all, now.plus(lifetime), now).await?;
    if widened && all != *scopes {
        audit::record(&mut tx, now, &given(party, grant_id, &all));
    }
    commit(tx).await?;
    Ok(widened)
}

enum Recorded {
    Grant(GrantId),
    None(NoGrant),
    Meanwhile,
}

async fn record(app: &App, party: Party<'_>, now: Timestamp) -> Result<Recorded, Error> {
    let user = app.store.find_user(party.user_id).await?;
    if user.is_none_or(|user| user.disabled_at.is_some()) {
        return Ok(Recorded::None(NoGrant::AccountDisabled));
    }
    let mut tx = app.store.write().await?;
    if disabled_clients::exists(&mut tx, party.client_id).await? {
        undo(tx).await?;
        return Ok(Recorded::None(NoGrant::ClientDisabled));
    }
    if external_grants::is_taken_back(&mut tx, party.user_id, party.client_id).await? {
        undo(tx).await?;
        return Ok(Recorded::Meanwhile);
    }
    let numbered = |number| grant_id(party, number);
    let grant_id = external_grants::next_id(&mut tx, party.user_id, party.client_id, now, numbered).await?;
    let redirect_uri = RedirectUri::stored(party.issuer.issuer.clone());
    let grant = Grant {
        grant_id,
        user_id: party.user_id.clone(),
        client: client(party.client_id, &redirect_uri),
        redirect_uri,
        resource: app.config.public_url.resource().as_str().to_owned(),
        scopes: party.scopes.clone(),
        authentication: Authentication::at(now),
        created_at: now,
        expires_at: now.plus(app.config.tokens.grant_lifetime),
        activated_at: Some(now),
        last_used_at: None,
        revoked_at: None,
    };
    if !external_grants::record(&mut tx, &grant).await? {
        undo(tx).await?;
        return Ok(Recorded::Meanwhile);
    }
    audit::record(&mut tx, now, &given(party, &grant.grant_id, party.scopes));
    commit(tx).await?;
    Ok(Recorded::Grant(grant.grant_id))
}

fn given(party: Party<'_>, grant_id: &GrantId, scopes: &Scopes) -> Event {
    Event::new(Kind::GrantGiven, Outcome::Done)
        .user(party.user_id)
        .client(party.client_id)
        .grant(grant_id)
        .detail(format!("by a token of {}: {scopes}", party.issuer.name))
}

/// The same for everybody who sees the first token, so that it is recorded once.
fn grant_id(party: Party<'_>, number: i64) -> GrantId {
    let what = json!([party.user_id.as_str(), party.client_id.as_str(), number]).to_string();
    GrantId::new(format!("ext_{}", SecretHash::of(&what).as_str()))
}

/// What is known of the client: its id. In the place of its redirect URI stands where it got its token.
fn client(client_id: &ClientId, issuer: &RedirectUri) -> Client {
    Client {
        client_id: client_id.clone(),
        kind: ClientKind::External,
        metadata: ClientMetadata {
            redirect_uris: vec![issuer.clone()],
            ..ClientMetadata::unsaid(AuthMethod::None)
        },
        secret_hash: None,
    }
}
