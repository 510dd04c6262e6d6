//! Secrets: shown once, stored as hashes. A plain secret has no `Display`, its `Debug` prints the type's name.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::Random;

/// SHA-256 of a secret with 256 random bits, base64url: what the database holds (no salt is needed for such
/// secrets; passwords are another matter, see `identity::password`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretHash(String);

impl SecretHash {
    /// The hash of any text.
    pub fn of(secret: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes())))
    }

    /// Wraps a stored hash.
    pub fn stored(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `secret` is what was hashed, in constant time.
    pub fn matches(&self, secret: &str) -> bool {
        equal(self.0.as_bytes(), Self::of(secret).0.as_bytes())
    }
}

/// Equality in constant time for equal lengths.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    verify_slices_are_equal(left, right).is_ok()
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// What it starts with, so that a leaked one can be recognised by scanners and never changes.
            pub const PREFIX: &'static str = $prefix;

            /// A new secret of 256 random bits.
            pub fn issue(random: &Random) -> Self {
                Self(format!("{}{}", Self::PREFIX, random.token()))
            }

            /// Wraps what a caller presented, if it has the shape of this secret: right prefix, right length,
            /// base64url. Anything else cannot exist in the store and is not looked up.
            pub fn presented(text: &str) -> Option<Self> {
                let random = text.strip_prefix(Self::PREFIX)?;
                let shaped = random.len() == 43
                    && random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                shaped.then(|| Self(text.to_owned()))
            }

            /// What is stored.
            pub fn hash(&self) -> SecretHash {
                SecretHash::of(&self.0)
            }

            /// The secret itself, for the one place that hands it out.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

secret! {
    /// An authorization code (OAuth 2.1 §4.1.2).
    AuthorizationCode, "mdt_code_"
}
secret! {
    /// A refresh token (OAuth 2.1 §4.3).
    RefreshToken, "mdt_refresh_"
}
secret! {
    /// A confidential client's secret (OAuth 2.1 §2.4.1).
    ClientSecret, "mdt_secret_"
}
secret! {
    /// A browser session, as its cookie carries it.
    SessionToken, "mdt_session_"
}
secret! {
    /// The one-time link that creates the first account.
    SetupToken, "mdt_setup_"
}
secret! {
    /// Ties one authorization request to the browser that began it, as a cookie.
    FlowToken, "mdt_flow_"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = RefreshToken::issue(&Random::seeded(1));
        assert_eq!(format!("{secret:?}"), "RefreshToken");
    }

    #[test]
    fn only_the_right_shape_is_looked_up() {
        let secret = RefreshToken::issue(&Random::seeded(1));
        assert!(RefreshToken::presented(secret.reveal()).is_some());
        assert!(AuthorizationCode::presented(secret.reveal()).is_none());
        let too_long = format!("{}x", secret.reveal());
        let text = secret.reveal().replace(RefreshToken::PREFIX, "mdt_refresh_\u{e9}");
        for bad in ["", "mdt_refresh_", too_long.as_str(), text.as_str()] {
            assert!(RefreshToken::presented(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_hash_matches_its_secret_only() {
        let hash = SecretHash::of("one");
        assert!(hash.matches("one"));
        assert!(!hash.matches("two"));
    }
}
