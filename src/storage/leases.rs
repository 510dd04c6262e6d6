//! Work that one replica does at a time.

use super::{Result, Tx};
use crate::clock::Timestamp;

/// Work that is not done twice at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Making signing keys, and all else that is done to them.
    SigningKeys,
    /// Making the first accounts, and the links that make one.
    FirstAccount,
    /// Removing what has run its time.
    Housekeeping,
}

impl Work {
    fn as_str(self) -> &'static str {
        match self {
            Self::SigningKeys => "signing_keys",
            Self::FirstAccount => "first_account",
            Self::Housekeeping => "housekeeping",
        }
    }
}

/// Keeps others from this work until the transaction ends; waits for whoever is at it.
pub async fn hold(tx: &mut Tx, work: Work) -> Result<()> {
    // A row that is changed is locked, in either database.
    sqlx::query("UPDATE leases SET held_until = held_until WHERE name = $1")
        .bind(work.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes the work until `until`, unless somebody has it: `true` for the one caller that may do it. Whoever ends
/// early or dies loses nothing: the next one begins when the time is up.
pub async fn take(tx: &mut Tx, work: Work, now: Timestamp, until: Timestamp) -> Result<bool> {
    let done = sqlx::query("UPDATE leases SET held_until = $3 WHERE name = $1 AND held_until <= $2")
        .bind(work.as_str())
        .bind(now.0)
        .bind(until.0)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
