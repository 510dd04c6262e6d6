//! Proof Key for Code Exchange (RFC 7636), S256 only. The single PKCE rule of the house.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{Error, invalid_grant, invalid_request};
use super::secret::equal;

/// An S256 `code_challenge`: base64url of a SHA-256, exactly 43 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Parses the two parameters of the authorization request. A missing method would mean `plain`
    /// (RFC 7636 §4.3), which OAuth 2.1 §7.5.1 lets us refuse.
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Self, Error> {
        let challenge =
            challenge.ok_or_else(|| invalid_request("code_challenge is required: use PKCE with S256"))?;
        if method != Some("S256") {
            return Err(invalid_request("code_challenge_method must be S256"));
        }
        if URL_SAFE_NO_PAD.decode(challenge).is_ok_and(|bytes| bytes.len() == 32) {
            Ok(Self(challenge.to_owned()))
        } else {
            Err(invalid_request("code_challenge must be the 43 base64url characters of a SHA-256"))
        }
    }

    /// Wraps a stored challenge.
    pub fn stored(challenge: impl Into<String>) -> Self {
        Self(challenge.into())
    }

    /// The challenge as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks the `code_verifier` of the token request (RFC 7636 §4.6), in constant time.
    pub fn check(&self, verifier: Option<&str>) -> Result<(), Error> {
        let verifier = verifier.ok_or_else(|| invalid_grant("code_verifier is missing"))?;
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
            return Err(invalid_grant("code_verifier must be 43 to 128 unreserved characters"));
        }
        let computed = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        if equal(computed.as_bytes(), self.0.as_bytes()) {
            Ok(())
        } else {
            Err(invalid_grant("code_verifier does not match code_challenge"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ErrorCode;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_holds() {
        let challenge = CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(challenge.check(Some(VERIFIER)).is_ok());
    }

    #[test]
    fn anything_but_s256_is_refused() {
        for (challenge, method) in [
            (None, Some("S256")),
            (Some(CHALLENGE), None),
            (Some(CHALLENGE), Some("plain")),
            (Some(CHALLENGE), Some("s256")),
            (Some("short"), Some("S256")),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"), Some("S256")),
        ] {
            let error = CodeChallenge::parse(challenge, method).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
        }
    }

    #[test]
    fn a_wrong_missing_or_misshapen_verifier_is_invalid_grant() {
        let challenge = CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap();
        let long = "a".repeat(129);
        for verifier in [None, Some(""), Some("short"), Some(long.as_str()), Some(CHALLENGE)] {
            assert_eq!(challenge.check(verifier).unwrap_err().code, ErrorCode::InvalidGrant);
        }
    }
}
