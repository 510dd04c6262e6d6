//! `GET` and `POST /login`: the sign-in page.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::body::{Typed, check_origin, form};
use super::callback::redirect;
use super::error::PageResult;
use super::pages::login::{LoginPage, LoginProblem, WayIn};
use super::sign_in::only_way;
use super::sign_in::purpose::{self, Purpose};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::ephemeral::whole_seconds;
use crate::identity::password::Password;
use crate::identity::throttle::Verdict;
use crate::identity::{csrf, session, throttle};
use crate::oauth::error::Error;
use crate::storage::users::User;
use crate::storage::{self, audit, commit, undo, users};
use crate::telemetry::metrics::Credential;
use crate::web::address::ClientAddress;
use crate::web::cookies;
use crate::web::page::{ErrorPage, Page};
use crate::web::params::Params;
use crate::web::text::DisplayName;

/// Tells that an account has signed in in this browser before.
const KNOWN: &str = "known";
const KNOWN_LIFETIME: Duration = Duration::from_secs(180 * 86_400);
/// The longest username that is looked up, in bytes.
const MAX_USERNAME: usize = 256;

/// Shows the page. Somebody who is signed in and came for no app goes to their account, unless they want to switch; and
/// where there is one way to sign in, and nothing to say first, they go that way.
pub async fn get(State(app): State<Arc<App>>, jar: CookieJar, RawQuery(query): RawQuery) -> PageResult {
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    let purpose = purpose::find(&app, &jar, params.get("flow")?).await?;
    let switching = params.get("switch")?.is_some();
    if purpose.flow().is_none() && !switching && session::find(&app, &jar).await?.is_some() {
        return Ok(redirect("/account"));
    }
    if let Some(provider) = only_way(&app)
        && !switching
        && params.get("stay")?.is_none()
    {
        let query = purpose.flow().map(|id| format!("?flow={id}")).unwrap_or_default();
        return Ok(redirect(&format!("/login/{}{query}", provider.name)));
    }
    show(&app, purpose, switching, Shown::default())
}

/// Checks name and password, and signs in.
pub async fn post(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    address: ClientAddress,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let params = form(&headers, &body)?;
    if !app.config.sign_in.local_accounts {
        return Err(ErrorPage::bad_request("Nobody signs in here with a password.").into());
    }
    let purpose = purpose::find(&app, &jar, params.get("flow")?).await?;
    check_origin(&app, ("login", &purpose.anchor), &params)?;
    let username = params.get("username")?.unwrap_or_default().to_owned();
    let password = params.get("password")?.unwrap_or_default();
    match sign_in(&app, &jar, &username, password, &address.0).await? {
        Attempt::Right(user) => {
            if let Some(response) = welcome(&app, &jar, &user, &purpose).await? {
                return Ok(response);
            }
            show(&app, purpose, false, Shown::refused(username, LoginProblem::WrongCredentials))
        }
        Attempt::Wrong(problem) => {
            app.metrics.authentication_failed(Credential::Password, problem.word());
            show(&app, purpose, false, Shown::refused(username, problem))
        }
    }
}

enum Attempt {
    Right(Box<User>),
    Wrong(LoginProblem),
}

