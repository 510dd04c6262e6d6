//! A page as an HTTP response, and the page that says what went wrong.

use askama::Template;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::moment::wait_words;
use super::reference;
use super::refusal::Why;

/// Sent with every page.
///
/// The policy has no `form-action`: browsers apply it to the redirects that follow a form, and would stop the way back
/// to the client after `Allow`. `Cross-Origin-Opener-Policy` is left out on purpose: web clients open these pages in a
/// popup, and it would cut their callback page off from the window that waits for it.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// A view with its status, sent as HTML with the headers every page has.
#[derive(Debug)]
pub struct Page<T>(pub StatusCode, pub T);

impl<T> Page<T> {
    /// The view, with status 200.
    pub const fn ok(view: T) -> Self {
        Self(StatusCode::OK, view)
    }
}

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let Self(status, view) = self;
        match view.render() {
            Ok(html) => (status, HEADERS, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page could not be rendered");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    HEADERS,
                    "This page could not be shown. Please try again.",
                )
                    .into_response()
            }
        }
    }
}

/// The page for a person whose request cannot go on: what happened, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// The heading: a short sentence without a full stop.
    pub title: String,
    /// What happened.
    pub message: String,
    /// What the person can do now.
    pub advice: String,
    /// The id under which the logs and traces hold the details; the request's own where none is set.
    pub reference: Option<String>,
    /// Seconds until trying again makes sense, sent as `Retry-After`.
    pub retry_after: Option<u64>,
    /// What the log is told; the title where nothing is set.
    pub why: Option<Why>,
}

impl ErrorPage {
    /// A page without reference and `Retry-After`.
    #[must_use]
    pub fn new(status: StatusCode, title: &str, message: &str, advice: &str) -> Self {
        let [title, message, advice] = [title, message, advice].map(str::to_owned);
        Self { status, title, message, advice, reference: None, retry_after: None, why: None }
    }

    /// The same page, naming the id to ask for.
    #[must_use]
    pub fn with_reference(self, reference: impl Into<String>) -> Self {
        Self { reference: Some(reference.into()), ..self }
    }

    /// The same page, of which the log is told this, too: nothing secret, and a caller's words only as
    /// [`super::refusal::quoted`] gives them.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Self {
        let why = Why::Said { what: self.title.clone().into(), detail: Some(detail.into()) };
        Self { why: Some(why), ..self }
    }

    /// The same page, whose reason stands in the log already.
    #[must_use]
    pub fn logged(self) -> Self {
        Self { why: Some(Why::Logged), ..self }
    }

    /// Nothing lives at this address (404).
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is no page here",
            "The address may be mistyped, or the page may have moved.",
            "Check the address, or start from the home page.",
        )
    }

    /// A form came without its proof that this site's own page sent it (403).
    #[must_use]
    pub fn form_refused() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form can no longer be used",
            "It was opened too long ago, or in a browser that does not accept this site’s cookies. Nothing was changed.",
            "Go back, reload the page, and send it again. If that does not help, allow cookies for this site.",
        )
    }

    /// The request cannot be read as what this address takes (400).
    #[must_use]
    pub fn bad_request(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This request cannot be read",
            message,
            "Go back and try again. If an app sent you here, start again from the app.",
        )
    }

    /// Too many requests; the next one is welcome in `wait_seconds` (429).
    #[must_use]
    pub fn too_many_requests(wait_seconds: u64) -> Self {
        let wait = wait_words(wait_seconds);
        let page = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests",
            "More requests came from you or your network than this server takes at once.",
            &format!("Wait {wait}, then try again."),
        );
        Self { retry_after: Some(wait_seconds.max(1)), ..page }
    }

    /// Something this server needs is away for the moment (503).
    #[must_use]
    pub fn unavailable(reference: impl Into<String>) -> Self {
        let page = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "We cannot do this right now",
            "A part of this server is not available. This is our fault, not yours, and nothing was changed.",
            "Try again in a minute. If it goes on, tell the people who run this server and give them the reference.",
        );
        Self { retry_after: Some(60), ..page }.with_reference(reference)
    }

    /// A fault of ours (500).
    #[must_use]
    pub fn fault(reference: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong on our side",
            "This server made a mistake. It was not your fault.",
            "Try again. If it goes on, tell the people who run this server and give them the reference.",
        )
        .with_reference(reference)
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(mut self) -> Response {
        self.reference.get_or_insert_with(reference::current);
        let retry_after = self.retry_after;
        let why = self.why.take().unwrap_or_else(|| Why::said(self.title.clone()));
        let mut response = Page(self.status, self).into_response();
        why.mark(&mut response);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(response: &Response, name: &str) -> String {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn every_page_has_the_security_headers_and_no_form_action() {
        let response = ErrorPage::not_found().into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-opener-policy", ""),
            ("retry-after", ""),
        ] {
            assert_eq!(header(&response, name), value, "{name}");
        }
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("form-action"));
    }

    #[test]
    fn a_wait_is_said_in_words_and_in_retry_after() {
        let page = ErrorPage::too_many_requests(45);
        assert!(page.advice.contains("45 seconds"));
        assert_eq!(header(&page.into_response(), "retry-after"), "45");
        assert_eq!(header(&ErrorPage::unavailable("r").into_response(), "retry-after"), "60");
    }

    #[test]
    fn a_fault_of_ours_carries_its_reference() {
        for page in [ErrorPage::fault("01J9-ref"), ErrorPage::unavailable("01J9-ref")] {
            assert!(page.status.is_server_error());
            assert!(page.render().unwrap().contains("01J9-ref"));
        }
    }
}
