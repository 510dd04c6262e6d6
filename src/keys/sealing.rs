//! The sealing key: AES-256-GCM for what is stored, HMAC-SHA-256 for what is handed to browsers.

use std::fmt;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::oauth::error::{Error, server_error};
use crate::random::Random;
use crate::storage::files::make_folder_of;

/// Why something could not be sealed, opened or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file cannot be read or written.
    #[error("secret_key_file: {0}")]
    File(String),
    /// Sealed with another key, for another purpose, or changed since.
    #[error("it was sealed with another key or has been changed")]
    Unsealable,
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        server_error("the server made an error").detail(error)
    }
}

/// The key from `secret_key_file`, from which one key for each purpose is derived.
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key file, or makes one that only its owner can read.
    pub fn load_or_create(path: &Path, random: &Random) -> Result<Self, SealError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        create(path, random).map_err(|error| unread(path, &error))?;
        Self::load_or_create(path, random)
    }

    /// Reads the key file, if there is one.
    pub fn load(path: &Path) -> Result<Option<Self>, SealError> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
                let key = bytes.map(Self).ok_or_else(|| {
                    SealError::File(format!("{} must hold 32 bytes as base64url", path.display()))
                })?;
                Ok(Some(key))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unread(path, &error)),
        }
    }

    /// A key for one purpose, for what seals in its own way.
    pub fn derived(&self, purpose: &str) -> Result<[u8; 32], SealError> {
        derive(&self.0, purpose)
    }

    /// Seals `plain` for `purpose`; what comes back is text.
    pub fn seal(&self, purpose: &str, plain: &[u8], random: &Random) -> Result<String, SealError> {
        seal_with(&derive(&self.0, purpose)?, plain, random)
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        open_with(&derive(&self.0, purpose)?, sealed)
    }

    /// A tag over `message` for `purpose`, base64url.
    pub fn tag(&self, purpose: &str, message: &str) -> Result<String, SealError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(&self.0, purpose)?);
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    }
}

fn unread(path: &Path, error: &std::io::Error) -> SealError {
    SealError::File(format!("{}: {error}", path.display()))
}

/// Makes a key file, unless another process makes it at the same moment. It appears whole or not at all: it is
/// written under a name of its own and then linked to its place, where a link never replaces what is there.
fn create(path: &Path, random: &Random) -> std::io::Result<()> {
    make_folder_of(path)?;
    let draft = path.with_extension(format!("{}.draft", random.id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    writeln!(file, "{}", URL_SAFE_NO_PAD.encode(random.bytes::<32>()))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

/// Derives a key for one purpose (RFC 5869).
pub fn derive(secret: &[u8], purpose: &str) -> Result<[u8; 32], SealError> {
    let mut key = [0_u8; 32];
    Salt::new(HKDF_SHA256, b"mandate")
        .extract(secret)
        .expand(&[purpose.as_bytes()], HKDF_SHA256)
        .and_then(|material| material.fill(&mut key))
        .map_err(|_| SealError::Unsealable)?;
    Ok(key)
}

/// Seals with a key that is used for this alone: nonce, ciphertext and tag as base64url.
pub fn seal_with(key: &[u8; 32], plain: &[u8], random: &Random) -> Result<String, SealError> {
    let nonce = random.bytes::<NONCE_LEN>();
    let mut buffer = plain.to_vec();
    aead(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut buffer)
        .map_err(|_| SealError::Unsealable)?;
    Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &buffer].concat()))
}

/// Opens what [`seal_with`] made.
pub fn open_with(key: &[u8; 32], sealed: &str) -> Result<Vec<u8>, SealError> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError::Unsealable)?;
    let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError::Unsealable)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unsealable)?;
    let mut buffer = ciphertext.to_vec();
    let plain =
        aead(key)?.open_in_place(nonce, Aad::empty(), &mut buffer).map_err(|_| SealError::Unsealable)?;
    Ok(plain.to_vec())
}

fn aead(key: &[u8; 32]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SealError::Unsealable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let random = Random::seeded(1);
        let key = SealingKey::new([7; 32]);
        let sealed = key.seal("a", b"secret", &random).unwrap();
        assert_eq!(key.open("a", &sealed).unwrap(), b"secret");
        assert!(key.open("b", &sealed).is_err());
        assert!(SealingKey::new([8; 32]).open("a", &sealed).is_err());
        assert!(key.open("a", &sealed[1..]).is_err());
        assert!(key.open("a", "").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_key_file_is_its_owners_alone_and_reads_back() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mandate.key");
        let first = SealingKey::load_or_create(&path, &Random::seeded(1)).unwrap();
        let second = SealingKey::load_or_create(&path, &Random::seeded(2)).unwrap();
        assert_eq!(first.0, second.0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(SealingKey::load_or_create(&path, &Random::seeded(3)).is_err());
    }
}
