//! Signing keys that the operator gives: PKCS#8 in PEM (RFC 5958, RFC 7468 §10).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::signing::Pair;

/// The largest file that is read, in bytes. An RSA key of 8192 bits has about 6500.
const LARGEST_FILE: u64 = 64 * 1024;

/// The keys of the configuration.
#[derive(Clone, Debug)]
pub struct Given {
    /// The key that signs.
    pub signing: Pair,
    /// The key that is published beside it, because it will sign next.
    pub next: Option<Pair>,
}

/// Reads a key file. What is wrong is told in half a sentence without a word of what the file holds.
pub fn read(path: &Path) -> Result<Pair, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LARGEST_FILE {
        return Err(format!("{} is too large for a key", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text).map_err(|problem| format!("{} {problem}", path.display()))
}

const CONVERT: &str = "holds no unencrypted PKCS#8 key (-----BEGIN PRIVATE KEY-----); convert it with \
                       `openssl pkcs8 -topk8 -nocrypt`";
const KINDS: &str =
    "holds neither an EC key on P-256, nor an Ed25519 key, nor an RSA key of 2048 bits or more";

/// Parses the text of a key file.
fn parse(text: &str) -> Result<Pair, &'static str> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----").ok_or(CONVERT)?;
    let (body, rest) = rest.split_once("-----END PRIVATE KEY-----").ok_or(CONVERT)?;
    if rest.contains("PRIVATE KEY-----") {
        return Err("holds more than one key; write each to a file of its own");
    }
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let pkcs8 = STANDARD.decode(body).map_err(|_| CONVERT)?;
    Pair::read(&pkcs8).and_then(Result::ok).ok_or(KINDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::Algorithm;

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_key_of_each_kind_is_read_with_the_name_that_it_always_has() {
        for algorithm in [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA] {
            let made = Pair::generate(algorithm).unwrap();
            let text = pem(&made.pkcs8);
            for text in [text.clone(), text.replace('\n', "\r\n"), format!("Bag Attributes\n{text}")] {
                let read = parse(&text).unwrap();
                assert_eq!((read.kid.as_str(), read.algorithm), (made.kid.as_str(), algorithm));
                assert_eq!(read.public_jwk, made.public_jwk);
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_cure_and_without_a_word_of_it() {
        let key = pem(&Pair::generate(Algorithm::ES256).unwrap().pkcs8);
        let p384 = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        );
        let p384 = pem(p384.unwrap().to_pkcs8v1().unwrap().as_ref());
        for (text, said) in [
            (String::new(), "openssl pkcs8"),
            ("hunter2".into(), "openssl pkcs8"),
            (key.replace("PRIVATE KEY", "EC PRIVATE KEY"), "openssl pkcs8"),
            (key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "openssl pkcs8"),
            (key.replace("-----END", "hunter2-----END"), "openssl pkcs8"),
            (key.replace("-----END PRIVATE KEY-----", ""), "openssl pkcs8"),
            (format!("{key}{key}"), "more than one"),
            (pem(b"hunter2"), "neither"),
            (p384, "neither"),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.contains(said) && !problem.contains("hunter2"), "{problem}: {text}");
        }
    }
}
