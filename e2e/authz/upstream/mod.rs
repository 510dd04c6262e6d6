//! Signing in at providers of the company's.

mod accounts;
mod answers;
mod id_tokens;
mod logout;
mod trouble;
mod whole;

use reqwest::StatusCode;

use crate::support::Server;
use crate::support::browser::{Browser, Loaded};
use crate::support::upstream::Upstream;

/// Accounts for everybody, as requesters.
const EVERYBODY: &str = "create = true";

/// A server that knows `acme`, with accounts for everybody.
async fn world() -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    let server = server(&upstream, "", EVERYBODY).await;
    (upstream, server)
}

/// A server that knows one provider.
async fn server(upstream: &Upstream, lines: &str, accounts: &str) -> Server {
    Server::start_with(|config| upstream.configure(config, lines, accounts)).await
}

/// Presses the button for a provider on the sign-in page at `path`; returns where the browser is sent.
async fn choose(browser: &mut Browser<'_>, path: &str, upstream: &Upstream) -> Loaded {
    let page = browser.get(path).await;
    assert!(page.body.contains(&format!("Acme {}", upstream.name)), "{page:?}");
    let csrf = page.hidden("csrf");
    let mut form = vec![("csrf", csrf.as_str())];
    let flow = page.body.contains("name=\"flow\"").then(|| page.hidden("flow"));
    if let Some(flow) = &flow {
        form.push(("flow", flow));
    }
    if page.body.contains("name=\"switch\"") {
        form.push(("switch", "1"));
    }
    browser.post(&format!("/login/{}", upstream.name), &form).await
}

/// The same, and a redirect to the provider is what must come of it.
async fn depart(browser: &mut Browser<'_>, path: &str, upstream: &Upstream) -> String {
    let sent = choose(browser, path, upstream).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
    assert!(sent.location.starts_with(&format!("{}/authorize?", upstream.issuer)), "{}", sent.location);
    sent.location
}

/// The whole way to the provider and back, without an app that waits.
async fn sign_in(browser: &mut Browser<'_>, upstream: &Upstream) -> Loaded {
    let location = depart(browser, "/login", upstream).await;
    let back = upstream.sign_in(&location);
    browser.get(&back).await
}

/// Signs in where that must come to nothing for this reason; nobody is signed in, and the page helps.
async fn refused(server: &Server, upstream: &Upstream, status: StatusCode, word: &str) -> Loaded {
    let mut browser = Browser::new(server);
    let page = sign_in(&mut browser, upstream).await;
    check_refusal(server, &browser, &page, status, word).await;
    page
}

/// Nobody is signed in; the page, the log and the numbers say why.
async fn check_refusal(
    server: &Server,
    browser: &Browser<'_>,
    page: &Loaded,
    status: StatusCode,
    word: &str,
) {
    assert_eq!((page.status, page.location.as_str()), (status, ""), "{word}: {}", page.body);
    page.assert_page(status, page.title().trim_end_matches(" · Mandate"));
    assert!(!browser.cookies.contains_key("mandate-session"), "{word}");
    assert!(!browser.cookies.keys().any(|name| name.contains("elsewhere")), "{:?}", browser.cookies);
    assert!(page.body.contains("href=\"/login?"), "{}", page.body);
    let reference = page.headers["x-reference-id"].to_str().unwrap();
    assert!(page.body.contains(&format!("<code>{reference}</code>")), "{}", page.body);
    let events = sign_ins(server).await;
    let event = events.iter().find(|event| event.reference.as_deref() == Some(reference)).unwrap();
    assert_eq!(event.outcome, "refused", "{event:?}");
    assert_eq!(event.detail.as_deref(), Some(format!("at acme: {word}").as_str()));
}

/// What the audit log says of sign-ins.
async fn sign_ins(server: &Server) -> Vec<mandate::storage::audit::AuditRow> {
    let events = server.app.store.list_audit_events(None, 1000).await.unwrap();
    events.into_iter().filter(|event| event.event == "sign_in").collect()
}
