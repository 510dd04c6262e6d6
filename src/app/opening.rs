//! Opening what the configuration names, part by part, and why that fails.

use std::path::PathBuf;

use crate::audit::chain::ChainKey;
use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::ephemeral::EphemeralError;
use crate::keys::given::{self, Given};
use crate::keys::{KeyError, Keys, ReadError, SealError, SealingKey, name_of};
use crate::random::Random;
use crate::storage::{OpenError, StorageError, Store};
use crate::web::outbound::{Outbound, OutboundPolicy};

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

/// Opens the database, and the key that seals what lies there. Makes what is not there; asks nobody else.
pub async fn open_store(config: &Config, random: &Random) -> Result<(Store, SealingKey), StartError> {
    let sealing = SealingKey::load_or_create(&config.secret_key_file, random)?;
    let chain_key = chain_key(&sealing)?;
    let store = Store::open_with_room(&config.database, chain_key, config.limits.requests_at_once).await?;
    Ok((store, sealing))
}

/// The key of the audit log's seals.
pub fn chain_key(sealing: &SealingKey) -> Result<ChainKey, SealError> {
    Ok(ChainKey::new(sealing.derived(AUDIT_LOG)?))
}

/// Opens the published keys; says whether any were made or published anew.
pub(super) async fn open_keys(
    store: &Store,
    sealing: SealingKey,
    config: &Config,
    now: Timestamp,
    random: &Random,
) -> Result<(Keys, bool), StartError> {
    let given = given_keys(config)?;
    let signing = given.as_ref().map(|given| given.signing.kid.clone());
    let wanted = (config.tokens.signing_algorithm, given);
    let opened = Keys::open(store, sealing, wanted, now, random).await;
    opened.map_err(|error| unusable(error, signing.as_deref()))
}

/// The published keys as they are stored, for whoever only reads: none is made or published. Fails where keys are sealed
/// there and the key file is that of another database.
pub async fn look_at_keys(store: &Store, sealing: SealingKey, config: &Config) -> Result<Keys, StartError> {
    let wanted = (config.tokens.signing_algorithm, given_keys(config)?);
    Keys::look(store, sealing, wanted).await.map_err(|error| unusable(error, None))
}

/// `signing` is the key that is given to sign.
fn unusable(error: ReadError, signing: Option<&str>) -> StartError {
    match error {
        ReadError::Storage(error) => error.into(),
        ReadError::Key(error) => error.into(),
        ReadError::Revoked(ref kid) if signing == Some(kid) => {
            ConfigError::new(SIGNING_KEY_FILE, error.to_string()).into()
        }
        ReadError::Revoked(_) | ReadError::Lately => {
            ConfigError::new(NEXT_SIGNING_KEY_FILE, error.to_string()).into()
        }
    }
}

/// The way out to other hosts.
pub(super) fn open_outbound(config: &Config) -> Result<Outbound, StartError> {
    Outbound::new(policy(config)?).map_err(|error| StartError::Outbound(error.to_string()))
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

/// Reads the files that opening the application reads, and makes none: certificates of others that are trusted, the
/// sealing key if there is one already, signing keys.
pub fn check_files(config: &Config) -> Result<(), StartError> {
    open_outbound(config)?;
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