async fn sign_in(
    app: &Arc<App>,
    jar: &CookieJar,
    username: &str,
    password: &str,
    address: &str,
) -> Result<Attempt, Error> {
    let (Some(password), true) = (Password::claimed(password), username.len() <= MAX_USERNAME) else {
        return Ok(Attempt::Wrong(LoginProblem::WrongCredentials));
    };
    let mark = jar.get(&cookies::name(&app.config.public_url, KNOWN)).map(Cookie::value).unwrap_or_default();
    let origin = throttle::origin(app, mark, username, address)?;
    if let Verdict::Wait(wait) = throttle::check(app, username, &origin).await? {
        return Ok(Attempt::Wrong(LoginProblem::TooManyTries { wait_seconds: whole_seconds(wait) }));
    }
    let user = app.store.find_user_by_name(username).await?;
    let right = password.matches(user.as_ref().map(|user| user.password_hash.clone())).await?;
    let attempt = match user {
        Some(user) if right && user.disabled_at.is_some() => {
            record_later(app, &user, "the account is disabled");
            Attempt::Wrong(LoginProblem::AccountDisabled)
        }
        Some(user) if right => {
            throttle::forgive(app, username, &origin).await?;
            Attempt::Right(Box::new(user))
        }
        Some(user) => {
            record_later(app, &user, "wrong password");
            Attempt::Wrong(LoginProblem::WrongCredentials)
        }
        None => Attempt::Wrong(LoginProblem::WrongCredentials),
    };
    Ok(attempt)
}

/// Records a refusal after it was answered: a write that only known users cause would tell by its time which
/// names exist.
fn record_later(app: &Arc<App>, user: &User, why: &'static str) {
    let event = Event::new(Kind::SignIn, Outcome::Refused).user(&user.user_id).detail(why);
    let writer = app.clone();
    app.tasks.spawn(async move {
        if let Err(error) = record(&writer, &event).await {
            tracing::error!(%error, "a refused sign-in was not recorded");
        }
    });
}

async fn record(app: &App, event: &Event) -> storage::Result<()> {
    let mut tx = app.store.write().await?;
    audit::record(&mut tx, app.now(), event);
    commit(tx).await
}

/// Signs in. `None` when the password was changed or the account disabled since it was checked.
async fn welcome(
    app: &App,
    jar: &CookieJar,
    user: &User,
    purpose: &Purpose,
) -> Result<Option<Response>, Error> {
    let mut tx = app.store.write().await?;
    if !users::confirm(&mut tx, user).await? {
        undo(tx).await?;
        return Ok(None);
    }
    let cookie =
        session::begin(app, &mut tx, jar, user, session::just_now(app, purpose.begun_at()), None).await?;
    let event = Event::new(Kind::SignIn, Outcome::Done).user(&user.user_id);
    audit::record(&mut tx, app.now(), &event);
    commit(tx).await?;
    let mark = throttle::known_browser_mark(app, &user.username)?;
    let known = cookies::make(&app.config.public_url, KNOWN, mark, KNOWN_LIFETIME);
    let next = match purpose.flow() {
        Some(id) => format!("/consent/{id}"),
        None => "/account".to_owned(),
    };
    Ok(Some((CookieJar::new().add(cookie).add(known), redirect(&next)).into_response()))
}

/// What the page tells of the last try.
#[derive(Default)]
struct Shown {
    username: String,
    problem: Option<LoginProblem>,
}

impl Shown {
    fn refused(username: String, problem: LoginProblem) -> Self {
        Self { username, problem: Some(problem) }
    }

    fn status(&self) -> StatusCode {
        match self.problem {
            None => StatusCode::OK,
            Some(LoginProblem::TooManyTries { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

fn show(app: &App, purpose: Purpose, switching: bool, shown: Shown) -> PageResult {
    let csrf = csrf::token(app, "login", &purpose.anchor)?;
    let status = shown.status();
    let Shown { username, problem } = shown;
    let ways = app.config.providers.values();
    let page = LoginPage {
        csrf,
        flow: purpose.flow().map(str::to_owned),
        username,
        problem,
        client_name: purpose.client_name(),
        ways: ways.map(|way| WayIn { name: way.name.clone(), title: DisplayName::of(&way.title) }).collect(),
        local_accounts: app.config.sign_in.local_accounts,
        switching,
        contact: app.config.sign_in.contact.clone(),
    };
    let jar = purpose.new_anchor.into_iter().fold(CookieJar::new(), CookieJar::add);
    let mut response = (jar, Page(status, page)).into_response();
    if let Some(LoginProblem::TooManyTries { wait_seconds }) = problem {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_seconds));
    }
    Ok(response)
}
