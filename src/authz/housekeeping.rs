//! What has run its time is removed: sessions, codes, tokens, documents, clients that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use super::rotation;
use crate::app::App;
use crate::clock::Timestamp;
use crate::storage::leases::{self, Work};
use crate::storage::{
    Result, Tx, clients, codes, commit, documents, effects, grants, refresh_tokens, sessions,
};

/// How often.
const EVERY: Duration = Duration::from_secs(600);
/// How long one replica has the work to itself; less than [`EVERY`], so that the next turn is free.
const LEASE: Duration = Duration::from_secs(300);
/// How many rows one transaction removes.
const BATCH: u32 = 500;
/// How many batches of one kind a turn removes: a backlog is worked off over several turns.
const MOST_BATCHES: usize = 200;
/// How long what is over is kept, so that a replay can still be told from garbage.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// How long a fetched document is kept without being confirmed.
const DOCUMENTS_KEPT: Duration = Duration::from_secs(8 * 86_400);
/// How many fetched documents are kept: strangers decide what is fetched.
const MOST_DOCUMENTS: i64 = 10_000;
/// How long a client that registered itself is kept when it never obtained a token.
const NEVER_USED: Duration = Duration::from_secs(86_400);

/// Keeps house until the application stops.
pub async fn run(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = ticks.tick() => {
                if let Err(error) = once(&app).await {
                    tracing::warn!(detail = %error, "housekeeping is put off");
                }
            }
        }
    }
}

/// Removes what is over, in batches so that no transaction is long, unless another replica is at it.
pub async fn once(app: &App) -> Result<()> {
    let now = app.now();
    let mut tx = app.store.write().await?;
    let ours = leases::take(&mut tx, Work::Housekeeping, now, now.plus(LEASE)).await?;
    commit(tx).await?;
    if !ours {
        return Ok(());
    }
    // First: a chore that fails must not keep keys from being rotated.
    if let Err(error) = rotation::keep_house(app).await {
        tracing::warn!(detail = %error, "signing keys are left as they are for now");
    }
    let mut removed_clients = 0;
    for chore in Chore::ALL {
        for _ in 0..MOST_BATCHES {
            if app.stopping.is_cancelled() {
                return Ok(());
            }
            let mut tx = app.store.write_patiently().await?;
            let removed = chore.one_batch(app, &mut tx, now).await?;
            commit(tx).await?;
            if chore == Chore::Clients {
                removed_clients += removed;
            }
            if removed < u64::from(BATCH) {
                break;
            }
        }
    }
    if removed_clients > 0 {
        tracing::info!(removed = removed_clients, "clients that nobody used were removed");
    }
    Ok(())
}

/// What there is to remove, in the order in which one thing holds another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Sessions,
    Codes,
    Grants,
    MachineGrants,
    RefreshTokens,
    Effects,
    OldDocuments,
    SurplusDocuments,
    Clients,
}

impl Chore {
    const ALL: [Self; 9] = [
        Self::Sessions,
        Self::Codes,
        Self::Grants,
        Self::MachineGrants,
        Self::RefreshTokens,
        Self::Effects,
        Self::OldDocuments,
        Self::SurplusDocuments,
        Self::Clients,
    ];

    async fn one_batch(self, app: &App, tx: &mut Tx, now: Timestamp) -> Result<u64> {
        let over = now.minus(REMEMBERED);
        match self {
            Self::Sessions => sessions::remove_expired(tx, now, BATCH).await,
            Self::Codes => codes::remove_expired(tx, over, BATCH).await,
            Self::Grants => grants::remove_not_taken_up(tx, over, BATCH).await,
            Self::MachineGrants => grants::remove_of_machines(tx, over, BATCH).await,
            Self::RefreshTokens => refresh_tokens::remove_expired(tx, over, BATCH).await,
            Self::Effects => effects::remove_older(tx, over, BATCH).await,
            Self::OldDocuments => documents::remove_old(tx, now.minus(DOCUMENTS_KEPT), BATCH).await,
            Self::SurplusDocuments => documents::remove_beyond(tx, MOST_DOCUMENTS, BATCH).await,
            Self::Clients => {
                let unused = now.minus(app.config.clients.unused_lifetime);
                clients::remove_unused(tx, unused, now.minus(NEVER_USED), now, BATCH).await
            }
        }
    }
}
