//! `/account`: the apps that act for this person, each revoked with one click; and signing out.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use futures::future::try_join_all;
use http::HeaderMap;

use super::activity;
use super::body::{Typed, check_origin, form};
use super::callback::redirect;
use super::error::{PageError, PageResult};
use super::pages::account::{AccountNotice, AccountPage, AppView, LimitView, TakenBackView};
use super::pages::activity::ActivityView;
use super::pages::signed_out::SignedOutPage;
use super::taking_back::{By, take_back};
use super::views;
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::config::Audience;
use crate::ephemeral::admission::{Limit, READS, Standing, WRITES};
use crate::ephemeral::{EphemeralError, Rate};
use crate::identity::csrf;
use crate::identity::session::{self, Session};
use crate::identity::upstream::end_session;
use crate::oauth::error::Error;
use crate::oauth::scope::{Access, OFFLINE_ACCESS};
use crate::oauth::{GrantId, Scopes};
use crate::storage::external_grants;
use crate::storage::grants::Grant;
use crate::storage::users::Role;
use crate::storage::{audit, commit};
use crate::web::moment::Moment;
use crate::web::page::Page;
use crate::web::params::Params;
use crate::web::text::DisplayName;

/// What the proofs of origin of the account's forms are for.
pub(super) const FORM: &str = "account";
/// How many of its last deeds each app is shown with.
const LATEST: usize = 3;
/// How many apps' deeds are looked up at once.
const AT_ONCE: usize = 8;

/// Shows the page, or the way to sign in.
pub async fn get(State(app): State<Arc<App>>, jar: CookieJar, RawQuery(query): RawQuery) -> PageResult {
    let Some(session) = session::find(&app, &jar).await? else { return Ok(redirect("/login")) };
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    let notice = notice(&app, &session, &params).await?;
    let grants = app.store.list_live_grants(&session.user.user_id, app.now()).await?;
    let mut limits = limits(&app, &grants).await;
    let mut apps = Vec::with_capacity(grants.len());
    for some in grants.chunks(AT_ONCE) {
        let latest = some.iter().map(|grant| activity::list(&app, grant, None, LATEST));
        for (grant, latest) in some.iter().zip(try_join_all(latest).await?) {
            let limits = limits.next().unwrap_or_default();
            let latest = latest.iter().map(|event| activity::view(&app, event)).collect();
            apps.push(app_view(&app, grant, limits, latest));
        }
    }
    let taken_back = app.store.list_taken_back(&session.user.user_id).await?;
    let page = AccountPage {
        username: session.user.username.clone(),
        role: role_words(&app, session.user.role).to_owned(),
        csrf: csrf::token(&app, FORM, session.csrf_anchor())?,
        notice,
        apps,
        taken_back: taken_back.iter().map(taken_back_view).collect(),
        mcp_url: app.config.audiences().default().map(|audience| audience.resource().as_str().to_owned()),
    };
    Ok(Page::ok(page).into_response())
}

/// Revokes one grant of this person.
pub async fn post_revoke(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let sent = sent(&app, &jar, &headers, &body).await?;
    let Some((session, params)) = sent else { return Ok(redirect("/login")) };
    let grant_id = GrantId::new(params.get("grant_id")?.unwrap_or_default());
    let own = own_grant(&app, &session, &grant_id).await?;
    let revoked = match own {
        Some(grant) => take_back(&app, app.store.write().await?, &grant, By::User).await?,
        None => false,
    };
    Ok(redirect(&if revoked { format!("/account?revoked={grant_id}") } else { "/account?revoked=".into() }))
}

/// Lets a client of another issuer in again that this person took a grant from.
pub async fn post_allow(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let sent = sent(&app, &jar, &headers, &body).await?;
    let Some((session, params)) = sent else { return Ok(redirect("/login")) };
    let grant_id = GrantId::new(params.get("grant_id")?.unwrap_or_default());
    let Some(grant) = own_grant(&app, &session, &grant_id).await? else {
        return Ok(redirect("/account?allowed="));
    };
    let mut tx = app.store.write().await?;
    if external_grants::allow_again(&mut tx, &session.user.user_id, &grant_id).await? {
        let event = Event::new(Kind::ClientAllowed, Outcome::Done)
            .user(&grant.user_id)
            .client(&grant.client.client_id)
            .grant(&grant.grant_id);
        audit::record(&mut tx, app.now(), &event);
    }
    commit(tx).await?;
    Ok(redirect(&format!("/account?allowed={grant_id}")))
}

/// Signs out of this browser, and of the provider that vouched for the person, where it has a place for that. Grants
/// stay: taking those back is what the buttons above are for.
pub async fn post_logout(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let sent = sent(&app, &jar, &headers, &body).await?;
    let Some((session, _)) = sent else { return Ok(redirect("/signed-out")) };
    let mut tx = app.store.write().await?;
    let cookie = session::end(&app, &mut tx, &jar).await?;
    let event = Event::new(Kind::SignOut, Outcome::Done).user(&session.user.user_id);
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    let elsewhere = match &session.vouched {
        Some(vouched) => end_session::address(&app, &vouched.issuer).await?,
        None => None,
    };
    let next = elsewhere.as_deref().unwrap_or("/signed-out");
    Ok((CookieJar::new().add(cookie), redirect(next)).into_response())
}

/// `GET /signed-out`.
pub async fn get_signed_out() -> Response {
    Page::ok(SignedOutPage).into_response()
}

