//! Where the browser comes back to: a server on the loopback interface that takes one answer (RFC 8252 §7.3).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::client;
use crate::oauth::secret::equal;

/// How long the page is waited for once the dance is over.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// The server, before it takes anything.
#[derive(Debug)]
pub(super) struct Callback {
    listener: TcpListener,
    port: u16,
}

/// The parameters that the authorization server sent back, each once.
#[derive(Debug, Default)]
pub(super) struct Returned(Vec<(String, String)>);

impl Returned {
    /// The parameters of a query; nothing when one stands in it twice (OAuth 2.1 §4.1.2 knows each once).
    pub(super) fn parse(query: &str) -> Option<Self> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let names = pairs.iter().enumerate();
        let is_repeated = |(at, (name, _)): (usize, &(String, String))| {
            pairs.iter().take(at).any(|(earlier, _)| earlier == name)
        };
        (!names.into_iter().any(is_repeated)).then_some(Self(pairs))
    }

    /// A parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
struct Door {
    authority: String,
    state: String,
    is_taken: AtomicBool,
    answers: mpsc::Sender<(Returned, oneshot::Sender<Result<(), String>>)>,
}

impl Callback {
    /// Listens on this port of 127.0.0.1, or on any.
    pub(super) async fn bind(port: Option<u16>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the authorization server is told.
    pub(super) fn redirect_uri(&self) -> String {
        client::redirect_uri(self.port)
    }

    /// Takes the one answer that carries `state`, does `work` with it, and tells the person how it went. Other
    /// requests get a page and change nothing.
    pub(super) async fn take<T, E: std::fmt::Display>(
        self,
        state: &str,
        work: impl AsyncFnOnce(Returned) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let (answers, mut taken) = mpsc::channel(1);
        let door = Door {
            authority: format!("127.0.0.1:{}", self.port),
            state: state.to_owned(),
            is_taken: AtomicBool::new(false),
            answers,
        };
        let router = Router::new().route("/callback", get(answer)).with_state(Arc::new(door));
        let done = CancellationToken::new();
        let serving =
            axum::serve(self.listener, router).with_graceful_shutdown(done.clone().cancelled_owned());
        let working = async {
            let (returned, page) = taken.recv().await?;
            let result = work(returned).await;
            let _ = page.send(result.as_ref().map(drop).map_err(ToString::to_string));
            done.cancel();
            Some(result)
        };
        let serving = async {
            tokio::select! {
                _ = serving.into_future() => {}
                () = async { done.cancelled().await; tokio::time::sleep(LAST_PAGE).await } => {}
            }
        };
        tokio::join!(working, serving).0
    }
}

async fn answer(State(door): State<Arc<Door>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    if host != Some(door.authority.as_str()) {
        return page(StatusCode::FORBIDDEN, "Not here", "This address is for one program on this computer.");
    }
    let returned = Returned::parse(query.as_deref().unwrap_or_default()).unwrap_or_default();
    let state = returned.get("state").unwrap_or_default();
    if !equal(state.as_bytes(), door.state.as_bytes()) {
        let text = "This answer belongs to no sign-in that is under way. Start it again from your app.";
        return page(StatusCode::BAD_REQUEST, "Nothing was changed", text);
    }
    if door.is_taken.swap(true, Ordering::SeqCst) {
        let text = "This answer has been taken already. You can close this page.";
        return page(StatusCode::GONE, "Already done", text);
    }
    let (sender, result) = oneshot::channel();
    let _ = door.answers.send((returned, sender)).await;
    match result.await {
        Ok(Ok(())) => page(StatusCode::OK, "Signed in", "You can close this page and go back to your app."),
        Ok(Err(why)) => page(StatusCode::OK, "Not signed in", &format!("{why}. Go back to your app.")),
        Err(_) => page(StatusCode::OK, "Not signed in", "The program that asked is gone."),
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title></head><body><h1>{title}</h1><p>{escaped}</p></body></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CONNECTION, "close"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn visit(port: u16, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn only_one_answer_with_the_right_state_is_taken() {
        let callback = Callback::bind(None).await.unwrap();
        let port = callback.port();
        let host = format!("127.0.0.1:{port}");
        assert_eq!(callback.redirect_uri(), format!("http://{host}/callback"));
        let (taken, began) = oneshot::channel::<()>();
        let (release, released) = oneshot::channel::<()>();
        let taking = callback.take("st", async |returned: Returned| {
            taken.send(()).unwrap();
            released.await.unwrap();
            Ok::<_, String>(returned.get("code").unwrap().to_owned())
        });
        let visiting = async {
            for (path, status) in [
                ("/", "404"),
                ("/callback", "400"),
                ("/callback?state=wrong&code=evil", "400"),
                ("/callback?state=st&state=st&code=evil", "400"),
                ("/callback?state=st&code=a&code=b", "400"),
            ] {
                let text = visit(port, path, &host).await;
                assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {text}");
            }
            assert!(visit(port, "/callback?state=st&code=good", "evil.example").await.contains("403"));
            let second = async {
                began.await.unwrap();
                let page = visit(port, "/callback?state=st&code=evil", &host).await;
                release.send(()).unwrap();
                page
            };
            tokio::join!(visit(port, "/callback?state=st&code=good", &host), second)
        };
        let (result, (first, second)) = tokio::join!(taking, visiting);
        assert_eq!(result.unwrap().unwrap(), "good");
        assert!(first.contains("Signed in") && second.starts_with("HTTP/1.1 410"), "{first}{second}");
    }

    #[tokio::test]
    async fn what_went_wrong_is_shown_as_text() {
        let callback = Callback::bind(None).await.unwrap();
        let port = callback.port();
        let taking = callback.take("st", async |_: Returned| Err::<(), _>("<b>no</b>"));
        let host = format!("127.0.0.1:{port}");
        let (result, page) = tokio::join!(taking, visit(port, "/callback?state=st&error=x", &host));
        assert!(result.unwrap().is_err());
        assert!(
            page.contains("Not signed in") && page.contains("&lt;b&gt;no") && !page.contains("<b>"),
            "{page}"
        );
    }
}
