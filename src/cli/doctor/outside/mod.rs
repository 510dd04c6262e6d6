//! What can be seen from outside, in the order in which clients go: the way there, the MCP endpoint, the metadata, what
//! browsers ask besides, the sign-in, and, with a token, the calls.

mod browsers;
mod connection;
mod discovery;
mod endpoint;
mod exposure;
mod mcp;
mod session;
mod sign_in;

use std::sync::Arc;

use url::Url;

use super::Options;
use super::findings::{
    ERRORS_ARE_PAGES, Finding, HTTP_BEHIND_HTTPS, NO_ANSWER, POST_REDIRECTS, SLOW, UNFINISHED,
};
use super::probe::{Answer, Ask, Enough, Probe, Trouble};
use super::report::Report;
use crate::cli::Failure;
use crate::connect::at;
use crate::random::Random;
use discovery::AuthorizationServer;

/// A visit to one server.
pub(super) struct Visit<'a> {
    probe: Arc<Probe>,
    report: &'a mut Report,
    options: &'a Options,
    random: Random,
    /// The MCP endpoint.
    endpoint: Url,
    /// Whether it answers itself, and nobody in its place.
    reached: bool,
    /// What answers with pages where JSON is due.
    pages: Vec<String>,
    /// What answers a POST with a redirect.
    redirects: Vec<String>,
}

/// Visits the server at `url`: its MCP endpoint, or its origin.
pub(super) async fn examine(url: &Url, options: &Options, report: &mut Report) -> Result<(), Failure> {
    let probe = Arc::new(Probe::new(url, options.ca_file.as_deref())?);
    let mut visit = Visit {
        probe: Arc::clone(&probe),
        report,
        options,
        random: Random::system(),
        endpoint: mcp::endpoint(url),
        reached: true,
        pages: Vec::new(),
        redirects: Vec::new(),
    };
    let whole = tokio::select! {
        whole = go(&mut visit, url) => whole,
        () = probe.given_up() => false,
    };
    visit.sum_up(whole);
    Ok(())
}

/// Whether there was any use in going the whole way.
async fn go(visit: &mut Visit<'_>, url: &Url) -> bool {
    visit.report.group("The way there");
    let found = if url.path() == "/" { connection::Way::Origin } else { connection::Way::Endpoint };
    if !connection::check(visit, found).await {
        return false;
    }
    let options = visit.options;
    let server = if options.resource_server {
        visit.report.group("The MCP endpoint");
        let challenge = endpoint::check(visit).await;
        visit.report.group("Metadata");
        discovery::check(visit, &challenge).await
    } else {
        visit.reached = false;
        visit.report.group("Metadata");
        discovery::check_server(visit).await
    };
    visit.report.group("Clients in a browser");
    browsers::check(visit, server.as_ref()).await;
    if let Some(server) = &server {
        visit.report.group("Sign-in");
        sign_in::check(visit, server).await;
    }
    if let Some(token) = &options.token {
        visit.report.group("Calls with the token");
        session::check(visit, token).await;
    }
    visit.report.group("Altogether");
    exposure::check(visit).await;
    true
}

impl Visit<'_> {
    async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        self.probe.ask(ask).await
    }

    /// What could not be asked is found by what became of it; silence has one cause, and is told once.
    fn failed(&mut self, finding: &'static Finding, what: &str, trouble: &Trouble) {
        if !matches!(trouble, Trouble::Silence(_)) {
            self.report.found(finding, format!("({what}: {trouble})"));
        }
    }

    /// How many questions were not answered yet.
    fn silences(&self) -> usize {
        self.probe.silent().len()
    }

    /// A URL that the server names, with the scheme that it was asked by when it differs from this origin by nothing
    /// else; else one wrong scheme would look like many faults.
    fn upgraded(&mut self, url: Url) -> Url {
        let mut upgraded = url.clone();
        let is_ours = url.scheme() == "http"
            && self.endpoint.scheme() == "https"
            && upgraded.set_scheme("https").is_ok()
            && upgraded.origin() == self.endpoint.origin();
        if !is_ours {
            return url;
        }
        if !self.report.has(&HTTP_BEHIND_HTTPS) {
            self.report.found(&HTTP_BEHIND_HTTPS, format!("({})", crate::connect::shown(&url)));
        }
        upgraded
    }

    /// A place on the endpoint's origin.
    fn at(&self, path: &str) -> Url {
        at(&self.endpoint, path).unwrap_or_else(|| self.endpoint.clone())
    }

    /// Remembers an answer of the wrong kind: a redirect, or a page instead of JSON. Whether it was one.
    fn note_kind(&mut self, ask: &Ask, answer: &Answer) -> bool {
        if answer.status.is_redirection() {
            self.redirects.push(format!("{}: {}", ask.shown(), answer.shown()));
            return true;
        }
        if answer.is_page() {
            self.pages.push(format!("{}: {}", ask.shown(), answer.status));
            return true;
        }
        false
    }

    /// Says what many questions had in common. What is fine is said only where the `whole` way was gone and everything
    /// answered.
    fn sum_up(&mut self, whole: bool) {
        let silent = self.probe.silent();
        let all = whole && silent.is_empty();
        if !silent.is_empty() {
            self.report.found(&NO_ANSWER, format!("({})", silent.join("; ")));
        }
        match self.probe.enough().filter(|_| !whole) {
            Some(Enough::Late) => self.report.found(&UNFINISHED, ""),
            Some(Enough::Silence) | None => {}
        }
        if self.redirects.is_empty() {
            self.fine(all, "no POST is redirected");
        } else {
            self.report.found(&POST_REDIRECTS, format!("({})", self.redirects.join("; ")));
        }
        if self.pages.is_empty() {
            self.fine(all, "errors for clients are JSON");
        } else {
            self.report.found(&ERRORS_ARE_PAGES, format!("({})", self.pages.join("; ")));
        }
        let slow = self.probe.slow();
        if slow.is_empty() {
            self.fine(all, "every answer came within a second");
        } else {
            self.report.found(&SLOW, format!("({})", slow.join("; ")));
        }
    }

    fn fine(&mut self, all: bool, text: &str) {
        if all {
            self.report.ok(text);
        }
    }
}

/// The server that was found, for those who only read it.
type Found<'a> = Option<&'a AuthorizationServer>;
