//! What a sign-in is for, and what its form is anchored to.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};

use crate::app::App;
use crate::authz::error::PageError;
use crate::authz::flow::{self, Flow, Found};
use crate::authz::pages::client_name::ClientName;
use crate::authz::pages::errors;
use crate::authz::request::Prompt;
use crate::authz::views;
use crate::clock::Timestamp;
use crate::identity::upstream::request::Wish;
use crate::web::cookies;
use crate::web::params::Params;

/// Anchors the form of a sign-in that belongs to no flow.
const ANCHOR: &str = "sign-in";
const ANCHOR_LIFETIME: Duration = Duration::from_secs(86_400);
/// The longest `login_hint` that is passed on, in bytes.
const LONGEST_HINT: usize = 256;

/// What a sign-in is for, and what its form is anchored to.
pub struct Purpose {
    flow: Option<(String, Box<Flow>)>,
    /// What proves that a form is of this browser.
    pub anchor: String,
    /// A new anchor, to go out with the answer.
    pub new_anchor: Option<Cookie<'static>>,
}

impl Purpose {
    /// The id of the parked authorization request to go on with.
    pub fn flow(&self) -> Option<&str> {
        self.flow.as_ref().map(|(id, _)| id.as_str())
    }

    /// When that request came.
    pub fn begun_at(&self) -> Option<Timestamp> {
        self.flow.as_ref().map(|(_, flow)| flow.begun_at)
    }

    /// The client that waits.
    pub fn client_name(&self) -> Option<ClientName> {
        self.flow.as_ref().map(|(_, flow)| views::client_name(&flow.client))
    }

    /// What the waiting client asks of the sign-in, in the words of a provider. What it asks wrongly is not asked; it is
    /// told of that later.
    pub fn wish(&self, switching: bool) -> Wish {
        let mut wish = Wish { switching, ..Wish::default() };
        let Some((id, flow)) = &self.flow else { return wish };
        wish.flow = Some(id.clone());
        let Ok(params) = Params::parse(flow.query.as_bytes()) else { return wish };
        let prompt = Prompt::parse(&params).unwrap_or_default();
        wish.anew_since = prompt.login.then_some(flow.begun_at);
        wish.max_age = prompt.max_age.map(u64::from);
        let hint = params.get("login_hint").ok().flatten();
        wish.login_hint = hint.filter(|hint| hint.len() <= LONGEST_HINT).map(str::to_owned);
        wish
    }
}

/// Finds out what the sign-in is for. A flow that is gone or belongs elsewhere is said at once: signing in would
/// lead nowhere.
pub async fn find(app: &App, jar: &CookieJar, id: Option<&str>) -> Result<Purpose, PageError> {
    let Some(id) = id else { return Ok(of_no_flow(app, jar)) };
    match flow::find(app, id, jar).await? {
        Found::Here { flow, anchor } => {
            Ok(Purpose { flow: Some((id.to_owned(), flow)), anchor, new_anchor: None })
        }
        Found::Elsewhere => Err(errors::other_browser().into()),
        Found::Gone => Err(errors::request_expired().into()),
    }
}

fn of_no_flow(app: &App, jar: &CookieJar) -> Purpose {
    let kept = jar.get(&cookies::name(&app.config.public_url, ANCHOR)).map(|c| c.value().to_owned());
    if let Some(anchor) = kept.filter(|anchor| anchor.len() == 43) {
        return Purpose { flow: None, anchor, new_anchor: None };
    }
    let anchor = app.random.token();
    let cookie = cookies::make(&app.config.public_url, ANCHOR, anchor.clone(), ANCHOR_LIFETIME);
    Purpose { flow: None, anchor, new_anchor: Some(cookie) }
}
