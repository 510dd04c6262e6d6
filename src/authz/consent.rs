//! `GET` and `POST /consent/{id}`: a person decides, for this one authorization.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use http::{HeaderMap, StatusCode};
use tracing::Instrument as _;

use super::answer::{self, Answered};
use super::authorize::{callback, judge, login_required, signed_in};
use super::body::{Typed, check_origin, form};
use super::callback::{Callback, redirect};
use super::error::{AuthorizeError, PageError, PageResult};
use super::flow::{self, Flow, Found};
use super::pages::connected::ConnectedPage;
use super::pages::consent::{ClientView, ConsentPage, ConsentProblem, ScopeStanding, ScopeView};
use super::pages::errors;
use super::request::{Negotiated, Prompt};
use super::views;
use crate::app::App;
use crate::identity::csrf;
use crate::identity::session::{self, Session};
use crate::oauth::client::Client;
use crate::oauth::error::{Error, access_denied, server_error};
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::oauth::{ErrorCode, Scopes};
use crate::storage::grants::Grant;
use crate::telemetry;
use crate::web::moment::Moment;
use crate::web::page::{ErrorPage, Page};
use crate::web::params::Params;
use crate::web::text::HttpsLink;

/// How long a second click waits for the first one's answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What stands behind the page: a flow of this browser, a person, and what may be asked of them.
struct Asking {
    flow: Box<Flow>,
    anchor: String,
    session: Session,
    callback: Callback,
    negotiated: Negotiated,
    granted_before: Scopes,
}

/// Shows the page. Loading it twice changes nothing.
pub async fn get(State(app): State<Arc<App>>, jar: CookieJar, Path(id): Path<String>) -> PageResult {
    match asking(&app, &jar, &id).await {
        Ok(asking) => show(&app, &id, &asking, None, StatusCode::OK),
        Err(Elsewhere::Answer(response)) => Ok(response),
        Err(Elsewhere::Page(error)) => Err(error),
    }
}

/// Takes the decision. Clicking twice gives the same answer twice.
pub async fn post(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    Path(id): Path<String>,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let params = form(&headers, &body)?;
    let asking = match asking(&app, &jar, &id).await {
        Ok(asking) => asking,
        Err(Elsewhere::Answer(response)) => return Ok(response),
        Err(Elsewhere::Page(error)) => return Err(error),
    };
    check_origin(&app, (&form_name(&id, &asking.session), &asking.anchor), &params)?;
    let allow = match params.get("decision")? {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(ErrorPage::bad_request("Choose Allow or Deny.").into()),
    };
    let ticked = ticked(&asking.negotiated.scopes, &params);
    if allow && ticked.is_empty() {
        let problem = Some(ConsentProblem::NothingTicked);
        return show(&app, &id, &asking, problem, StatusCode::UNPROCESSABLE_ENTITY);
    }
    if !answer::claim(&app, &id).await? {
        return Ok(answer_of_the_first_click(&app, &id).await?);
    }
    let decision = allow.then_some(ticked);
    telemetry::note("mandate.client.kind", asking.flow.client.kind.as_str());
    telemetry::note("mandate.outcome", if allow { "allowed" } else { "denied" });
    let deciding = {
        let (app, id) = (app.clone(), id.clone());
        // A browser that goes away must not leave a decision half made.
        app.tasks.clone().spawn(async move { decide(&app, &id, &asking, decision).await }.in_current_span())
    };
    let location =
        deciding.await.map_err(|error| server_error("the server made an error").detail(error))??;
    let cookie = flow::cookie_for_a_while(&app, &id, &jar);
    Ok((cookie.into_iter().fold(CookieJar::new(), CookieJar::add), redirect(&location)).into_response())
}

/// `prompt=none`: answers without asking, where that is safe. Never for a client whose identity cannot be proven
/// (OAuth 2.1 §7.3.1), nor beyond what this user granted the very same client before.
pub async fn silently(
    app: &App,
    client: &Client,
    callback: &Callback,
    negotiated: Negotiated,
    session: Option<Session>,
) -> Result<Response, AuthorizeError> {
    let back = |error| AuthorizeError::Back(callback.clone(), error);
    let session = session.ok_or_else(|| back(login_required()))?;
    let grants = app.store.list_live_grants(&session.user.user_id, app.now()).await?;
    let covered = grants.iter().any(|grant| {
        grant.client.client_id == client.client_id
            && grant.resource == negotiated.resource
            && grant.client.metadata == client.metadata
            && negotiated.scopes.is_subset(&grant.scopes)
    });
    if !covered || !answer::is_proven(client, callback.redirect_uri()) {
        let consent = Error::new(ErrorCode::ConsentRequired, "the user must be asked");
        return Err(back(consent));
    }
    let scopes = negotiated.scopes.clone();
    let (code, _) = answer::issue_code(app, client, callback, &negotiated, &session, &scopes).await?;
    Ok(callback.code(&code))
}

/// Why there is nothing to ask.
enum Elsewhere {
    Answer(Response),
    Page(PageError),
}

