//! Signing keys: made, sealed into rows, given in files, and read back.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::ring::Life;
use super::sealing::{SealError, SealingKey};
use crate::clock::Timestamp;
use crate::oauth::error::{Error, server_error};
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// What the sealing key seals private keys for.
const PURPOSE: &str = "signing key";

/// A published key: it verifies access tokens, and signs them where its private half is here.
pub struct SigningKey {
    /// What is known of it.
    pub life: Life,
    /// The public half as published.
    pub public_jwk: Value,
    pub(super) encoding: Option<EncodingKey>,
    pub(super) decoding: DecodingKey,
}

impl AsRef<Life> for SigningKey {
    fn as_ref(&self) -> &Life {
        &self.life
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.life.kid).finish_non_exhaustive()
    }
}

/// A signing key as stored.
#[derive(Clone)]
pub struct SigningKeyRow {
    /// What is known of it.
    pub life: Life,
    /// The private key, PKCS#8, sealed. There is none of a key that is given in a file, and of one that is retired.
    pub sealed_private_key: Option<String>,
    /// The public JWK, JSON.
    pub public_jwk: String,
    /// When it left the JWK set.
    pub retired_at: Option<Timestamp>,
    /// When it was taken back, because somebody else may have it.
    pub revoked_at: Option<Timestamp>,
}

impl AsRef<Life> for SigningKeyRow {
    fn as_ref(&self) -> &Life {
        &self.life
    }
}

/// A key pair: what both halves are made from, and the one that is published.
#[derive(Clone)]
pub struct Pair {
    /// Its name: a digest of the public half.
    pub kid: String,
    /// What it is used with.
    pub algorithm: Algorithm,
    pub(super) pkcs8: Vec<u8>,
    /// The public half as published.
    pub public_jwk: Value,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The name of an algorithm, as in JWK sets.
pub fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::EdDSA => "EdDSA",
        _ => "ES256",
    }
}

/// The algorithm of a name, of those that there are keys for.
pub fn algorithm_of(name: &str) -> Option<Algorithm> {
    [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA].into_iter().find(|known| name_of(*known) == name)
}

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The crypto library refused.
    #[error("the key is unusable ({0})")]
    Unusable(String),
    /// It cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Whether a private key, as it is stored, was sealed with this key.
pub fn is_sealed_with(sealing: &SealingKey, sealed_private_key: &str) -> bool {
    sealing.open(PURPOSE, sealed_private_key).is_ok()
}

fn unusable(error: impl fmt::Debug) -> KeyError {
    KeyError::Unusable(format!("{error:?}"))
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        server_error("the server made an error").detail(error)
    }
}

impl Pair {
    /// Makes one. RSA takes a second or so.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::RS256 => Self::rsa(&RsaKeyPair::generate(KeySize::Rsa3072).map_err(unusable)?),
            Algorithm::EdDSA => {
                let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unusable)?;
                Self::ed25519(&Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(unusable)?)
            }
            _ => Self::p256(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unusable)?),
        }
    }

    /// Reads a private key (PKCS#8). `None` when it is of no kind that is used here.
    pub(super) fn read(pkcs8: &[u8]) -> Option<Result<Self, KeyError>> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8) {
            return Some(Self::p256(&pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Some(Self::ed25519(&pair));
        }
        RsaKeyPair::from_pkcs8(pkcs8).ok().map(|pair| Self::rsa(&pair))
    }

    fn p256(pair: &EcdsaKeyPair) -> Result<Self, KeyError> {
        let point = pair.public_key().as_ref();
        // An uncompressed point: 0x04, x, y.
        let (x, y) = (point.get(1..33), point.get(33..65));
        let (Some(x), Some(y)) = (x, y) else { return Err(unusable("public point")) };
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) });
        Ok(Self::of(Algorithm::ES256, pair.to_pkcs8v1().map_err(unusable)?.as_ref(), jwk))
    }

    fn ed25519(pair: &Ed25519KeyPair) -> Result<Self, KeyError> {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
        Ok(Self::of(Algorithm::EdDSA, pair.to_pkcs8().map_err(unusable)?.as_ref(), jwk))
    }

    fn rsa(pair: &RsaKeyPair) -> Result<Self, KeyError> {
        let public: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
        let jwk = json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) });
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(unusable)?;
        Ok(Self::of(Algorithm::RS256, der.as_ref(), jwk))
    }

    fn of(algorithm: Algorithm, pkcs8: &[u8], mut jwk: Value) -> Self {
        let kid: String = SecretHash::of(&jwk.to_string()).as_str().chars().take(16).collect();
        if let Value::Object(members) = &mut jwk {
            members.insert("kid".into(), json!(kid));
            members.insert("use".into(), json!("sig"));
            members.insert("alg".into(), json!(name_of(algorithm)));
        }
        Self { kid, algorithm, pkcs8: pkcs8.to_vec(), public_jwk: jwk }
    }

    /// As it is stored by the server that made it.
    pub fn seal(
        &self,
        active_from: Timestamp,
        now: Timestamp,
        sealing: &SealingKey,
        random: &Random,
    ) -> Result<SigningKeyRow, KeyError> {
        let sealed = sealing.seal(PURPOSE, &self.pkcs8, random)?;
        let mut row = SigningKeyRow { sealed_private_key: Some(sealed), ..self.public(active_from, now) };
        row.life.can_sign = true;
        Ok(row)
    }

    /// As it is stored when it was given: its public half alone.
    pub fn public(&self, active_from: Timestamp, now: Timestamp) -> SigningKeyRow {
        SigningKeyRow {
            life: Life {
                kid: self.kid.clone(),
                algorithm: self.algorithm,
                can_sign: false,
                created_at: now,
                active_from,
                kept_until: None,
            },
            sealed_private_key: None,
            public_jwk: self.public_jwk.to_string(),
            retired_at: None,
            revoked_at: None,
        }
    }

    fn encoding(&self) -> Result<EncodingKey, KeyError> {
        encoding(self.algorithm, &self.pkcs8)
    }
}

impl SigningKey {
    /// Opens a stored key. `given` is the one that signs where it is given in a file.
    pub fn open(row: &SigningKeyRow, sealing: &SealingKey, given: Option<&Pair>) -> Result<Self, KeyError> {
        let public_jwk: Value = serde_json::from_str(&row.public_jwk).map_err(unusable)?;
        let jwk = serde_json::from_value(public_jwk.clone()).map_err(unusable)?;
        let encoding = match &row.sealed_private_key {
            Some(sealed) => Some(encoding(row.life.algorithm, &sealing.open(PURPOSE, sealed)?)?),
            None => given.filter(|pair| pair.kid == row.life.kid).map(Pair::encoding).transpose()?,
        };
        Ok(Self {
            life: Life { can_sign: encoding.is_some(), ..row.life.clone() },
            decoding: DecodingKey::from_jwk(&jwk).map_err(unusable)?,
            encoding,
            public_jwk,
        })
    }
}

fn encoding(algorithm: Algorithm, pkcs8: &[u8]) -> Result<EncodingKey, KeyError> {
    Ok(match algorithm {
        Algorithm::RS256 => rsa_encoding_key(pkcs8)?,
        Algorithm::EdDSA => EncodingKey::from_ed_der(pkcs8),
        _ => EncodingKey::from_ec_der(pkcs8),
    })
}

/// jsonwebtoken unwraps PKCS#8 for RSA only when it comes as PEM.
fn rsa_encoding_key(pkcs8: &[u8]) -> Result<EncodingKey, KeyError> {
    let body = STANDARD.encode(pkcs8);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(unusable)
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
