//! Which host a request is for: said once, and told to everything behind this layer in one place, the Host header.
//!
//! Where a proxy and a server take different ones of two names for the host, a request gets past the one that looks and
//! to the other that answers.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use serde_json::json;

use super::reference;
use super::refusal::Why;

/// What is wrong with what a request says about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unclear {
    #[error("send exactly one Host header")]
    Missing,
    #[error("send the Host header once")]
    Repeated,
    #[error("the Host header is no host")]
    Malformed,
    #[error("the Host header names another host than :authority")]
    Differs,
}

/// Refuses what names no host or several, and puts the one that counts into the Host header.
pub async fn layer(mut request: Request, next: Next) -> Response {
    match of(request.version(), request.uri(), request.headers()) {
        Ok(host) => {
            if let Some(host) = host {
                request.headers_mut().insert(header::HOST, host);
            }
            next.run(request).await
        }
        Err(unclear) => {
            let said = unclear.to_string();
            let body = json!({
                "error": "invalid_request",
                "error_description": said,
                "reference": reference::current(),
            });
            let mut response =
                (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
            Why::said(said).mark(&mut response);
            response
        }
    }
}

/// The host that counts, where a request names one.
fn of(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Unclear> {
    let mut named = headers.get_all(header::HOST).iter();
    let header = named.next();
    if named.next().is_some() {
        return Err(Unclear::Repeated);
    }
    // RFC 9112 §3.2: also where the target names the host, and of any version before for which there were none.
    if header.is_none() && version == Version::HTTP_11 {
        return Err(Unclear::Missing);
    }
    let parsed = header.map(parse).transpose()?;
    let Some(target) = uri.authority() else { return Ok(header.cloned()) };
    if !is_plain(target) {
        return Err(Unclear::Malformed);
    }
    // RFC 9112 §3.2.2 has the header ignored; RFC 9113 §8.3.1 has both be the same.
    let is_http_2 = version >= Version::HTTP_2;
    if is_http_2 && header.is_some() && !is_same(uri, target, parsed.flatten().as_ref()) {
        return Err(Unclear::Differs);
    }
    HeaderValue::from_str(target.as_str()).map(Some).map_err(|_| Unclear::Malformed)
}

/// Empty is what stands there for a target without a host.
fn parse(header: &HeaderValue) -> Result<Option<Authority>, Unclear> {
    let text = header.to_str().map_err(|_| Unclear::Malformed)?;
    if text.is_empty() {
        return Ok(None);
    }
    let authority = text.parse::<Authority>().map_err(|_| Unclear::Malformed)?;
    if is_plain(&authority) { Ok(Some(authority)) } else { Err(Unclear::Malformed) }
}

/// A host, and a port behind it if any. The library also takes a user before it (RFC 9113 §8.3.1 forbids that one), what
/// is no port, and anything behind a bracket: there others may see another host.
fn is_plain(authority: &Authority) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let behind = authority.as_str().strip_prefix(authority.host());
    behind.is_some_and(|behind| behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
}

fn is_same(uri: &Uri, target: &Authority, header: Option<&Authority>) -> bool {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    header.is_some_and(|header| {
        header.host().eq_ignore_ascii_case(target.host()) && port(header) == port(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: Version, uri: &str, hosts: &[&str]) -> Result<String, Unclear> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        let host = of(version, &uri.parse().unwrap(), &headers)?;
        Ok(host.map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn a_request_of_http_1_names_one_host_and_that_of_its_target_counts() {
        for (uri, hosts, expected) in [
            ("/mcp", &["t.example"][..], Ok("t.example")),
            ("/mcp", &["t.example:8080"], Ok("t.example:8080")),
            ("/mcp", &["[::1]:8080"], Ok("[::1]:8080")),
            ("/mcp", &[""], Ok("")),
            ("/mcp", &[], Err(Unclear::Missing)),
            ("/mcp", &["t.example", "evil.example"], Err(Unclear::Repeated)),
            ("/mcp", &["t.example", "t.example"], Err(Unclear::Repeated)),
            ("/mcp", &["t.example, evil.example"], Err(Unclear::Malformed)),
            ("/mcp", &["t.example/x"], Err(Unclear::Malformed)),
            ("/mcp", &["user@t.example"], Err(Unclear::Malformed)),
            ("/mcp", &["t.example:abc"], Err(Unclear::Malformed)),
            ("/mcp", &["t.example:99999"], Err(Unclear::Malformed)),
            ("/mcp", &["[::1].evil.example:8080"], Err(Unclear::Malformed)),
            ("/mcp", &["[::1]x:8080"], Err(Unclear::Malformed)),
            ("http://t.example/mcp", &["evil.example"], Ok("t.example")),
            ("http://evil.example/mcp", &["t.example"], Ok("evil.example")),
            ("http://t.example@evil.example/mcp", &["t.example"], Err(Unclear::Malformed)),
            ("http://t.example:99999/mcp", &["t.example"], Err(Unclear::Malformed)),
            ("http://t.example/mcp", &[], Err(Unclear::Missing)),
        ] {
            assert_eq!(told(Version::HTTP_11, uri, hosts), expected.map(str::to_owned), "{uri} {hosts:?}");
        }
        assert_eq!(told(Version::HTTP_10, "/live", &[]), Ok(String::new()), "as old probes ask");
        assert_eq!(told(Version::HTTP_10, "/live", &["a", "a"]), Err(Unclear::Repeated));
    }

    #[test]
    fn a_host_beside_the_authority_of_http_2_is_the_same() {
        for (hosts, expected) in [
            (&[][..], Ok("t.example")),
            (&["t.example"], Ok("t.example")),
            (&["T.example:443"], Ok("t.example")),
            (&["t.example:80"], Err(Unclear::Differs)),
            (&["evil.example"], Err(Unclear::Differs)),
            (&[""], Err(Unclear::Differs)),
            (&["t.example", "t.example"], Err(Unclear::Repeated)),
        ] {
            let told = told(Version::HTTP_2, "https://t.example/mcp", hosts);
            assert_eq!(told, expected.map(str::to_owned), "{hosts:?}");
        }
        assert_eq!(told(Version::HTTP_2, "/mcp", &["t.example"]), Ok("t.example".to_owned()));
    }
}
