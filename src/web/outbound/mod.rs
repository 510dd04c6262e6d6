//! The one guarded HTTP client: every fetch of a URL that somebody else chose goes through here
//! (client ID metadata documents, JWKS, logos, discovery).
//!
//! The rules, each with its home:
//! - which URL may be asked at all: `target`;
//! - which address may be dialled, and that the checked one is: `resolver`, `address`;
//! - no redirect, proxy, cookie, `Referer` or compression, and a limit on the body: `transport`;
//! - one fetch at a time for the same document: `in_flight`;
//! - what a caller may tell the outside about a failure: [`FetchError`];
//! - how long a document may be kept: [`cached`].
//!
//! Contract: draft-ietf-oauth-client-id-metadata-document §6.5 and §6.6, and the SSRF section of
//! the MCP security best practices.

mod address;
pub mod cached;
mod error;
mod in_flight;
mod policy;
mod resolver;
mod target;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;

use axum::body::Bytes;
use futures::FutureExt as _;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use url::Url;

pub use error::{FetchError, OutboundSetupError};
pub use policy::{AllowedHost, AllowedHostError, OutboundPolicy};
pub use target::{Reach, Refusal};

use in_flight::InFlight;
use transport::Transport;

/// What is to be fetched, and how much of it is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is. Untrusted: [`Outbound`] decides whether it may be asked.
    pub url: &'a Url,
    /// The `Accept` header, for example `application/json`.
    pub accept: &'static str,
    /// The longest body accepted, in bytes.
    pub limit_bytes: usize,
}

/// What a copy is revalidated with (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Validators {
    /// The value of `ETag`, quotes included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The value of `Last-Modified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validators {
    /// Longest validator kept, in bytes; a longer one is dropped and the next fetch is unconditional.
    const LONGEST: usize = 512;

    /// The validators that an answer carries.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let kept = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= Self::LONGEST).then(|| value.to_owned())
        };
        Self { etag: kept(http::header::ETAG), last_modified: kept(http::header::LAST_MODIFIED) }
    }

    /// Whether there is nothing to revalidate with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// A document as its host answered it, with status 200.
#[derive(Debug, Clone)]
pub struct Document {
    /// The body, no longer than the limit asked for.
    pub body: Bytes,
    /// The headers that say what it is and how long it holds; all others are dropped.
    pub headers: HeaderMap,
}

impl Document {
    /// The media type in lower case without parameters, when the host named one.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.get(http::header::CONTENT_TYPE)?;
        let essence = value.to_str().ok()?.split(';').next()?.trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }
}

/// The answer to a conditional request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status 200: a new document.
    Changed(Document),
    /// Status 304: the copy still holds; these headers say for how long.
    NotModified(HeaderMap),
}

/// The guarded client. Cheap to clone; clones share its limits.
#[derive(Debug, Clone)]
pub struct Outbound {
    transport: Arc<Transport>,
    in_flight: Arc<InFlight>,
}

impl Outbound {
    /// Prepares the client. Reads the system's certificates and the extra CA file.
    ///
    /// # Errors
    /// Says in one sentence what is wrong with the configuration or the system.
    pub fn new(policy: OutboundPolicy) -> Result<Self, OutboundSetupError> {
        Ok(Self { transport: Arc::new(Transport::new(policy)?), in_flight: Arc::default() })
    }

    /// Fetches a document. Only status 200 is a success.
    ///
    /// Identical calls made at the same time share one request.
    ///
    /// # Errors
    /// [`FetchError`]: its `Display` may be shown to anybody, its `detail()` belongs in the log.
    pub async fn get(&self, wanted: Wanted<'_>) -> Result<Document, FetchError> {
        match self.fetch(wanted, Validators::default()).await? {
            Answer::Changed(document) => Ok(document),
            Answer::NotModified(_) => {
                Err(FetchError::Broken("304 was taken for the answer to an unconditional request".into()))
            }
        }
    }

    /// Fetches a document unless the copy that `validators` belong to still holds.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn get_if_changed(
        &self,
        wanted: Wanted<'_>,
        validators: &Validators,
    ) -> Result<Answer, FetchError> {
        self.fetch(wanted, validators.clone()).await
    }

    /// Sends a request of ours to a host that the operator named, such as the token endpoint of a provider, and hands
    /// over its answer whatever the status. The same guards as for every fetch; nothing is shared or kept.
    ///
    /// # Errors
    /// As [`Outbound::get`].
    pub async fn exchange(
        &self,
        request: http::Request<Vec<u8>>,
        limit_bytes: usize,
    ) -> Result<http::Response<Vec<u8>>, FetchError> {
        self.transport.send(request, limit_bytes).await
    }

    async fn fetch(&self, wanted: Wanted<'_>, validators: Validators) -> Result<Answer, FetchError> {
        let order = Order {
            url: wanted.url.clone(),
            accept: wanted.accept,
            limit_bytes: wanted.limit_bytes,
            validators,
        };
        let running = self.in_flight.join(order, |order| {
            let transport = Arc::clone(&self.transport);
            async move { transport.fetch(&order).await }.boxed()
        });
        running.await
    }
}

/// One request in full: what makes two fetches the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Order {
    url: Url,
    accept: &'static str,
    limit_bytes: usize,
    validators: Validators,
}