/// A form of the account's: of whom, and what is in it. None when nobody is signed in any more.
async fn sent(
    app: &App,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<(Session, Params)>, PageError> {
    let params = form(headers, body)?;
    let Some(session) = session::find(app, jar).await? else { return Ok(None) };
    check_origin(app, (FORM, session.csrf_anchor()), &params)?;
    Ok(Some((session, params)))
}

/// A grant of this person, live or not.
pub(super) async fn own_grant(
    app: &App,
    session: &Session,
    grant_id: &GrantId,
) -> Result<Option<Grant>, Error> {
    let grant = app.store.find_grant(grant_id).await?;
    Ok(grant.filter(|grant| grant.user_id == session.user.user_id))
}

async fn notice(app: &App, session: &Session, params: &Params) -> Result<Option<AccountNotice>, PageError> {
    if params.get("welcome")?.is_some() {
        return Ok(Some(AccountNotice::Welcome));
    }
    if let Some(raw) = params.first_or_empty("allowed") {
        let grant = own_grant(app, session, &GrantId::new(raw)).await?;
        return Ok(grant.map(|grant| AccountNotice::Allowed {
            client_name: views::client_name(&grant.client),
            used: views::server(app, &grant.resource).used,
        }));
    }
    let Some(raw) = params.first_or_empty("revoked") else { return Ok(None) };
    let grant = own_grant(app, session, &GrantId::new(raw)).await?;
    Ok(Some(match grant.filter(|grant| grant.revoked_at.is_some()) {
        Some(grant) => AccountNotice::Revoked {
            client_name: views::client_name(&grant.client),
            used: views::server(app, &grant.resource).used,
            grant_id: grant.grant_id.as_str().to_owned(),
        },
        None => AccountNotice::NothingToRevoke,
    }))
}

/// How the limits of each grant's client stand: ours, which others do not have. Nobody is kept from this page because the limits are not known.
async fn limits(app: &App, grants: &[Grant]) -> std::vec::IntoIter<Vec<LimitView>> {
    let asked = grants.iter().map(async |grant| {
        let mcp = &app.config.mcp;
        let all = [
            (Access::Read, READS, mcp.read_rate, true),
            (Access::Write, WRITES, mcp.write_rate, mcp.writes.is_on()),
        ];
        let audience = app.config.audiences().find(&grant.resource);
        let limited = matches!(audience, Some(Audience::Own { .. }));
        let ours = &app.config.own.scopes;
        let has = |access| limited && !grant.scopes.intersection(&ours.of_access(access)).is_empty();
        let own = all.into_iter().filter(|(access, .., exists)| *exists && has(*access));
        let own: Vec<_> = own.map(|(_, name, rate, _)| Limit { name, rate, counts: false }).collect();
        let (user_id, client_id) = (grant.user_id.as_str(), grant.client.client_id.as_str());
        let standings = app.ephemeral.standings(user_id, client_id, &own).await?;
        Ok::<_, EphemeralError>(
            own.iter().zip(standings).map(|(limit, now)| limit_view(limit, now)).collect(),
        )
    });
    let known = try_join_all(asked).await.inspect_err(|error| {
        tracing::warn!(detail = %error, "how limits stand is not told");
    });
    known.unwrap_or_default().into_iter()
}

fn limit_view(limit: &Limit<'_>, now: Standing) -> LimitView {
    let Rate { count, per, burst } = limit.rate;
    let rate = match per.as_secs() {
        60 => format!("{count} a minute"),
        seconds => format!("{count} in {seconds} seconds"),
    };
    let what = if limit.name == WRITES { "write" } else { "read" };
    LimitView { what, left: now.remaining, most: burst, rate }
}

fn taken_back_view(grant: &Grant) -> TakenBackView {
    TakenBackView {
        grant_id: grant.grant_id.as_str().to_owned(),
        client_name: DisplayName::of(grant.client.shown_name()),
        issuer: grant.redirect_uri.shown_host(),
        since: grant.revoked_at.map(|at| Moment::from_unix_ms(at.0)),
    }
}

fn app_view(app: &App, grant: &Grant, limits: Vec<LimitView>, activity: Vec<ActivityView>) -> AppView {
    let audience = app.config.audiences().find(&grant.resource);
    let scopes = grant.scopes.difference(&Scopes::of([OFFLINE_ACCESS]));
    let moment = |at: crate::clock::Timestamp| Moment::from_unix_ms(at.0);
    AppView {
        grant_id: grant.grant_id.as_str().to_owned(),
        client_name: DisplayName::of(grant.client.shown_name()),
        kind: views::client_kind(&grant.client),
        destination: views::destination(&grant.redirect_uri),
        server: views::server(app, &grant.resource),
        scopes: scopes.iter().map(|scope| views::scope_words_of(audience, scope)).collect(),
        created: moment(grant.created_at),
        last_used: grant.last_used_at.map(moment),
        expires: Some(moment(grant.expires_at)),
        limits,
        activity,
    }
}

/// A role as people see theirs.
pub(super) fn role_words(app: &App, role: Role) -> &'static str {
    match (role, app.config.own.has_tickets()) {
        (Role::Agent, true) => "Agent: sees every ticket",
        (Role::Requester, true) => "Requester: sees own tickets",
        (Role::Agent, false) => "Agent",
        (Role::Requester, false) => "Requester",
    }
}
