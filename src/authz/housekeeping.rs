//! What has run its time is removed: sessions, codes, tokens, documents, clients that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::storage::{Result, clients, codes, commit, documents, effects, refresh_tokens, sessions};

/// How often.
const EVERY: Duration = Duration::from_secs(600);
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

/// Removes what is over, each kind in a transaction of its own so that none is long.
pub async fn once(app: &App) -> Result<()> {
    let now = app.now();
    let over = now.minus(REMEMBERED);
    let mut tx = app.store.write().await?;
    sessions::remove_expired(&mut tx, now).await?;
    codes::remove_expired(&mut tx, over).await?;
    commit(tx).await?;
    let mut tx = app.store.write().await?;
    refresh_tokens::remove_expired(&mut tx, over).await?;
    effects::remove_older(&mut tx, over).await?;
    commit(tx).await?;
    let mut tx = app.store.write().await?;
    documents::remove_old(&mut tx, now.minus(DOCUMENTS_KEPT)).await?;
    documents::remove_beyond(&mut tx, MOST_DOCUMENTS).await?;
    let unused = now.minus(app.config.clients.unused_lifetime);
    let removed = clients::remove_unused(&mut tx, unused, now.minus(NEVER_USED), now).await?;
    commit(tx).await?;
    if removed > 0 {
        tracing::info!(removed, "clients that nobody used were removed");
    }
    Ok(())
}
