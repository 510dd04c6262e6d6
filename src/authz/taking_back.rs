//! Ending one grant: the rule that `/account`, `/revoke` and the command line share.

use crate::app::App;
use crate::audit::{Event, Kind, Outcome};
use crate::oauth::client::ClientKind;
use crate::oauth::error::Error;
use crate::storage::external_grants::TAKEN_BACK;
use crate::storage::grants::Grant;
use crate::storage::{Tx, audit, grants};

/// Why a grant ended that an operator ended, as recorded.
const BY_OPERATOR: &str = "an operator ended it";
/// The same of one that its client ended.
const BY_CLIENT: &str = "the client gave it back";

/// Who ends a grant.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The user whose it is.
    User,
    /// The client that it was given to.
    Client,
    /// An operator at the command line, as the audit log is to say it.
    Operator(&'a str),
}

/// Ends a grant, and commits. From its return no call under it comes in, and no token is issued. `true` when this call
/// ended it.
///
/// Whichever person ends it, a grant that rests on the tokens of another issuer is recorded as taken back: else the next such
/// token would bring another.
pub async fn take_back(app: &App, mut tx: Tx, grant: &Grant, by: By<'_>) -> Result<bool, Error> {
    let now = app.now();
    let (because, detail) = match by {
        By::User => (TAKEN_BACK, "by the user".to_owned()),
        By::Client => (BY_CLIENT, "by the client".to_owned()),
        By::Operator(who) if grant.client.kind == ClientKind::External => (TAKEN_BACK, format!("by {who}")),
        By::Operator(who) => (BY_OPERATOR, format!("by {who}")),
    };
    let ended = grants::revoke(&mut tx, &grant.grant_id, because, now).await?;
    if ended {
        let event = Event::new(Kind::GrantRevoked, Outcome::Done)
            .user(&grant.user_id)
            .client(&grant.client.client_id)
            .grant(&grant.grant_id)
            .detail(detail);
        audit::record(&mut tx, now, &event);
    }
    // Also when it had ended before: then this may be the second try of somebody who was told to come back.
    app.commit_ending(tx, &[grant.key()]).await?;
    Ok(ended)
}
