//! Everything that a request can reach, made once at start and shared.

use std::collections::BTreeMap;
use std::path::PathBuf;
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
use crate::keys::given::{self, Given};
use crate::keys::rotation::Moment;
use crate::keys::{BadToken, KeyError, Keys, ReadError, Refused, SealError, SealingKey, name_of};
use crate::oauth::claims::AccessTokenClaims;
use crate::oauth::client::Client;
use crate::oauth::{ClientId, Error, GrantId};
use crate::random::Random;
use crate::storage::{OpenError, StorageError, Store, Tx, commit};
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
        let chain_key = chain_key(&sealing)?;
        let room = config.limits.requests_at_once;
        let store = Store::open_with_room(&config.database, chain_key, room).await?.watched(&metrics);
        let (keys, keys_changed) = open_keys(&store, sealing, &config, clock.now(), &random).await?;
        let ephemeral: Arc<dyn Ephemeral> = match &config.redis {
            None => Arc::new(Memory::new(clock.clone())),
            Some(url) => {
                let redis = Redis::open(url, room).await.map_err(StartError::Ephemeral)?;
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

/// The key of the audit log's seals.
pub fn chain_key(sealing: &SealingKey) -> Result<ChainKey, SealError> {
    Ok(ChainKey::new(sealing.derived(AUDIT_LOG)?))
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

/// Opens the published keys; says whether any were made or published anew.
async fn open_keys(
    store: &Store,
    sealing: SealingKey,
    config: &Config,
    now: Timestamp,
    random: &Random,
) -> Result<(Keys, bool), StartError> {
    let given = given_keys(config)?;
    let signing = given.as_ref().map(|given| given.signing.kid.clone());
    let wanted = (config.tokens.signing_algorithm, given);
    Keys::open(store, sealing, wanted, now, random).await.map_err(|error| match error {
        ReadError::Storage(error) => error.into(),
        ReadError::Key(error) => error.into(),
        ReadError::Revoked(ref kid) if signing.as_ref() == Some(kid) => {
            ConfigError::new(SIGNING_KEY_FILE, error.to_string()).into()
        }
        ReadError::Revoked(_) | ReadError::Lately => {
            ConfigError::new(NEXT_SIGNING_KEY_FILE, error.to_string()).into()
        }
    })
}

/// Reads the files that opening the application reads, and makes none: certificates of others that are trusted, the
/// sealing key if there is one already, signing keys.
pub fn check_files(config: &Config) -> Result<(), StartError> {
    Outbound::new(policy(config)?).map_err(|error| StartError::Outbound(error.to_string()))?;
    SealingKey::load(&config.secret_key_file)?;
    given_keys(config)?;
    Ok(())
}

/// Reads the key files of the configuration.
pub fn given_keys(config: &Config) -> Result<Option<Given>, ConfigError> {
    let read = |key, path: &PathBuf| given::read(path).map_err(|problem| ConfigError::new(key, problem));
    let Some(path) = &config.tokens.signing_key_file else { return Ok(None) };
    let signing = read(SIGNING_KEY_FILE, path)?;
    if signing.algorithm != config.tokens.signing_algorithm {
        let (holds, wanted) = (name_of(signing.algorithm), name_of(config.tokens.signing_algorithm));
        let problem =
            format!("its key is for {holds}, but tokens.signing_algorithm is {wanted}; make them the same");
        return Err(ConfigError::new(SIGNING_KEY_FILE, problem));
    }
    let next = config.tokens.next_signing_key_file.as_ref();
    let next = next.map(|path| read(NEXT_SIGNING_KEY_FILE, path)).transpose()?;
    if next.as_ref().is_some_and(|next| next.kid == signing.kid) {
        let problem = "it holds the same key as tokens.signing_key_file; name another or leave it out";
        return Err(ConfigError::new(NEXT_SIGNING_KEY_FILE, problem));
    }
    Ok(Some(Given { signing, next }))
}

const SIGNING_KEY_FILE: &str = "tokens.signing_key_file";
const NEXT_SIGNING_KEY_FILE: &str = "tokens.next_signing_key_file";
/// What the key of the audit log's seals is derived for.
const AUDIT_LOG: &str = "audit log";
