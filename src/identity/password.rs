//! Passwords, with argon2id (the crate's defaults are OWASP's parameters: 19 MiB, 2 passes, 1 lane).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use crate::oauth::error::{Error, server_error, temporarily_unavailable};

/// The fewest characters of a password (NIST SP 800-63B §3.1.1.2).
pub const MIN_CHARACTERS: usize = 8;
/// The longest password that is hashed, in bytes: a limit on work, far above any passphrase.
pub const MAX_BYTES: usize = 1024;
/// How many hashes are computed at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How many may wait for their turn, about two seconds' worth; whoever comes then is told to come back.
const WAITING: usize = 64;

/// Well-formed, and the hash of nothing: stands where an account has no password, so that trying one takes as long as
/// for any other.
pub const NO_PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static TURNS: OnceLock<Arc<Semaphore>> = OnceLock::new();
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE + WAITING);
static DUMMY: OnceLock<String> = OnceLock::new();

/// A password on its way to be hashed. Never printed.
#[derive(Clone)]
pub struct Password(String);

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Shorter than [`MIN_CHARACTERS`].
    #[error("a password needs at least 8 characters")]
    TooShort,
    /// Longer than [`MAX_BYTES`].
    #[error("a password may have at most 1024 bytes")]
    TooLong,
}

impl Password {
    /// A password that somebody wants to have.
    pub fn chosen(text: &str) -> Result<Self, Unusable> {
        if text.len() > MAX_BYTES {
            Err(Unusable::TooLong)
        } else if text.chars().count() < MIN_CHARACTERS {
            Err(Unusable::TooShort)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// A password that somebody claims to have; `None` when it is longer than any can be.
    pub fn claimed(text: &str) -> Option<Self> {
        (text.len() <= MAX_BYTES).then(|| Self(text.to_owned()))
    }

    /// The PHC string to store.
    pub async fn hash(self) -> Result<String, Error> {
        off_the_runtime(move || hash(&self.0)).await?
    }

    /// Whether it is the password of `stored`. With `None` (no such user) a dummy hash is checked all the same,
    /// so that the time taken does not tell whether the user exists.
    pub async fn matches(self, stored: Option<String>) -> Result<bool, Error> {
        off_the_runtime(move || {
            let exists = stored.is_some();
            let phc = match stored {
                Some(phc) => phc,
                None => dummy()?,
            };
            Ok(verify(&self.0, &phc)? && exists)
        })
        .await?
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// Computes the dummy hash ahead of the first sign-in, which would otherwise take twice as long.
pub async fn warm_up() -> Result<(), Error> {
    off_the_runtime(dummy).await?.map(drop)
}

async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let _place = PLACES.try_acquire().map_err(|_| {
        temporarily_unavailable("too many people are signing in, try again shortly").retry_after(2)
    })?;
    let turns = TURNS.get_or_init(|| Arc::new(Semaphore::new(AT_ONCE))).clone();
    let turn = turns.acquire_owned().await.map_err(fault)?;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    })
    .await
    .map_err(fault)
}

fn hash(password: &str) -> Result<String, Error> {
    let (argon2, salt) = (Argon2::default(), Salt::generate());
    let phc = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: argon2.params().try_into().map_err(fault)?,
        hash: Some(output(&argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN)?),
        salt: Some(salt),
    };
    Ok(phc.to_string())
}

fn verify(password: &str, phc: &str) -> Result<bool, Error> {
    let phc = PasswordHash::new(phc).map_err(fault)?;
    let (Some(salt), Some(expected)) = (&phc.salt, &phc.hash) else {
        return Err(fault("a stored hash has no salt or no output"));
    };
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(fault)?;
    let version = phc.version.map_or(Ok(Version::default()), Version::try_from).map_err(fault)?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&phc).map_err(fault)?);
    // Outputs compare in constant time.
    Ok(output(&argon2, password, salt, expected.len())? == *expected)
}

/// Memory that hashes are computed in, one after another: given back to the system's allocator, 19 MiB at a time from
/// ever another thread, it would stay with each of these threads.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

fn output(argon2: &Argon2<'_>, password: &str, salt: &[u8], length: usize) -> Result<Output, Error> {
    let kept = |memory: PoisonError<_>| PoisonError::into_inner(memory);
    let count = argon2.params().block_count();
    let mut memory = MEMORY.lock().unwrap_or_else(kept).pop().unwrap_or_default();
    memory.resize(count.max(memory.len()), Block::default());
    let mut buffer = [0; Output::MAX_LENGTH];
    let out = buffer.get_mut(..length).ok_or_else(|| fault("a stored hash is too long"))?;
    let blocks = memory.get_mut(..count).unwrap_or_default();
    let hashed = argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, blocks);
    MEMORY.lock().unwrap_or_else(kept).push(memory);
    hashed.map_err(fault)?;
    Output::new(out).map_err(fault)
}

fn dummy() -> Result<String, Error> {
    if let Some(known) = DUMMY.get() {
        return Ok(known.clone());
    }
    let made = hash("nobody has this password")?;
    Ok(DUMMY.get_or_init(|| made).clone())
}

fn fault(error: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_nobody_matches_no_user() {
        let right = Password::chosen("correct horse").unwrap();
        let stored = right.clone().hash().await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(right.clone().matches(Some(stored.clone())).await.unwrap());
        assert!(!Password::claimed("wrong").unwrap().matches(Some(stored)).await.unwrap());
        assert!(!right.matches(None).await.unwrap());
        assert!(!Password::claimed("nobody has this password").unwrap().matches(None).await.unwrap());
    }

    #[test]
    fn a_hash_is_what_the_library_makes_of_it_itself() {
        use argon2::PasswordVerifier as _;
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let phc = PasswordHash::new(&stored).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &phc).is_ok());
        assert!(Argon2::default().verify_password(b"wrong horse", &phc).is_err());
        let other = Argon2::new(Algorithm::Argon2i, Version::V0x10, Params::new(64, 3, 2, Some(16)).unwrap());
        let other = argon2::PasswordHasher::hash_password(&other, b"correct horse").unwrap().to_string();
        assert!(verify("correct horse", &other).unwrap() && !verify("wrong horse", &other).unwrap());
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        assert_eq!(Password::chosen("1234567").unwrap_err(), Unusable::TooShort);
        assert!(Password::chosen("\u{e4}\u{f6}\u{fc}\u{df}5678").is_ok());
        assert_eq!(Password::chosen(&"x".repeat(1025)).unwrap_err(), Unusable::TooLong);
        assert!(Password::claimed(&"x".repeat(1025)).is_none());
    }
}
