//! `/account/apps/{grant_id}/activity`: what a connected app did on the user's behalf, and what it was refused.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use axum_extra::extract::cookie::CookieJar;

use super::account::{FORM, own_grant, role_words};
use super::callback::redirect;
use super::error::PageResult;
use super::pages::activity::{ActivityPage, ActivityView};
use super::pages::deed_words::{done_words, particulars, refusal_words, ticket, tried_words};
use super::views;
use crate::app::App;
use crate::audit::Outcome;
use crate::identity::{csrf, session};
use crate::oauth::GrantId;
use crate::storage;
use crate::storage::audit::AuditRow;
use crate::storage::grants::Grant;
use crate::web::moment::Moment;
use crate::web::page::{ErrorPage, Page};
use crate::web::params::Params;

/// How many events are on a page.
const PAGE: usize = 20;

/// Shows one page of one of this person's grants, ended or not; of another's there is none.
pub async fn get(
    State(app): State<Arc<App>>,
    Path(grant_id): Path<String>,
    jar: CookieJar,
    RawQuery(query): RawQuery,
) -> PageResult {
    let Some(session) = session::find(&app, &jar).await? else { return Ok(redirect("/login")) };
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    // Not every database can be asked for a NUL.
    let grant_id = Some(grant_id).filter(|id| !id.contains('\0')).map(GrantId::new);
    let grant = match &grant_id {
        Some(grant_id) => own_grant(&app, &session, grant_id).await?,
        None => None,
    };
    let Some(grant) = grant else { return Err(ErrorPage::not_found().into()) };
    let before = params.get("before")?.map(str::parse).transpose();
    let before: Option<i64> =
        before.map_err(|_| ErrorPage::bad_request("The address of this page is not whole."))?;
    let mut events = list(&app, &grant, before, PAGE + 1).await?;
    let has_more = events.len() > PAGE;
    events.truncate(PAGE);
    let older = events.last().map(|event| event.seq).filter(|_| has_more);
    let page = ActivityPage {
        username: session.user.username.clone(),
        role: role_words(&app, session.user.role).to_owned(),
        csrf: csrf::token(&app, FORM, session.csrf_anchor())?,
        grant_id: grant.grant_id.as_str().to_owned(),
        client_name: views::client_name(&grant.client),
        created: Moment::from_unix_ms(grant.created_at.0),
        is_live: grant.is_live(app.now()),
        events: events.iter().map(|event| view(&app, event)).collect(),
        is_newest: before.is_none(),
        older,
    };
    Ok(Page::ok(page).into_response())
}

/// The newest events of a grant before a number.
pub(super) async fn list(
    app: &App,
    grant: &Grant,
    before: Option<i64>,
    limit: usize,
) -> storage::Result<Vec<AuditRow>> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    app.store.list_activity(&grant.user_id, &grant.grant_id, before, limit).await
}

/// An event in words. A call that was repeated under its key is one event: nothing was done again.
pub(super) fn view(app: &App, event: &AuditRow) -> ActivityView {
    let (tool, arguments, detail) =
        (event.tool.as_deref(), event.arguments.as_deref(), event.detail.as_deref());
    let is_refused = event.outcome != Outcome::Done.as_str();
    let answer = detail.filter(|_| !is_refused);
    let ticket = ticket(arguments, answer);
    let used = app.config.own.used();
    ActivityView {
        at: Moment::from_unix_ms(event.at.0),
        deed: if is_refused {
            tried_words((tool, used), ticket.as_deref())
        } else {
            done_words((tool, used), ticket.as_deref(), answer)
        },
        particulars: particulars(arguments),
        refusal: is_refused.then(|| refusal_words(detail)),
    }
}
