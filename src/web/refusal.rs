//! The line that the log has of each request that is refused, so that the reference that its caller was given leads
//! somewhere. One line of limited length for one request: whoever asks in vain fills a log no faster than the access log
//! of any web server.

use std::borrow::Cow;

use axum::response::Response;

use super::text::visible;

/// The longest text of a caller's that is logged, in characters.
const LONGEST: usize = 120;

/// What the log is told of a refusal. It goes out with the response, as an extension, and is logged where all responses
/// pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing more: whoever refused the request has logged it.
    Logged,
    /// What was said to the caller, and what only an operator is told. Neither holds a secret.
    Said {
        /// In words of ours.
        what: Cow<'static, str>,
        /// More of it. What a caller wrote has gone through [`quoted`].
        detail: Option<String>,
    },
}

impl Why {
    /// This sentence or word of ours says it all.
    pub fn said(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Said { what: what.into(), detail: None }
    }

    /// Sends it out with the response.
    pub fn mark(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }
}

/// A text of a caller's as a line can hold it.
pub fn quoted(text: &str) -> String {
    visible(text, LONGEST)
}

/// Logs a response that refuses, once.
pub(super) fn log(response: &Response) {
    let status = response.status();
    let refuses = status.is_client_error() || status.is_server_error();
    match response.extensions().get::<Why>() {
        Some(Why::Said { what, detail }) => {
            let detail = detail.as_deref();
            tracing::info!(status = status.as_u16(), what = what.as_ref(), detail, "refused");
        }
        None if refuses => tracing::info!(status = status.as_u16(), "refused"),
        Some(Why::Logged) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_wrote_is_one_short_line() {
        assert_eq!(quoted("client_1"), "client_1");
        assert_eq!(quoted("a\r\nforged line"), "a forged line");
        assert!(quoted(&"x".repeat(10_000)).chars().count() <= LONGEST);
    }
}
