//! Signing keys: made, sealed into rows, and read back.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::sealing::{SealError, SealingKey};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// What the sealing key seals private keys for.
const PURPOSE: &str = "signing key";

/// A key that signs and verifies access tokens.
pub struct SigningKey {
    /// Its name in token headers and the JWK set.
    pub kid: String,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// From when it signs. In the far future for the next key.
    pub active_from: Timestamp,
    /// The public half as published.
    pub public_jwk: Value,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A signing key as stored.
#[derive(Clone)]
pub struct SigningKeyRow {
    /// Its name.
    pub kid: String,
    /// `ES256`, `RS256` or `EdDSA`.
    pub alg: String,
    /// The private key, PKCS#8, sealed.
    pub sealed_private_key: String,
    /// The public JWK, JSON.
    pub public_jwk: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
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

fn unusable(error: impl fmt::Debug) -> KeyError {
    KeyError::Unusable(format!("{error:?}"))
}

/// Makes a key for `algorithm` that signs from `active_from`.
pub fn generate(
    algorithm: Algorithm,
    active_from: Timestamp,
    now: Timestamp,
    sealing: &SealingKey,
    random: &Random,
) -> Result<SigningKeyRow, KeyError> {
    let (pkcs8, mut jwk) = match algorithm {
        Algorithm::RS256 => rsa()?,
        Algorithm::EdDSA => ed25519()?,
        _ => p256()?,
    };
    let alg = format!("{algorithm:?}");
    let kid: String = SecretHash::of(&jwk.to_string()).as_str().chars().take(16).collect();
    if let Value::Object(members) = &mut jwk {
        members.insert("kid".into(), json!(kid));
        members.insert("use".into(), json!("sig"));
        members.insert("alg".into(), json!(alg));
    }
    Ok(SigningKeyRow {
        kid,
        alg,
        sealed_private_key: sealing.seal(PURPOSE, &pkcs8, random)?,
        public_jwk: jwk.to_string(),
        created_at: now,
        active_from,
    })
}

impl SigningKey {
    /// Opens a stored key.
    pub fn open(row: &SigningKeyRow, sealing: &SealingKey) -> Result<Self, KeyError> {
        let pkcs8 = sealing.open(PURPOSE, &row.sealed_private_key)?;
        let public_jwk: Value = serde_json::from_str(&row.public_jwk).map_err(unusable)?;
        let jwk = serde_json::from_value(public_jwk.clone()).map_err(unusable)?;
        let (algorithm, encoding) = match row.alg.as_str() {
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_der(&pkcs8)),
            "EdDSA" => (Algorithm::EdDSA, EncodingKey::from_ed_der(&pkcs8)),
            "RS256" => (Algorithm::RS256, rsa_encoding_key(&pkcs8)?),
            other => return Err(unusable(other)),
        };
        Ok(Self {
            kid: row.kid.clone(),
            algorithm,
            active_from: row.active_from,
            decoding: DecodingKey::from_jwk(&jwk).map_err(unusable)?,
            encoding,
            public_jwk,
        })
    }
}

fn p256() -> Result<(Vec<u8>, Value), KeyError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unusable)?;
    let point = pair.public_key().as_ref();
    // An uncompressed point: 0x04, x, y.
    let (x, y) = (point.get(1..33), point.get(33..65));
    let (Some(x), Some(y)) = (x, y) else { return Err(unusable("public point")) };
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) });
    Ok((pair.to_pkcs8v1().map_err(unusable)?.as_ref().to_vec(), jwk))
}

fn ed25519() -> Result<(Vec<u8>, Value), KeyError> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unusable)?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(unusable)?;
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
    Ok((document.as_ref().to_vec(), jwk))
}

fn rsa() -> Result<(Vec<u8>, Value), KeyError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(unusable)?;
    let public: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
    let jwk = json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) });
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(unusable)?;
    Ok((der.as_ref().to_vec(), jwk))
}

/// jsonwebtoken unwraps PKCS#8 for RSA only when it comes as PEM.
fn rsa_encoding_key(pkcs8: &[u8]) -> Result<EncodingKey, KeyError> {
    let body = base64::engine::general_purpose::STANDARD.encode(pkcs8);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(unusable)
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
