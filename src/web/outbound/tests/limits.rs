//! How much, how long, how many.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;

use super::super::Order;
use super::super::Validators;
use super::super::transport::Transport;
use super::origin::Reply;
use super::*;

/// An answer without `Content-Length`, ended by the end of the connection.
fn unmeasured(length: usize) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(length)).into_bytes())
}

fn chunked(length: usize) -> Reply {
    let body = "1\r\nx\r\n".repeat(length);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    Reply::Bytes(format!("{head}{body}0\r\n\r\n").into_bytes())
}

fn measured(length: usize) -> Reply {
    Reply::http("200 OK", "", &"x".repeat(length))
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_accepted() {
    for reply in [unmeasured, chunked, measured] {
        let origin = Origin::tls(move |_| reply(LIMIT)).await;
        assert_eq!(get(&origin).await.unwrap().body.len(), LIMIT);
    }
}

#[tokio::test]
async fn a_body_one_byte_over_the_limit_is_refused() {
    let too_large = FetchError::TooLarge { limit_bytes: LIMIT, reach: Reach::Listed };
    for reply in [unmeasured, chunked, measured] {
        let origin = Origin::tls(move |_| reply(LIMIT + 1)).await;
        assert_eq!(get(&origin).await.unwrap_err(), too_large);
    }
}

#[tokio::test]
async fn an_endless_body_is_refused_at_the_limit() {
    // The connection stays open: only the count of what arrived can end this.
    let origin = Origin::tls(|_| {
        let body = "x".repeat(LIMIT + 1);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n";
        Reply::Hang(format!("{head}{body}").into_bytes())
    })
    .await;
    assert!(matches!(get(&origin).await.unwrap_err(), FetchError::TooLarge { .. }));
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_no_document() {
    let origin =
        Origin::tls(|_| Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"a\":1}".to_vec()))
            .await;
    assert!(matches!(get(&origin).await.unwrap_err(), FetchError::Broken(_)));
}

#[tokio::test]
async fn a_compressed_body_is_no_document() {
    let origin = Origin::tls(|_| Reply::http("200 OK", "Content-Encoding: gzip\r\n", "?")).await;
    assert!(matches!(get(&origin).await.unwrap_err(), FetchError::Broken(_)));
    let origin = Origin::tls(|_| Reply::http("200 OK", "Content-Encoding: identity\r\n", "?")).await;
    assert_eq!(get(&origin).await.unwrap().body, "?");
}

#[tokio::test]
async fn a_host_that_does_not_finish_in_time_is_given_up() {
    for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        let origin = Origin::tls(move |_| Reply::Hang(sent.into())).await;
        let policy = OutboundPolicy { timeout: Duration::from_millis(50), ..listing(&origin) };
        let outbound = Outbound::new(policy).unwrap();
        let error = outbound.get(wanted(&origin.url("/"))).await.unwrap_err();
        assert_eq!(error, FetchError::Timeout, "after {sent:?}");
    }
}

#[tokio::test]
async fn simultaneous_fetches_of_a_document_are_one_request() {
    let origin = Origin::tls(|_| measured(10)).await;
    let outbound = Outbound::new(listing(&origin)).unwrap();
    let url = origin.url("/");
    let results = join_all((0..20).map(|_| outbound.get(wanted(&url)))).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap().body.len() == 10));
    assert_eq!(origin.requests().len(), 1);
    // Nothing is kept: a later fetch asks again.
    outbound.get(wanted(&url)).await.unwrap();
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn simultaneous_fetches_share_a_failure_too() {
    let origin = Origin::tls(|_| Reply::http("403 No", "", "")).await;
    let outbound = Outbound::new(listing(&origin)).unwrap();
    let url = origin.url("/");
    let results = join_all((0..20).map(|_| outbound.get(wanted(&url)))).await;
    assert!(results.into_iter().all(|result| result.unwrap_err() == status(403)));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn different_documents_are_different_requests() {
    let origin = Origin::tls(|_| measured(10)).await;
    let outbound = Outbound::new(listing(&origin)).unwrap();
    let urls = [origin.url("/a"), origin.url("/b"), origin.url("/a?b")];
    join_all(urls.iter().map(|url| outbound.get(wanted(url)))).await;
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_end_the_fetch_of_the_others() {
    let origin = Origin::tls(|_| measured(10)).await;
    let outbound = Outbound::new(listing(&origin)).unwrap();
    let url = origin.url("/");
    let mut first = Box::pin(outbound.get(wanted(&url)));
    assert!((&mut first).now_or_never().is_none());
    let second = outbound.get(wanted(&url));
    let second = async {
        drop(first);
        second.await
    };
    assert_eq!(second.await.unwrap().body.len(), 10);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_fetch_takes_one_of_a_limited_number_of_turns() {
    let origin = Origin::tls(|_| measured(10)).await;
    let policy = OutboundPolicy { max_concurrent: 1, ..listing(&origin) };
    let transport = Transport::new(policy).unwrap();
    let order = |path| Order {
        url: origin.url(path),
        accept: "*/*",
        limit_bytes: LIMIT,
        validators: Validators::default(),
    };
    let (a, b) = (order("/a"), order("/b"));
    assert_eq!(transport.free_turns(), 1);
    let mut first = Box::pin(transport.fetch(&a));
    assert!((&mut first).now_or_never().is_none());
    assert_eq!(transport.free_turns(), 0);
    // The second waits for the first, and both are served.
    let (first, second) = futures::join!(first, transport.fetch(&b));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(transport.free_turns(), 1);
}
