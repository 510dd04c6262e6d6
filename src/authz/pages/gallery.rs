//! Every page with everyday and with hostile content, for the tests beside this file; and, on demand, as files to look at:
//! `cargo test --lib gallery -- --ignored` writes `target/pages/`.

use askama::Template;

use super::account::{AccountNotice, AccountPage, ActivityView, AppView};
use super::connected::ConnectedPage;
use super::consent::{
    ClientKind, ClientView, ConsentPage, ConsentProblem, Destination, ScopeStanding, ScopeView,
};
use super::errors;
use super::home::HomePage;
use super::login::{LoginPage, LoginProblem};
use super::scope_words::scope_words;
use super::setup::{SetupPage, SetupProblems};
use super::signed_out::SignedOutPage;
use crate::web::moment::Moment;
use crate::web::page::ErrorPage;
use crate::web::text::{DisplayName, HttpsLink};

/// Breaks out of an attribute or an element wherever escaping is missing.
const HOSTILE: &str = "\"'><script>alert(1)</script>&";
/// The same as a name, long, and reversing the text around it.
const HOSTILE_NAME: &str =
    "\u{202E}\"'><script>alert(1)</script>& and on, and on, and on, and on, and on, and on, and on";
const MCP_URL: &str = "https://tickets.example.com/mcp";
const NOW: i64 = 1_795_393_200_000;
const DAY: i64 = 86_400_000;

/// Each page: a name for its file, the words its heading must have, its HTML.
pub(super) fn pages() -> Vec<(&'static str, &'static str, String)> {
    let mut pages = vec![
        ("home", "Let your AI app work on your tickets", html(&home(None))),
        ("home_signed_in", "Let your AI app work on your tickets", html(&home(Some("alice")))),
        ("signed_out", "You are signed out", html(&SignedOutPage)),
        (
            "connected",
            "is already connected",
            html(&ConnectedPage { client_name: DisplayName::of("Cursor") }),
        ),
        (
            "connected_hostile",
            "is already connected",
            html(&ConnectedPage { client_name: DisplayName::of(HOSTILE_NAME) }),
        ),
        ("setup", "Create the first account", html(&setup("", SetupProblems::default()))),
        ("setup_hostile", "Create the first account", html(&setup(HOSTILE, setup_problems()))),
    ];
    pages.extend(login_pages());
    pages.extend(consent_pages());
    pages.extend(account_pages());
    pages.extend(error_pages());
    pages
}

pub(super) fn html(view: &impl Template) -> String {
    view.render().unwrap()
}

fn home(username: Option<&str>) -> HomePage {
    HomePage { mcp_url: MCP_URL.to_owned(), username: username.map(str::to_owned) }
}

fn setup(username: &str, problems: SetupProblems) -> SetupPage {
    let [csrf, token] = ["csrf-1", "token-1"].map(str::to_owned);
    SetupPage { csrf, token, username: username.to_owned(), password_min: 12, problems }
}

fn setup_problems() -> SetupProblems {
    SetupProblems {
        username: Some("Use letters, digits, dots and dashes only.".to_owned()),
        password: Some("This password is on a list of stolen ones. Choose another.".to_owned()),
        password_again: Some("This is not the same as the first one.".to_owned()),
    }
}

fn login_pages() -> Vec<(&'static str, &'static str, String)> {
    let page = |username: &str, client: Option<&str>, problem| {
        let (username, client_name) = (username.to_owned(), client.map(DisplayName::of));
        html(&LoginPage {
            csrf: "csrf-1".to_owned(),
            flow: Some("flow-1".to_owned()),
            username,
            problem,
            client_name,
        })
    };
    vec![
        ("login", "Sign in", page("", Some("Cursor"), None)),
        ("login_plain", "Sign in", page("", None, Some(LoginProblem::SessionEnded))),
        ("login_wrong", "Sign in", page("alice", Some("Cursor"), Some(LoginProblem::WrongCredentials))),
        (
            "login_wait",
            "Sign in",
            page("alice", None, Some(LoginProblem::TooManyTries { wait_seconds: 300 })),
        ),
        ("login_hostile", "Sign in", page(HOSTILE, Some(HOSTILE_NAME), Some(LoginProblem::AccountDisabled))),
    ]
}

pub(super) fn consent(name: &str, kind: ClientKind, destination: Destination) -> ConsentPage {
    ConsentPage {
        id: "flow-1".to_owned(),
        csrf: "csrf-1".to_owned(),
        username: "alice".to_owned(),
        client: ClientView { name: DisplayName::of(name), kind, client_uri: None },
        destination,
        resource_name: "Tickets".to_owned(),
        resource: MCP_URL.to_owned(),
        scopes: ["tickets:read", "tickets:write", "offline_access"]
            .map(|name| scope(name, ScopeStanding::First))
            .into(),
        access_until: Some(Moment::from_unix_ms(NOW + 30 * DAY)),
        problem: None,
    }
}

