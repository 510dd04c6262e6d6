//! Everything that a request can reach, made once at start and shared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::chain::ChainKey;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, ConfigError};
use crate::ephemeral::admission::GrantKey;
use crate::ephemeral::bus::Notice;
use crate::ephemeral::memory::Memory;
use crate::ephemeral::redis::Redis;
use crate::ephemeral::{Ephemeral, EphemeralError};
use crate::keys::{KeyError, Keys, SealError, SealingKey, SigningKey, SigningKeyRow, generate};
use crate::oauth::client::Client;
use crate::oauth::{ClientId, Error, GrantId};
use crate::random::Random;
use crate::storage::leases::{self, Work};
use crate::storage::{OpenError, StorageError, Store, Tx, commit, signing_keys};
use crate::telemetry::Metrics;
use crate::web::key_set::KeySets;
use crate::web::outbound::{Outbound, OutboundPolicy};

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
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Tasks that a stop waits for; the only way to spawn one.
    pub tasks: TaskTracker,
    /// Cancelled when the server is asked to stop and no more requests should be sent to it.
    pub draining: CancellationToken,
    /// Cancelled when it takes no more requests.
    pub stopping: CancellationToken,
}

/// Why the application cannot start: one sentence that names the key and the cure.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("database_url: {0}")]
    Database(#[from] OpenError),
    /// The database does not do what it should.
    #[error("database_url: {0}")]
    Storage(#[from] StorageError),
    /// Redis cannot be used.
    #[error("redis_url: {0}; check that the server runs, and the URL with its password")]
    Ephemeral(EphemeralError),
    /// The sealing key cannot be read or made.
    #[error("{0}; check the path and its permissions")]
    Sealing(#[from] SealError),
    /// A stored signing key cannot be used.
    #[error(
        "secret_key_file: a signing key in the database does not open ({0}); use the key file that belongs to \
         this database"
    )]
    Signing(#[from] KeyError),
    /// Outgoing requests cannot be made.
    #[error("outbound.extra_ca_file: {0}; write the path of a readable PEM file, or leave the key out")]
    Outbound(String),
}

impl App {
    /// Opens everything that the configuration names. Makes signing keys when there are none.
    pub async fn open(config: Config, clock: Arc<dyn Clock>, random: Random) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let outbound =
            Outbound::new(policy(&config)?).map_err(|error| StartError::Outbound(error.to_string()))?;
        let sealing = SealingKey::load_or_create(&config.secret_key_file, &random)?;
        let chain_key = ChainKey::new(sealing.derived(AUDIT_LOG)?);
        let room = config.limits.requests_at_once;
        let store = Store::open_with_room(&config.database, chain_key, room).await?.watched(&metrics);
        let keys = open_keys(&store, sealing, &config, clock.now(), &random).await?;
        let ephemeral: Arc<dyn Ephemeral> = match &config.redis {
            None => Arc::new(Memory::new(clock.clone())),
            Some(url) => {
                let redis = Redis::open(url, room).await.map_err(StartError::Ephemeral)?;
                Arc::new(redis.watched(&metrics))
            }
        };
        Ok(Self {
            ephemeral,
            config,
            store,
            keys,
            clock,
            random,
            outbound,
            key_sets: KeySets::default(),
            preloaded: BTreeMap::new(),
            metrics,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        })
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

fn policy(config: &Config) -> Result<OutboundPolicy, StartError> {
    let hosts = config.outbound.allowed_hosts.iter();
    let allowed_hosts = hosts
        .map(|host| {
            host.parse().map_err(|error| ConfigError::new("outbound.allowed_hosts", format!("{error}")))
        })
        .collect::<Result<_, _>>()?;
    Ok(OutboundPolicy {
        extra_ca_file: config.outbound.extra_ca_file.clone(),
        allowed_hosts,
        ..OutboundPolicy::default()
    })
}

/// Opens the published keys; the first start of an algorithm makes the current key and the next one.
async fn open_keys(
    store: &Store,
    sealing: SealingKey,
    config: &Config,
    now: Timestamp,
    random: &Random,
) -> Result<Keys, StartError> {
    let algorithm = config.tokens.signing_algorithm;
    let mut rows = store.list_signing_keys().await?;
    let usable = |row: &SigningKeyRow| row.alg == format!("{algorithm:?}") && row.active_from <= now;
    if !rows.iter().any(usable) {
        let generate = |active_from| generate(algorithm, active_from, now, &sealing, random);
        let made = [generate(FROM_THE_START)?, generate(NOT_YET)?];
        // Of several replicas that start together one records its keys, and the others find them.
        let mut tx = store.write_patiently().await?;
        leases::hold(&mut tx, Work::SigningKeys).await?;
        rows = signing_keys::list(&mut tx).await?;
        if !rows.iter().any(usable) {
            for row in made {
                signing_keys::record(&mut tx, &row).await?;
                rows.push(row);
            }
        }
        commit(tx).await?;
    }
    let signing = rows.iter().map(|row| SigningKey::open(row, &sealing)).collect::<Result<_, _>>()?;
    Ok(Keys::new(sealing, signing, algorithm))
}

/// What the key of the audit log's seals is derived for.
const AUDIT_LOG: &str = "audit log";
/// When the first key begins to sign: at once, by the clock of any replica.
const FROM_THE_START: Timestamp = Timestamp(0);
/// When the next key begins to sign: once somebody says so.
const NOT_YET: Timestamp = Timestamp(i64::MAX);
