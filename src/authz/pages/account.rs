//! Connected apps: what a user has granted, what was done with it, and how to take it back.

use askama::Template;

use super::activity::ActivityView;
use super::client_name::ClientName;
use super::consent::{ClientKind, Destination};
use super::scope_words::ScopeWords;
use super::server::ServerView;
use crate::web::moment::Moment;
use crate::web::text::DisplayName;

/// `GET /account`.
///
/// Its forms post `csrf` and `grant_id` to `/account/revoke` and `/account/allow`, and `csrf` to `/logout`.
#[derive(Debug, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// Who is signed in.
    pub username: String,
    /// The user's role, in words.
    pub role: String,
    /// The forms' proof of origin.
    pub csrf: String,
    /// What has just been done.
    pub notice: Option<AccountNotice>,
    /// The live grants, newest first.
    pub apps: Vec<AppView>,
    /// The clients of other issuers that the user took access from, latest first.
    pub taken_back: Vec<TakenBackView>,
    /// The address that an MCP client is given, where it is clear which.
    pub mcp_url: Option<String>,
}

/// What has just been done, said at the top of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountNotice {
    /// A grant was revoked.
    Revoked {
        /// The client.
        client_name: ClientName,
        /// What the client used, after "to use".
        used: String,
        /// The grant, whose activity can still be read.
        grant_id: String,
    },
    /// The grant was revoked earlier, or is not this user's.
    NothingToRevoke,
    /// A client of another issuer is let in again.
    Allowed {
        /// The client.
        client_name: ClientName,
        /// What the client may use again, after "to use".
        used: String,
    },
    /// The first account has been made and signed in.
    Welcome,
}

/// A client of another issuer that is kept out until its user lets it in again: it needs no consent here.
#[derive(Debug)]
pub struct TakenBackView {
    /// The grant that was taken back.
    pub grant_id: String,
    /// The client's name.
    pub client_name: DisplayName,
    /// The host of its issuer.
    pub issuer: String,
    /// Since when.
    pub since: Option<Moment>,
}

/// One grant.
#[derive(Debug)]
pub struct AppView {
    /// The grant.
    pub grant_id: String,
    /// The name that the client gave itself.
    pub client_name: DisplayName,
    /// What is known beyond that name.
    pub kind: ClientKind,
    /// Where its authorization code went.
    pub destination: Destination,
    /// Where it may do it.
    pub server: ServerView,
    /// What it may do.
    pub scopes: Vec<ScopeWords>,
    /// When it was granted.
    pub created: Moment,
    /// When it was last used.
    pub last_used: Option<Moment>,
    /// When it ends by itself.
    pub expires: Option<Moment>,
    /// How often it may call, and what is left of that now; empty when nobody knows at the moment.
    pub limits: Vec<LimitView>,
    /// What it did last, newest first.
    pub activity: Vec<ActivityView>,
}

/// A limit of one app.
#[derive(Debug)]
pub struct LimitView {
    /// What it limits, after "Can": `read`.
    pub what: &'static str,
    /// How many calls may be made at once now.
    pub left: u32,
    /// How many at most.
    pub most: u32,
    /// How fast they grow back: `120 a minute`.
    pub rate: String,
}
