//! What one connected app did for its user.

use askama::Template;

use super::client_name::ClientName;
use super::deed_words::Particular;
use crate::web::moment::Moment;

/// `GET /account/apps/{grant_id}/activity`.
///
/// Its form posts `csrf` to `/logout`.
#[derive(Debug, Template)]
#[template(path = "activity.html")]
pub struct ActivityPage {
    /// Who is signed in.
    pub username: String,
    /// The user's role, in words.
    pub role: String,
    /// The form's proof of origin.
    pub csrf: String,
    /// The grant.
    pub grant_id: String,
    /// The client.
    pub client_name: ClientName,
    /// When it was granted.
    pub created: Moment,
    /// Whether it can still act.
    pub is_live: bool,
    /// What it did, newest first: one page of it.
    pub events: Vec<ActivityView>,
    /// Whether this is the page with the newest.
    pub is_newest: bool,
    /// Where the next page begins, if there is one.
    pub older: Option<i64>,
}

/// One event of the audit log that concerns this user.
#[derive(Debug)]
pub struct ActivityView {
    /// When it happened.
    pub at: Moment,
    /// What it did, in words: `Closed ticket T-12`.
    pub deed: String,
    /// With what.
    pub particulars: Vec<Particular>,
    /// Why it was refused, where it was.
    pub refusal: Option<String>,
}
