//! `GET /login/{provider}/callback`: somebody comes back from a provider. Whoever they are there, they have an account here
//! or are told whom to ask; and what a client may do is asked on the next page, as it is of everybody.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar};

use super::{provider, stopped};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::authz::callback::redirect;
use crate::authz::error::PageResult;
use crate::config::providers::Provider;
use crate::identity::linking::{self, Nobody, Resolved, Said};
use crate::identity::session;
use crate::identity::upstream::Trouble;
use crate::identity::upstream::answer::{Answer, Person, Return, Stopped, receive};
use crate::oauth::error::Error;
use crate::storage::identities::Identity;
use crate::storage::sessions::Vouched;
use crate::storage::users::User;
use crate::storage::{audit, commit, undo, users};
use crate::telemetry;
use crate::telemetry::metrics::Credential;
use crate::web::address::ClientAddress;
use crate::web::params::Params;
use crate::web::reference;

/// Ends a sign-in.
pub async fn get(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    address: ClientAddress,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> PageResult {
    let provider = provider(&app, &name)?;
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    match receive(&app, provider, &jar, &params, &address.0).await? {
        Answer::Return(back) => {
            let Return { flow, outcome, cookie } = *back;
            let response = match outcome {
                Ok(person) => admit(&app, provider, &jar, flow.as_deref(), &person).await?,
                Err(why) => refuse(&app, provider, flow.as_deref(), why).await?,
            };
            Ok((CookieJar::new().add(cookie), response).into_response())
        }
        // No event: anybody can bring a made-up state.
        Answer::Elsewhere => {
            app.metrics.authentication_failed(Credential::Provider, "other_browser");
            Ok(stopped::of_another_browser())
        }
        Answer::Gone => {
            app.metrics.authentication_failed(Credential::Provider, "no_such_state");
            Ok(stopped::over())
        }
    }
}

/// Signs somebody in who has an account.
async fn admit(
    app: &App,
    provider: &Provider,
    jar: &CookieJar,
    flow: Option<&str>,
    person: &Person,
) -> Result<Response, Error> {
    let identity = Identity { issuer: provider.issuer.clone(), subject: person.subject.clone() };
    let said = Said { identity: &identity, issuer_name: &provider.name, claims: &person.claims };
    let user = match linking::resolve(app, &provider.accounts, said).await? {
        Resolved::Account(user) => user,
        Resolved::Nobody(why) => return turn_away(app, provider, flow, why).await,
    };
    let Some(cookie) = begin_session(app, provider, jar, &user, person).await? else {
        return turn_away(app, provider, flow, Nobody::Disabled).await;
    };
    telemetry::note("mandate.outcome", "signed_in");
    let next = flow.map_or_else(|| "/account".to_owned(), |id| format!("/consent/{id}"));
    Ok((CookieJar::new().add(cookie), redirect(&next)).into_response())
}

/// Begins a session. `None` when the account was disabled a moment ago.
async fn begin_session(
    app: &App,
    provider: &Provider,
    jar: &CookieJar,
    user: &User,
    person: &Person,
) -> Result<Option<Cookie<'static>>, Error> {
    let vouched =
        Vouched { issuer: provider.issuer.clone(), subject: person.subject.clone(), sid: person.sid.clone() };
    let mut tx = app.store.write().await?;
    if !users::confirm(&mut tx, user).await? {
        undo(tx).await?;
        return Ok(None);
    }
    let authentication = person.authentication.clone();
    let cookie = session::begin(app, &mut tx, jar, user, authentication, Some(vouched)).await?;
    let event = Event::new(Kind::SignIn, Outcome::Done).user(&user.user_id);
    audit::record(&mut tx, app.now(), &event.detail(format!("at {}", provider.name)));
    commit(tx).await?;
    Ok(Some(cookie))
}

async fn turn_away(
    app: &App,
    provider: &Provider,
    flow: Option<&str>,
    why: Nobody,
) -> Result<Response, Error> {
    note_refusal(app, provider, why.word()).await?;
    tracing::info!(provider = provider.name, reason = why.word(), "a sign-in is refused");
    Ok(stopped::by_us(app, provider, flow, why))
}

async fn refuse(app: &App, provider: &Provider, flow: Option<&str>, why: Stopped) -> Result<Response, Error> {
    match why {
        Stopped::Declined(detail) => {
            note_refusal(app, provider, "declined").await?;
            tracing::info!(provider = provider.name, detail, "a provider let somebody not in");
            Ok(stopped::declined(provider, flow))
        }
        Stopped::Trouble(Trouble::Ours(error)) => Err(error),
        Stopped::Trouble(trouble) => {
            note_refusal(app, provider, trouble.word()).await?;
            Ok(stopped::by_trouble(app, provider, flow, &trouble))
        }
    }
}

async fn note_refusal(app: &App, provider: &Provider, word: &'static str) -> Result<(), Error> {
    telemetry::note("mandate.outcome", word);
    app.metrics.authentication_failed(Credential::Provider, word);
    let mut event =
        Event::new(Kind::SignIn, Outcome::Refused).detail(format!("at {}: {word}", provider.name));
    event.reference = Some(reference::current());
    let mut tx = app.store.write().await?;
    audit::record(&mut tx, app.now(), &event);
    Ok(commit(tx).await?)
}
