//! What can go wrong, and who may hear of it.
//!
//! A fetch that anybody can cause is an oracle: if "refused", "no such host", "connection refused"
//! and "timed out" read differently, it maps the network we run in. So `Display` has one text for
//! all of them. Only what a host on the public internet said may be repeated.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use http::StatusCode;

use super::target::{Reach, Refusal};

/// Why a document was not fetched. `Display` is for anybody, [`FetchError::detail`] for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// Our rules forbid it; nothing was sent.
    Refused(Refusal),
    /// No connection: name, route, port or certificate.
    Unreachable(String),
    /// Not done in the time allowed, waiting for a turn included.
    Timeout,
    /// The host answered something else than 200.
    Status {
        /// What it answered.
        code: StatusCode,
        /// Whether that may be told.
        reach: Reach,
    },
    /// The body is longer than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
        /// Whether that may be told.
        reach: Reach,
    },
    /// The answer ended early, is compressed, or is not text where text is needed.
    Broken(String),
}

impl FetchError {
    /// The whole reason. For the log only.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => format!("refused: {refusal}"),
            Self::Unreachable(cause) => format!("unreachable: {cause}"),
            Self::Timeout => "timed out".into(),
            Self::Status { code, .. } => format!("status {}", code.as_u16()),
            Self::TooLarge { limit_bytes, .. } => format!("longer than {limit_bytes} bytes"),
            Self::Broken(cause) => format!("broken answer: {cause}"),
        }
    }

    /// Whether an older copy may stand in (RFC 5861 §4, and bot walls that answer 403 or 302).
    ///
    /// Not when the host has withdrawn the document, and not when our own rules forbid the fetch.
    #[must_use]
    pub fn lets_an_older_copy_stand_in(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Status { .. } => !self.is_withdrawal(),
            Self::Unreachable(_) | Self::Timeout | Self::TooLarge { .. } | Self::Broken(_) => true,
        }
    }

    /// Whether the host said that there is no such document.
    #[must_use]
    pub fn is_withdrawal(&self) -> bool {
        matches!(self, Self::Status { code: StatusCode::NOT_FOUND | StatusCode::GONE, .. })
    }

    /// Sorts an error of the HTTP library: a refusal of ours, a timeout, or what `otherwise` makes
    /// of its text.
    pub(super) fn from_reqwest(error: reqwest::Error, otherwise: fn(String) -> Self) -> Self {
        let error = error.without_url();
        if let Some(refusal) = refusal_in(&error) {
            return Self::Refused(refusal.clone());
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        otherwise(chain(&error))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document could not be fetched")?;
        match self {
            Self::Status { code, reach: Reach::Public } if code.is_redirection() => {
                write!(f, ": it answered {}, and redirects are not followed", code.as_u16())
            }
            Self::Status { code, reach: Reach::Public } => {
                write!(f, ": it answered {}", code.as_u16())
            }
            Self::TooLarge { limit_bytes, reach: Reach::Public } => {
                write!(f, ": it is longer than {limit_bytes} bytes")
            }
            _ => Ok(()),
        }
    }
}

impl StdError for FetchError {}

/// Why the client could not be prepared at start.
#[derive(Debug, thiserror::Error)]
pub enum OutboundSetupError {
    /// The file cannot be read.
    #[error("the extra CA file {} cannot be read: {cause}", path.display())]
    CaFileUnreadable {
        /// The configured path.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file can be read but holds nothing usable.
    #[error("the extra CA file {} holds no PEM certificate", path.display())]
    CaFileWithoutCertificate {
        /// The configured path.
        path: PathBuf,
    },
    /// A certificate in the file was not accepted, or the system has none.
    #[error(
        "the outgoing HTTPS client cannot be prepared: {0}; install the system's CA certificates \
         or check the extra CA file"
    )]
    Tls(String),
}

impl OutboundSetupError {
    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        Self::Tls(chain(error))
    }
}

fn refusal_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reach: Reach) -> FetchError {
        let code = StatusCode::from_u16(code).unwrap();
        FetchError::Status { code, reach }
    }

    #[test]
    fn failures_that_could_map_our_network_read_the_same() {
        for error in [
            FetchError::Refused(Refusal::Port(8443)),
            FetchError::Refused(Refusal::Address([10, 0, 0, 1].into())),
            FetchError::Unreachable("connection refused".into()),
            FetchError::Timeout,
            FetchError::Broken("connection reset".into()),
            status(403, Reach::Listed),
            status(302, Reach::Listed),
            FetchError::TooLarge { limit_bytes: 5120, reach: Reach::Listed },
        ] {
            assert_eq!(error.to_string(), "the document could not be fetched", "{error:?}");
            assert_ne!(error.detail(), error.to_string(), "the log says more: {error:?}");
        }
    }

    #[test]
    fn what_a_public_host_answered_is_said() {
        let said = |error: FetchError| error.to_string();
        assert!(said(status(403, Reach::Public)).ends_with(": it answered 403"));
        assert!(said(status(302, Reach::Public)).ends_with("302, and redirects are not followed"));
        let long = FetchError::TooLarge { limit_bytes: 5120, reach: Reach::Public };
        assert!(said(long).ends_with(": it is longer than 5120 bytes"));
    }

    #[test]
    fn a_withdrawn_or_refused_document_is_not_replaced_by_an_older_copy() {
        for (error, stands_in) in [
            (status(404, Reach::Public), false),
            (status(410, Reach::Public), false),
            (FetchError::Refused(Refusal::NoHost), false),
            (status(403, Reach::Public), true),
            (status(302, Reach::Public), true),
            (status(500, Reach::Public), true),
            (FetchError::Timeout, true),
            (FetchError::Unreachable(String::new()), true),
        ] {
            assert_eq!(error.lets_an_older_copy_stand_in(), stands_in, "{error:?}");
        }
    }
}
