//! Copies renewed at a real host.

use std::sync::Mutex;

use super::super::cached::{CacheBounds, CachedDocument, Freshness, Refresh, refresh};
use super::origin::Reply;
use super::*;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// An origin that gives these replies in turn.
async fn in_turn(replies: Vec<Reply>) -> Origin {
    let replies = Mutex::new(replies.into_iter());
    Origin::tls(move |_| replies.lock().unwrap().next().unwrap()).await
}

async fn renew(origin: &Origin, copy: Option<&CachedDocument>, now_ms: i64) -> Result<Refresh, FetchError> {
    let outbound = Outbound::new(listing(origin)).unwrap();
    let bounds = CacheBounds::default();
    refresh(&outbound, wanted(&origin.url("/")), copy, &bounds, now_ms).await
}

fn document(headers: &str, body: &str) -> Reply {
    Reply::http("200 OK", headers, body)
}

#[tokio::test]
async fn a_copy_is_revalidated_and_extended_by_304() {
    let origin = in_turn(vec![
        document(
            "Cache-Control: max-age=3600\r\nETag: \"one\"\r\n\
             Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
            "{}",
        ),
        Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\n\r\n".to_vec()),
        Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=120\r\n\r\n".to_vec()),
    ])
    .await;
    let first = renew(&origin, None, NOW).await.unwrap();
    let Refresh::Fetched(first) = first else { panic!("{first:?}") };
    assert_eq!(first.fresh_until_ms, NOW + HOUR);
    assert!(!origin.requests()[0].to_ascii_lowercase().contains("if-"));

    let second = renew(&origin, Some(&first), NOW + 2 * HOUR).await.unwrap();
    let Refresh::Confirmed(second) = second else { panic!("{second:?}") };
    assert_eq!((second.body.as_str(), second.fetched_at_ms), ("{}", NOW + 2 * HOUR));
    assert_eq!(second.fresh_until_ms, NOW + 3 * HOUR, "the lifetime said before");
    let head = origin.requests()[1].to_ascii_lowercase();
    assert!(head.contains("if-none-match: \"one\"\r\n"), "{head}");
    assert!(head.contains("if-modified-since: tue, 14 nov 2023 22:13:20 gmt\r\n"), "{head}");

    let third = renew(&origin, Some(&second), NOW + 4 * HOUR).await.unwrap().into_document();
    assert_eq!(third.fresh_until_ms, NOW + 4 * HOUR + 120_000, "the lifetime said now");
    assert!(origin.requests()[2].contains("\"one\""), "the validator is kept");
}

#[tokio::test]
async fn a_changed_document_replaces_the_copy() {
    let origin = in_turn(vec![
        document("ETag: \"one\"\r\n", "1"),
        document("ETag: \"two\"\r\n", "2"),
        Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()),
    ])
    .await;
    let one = renew(&origin, None, NOW).await.unwrap().into_document();
    let two = renew(&origin, Some(&one), NOW + HOUR).await.unwrap();
    let Refresh::Fetched(two) = two else { panic!("{two:?}") };
    assert_eq!(two.body, "2");
    renew(&origin, Some(&two), NOW + 2 * HOUR).await.unwrap();
    assert!(origin.requests()[2].contains("if-none-match: \"two\""));
}

#[tokio::test]
async fn a_copy_without_validators_is_fetched_anew() {
    let origin = in_turn(vec![document("", "1"), Reply::http("304 Not Modified", "", "")]).await;
    let copy = renew(&origin, None, NOW).await.unwrap().into_document();
    let outcome = renew(&origin, Some(&copy), NOW + HOUR).await.unwrap();
    // A 304 that nobody asked for is a failure of the host.
    assert_eq!(outcome, Refresh::StandsIn(outcome.clone().into_document(), status(304)));
    assert!(!origin.requests()[1].to_ascii_lowercase().contains("if-"));
}

#[tokio::test]
async fn a_copy_stands_in_while_the_host_fails() {
    for code in [302, 403, 429, 500, 503] {
        let failing = Reply::http(&format!("{code} X"), "", "");
        let origin = in_turn(vec![document("Cache-Control: max-age=3600\r\n", "1"), failing]).await;
        let copy = renew(&origin, None, NOW).await.unwrap().into_document();
        let now = NOW + 2 * HOUR;
        let Refresh::StandsIn(stand_in, cause) = renew(&origin, Some(&copy), now).await.unwrap() else {
            panic!("no copy stood in for {code}")
        };
        assert_eq!(cause, status(code));
        assert_eq!(stand_in.freshness(now), Freshness::Fresh, "the host is left alone");
        assert_eq!(stand_in.freshness(now + 60_000), Freshness::Stale, "for a minute");
        assert_eq!(stand_in.stale_until_ms, copy.stale_until_ms, "and not for ever");
    }
}

#[tokio::test]
async fn no_copy_stands_in_for_what_is_withdrawn_or_too_old() {
    for (code, now) in [(404, NOW + 2 * HOUR), (410, NOW + 2 * HOUR), (503, NOW + 9 * DAY)] {
        let failing = Reply::http(&format!("{code} X"), "", "");
        let origin = in_turn(vec![document("Cache-Control: max-age=3600\r\n", "1"), failing]).await;
        let copy = renew(&origin, None, NOW).await.unwrap().into_document();
        assert_eq!(renew(&origin, Some(&copy), now).await.unwrap_err(), status(code));
    }
}

#[tokio::test]
async fn a_failure_without_a_copy_is_the_failure() {
    let origin = in_turn(vec![Reply::http("403 X", "", "")]).await;
    assert_eq!(renew(&origin, None, NOW).await.unwrap_err(), status(403));
}

#[tokio::test]
async fn a_document_that_is_not_utf_8_is_no_document() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe".to_vec();
    let origin = in_turn(vec![Reply::Bytes(bytes)]).await;
    assert!(matches!(renew(&origin, None, NOW).await, Err(FetchError::Broken(_))));
}
