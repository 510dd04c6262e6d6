//! The only source of randomness: secrets, ids, nonces.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where random bytes come from. The seeded kind exists so that a test can repeat itself.
pub enum Random {
    /// The operating system's generator, through AWS-LC.
    System(SystemRandom),
    /// A SHA-256 counter stream: the same seed gives the same bytes. For tests only.
    Seeded(u64, AtomicU64),
}

impl Random {
    /// The generator for production.
    pub fn system() -> Self {
        Self::System(SystemRandom::new())
    }

    /// A repeatable generator for tests.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(seed, AtomicU64::new(0))
    }

    /// Fills an array with random bytes.
    ///
    /// # Panics
    /// When the operating system's generator does not answer: nothing here may go on without it.
    #[expect(clippy::expect_used, reason = "without a working generator nothing here may go on")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0_u8; N];
        match self {
            Self::System(system) => system.fill(&mut out).expect("the system generator answers"),
            Self::Seeded(seed, counter) => {
                for chunk in out.chunks_mut(32) {
                    let mut input = [0_u8; 16];
                    let (head, tail) = input.split_at_mut(8);
                    head.copy_from_slice(&seed.to_be_bytes());
                    tail.copy_from_slice(&counter.fetch_add(1, Ordering::SeqCst).to_be_bytes());
                    let block = digest(&SHA256, &input);
                    for (target, source) in chunk.iter_mut().zip(block.as_ref()) {
                        *target = *source;
                    }
                }
            }
        }
        out
    }

    /// 256 random bits as 43 base64url characters: more than the 160 that OAuth 2.1 §7.7 asks for.
    pub fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }

    /// 128 random bits as 22 base64url characters: for ids, which are unique but not secret.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes::<16>())
    }
}

/// Whether a text has the form of what [`Random::id`] makes.
pub fn is_id(text: &str) -> bool {
    text.len() == 22 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_randomness_repeats_and_moves_on() {
        let (one, two) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(one.token(), two.token());
        assert_ne!(one.token(), one.token());
        assert_ne!(Random::seeded(8).token(), Random::seeded(9).token());
    }

    #[test]
    fn tokens_carry_256_bits_and_ids_128() {
        assert_eq!(Random::system().token().len(), 43);
        assert!(is_id(&Random::system().id()));
        assert!(!is_id("") && !is_id(&"a".repeat(23)) && !is_id("aaaaaaaaaaaaaaaaaaaaa:"));
    }
}