impl<E: Into<PageError>> From<E> for Elsewhere {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

/// Finds flow, person and request; whatever is missing decides where the browser goes instead.
async fn asking(app: &App, jar: &CookieJar, id: &str) -> Result<Asking, Elsewhere> {
    let (flow, anchor) = match flow::find(app, id, jar).await? {
        Found::Here { flow, anchor } => (flow, anchor),
        Found::Elsewhere => return Err(errors::other_browser().into()),
        Found::Gone => return Err(Elsewhere::Answer(answered(app, id, jar).await?)),
    };
    let params = Params::parse(flow.query.as_bytes())?;
    let prompt = Prompt::parse(&params).unwrap_or_default();
    let session = match session::find(app, jar).await? {
        Some(session) if signed_in(Some(&session), prompt, flow.begun_at) => session,
        _ => return Err(Elsewhere::Answer(redirect(&format!("/login?flow={id}")))),
    };
    let callback = callback(app, &flow.client, &params)?;
    match judge(app, &flow.client, &callback, &params).await {
        Ok(negotiated) => {
            let granted_before = granted_before(app, &session, &flow.client, &negotiated).await?;
            Ok(Asking { flow, anchor, session, callback, negotiated, granted_before })
        }
        Err(error) => {
            flow::end(app, id).await?;
            Err(Elsewhere::Answer(callback.error(&error)))
        }
    }
}

/// What a flow that is gone was answered with, if this browser knows its cookie and it is not long ago.
async fn answered(app: &App, id: &str, jar: &CookieJar) -> PageResult {
    let expired = || PageError::from(errors::request_expired());
    let anchor = flow::anchor(app, id, jar).ok_or_else(expired)?;
    match answer::find(app, id, &anchor).await? {
        Some(Answered::Again(location)) => Ok(redirect(&location)),
        Some(Answered::Connected(client_name)) => Ok(Page::ok(ConnectedPage { client_name }).into_response()),
        None => Err(expired()),
    }
}

async fn answer_of_the_first_click(app: &App, id: &str) -> Result<Response, Error> {
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if let Some(location) = answer::find_location(app, id).await? {
            return Ok(redirect(&location));
        }
        tokio::time::sleep(step).await;
        waited += step;
    }
    Ok(redirect(&format!("/consent/{id}")))
}

/// Makes the decision and remembers it; where it fails nothing was decided, and the person may click again.
async fn decide(app: &App, id: &str, asking: &Asking, allowed: Option<Scopes>) -> Result<String, Error> {
    let decided = make_decision(app, id, asking, allowed).await;
    if decided.is_err() {
        answer::release(app, id).await?;
    }
    decided
}

async fn make_decision(
    app: &App,
    id: &str,
    asking: &Asking,
    allowed: Option<Scopes>,
) -> Result<String, Error> {
    let Asking { flow, session, callback, negotiated, .. } = asking;
    let (location, code) = match allowed {
        None => {
            answer::record_denial(app, &flow.client, session).await?;
            app.metrics.consent_denied();
            (callback.error_address(&access_denied("the user said no")), None)
        }
        Some(scopes) => {
            let (code, hash) =
                answer::issue_code(app, &flow.client, callback, negotiated, session, &scopes).await?;
            app.metrics.consent_allowed();
            (callback.code_location(&code), Some(hash))
        }
    };
    answer::remember(app, id, flow, &location, code).await?;
    flow::end(app, id).await?;
    Ok(location)
}

/// The scopes that were ticked among those asked for. `offline_access` has no box of its own: it adds nothing to
/// what every grant has, so it goes along with whatever is allowed.
fn ticked(asked: &Scopes, params: &Params) -> Scopes {
    let boxes: BTreeSet<&str> = params.all("scope").collect();
    let along = asked.intersection(&Scopes::of([OFFLINE_ACCESS]));
    let ticked = Scopes::of(boxes).intersection(&asked.difference(&along));
    if ticked.is_empty() { ticked } else { ticked.union(&along) }
}

async fn granted_before(
    app: &App,
    session: &Session,
    client: &Client,
    negotiated: &Negotiated,
) -> Result<Scopes, Error> {
    let grants = app.store.list_live_grants(&session.user.user_id, app.now()).await?;
    let same =
        |grant: &&Grant| grant.client.client_id == client.client_id && grant.resource == negotiated.resource;
    Ok(grants.iter().filter(same).fold(Scopes::default(), |all, grant| all.union(&grant.scopes)))
}

/// The form belongs to the flow's own cookie and to the person it was shown to: a sign-in in another tab does not
/// spoil it, and somebody else's sign-in does.
fn form_name(id: &str, session: &Session) -> String {
    format!("consent {id} {}", session.user.user_id)
}

fn show(
    app: &App,
    id: &str,
    asking: &Asking,
    problem: Option<ConsentProblem>,
    status: StatusCode,
) -> PageResult {
    let Asking { flow, anchor, session, callback, negotiated, granted_before } = asking;
    let audience = app.config.audiences().find(&negotiated.resource);
    let asked = negotiated.scopes.difference(&Scopes::of([OFFLINE_ACCESS]));
    let scopes = asked.iter().map(|scope| ScopeView {
        name: scope.to_owned(),
        words: views::scope_words_of(audience, scope),
        standing: standing(granted_before, scope),
        checked: problem.is_none(),
    });
    let page = ConsentPage {
        id: id.to_owned(),
        csrf: csrf::token(app, &form_name(id, session), anchor)?,
        username: session.user.username.clone(),
        client: ClientView {
            name: views::client_name(&flow.client),
            kind: views::client_kind(&flow.client),
            client_uri: flow.client.metadata.client_uri.as_deref().and_then(HttpsLink::parse),
        },
        destination: views::destination(callback.redirect_uri()),
        server: views::server(app, &negotiated.resource),
        scopes: scopes.collect(),
        access_until: Some(Moment::from_unix_ms(app.now().plus(app.config.tokens.grant_lifetime).0)),
        problem,
    };
    Ok(Page(status, page).into_response())
}

fn standing(granted_before: &Scopes, scope: &str) -> ScopeStanding {
    if granted_before.is_empty() {
        ScopeStanding::First
    } else if granted_before.contains(scope) {
        ScopeStanding::GrantedBefore
    } else {
        ScopeStanding::New
    }
}
