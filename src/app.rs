//! Everything that a request can reach, made once at start and shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ephemeral::Ephemeral;
use crate::keys::Keys;
use crate::oauth::ClientId;
use crate::oauth::client::Client;
use crate::random::Random;
use crate::storage::Store;
use crate::web::outbound::Outbound;

/// The application. Handlers hold it in an `Arc`.
#[derive(Debug)]
pub struct App {
    /// What was configured.
    pub config: Config,
    /// Durable facts.
    pub store: Store,
    /// Perishable state.
    pub ephemeral: Arc<dyn Ephemeral>,
    /// Signing and sealing keys.
    pub keys: Keys,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Secrets and ids.
    pub random: Random,
    /// The only way out to other hosts.
    pub outbound: Outbound,
    /// Metadata documents that are known without fetching.
    pub preloaded: BTreeMap<ClientId, Client>,
    /// Tasks that a stop waits for; the only way to spawn one.
    pub tasks: TaskTracker,
    /// Cancelled when the server is asked to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