fn scope(name: &str, standing: ScopeStanding) -> ScopeView {
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

fn consent_pages() -> Vec<(&'static str, &'static str, String)> {
    let mut claude = consent("Claude", document("claude.ai"), web("claude.ai"));
    claude.client.client_uri = HttpsLink::parse("https://claude.ai/");
    let six = ["tickets:read", "tickets:write", "offline_access", "openid", "profile", "reports:read"];
    let mut hostile = consent(HOSTILE_NAME, ClientKind::Dynamic, web(&format!("{}.example", "a".repeat(60))));
    hostile.scopes = six.map(|name| scope(name, ScopeStanding::First)).into();
    hostile.scopes.push(scope(HOSTILE, ScopeStanding::First));
    hostile.username = HOSTILE.to_owned();
    hostile.client.client_uri = HttpsLink::parse(&format!("https://{}.example/", "b".repeat(60)));
    let long = consent(&"Ünlimited ".repeat(30), ClientKind::Dynamic, loopback());
    vec![
        ("consent", "Allow <bdi>Claude</bdi> to use your tickets?", html(&claude)),
        ("consent_loopback", "Allow ", html(&consent("Claude Code", document("claude.ai"), loopback()))),
        ("consent_dynamic", "Allow ", html(&consent("MCP Inspector", ClientKind::Dynamic, loopback()))),
        (
            "consent_registered",
            "Allow ",
            html(&consent("Help desk", ClientKind::Registered, web("desk.example.com"))),
        ),
        ("consent_widening", "Allow ", html(&widening())),
        ("consent_hostile", "Allow ", html(&hostile)),
        ("consent_long", "Allow ", html(&long)),
    ]
}

pub(super) fn app_view(index: i64, name: &str, kind: ClientKind, destination: Destination) -> AppView {
    AppView {
        grant_id: format!("grant-{index}"),
        client_name: DisplayName::of(name),
        kind,
        destination,
        scopes: ["tickets:read", "tickets:write", "offline_access"].map(scope_words).into(),
        created: Moment::from_unix_ms(NOW - index * DAY),
        last_used: (index % 2 == 0).then(|| Moment::from_unix_ms(NOW - 60_000)),
        expires: (index % 3 > 0).then(|| Moment::from_unix_ms(NOW + 30 * DAY)),
    }
}

pub(super) fn account(apps: Vec<AppView>, notice: Option<AccountNotice>) -> AccountPage {
    let [username, role, csrf, mcp_url] = ["alice", "Support agent", "csrf-1", MCP_URL].map(str::to_owned);
    AccountPage { username, role, csrf, notice, apps, activity: Vec::new(), mcp_url }
}

fn account_pages() -> Vec<(&'static str, &'static str, String)> {
    let few = vec![
        app_view(2, "Claude", document("claude.ai"), web("claude.ai")),
        app_view(5, "Cursor", document("cursor.com"), app("cursor")),
        app_view(9, "MCP Inspector", ClientKind::Dynamic, loopback()),
    ];
    let event = |minutes: i64, deed: &str, refused| ActivityView {
        at: Moment::from_unix_ms(NOW - minutes * 60_000),
        client_name: DisplayName::of("Claude"),
        deed: deed.to_owned(),
        refused,
    };
    let mut busy = account(few, Some(AccountNotice::Revoked { client_name: DisplayName::of("VS Code") }));
    busy.activity = vec![
        event(3, "Closed ticket T-118", false),
        event(9, "Commented on ticket T-118", false),
        event(75, "Close ticket T-7: the permission was missing", true),
    ];
    let many = (1..=12).map(|index| {
        let name = if index % 4 == 0 { HOSTILE_NAME.to_owned() } else { format!("App number {index}") };
        app_view(index, &name, ClientKind::Dynamic, web(&format!("{}.example", "a".repeat(60))))
    });
    vec![
        ("account", "Connected apps", html(&busy)),
        ("account_empty", "Connected apps", html(&account(Vec::new(), Some(AccountNotice::Welcome)))),
        (
            "account_hostile",
            "Connected apps",
            html(&account(many.collect(), Some(AccountNotice::NothingToRevoke))),
        ),
    ]
}

fn error_pages() -> Vec<(&'static str, &'static str, String)> {
    let reference = "9f2c7b1e04d84c56";
    let name = DisplayName::of(HOSTILE_NAME);
    let hostile =
        ErrorPage { title: HOSTILE.to_owned(), ..ErrorPage::bad_request(HOSTILE) }.with_reference(HOSTILE);
    vec![
        ("error_not_found", "There is no page here", html(&ErrorPage::not_found())),
        ("error_form", "This form can no longer be used", html(&ErrorPage::form_refused())),
        ("error_too_many", "Too many requests", html(&ErrorPage::too_many_requests(90))),
        ("error_fault", "Something went wrong on our side", html(&ErrorPage::fault(reference))),
        ("error_unavailable", "We cannot do this right now", html(&ErrorPage::unavailable(reference))),
        ("error_hostile", "&#60;script&#62;", html(&hostile)),
        (
            "error_client",
            "This app is not known here",
            html(&errors::unknown_client().with_reference(reference)),
        ),
        ("error_uri_hostile", "The way back to the app", html(&errors::redirect_uri_refused(&name))),
        ("error_expired", "This request has expired", html(&errors::request_expired())),
        ("error_browser", "This request was started in", html(&errors::other_browser())),
        (
            "error_unreachable",
            "The app could not be checked",
            html(&errors::document_unreachable("cursor.com")),
        ),
        ("error_document", "The app does not describe", html(&errors::document_refused("cursor.com"))),
    ]
}

#[test]
#[ignore = "writes target/pages/ for the eye"]
fn gallery() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for (name, _, html) in pages() {
        std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
    }
    for (path, body) in [
        (crate::web::assets::stylesheet(), include_str!("../../../templates/assets/mandate.css")),
        (crate::web::assets::mark(), include_str!("../../../templates/assets/mark.svg")),
    ] {
        std::fs::write(folder.join(path.trim_start_matches('/')), body).unwrap();
    }
}
