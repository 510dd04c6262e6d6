//! The end of what takes too long: 408 where we waited for the request (RFC 9110 §15.5.9), 503 where it waited for us.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::error::{JsonError, page_of};
use crate::oauth::Error;
use crate::oauth::error::{invalid_request, temporarily_unavailable};
use crate::web::page::ErrorPage;

/// How long an answer may take in all.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Ends what takes too long, in the form that clients read.
pub(super) async fn in_json(request: Request, next: Next) -> Response {
    in_time(ANSWER_WITHIN, request, async |request| next.run(request).await)
        .await
        .unwrap_or_else(told_in_json)
}

/// Ends what takes too long, on a page.
pub(super) async fn on_a_page(request: Request, next: Next) -> Response {
    in_time(ANSWER_WITHIN, request, async |request| next.run(request).await)
        .await
        .unwrap_or_else(told_on_a_page)
}

fn told_in_json(late: Late) -> Response {
    match late {
        Late::Ours => JsonError::from(busy()).into_response(),
        Late::Theirs => {
            let mut response = JsonError::from(slow()).into_response();
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response
        }
    }
}

fn told_on_a_page(late: Late) -> Response {
    match late {
        Late::Ours => page_of(&busy()).into_response(),
        Late::Theirs => ErrorPage { status: StatusCode::REQUEST_TIMEOUT, ..page_of(&slow()) }.into_response(),
    }
}

/// Who kept the answer waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Ours,
    Theirs,
}

async fn in_time(
    within: Duration,
    request: Request,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Result<Response, Late> {
    let is_awaited = Arc::<AtomicBool>::default();
    let request = request.map(|body| Body::new(Awaited { body, is_awaited: is_awaited.clone() }));
    let answered = tokio::time::timeout(within, answer(request)).await;
    answered.map_err(|_| if is_awaited.load(Ordering::Relaxed) { Late::Theirs } else { Late::Ours })
}

fn busy() -> Error {
    temporarily_unavailable("the server is busy, try again shortly").detail("it took too long").retry_after(2)
}

fn slow() -> Error {
    invalid_request("the body took too long")
}

/// A body that shows whether somebody waits for more of it.
struct Awaited {
    body: Body,
    is_awaited: Arc<AtomicBool>,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.is_awaited.store(frame.is_pending(), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt as _, stream};
    use std::convert::Infallible;

    #[tokio::test]
    async fn who_keeps_us_waiting_is_told_so_and_whom_we_keep_waiting_as_well() {
        let read = async |request: Request| {
            let mut body = request.into_body().into_data_stream();
            while body.next().await.is_some() {}
            StatusCode::OK.into_response()
        };
        let never = async |request: Request| {
            read(request).await;
            std::future::pending().await
        };
        let body = |rest: bool| {
            let first = stream::iter([Ok::<_, Infallible>("a")]);
            if rest { Body::from_stream(first.chain(stream::pending())) } else { Body::from_stream(first) }
        };
        let soon = Duration::from_millis(1);
        let late = in_time(soon, Request::new(body(true)), read).await.map(|_| ());
        assert_eq!(late, Err(Late::Theirs));
        let late = in_time(soon, Request::new(body(false)), never).await.map(|_| ());
        assert_eq!(late, Err(Late::Ours));
        let response = in_time(ANSWER_WITHIN, Request::new(body(false)), read).await;
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_late_request_is_408_and_a_busy_server_503() {
        let of =
            |response: Response| (response.status().as_u16(), response.headers().contains_key("retry-after"));
        for (told, expected) in
            [(told_in_json(Late::Ours), (503, true)), (told_in_json(Late::Theirs), (408, false))]
        {
            assert_eq!(of(told), expected);
        }
        for (told, expected) in
            [(told_on_a_page(Late::Ours), (503, true)), (told_on_a_page(Late::Theirs), (408, false))]
        {
            assert_eq!(of(told), expected);
        }
    }
}
