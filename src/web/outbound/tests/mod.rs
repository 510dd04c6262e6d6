//! The client against real TLS servers on loopback.

mod caching;
mod guard;
mod limits;
mod origin;
mod proxies;

use std::time::Duration;

use url::Url;

use super::{Document, FetchError, Outbound, OutboundPolicy, Reach, Wanted};
use origin::Origin;

/// The limit that the tests fetch with, in bytes.
const LIMIT: usize = 1024;

fn wanted(url: &Url) -> Wanted<'_> {
    Wanted { url, accept: "application/json", limit_bytes: LIMIT }
}

/// A policy that lists the origin by host and port and trusts its authority. Its patience is that of
/// a busy machine: only the test of the timeout may meet one.
fn listing(origin: &Origin) -> OutboundPolicy {
    OutboundPolicy {
        extra_ca_file: Some(origin.ca_file()),
        allowed_hosts: vec![origin.authority().parse().unwrap()],
        timeout: Duration::from_mins(1),
        ..OutboundPolicy::default()
    }
}

/// Fetches `/` of an origin that is listed and trusted.
async fn get(origin: &Origin) -> Result<Document, FetchError> {
    let outbound = Outbound::new(listing(origin)).unwrap();
    outbound.get(wanted(&origin.url("/"))).await
}

fn status(code: u16) -> FetchError {
    let code = http::StatusCode::from_u16(code).unwrap();
    FetchError::Status { code, reach: Reach::Listed }
}
