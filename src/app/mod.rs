//! Everything that a request can reach, made once at start and shared.

mod opening;

pub use opening::{StartError, chain_key, check_files, given_keys, look_at_keys, open_store};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ephemeral::Ephemeral;
use crate::ephemeral::admission::GrantKey;
use crate::ephemeral::bus::Notice;
use crate::ephemeral::memory::Memory;
use crate::ephemeral::redis::Redis;
use crate::keys::rotation::Moment;
use crate::keys::{BadToken, Keys, Refused};
use crate::oauth::claims::AccessTokenClaims;
use crate::oauth::client::Client;
use crate::oauth::{ClientId, Error, GrantId};
use crate::random::Random;
use crate::storage::{Store, Tx, commit};
use crate::telemetry::Metrics;
use crate::web::key_set::KeySets;
use crate::web::outbound::Outbound;
use opening::{open_keys, open_outbound};

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
    /// Key sets of others, as they were read a moment ago.
    pub key_sets: KeySets,
    /// Metadata documents that are known without fetching.
    pub preloaded: BTreeMap<ClientId, Client>,
    /// Metadata documents that stand in while their hosts cannot be asked.
    pub standing_by: BTreeMap<ClientId, String>,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Tasks that a stop waits for; the only way to spawn one.
    pub tasks: TaskTracker,
    /// Cancelled when the server is asked to stop and no more requests should be sent to it.
    pub draining: CancellationToken,
    /// Cancelled when it takes no more requests.
    pub stopping: CancellationToken,
}

impl App {
    /// Opens everything that the configuration names. Makes signing keys when there are none.
    pub async fn open(config: Config, clock: Arc<dyn Clock>, random: Random) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let outbound = open_outbound(&config)?;
        let (store, sealing) = open_store(&config, &random).await?;
        let store = store.watched(&metrics);
        let (keys, keys_changed) = open_keys(&store, sealing, &config, clock.now(), &random).await?;
        let ephemeral: Arc<dyn Ephemeral> = match &config.redis {
            None => Arc::new(Memory::new(clock.clone())),
            Some(url) => {
                let redis =
                    Redis::open(url, config.limits.requests_at_once).await.map_err(StartError::Ephemeral)?;
                Arc::new(redis.watched(&metrics))
            }
        };
        let app = Self {
            ephemeral,
            config,
            store,
            keys,
            clock,
            random,
            outbound,
            key_sets: KeySets::default(),
            preloaded: BTreeMap::new(),
            standing_by: BTreeMap::new(),
            metrics,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        if keys_changed {
            app.tell(&Notice::KeysChanged).await;
        }
        Ok(app)
    }

    /// Commits a transaction that ends grants, so that from its return no call under them comes in on any
    /// replica. They are marked before the commit, for whoever has read them and is about to remember them, and
    /// after it, should the first mark have been lost meanwhile. When this fails, the grants may have ended: it
    /// can be done again.
    pub async fn commit_ending(&self, tx: Tx, ended: &[GrantKey]) -> Result<(), Error> {
        let mark = self.random.id();
        if let Err(error) = self.ephemeral.end_grants(ended, &mark).await {
            tracing::warn!(detail = %error, "grants are not marked as ended yet");
        }
        if let Err(error) = commit(tx).await {
            let (store, ephemeral) = (self.store.clone(), self.ephemeral.clone());
            self.tasks.spawn(unmark_living(store, ephemeral, ended.to_vec(), mark, self.now()));
            return Err(error.into());
        }
        self.ephemeral.end_grants(ended, &mark).await?;
        let grant_ids = ended.iter().map(|grant| grant.grant_id.clone()).collect();
        self.tell(&Notice::GrantsEnded { grant_ids }).await;
        Ok(())
    }

    /// Tells every replica that something happened. Should that fail, they find out later.
    pub async fn tell(&self, notice: &Notice) {
        if let Err(error) = self.ephemeral.publish(notice).await {
            tracing::warn!(detail = %error, "the other replicas are not told");
        }
    }

    /// Reads the signing keys again for a token whose key is not known: another replica may have made it a moment
    /// ago. At most once a second, however many tokens are forged. Whoever asked verifies the token once more, which
    /// costs next to nothing while the key stays unknown.
    pub async fn reload_keys(&self) -> Result<(), Error> {
        self.keys.read_for_unknown(&self.store, self.now()).await.map_err(Error::from)
    }

    /// Verifies an access token of ours for this audience, or for any where none is named, with the keys of this very
    /// moment if need be.
    pub async fn verify(
        &self,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Result<AccessTokenClaims, Refused>, Error> {
        let (issuer, now) = (self.config.public_url.issuer(), self.now());
        let verify = || match audience {
            Some(audience) => self.keys.verify(token, issuer, audience, now),
            None => self.keys.verify_for_anybody(token, issuer, now),
        };
        match verify() {
            Err(refused) if refused.why == BadToken::UnknownKey => {
                self.reload_keys().await?;
                Ok(verify())
            }
            judged => Ok(judged),
        }
    }

    /// The signing keys, for whoever changes them now.
    pub fn keys_now(&self) -> Moment<'_> {
        Moment {
            keys: &self.keys,
            store: &self.store,
            random: &self.random,
            longest_token: self.config.tokens.longest_token(),
            now: self.now(),
        }
    }

    /// Begins to stop: `/ready` says no at once, and after `delay` no more requests are taken.
    pub async fn stop_after(&self, delay: Duration) {
        self.draining.cancel();
        tokio::time::sleep(delay).await;
        self.stopping.cancel();
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// After a commit that failed: takes the marks of those grants back that live after all. Until then they let
/// nobody in.
async fn unmark_living(
    store: Store,
    ephemeral: Arc<dyn Ephemeral>,
    grants: Vec<GrantKey>,
    mark: String,
    now: Timestamp,
) {
    for grant in grants {
        let grant_id = GrantId::new(grant.grant_id.clone());
        let unmarked = match store.find_live_grant(&grant_id, now).await {
            Ok(Some(_)) => ephemeral.unmark_grant(&grant, &mark).await.map_err(|error| error.to_string()),
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = unmarked {
            tracing::warn!(detail = error, grant.id = %grant_id, "a grant stays marked as ended for a while");
        }
    }
}
