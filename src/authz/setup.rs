//! `GET` and `POST /setup`: the one-time link that makes the first account.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use http::{HeaderMap, StatusCode};

use super::body::{Typed, check_origin, form};
use super::callback::redirect;
use super::error::{PageError, PageResult};
use super::pages::setup::{SetupPage, SetupProblems};
use crate::app::App;
use crate::identity::account::{self, Username};
use crate::identity::password::{MIN_CHARACTERS, Password};
use crate::identity::{csrf, session};
use crate::oauth::error::Error;
use crate::oauth::secret::SetupToken;
use crate::storage::leases::{self, Work};
use crate::storage::users::{Recorded, Role};
use crate::storage::{commit, setup_links, users};
use crate::web::page::{ErrorPage, Page};
use crate::web::params::Params;

/// How long a link can be used.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Makes a new link and ends every earlier one.
pub async fn issue_link(app: &App) -> Result<String, Error> {
    let (token, now) = (SetupToken::issue(&app.random), app.now());
    let mut tx = app.store.write_patiently().await?;
    leases::hold(&mut tx, Work::FirstAccount).await?;
    setup_links::record(&mut tx, &token.hash(), now, now.plus(LIFETIME)).await?;
    commit(tx).await?;
    Ok(app.config.public_url.join(&format!("/setup?token={}", token.reveal())))
}

/// Shows the form while the link is good.
pub async fn get(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> PageResult {
    let params = Params::parse(query.unwrap_or_default().as_bytes())?;
    let token = live_token(&app, &params).await?;
    show(&app, &token, String::new(), SetupProblems::default())
}

/// Makes the account and signs in with it.
pub async fn post(
    State(app): State<Arc<App>>,
    jar: CookieJar,
    headers: HeaderMap,
    Typed(body): Typed,
) -> PageResult {
    let params = form(&headers, &body)?;
    let token = live_token(&app, &params).await?;
    check_origin(&app, ("setup", token.reveal()), &params)?;
    let typed = params.get("username")?.unwrap_or_default().to_owned();
    let (name, password) = match chosen(&params)? {
        Ok(chosen) => chosen,
        Err(problems) => return show(&app, &token, typed, problems),
    };
    let user = account::prepare(&app, &name, password, Role::Agent).await?;
    let mut tx = app.store.write().await?;
    // One at a time on any replica: of two good links, one makes the first account.
    leases::hold(&mut tx, Work::FirstAccount).await?;
    if !setup_links::redeem(&mut tx, &token.hash(), app.now()).await? {
        return Err(used_up().into());
    }
    // A link that was printed before somebody made an account by hand is not good for a second one.
    if users::exists(&mut tx).await? || account::record(&app, &mut tx, &user).await? == Recorded::Taken {
        return Err(used_up().into());
    }
    let cookie = session::begin(&app, &mut tx, &jar, &user, session::just_now(&app, None), None).await?;
    commit(tx).await?;
    Ok((CookieJar::new().add(cookie), redirect("/account?welcome=1")).into_response())
}

async fn live_token(app: &App, params: &Params) -> Result<SetupToken, PageError> {
    let token = params.get("token")?.and_then(SetupToken::presented).ok_or_else(used_up)?;
    if app.store.is_setup_link_live(&token.hash(), app.now()).await? && app.store.has_no_users().await? {
        Ok(token)
    } else {
        Err(used_up().into())
    }
}

fn chosen(params: &Params) -> Result<Result<(Username, Password), SetupProblems>, Error> {
    let sentence = |text: String| format!("{}{}.", text[..1].to_uppercase(), &text[1..]);
    let name = Username::parse(params.get("username")?.unwrap_or_default());
    let typed = params.get("password")?.unwrap_or_default();
    let again = params.get("password_again")?.unwrap_or_default();
    let password = Password::chosen(typed);
    let problems = SetupProblems {
        username: name.as_ref().err().map(|error| sentence(error.to_string())),
        password: password.as_ref().err().map(|error| sentence(error.to_string())),
        password_again: (typed != again)
            .then(|| "The two passwords differ. Type the same one twice.".to_owned()),
    };
    Ok(match (name, password) {
        (Ok(name), Ok(password)) if problems.count() == 0 => Ok((name, password)),
        _ => Err(problems),
    })
}

fn show(app: &App, token: &SetupToken, username: String, problems: SetupProblems) -> PageResult {
    let status = if problems.count() == 0 { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = SetupPage {
        csrf: csrf::token(app, "setup", token.reveal())?,
        token: token.reveal().to_owned(),
        username,
        password_min: MIN_CHARACTERS,
        has_tickets: app.config.own.has_tickets(),
        problems,
    };
    Ok(Page(status, page).into_response() as Response)
}

fn used_up() -> ErrorPage {
    ErrorPage::new(
        StatusCode::GONE,
        "This link does not work any more",
        "A setup link works once, for one hour, and only the newest one.",
        "If there is no account yet, restart the server: it prints a new link. Otherwise sign in.",
    )
}
