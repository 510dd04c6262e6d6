//! Views with everyday and with hostile content, for the tests.

use askama::Template;

use super::account::{AccountNotice, AccountPage, AppView, LimitView};
use super::activity::{ActivityPage, ActivityView};
use super::client_name::ClientName;
use super::consent::{
    ClientKind, ClientView, ConsentPage, ConsentProblem, Destination, ScopeStanding, ScopeView,
};
use super::deed_words::Particular;
use super::home::HomePage;
use super::login::{LoginPage, WayIn};
use super::scope_words::scope_words;
use super::server::ServerView;
use super::setup::{SetupPage, SetupProblems};
use crate::web::moment::Moment;
use crate::web::snippets::Snippets;
use crate::web::text::{DisplayName, visible};

/// Breaks out of an attribute or an element wherever escaping is missing.
pub(super) const HOSTILE: &str = "\"'><script>alert(1)</script>&";
/// The same as a name, long, and reversing the text around it.
pub(super) const HOSTILE_NAME: &str =
    "\u{202E}\"'><script>alert(1)</script>& and on, and on, and on, and on, and on, and on, and on";
pub(super) const MCP_URL: &str = "https://tickets.example.com/mcp";
pub(super) const NOW: i64 = 1_795_393_200_000;
pub(super) const DAY: i64 = 86_400_000;

pub(super) fn html(view: &impl Template) -> String {
    view.render().unwrap()
}

/// A name that a client gave itself.
pub(super) fn claimed(name: &str) -> ClientName {
    ClientName::Claimed(DisplayName::of(name))
}

pub(super) fn home(username: Option<&str>) -> HomePage {
    HomePage {
        given: Some(Snippets::of("tickets", MCP_URL)),
        others: Vec::new(),
        title: None,
        username: username.map(str::to_owned),
    }
}

pub(super) fn tickets() -> ServerView {
    server("Tickets", MCP_URL, "your tickets")
}

pub(super) fn server(title: &str, identifier: &str, used: &str) -> ServerView {
    let [title, identifier, used] = [title, identifier, used].map(str::to_owned);
    ServerView { title, identifier, used, lingers: None }
}

pub(super) fn setup(username: &str, problems: SetupProblems) -> SetupPage {
    let [csrf, token] = ["csrf-1", "token-1"].map(str::to_owned);
    SetupPage { csrf, token, username: username.to_owned(), password_min: 12, has_tickets: true, problems }
}

pub(super) fn login_with_ways(titles: &[&str], local_accounts: bool) -> LoginPage {
    let way = |title: &&str| WayIn { name: "acme".to_owned(), title: DisplayName::of(title) };
    LoginPage {
        csrf: "csrf-1".to_owned(),
        flow: Some("flow-1".to_owned()),
        username: String::new(),
        problem: None,
        client_name: Some(claimed("Cursor")),
        ways: titles.iter().map(way).collect(),
        local_accounts,
        switching: !local_accounts,
        contact: (!local_accounts).then(|| "the IT desk".to_owned()),
    }
}

pub(super) fn consent(name: &str, kind: ClientKind, destination: Destination) -> ConsentPage {
    ConsentPage {
        id: "flow-1".to_owned(),
        csrf: "csrf-1".to_owned(),
        username: "alice".to_owned(),
        client: ClientView { name: ClientName::of(name, &kind), kind, client_uri: None },
        destination,
        server: tickets(),
        scopes: ["tickets:read", "tickets:write", "offline_access"]
            .map(|name| scope(name, ScopeStanding::First))
            .into(),
        access_until: Some(Moment::from_unix_ms(NOW + 30 * DAY)),
        problem: None,
    }
}

pub(super) fn scope(name: &str, standing: ScopeStanding) -> ScopeView {
    ScopeView { name: name.to_owned(), words: scope_words(name), standing, checked: true }
}

pub(super) fn document(host: &str) -> ClientKind {
    ClientKind::Document { host: host.to_owned() }
}

