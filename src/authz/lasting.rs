//! What lasts for seconds, on replicas whose clocks differ by more than that.
//!
//! The ephemeral store counts for all replicas with one clock, so what is to last is noted there as it begins. But
//! that store may lose what it knows. So a thing lasts as long as the store or the replica's own clock says so: on
//! one clock both say the same, a lost note leaves what the own clock says, and a replica that is behind is
//! generous by what it is behind. Never the reverse: nobody is refused, or taken for a thief, over a clock.

use std::time::Duration;

use crate::app::App;
use crate::clock::Timestamp;
use crate::ephemeral::Key;
use crate::oauth::error::Error;

/// Notes that this begins now and lasts for `lifetime`.
pub async fn begin(app: &App, what: Key<'_>, lifetime: Duration) -> Result<(), Error> {
    Ok(app.ephemeral.put(what, String::new(), lifetime).await?)
}

/// Whether this lasts; whoever began it said that it would until `until`.
pub async fn lasts(app: &App, what: Key<'_>, until: Timestamp) -> Result<bool, Error> {
    Ok(until > app.now() || app.ephemeral.find(what).await?.is_some())
}
