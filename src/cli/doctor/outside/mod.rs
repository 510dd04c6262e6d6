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

use url::Url;

use super::Options;
use super::findings::{ERRORS_ARE_PAGES, HTTP_BEHIND_HTTPS, POST_REDIRECTS, SLOW};
use super::probe::{Answer, Ask, Probe, Trouble};
use super::report::Report;
use crate::cli::Failure;
use crate::connect::at;
use crate::random::Random;
use discovery::AuthorizationServer;

/// A visit to one server.
pub(super) struct Visit<'a> {
    probe: Probe,
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
    let probe = Probe::new(url, options.ca_file.as_deref())?;
    let mut visit = Visit {
        probe,
        report,
        options,
        random: Random::system(),
        endpoint: mcp::endpoint(url),
        reached: true,
        pages: Vec::new(),
        redirects: Vec::new(),
    };
    visit.report.group("The way there");
    if !connection::check(&mut visit, url.path() == "/").await {
        return Ok(());
    }
    let server = if options.resource_server {
        visit.report.group("The MCP endpoint");
        let challenge = endpoint::check(&mut visit).await;
        visit.report.group("Metadata");
        discovery::check(&mut visit, &challenge).await
    } else {
        visit.reached = false;
        visit.report.group("Metadata");
        discovery::check_server(&mut visit).await
    };
    visit.report.group("Clients in a browser");
    browsers::check(&mut visit, server.as_ref()).await;
    if let Some(server) = &server {
        visit.report.group("Sign-in");
        sign_in::check(&mut visit, server).await;
    }
    if let Some(token) = &options.token {
        visit.report.group("Calls with the token");
        session::check(&mut visit, token).await;
    }
    visit.report.group("Altogether");
    exposure::check(&mut visit).await;
    visit.sum_up();
    Ok(())
}

impl Visit<'_> {
    async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        self.probe.ask(ask).await
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

    fn sum_up(&mut self) {
        if self.redirects.is_empty() {
            self.report.ok("no POST is redirected");
        } else {
            self.report.found(&POST_REDIRECTS, format!("({})", self.redirects.join("; ")));
        }
        if self.pages.is_empty() {
            self.report.ok("errors for clients are JSON");
        } else {
            self.report.found(&ERRORS_ARE_PAGES, format!("({})", self.pages.join("; ")));
        }
        let slow = self.probe.slow();
        if slow.is_empty() {
            self.report.ok("every answer came within a second");
        } else {
            self.report.found(&SLOW, format!("({})", slow.join("; ")));
        }
    }
}

/// The server that was found, for those who only read it.
type Found<'a> = Option<&'a AuthorizationServer>;