pub(super) fn web(host: &str) -> Destination {
    Destination::Web { host: host.to_owned() }
}

pub(super) fn loopback() -> Destination {
    Destination::Loopback { host: "127.0.0.1".to_owned() }
}

pub(super) fn app(scheme: &str) -> Destination {
    Destination::App { scheme: scheme.to_owned() }
}

pub(super) fn widening() -> ConsentPage {
    let granted = scope("tickets:read", ScopeStanding::GrantedBefore);
    let new = ScopeView { checked: false, ..scope("tickets:write", ScopeStanding::New) };
    let page = consent("Cursor", document("cursor.com"), app("cursor"));
    let problem = Some(ConsentProblem::NothingTicked);
    ConsentPage { scopes: vec![granted, new], access_until: None, problem, ..page }
}

pub(super) fn app_view(index: i64, name: &str, kind: ClientKind, destination: Destination) -> AppView {
    AppView {
        grant_id: format!("grant-{index}"),
        client_name: DisplayName::of(name),
        kind,
        server: tickets(),
        destination,
        scopes: ["tickets:read", "tickets:write", "offline_access"].map(scope_words).into(),
        created: Moment::from_unix_ms(NOW - index * DAY),
        last_used: (index % 2 == 0).then(|| Moment::from_unix_ms(NOW - 60_000)),
        expires: (index % 3 > 0).then(|| Moment::from_unix_ms(NOW + 30 * DAY)),
        limits: if index % 4 == 0 {
            Vec::new()
        } else {
            vec![limit("read", 118, 120), limit("write", 0, 20)]
        },
        activity: if index % 5 == 0 { Vec::new() } else { activity("Replaced the toner.") },
    }
}

fn limit(what: &'static str, left: u32, most: u32) -> LimitView {
    LimitView { what, left, most, rate: format!("{most} a minute") }
}

/// What an app did, which said `text` in it.
pub(super) fn activity(text: &str) -> Vec<ActivityView> {
    let event =
        |minutes: i64, deed: &str, refusal: Option<&str>, particulars: &[(&str, &str)]| ActivityView {
            at: Moment::from_unix_ms(NOW - minutes * 60_000),
            deed: deed.to_owned(),
            particulars: particulars.iter().map(|(name, value)| particular(name, value)).collect(),
            refusal: refusal.map(str::to_owned),
        };
    let long = format!("{} (5000 characters)", "Colleagues report that ".repeat(4));
    vec![
        event(3, "Closed ticket T-118", None, &[("Resolution", text)]),
        event(
            9,
            "Opened ticket T-118",
            None,
            &[("Title", "Printer"), ("Text", &long), ("Priority", "medium")],
        ),
        event(75, "Tried to close ticket T-7", Some("You have not allowed this app to do that."), &[]),
    ]
}

fn particular(name: &str, value: &str) -> Particular {
    Particular { name: name.to_owned(), value: visible(value, 120) }
}

pub(super) fn activity_page(name: &str, text: &str, older: Option<i64>) -> ActivityPage {
    let [username, role, csrf, grant_id] = ["alice", "Support agent", "csrf-1", "grant-1"].map(str::to_owned);
    ActivityPage {
        username,
        role,
        csrf,
        grant_id,
        client_name: claimed(name),
        created: Moment::from_unix_ms(NOW - 3 * DAY),
        is_live: older.is_some(),
        events: if text.is_empty() { Vec::new() } else { activity(text) },
        is_newest: text.is_empty(),
        older,
    }
}

pub(super) fn account(apps: Vec<AppView>, notice: Option<AccountNotice>) -> AccountPage {
    let [username, role, csrf] = ["alice", "Support agent", "csrf-1"].map(str::to_owned);
    let mcp_url = Some(MCP_URL.to_owned());
    AccountPage { username, role, csrf, notice, apps, taken_back: Vec::new(), mcp_url }
}
