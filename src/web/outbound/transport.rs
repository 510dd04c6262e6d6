//! One request and its answer, under all limits.

use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::{Certificate, Client, redirect, retry};
use tokio::sync::Semaphore;
use url::Url;

use super::error::{FetchError, OutboundSetupError};
use super::policy::OutboundPolicy;
use super::resolver::GuardedResolver;
use super::target::{Reach, judge};
use super::{Answer, Document, Order};

/// Our name in the hosts' logs.
const USER_AGENT: &str = concat!("mandate/", env!("CARGO_PKG_VERSION"));

/// What is kept of an answer's headers: what it is and how long it holds.
const KEPT: [HeaderName; 9] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::PRAGMA,
    header::VARY,
];

/// The two HTTP clients and what bounds them.
///
/// A resolver learns a host's name but not its port, and an operator may list one port of a host.
/// So there is a client for the public and one for listed hosts, and the URL decides between them.
#[derive(Debug)]
pub(super) struct Transport {
    policy: OutboundPolicy,
    public: Client,
    listed: Client,
    turns: Semaphore,
}

impl Transport {
    pub(super) fn new(policy: OutboundPolicy) -> Result<Self, OutboundSetupError> {
        let roots = match &policy.extra_ca_file {
            Some(path) => read_ca_file(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            public: client(Reach::Public, policy.timeout, roots.clone())?,
            listed: client(Reach::Listed, policy.timeout, roots)?,
            turns: Semaphore::new(policy.max_concurrent.max(1)),
            policy,
        })
    }

    /// Judges the URL, waits for a turn and asks; all in the time allowed.
    pub(super) async fn fetch(&self, order: &Order) -> Result<Answer, FetchError> {
        let reach = judge(&self.policy, &order.url).map_err(FetchError::Refused)?;
        let asked = async {
            let _turn = self.turns.acquire().await;
            self.exchange(reach, order).await
        };
        let in_time = tokio::time::timeout(self.policy.timeout, asked).await;
        in_time.unwrap_or(Err(FetchError::Timeout))
    }

    /// Judges the URL of a request, waits for a turn and sends it; all in the time allowed.
    pub(super) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limit_bytes: usize,
    ) -> Result<http::Response<Vec<u8>>, FetchError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| FetchError::Broken(format!("it is no URL: {error}")))?;
        let reach = judge(&self.policy, &url).map_err(FetchError::Refused)?;
        let asked = async {
            let _turn = self.turns.acquire().await;
            let request = self
                .client(reach)
                .request(parts.method, url)
                .headers(parts.headers)
                .header(header::ACCEPT_ENCODING, "identity")
                .body(body);
            let sent = request.send().await;
            let response = sent.map_err(|error| FetchError::from_reqwest(error, FetchError::Unreachable))?;
            let mut answer = http::Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                *headers = kept(response.headers());
            }
            let body = read_body(response, reach, limit_bytes).await?;
            answer.body(body.into()).map_err(|error| FetchError::Broken(error.to_string()))
        };
        let in_time = tokio::time::timeout(self.policy.timeout, asked).await;
        in_time.unwrap_or(Err(FetchError::Timeout))
    }

    fn client(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Public => &self.public,
            Reach::Listed => &self.listed,
        }
    }

    /// Asks without judging the URL; the address is still judged where it is dialled.
    pub(super) async fn exchange(&self, reach: Reach, order: &Order) -> Result<Answer, FetchError> {
        let mut request = self
            .client(reach)
            .get(order.url.clone())
            .header(header::ACCEPT, order.accept)
            // Nothing here decompresses, so that the limit counts the bytes that are parsed.
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(etag) = &order.validators.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(date) = &order.validators.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, date);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| FetchError::from_reqwest(error, FetchError::Unreachable))?;
        match response.status() {
            StatusCode::OK => {
                let headers = kept(response.headers());
                let body = read_body(response, reach, order.limit_bytes).await?;
                Ok(Answer::Changed(Document { body, headers }))
            }
            StatusCode::NOT_MODIFIED if !order.validators.is_empty() => {
                Ok(Answer::NotModified(kept(response.headers())))
            }
            code => Err(FetchError::Status { code, reach }),
        }
    }

    /// How many more fetches could start now.
    #[cfg(test)]
    pub(super) fn free_turns(&self) -> usize {
        self.turns.available_permits()
    }
}

/// HTTP/1.1 and no pool: each fetch is one connection that ends with it, so nothing a stranger's
/// host sends is buffered or kept open beyond the fetch, and each fetch dials an address judged for
/// it. Without a process-wide default, reqwest brings the aws-lc-rs provider itself.
#[expect(clippy::disallowed_methods, reason = "this is the guarded client the others are told to use")]
fn client(reach: Reach, timeout: Duration, roots: Vec<Certificate>) -> Result<Client, OutboundSetupError> {
    Client::builder()
        .dns_resolver(GuardedResolver::new(reach))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .https_only(reach == Reach::Public)
        .http1_only()
        .pool_max_idle_per_host(0)
        // The connector divides this among a host's addresses, so that a dead one leaves time.
        .connect_timeout(timeout)
        .user_agent(USER_AGENT)
        .tls_certs_merge(roots)
        .build()
        .map_err(|error| OutboundSetupError::from_reqwest(&error))
}

fn read_ca_file(path: &Path) -> Result<Vec<Certificate>, OutboundSetupError> {
    let pem = std::fs::read(path)
        .map_err(|cause| OutboundSetupError::CaFileUnreadable { path: path.to_owned(), cause })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(OutboundSetupError::CaFileWithoutCertificate { path: path.to_owned() }),
    }
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(KEPT.len());
    for name in KEPT {
        for value in headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Counts what arrives and stops at the limit; `Content-Length` is not asked.
async fn read_body(
    mut response: reqwest::Response,
    reach: Reach,
    limit_bytes: usize,
) -> Result<Bytes, FetchError> {
    let encoded = response.headers().get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(FetchError::Broken("it is compressed although that was declined".into()));
    }
    let mut body = Vec::new();
    let cut = |error| FetchError::from_reqwest(error, FetchError::Broken);
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(FetchError::TooLarge { limit_bytes, reach });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}
