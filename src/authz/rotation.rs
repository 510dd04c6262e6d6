//! Signing keys over time: read again and again, rotated by hand or by schedule, retired. The rules are in
//! [`crate::keys::ring`].

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::ephemeral::bus::{Heard, Notice};
use crate::keys::ReadError;
use crate::keys::ring::{Chosen, READ_EVERY};
use crate::keys::rotation::{By, Revocation, Rotation};

/// Keeps the keys of this replica those that are stored, until the application stops.
pub async fn run(app: Arc<App>) {
    let mut listener = app.ephemeral.listen();
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = ticks.tick() => true,
            heard = listener.next() => matches!(heard, Heard::Gap | Heard::Notice(Notice::KeysChanged)),
        };
        if changed && let Err(error) = once(&app).await {
            tracing::warn!(detail = %error, "signing keys could not be read; those known stay in use");
        }
    }
}

/// Reads the keys, and says of those that this replica signs with that they are kept.
pub async fn once(app: &App) -> Result<(), ReadError> {
    app.keys.read(&app.store).await?;
    app.keys_now().keep().await
}

/// Rotates by hand.
pub async fn rotate(app: &App) -> Result<Rotation, ReadError> {
    let rotation = app.keys_now().rotate(By::Hand).await?;
    if matches!(rotation, Rotation::Done(_)) {
        changed(app).await?;
    }
    Ok(rotation)
}

/// Takes a key back: no replica accepts what it signed, once it has read the keys.
pub async fn revoke(app: &App, kid: &str) -> Result<Revocation, ReadError> {
    let revocation = app.keys_now().revoke(kid).await?;
    if matches!(revocation, Revocation::Done { .. }) {
        changed(app).await?;
    }
    Ok(revocation)
}

/// Rotates where the schedule says so, and retires what has had its day.
pub async fn keep_house(app: &App) -> Result<(), ReadError> {
    let mut has_changed = false;
    if let (Some(every), Chosen::Made(_)) = (app.config.tokens.signing_key_rotation, app.keys.chosen())
        && let Rotation::Done(rotated) = app.keys_now().rotate(By::Schedule(every)).await?
    {
        let active_from = rotated.active_from.rfc3339();
        tracing::info!(kid = rotated.kid, active_from, "signing keys were rotated by schedule");
        has_changed = true;
    }
    let retired = app.keys_now().retire().await?;
    if retired > 0 {
        tracing::info!(retired, "signing keys whose last token has expired were retired");
        has_changed = true;
    }
    if has_changed { changed(app).await } else { Ok(()) }
}

async fn changed(app: &App) -> Result<(), ReadError> {
    app.tell(&Notice::KeysChanged).await;
    app.keys.read(&app.store).await
}
