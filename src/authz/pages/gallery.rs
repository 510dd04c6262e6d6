//! Every page, for the tests beside this file; and, on demand, as files to look at:
//! `cargo test --lib gallery -- --ignored` writes `target/pages/`.

use super::account::AccountNotice;
use super::connected::ConnectedPage;
use super::consent::{ClientKind, ScopeStanding};
use super::errors;
use super::login::{LoginPage, LoginProblem};
use super::samples::{
    HOSTILE, HOSTILE_NAME, account, activity_page, app, app_view, claimed, consent, document, home, html,
    login_with_ways, loopback, scope, setup, web, widening,
};
use super::setup::SetupProblems;
use super::sign_in::SignInStopped;
use super::signed_out::SignedOutPage;
use crate::identity::linking::Nobody;
use crate::web::page::ErrorPage;
use crate::web::text::HttpsLink;

/// Each page: a name for its file, the words its heading must have, its HTML.
pub(super) fn pages() -> Vec<(&'static str, &'static str, String)> {
    let mut pages = vec![
        ("home", "Let your AI app work on your tickets", html(&home(None))),
        ("home_signed_in", "Let your AI app work on your tickets", html(&home(Some("alice")))),
        ("signed_out", "You are signed out", html(&SignedOutPage)),
        ("connected", "is already connected", html(&ConnectedPage { client_name: claimed("Cursor") })),
        (
            "connected_hostile",
            "is already connected",
            html(&ConnectedPage { client_name: claimed(HOSTILE_NAME) }),
        ),
        ("setup", "Create the first account", html(&setup("", SetupProblems::default()))),
        ("setup_hostile", "Create the first account", html(&setup(HOSTILE, setup_problems()))),
    ];
    pages.extend(login_pages());
    pages.extend(consent_pages());
    pages.extend(account_pages());
    pages.extend(error_pages());
    pages.extend(stopped_pages());
    pages
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
        let (username, client_name) = (username.to_owned(), client.map(claimed));
        html(&LoginPage {
            csrf: "csrf-1".to_owned(),
            flow: Some("flow-1".to_owned()),
            username,
            problem,
            client_name,
            ways: Vec::new(),
            local_accounts: true,
            switching: false,
            contact: None,
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
        ("login_ways", "Sign in", html(&login_with_ways(&["Acme", "Acme Partners"], true))),
        ("login_only_way", "Sign in", html(&login_with_ways(&["Acme"], false))),
        ("login_ways_hostile", "Sign in", html(&login_with_ways(&[HOSTILE_NAME, "Acme"], true))),
    ]
}

fn stopped_pages() -> Vec<(&'static str, &'static str, String)> {
    let all = [
        ("stopped_away", "cannot be reached", SignInStopped::provider_away("Acme", None)),
        ("stopped_wrong", "cannot be used", SignInStopped::provider_wrong("Acme", None)),
        ("stopped_not_anew", "did not ask you", SignInStopped::not_asked_anew("Acme", None)),
        ("stopped_declined", "were not signed in", SignInStopped::declined("Acme")),
        ("stopped_browser", "another browser", SignInStopped::of_another_browser()),
        ("stopped_over", "is over", SignInStopped::over()),
        (
            "stopped_no_account",
            "no access",
            SignInStopped::no_account("Acme", Nobody::NoAccount, Some("the IT desk (it@acme.example)")),
        ),
        ("stopped_no_role", "no access", SignInStopped::no_account("Acme", Nobody::NoRole, None)),
        ("stopped_disabled", "no access", SignInStopped::no_account("Acme", Nobody::Disabled, None)),
        ("stopped_unusable", "no access", SignInStopped::no_account("Acme", Nobody::Unusable, None)),
        (
            "stopped_hostile",
            "no access",
            SignInStopped::no_account(HOSTILE, Nobody::NoAccount, Some(HOSTILE)),
        ),
    ];
    let reference = "9f2c7b1e04d84c56".to_owned();
    all.map(|(name, heading, page)| {
        (name, heading, html(&SignInStopped { reference: reference.clone(), ..page }))
    })
    .into()
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
        ("consent", "Allow <bdi>“Claude”</bdi> to use your tickets?", html(&claude)),
        ("consent_loopback", "Allow ", html(&consent("Claude Code", document("claude.ai"), loopback()))),
        (
            "consent_came_along",
            "Allow ",
            html(&consent(
                "Claude",
                ClientKind::CameAlong { host: "claude.ai".to_owned() },
                web("claude.ai"),
            )),
        ),
        ("consent_dynamic", "Allow ", html(&consent("MCP Inspector", ClientKind::Dynamic, loopback()))),
        (
            "consent_registered",
            "Allow <bdi>Help desk</bdi> to use your tickets?",
            html(&consent("Help desk", ClientKind::Registered, web("desk.example.com"))),
        ),
        ("consent_widening", "Allow ", html(&widening())),
        ("consent_hostile", "Allow ", html(&hostile)),
        ("consent_long", "Allow ", html(&long)),
    ]
}

fn account_pages() -> Vec<(&'static str, &'static str, String)> {
    let few = vec![
        app_view(2, "Claude", document("claude.ai"), web("claude.ai")),
        app_view(5, "Cursor", document("cursor.com"), app("cursor")),
        app_view(9, "MCP Inspector", ClientKind::Dynamic, loopback()),
        app_view(7, "Claude Code", ClientKind::CameAlong { host: "claude.ai".to_owned() }, loopback()),
    ];
    let revoked = AccountNotice::Revoked {
        client_name: claimed("VS Code"),
        used: "your tickets".into(),
        grant_id: "grant-1".into(),
    };
    let busy = account(few, Some(revoked));
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
        ("activity", "did for you", html(&activity_page("Claude", "Replaced the toner.", Some(4711)))),
        ("activity_empty", "did for you", html(&activity_page("Claude", "", None))),
        ("activity_hostile", "did for you", html(&activity_page(HOSTILE_NAME, HOSTILE, None))),
    ]
}

fn error_pages() -> Vec<(&'static str, &'static str, String)> {
    let reference = "9f2c7b1e04d84c56";
    let mut hostile = ErrorPage::bad_request(HOSTILE).with_reference(HOSTILE);
    hostile.title = HOSTILE.to_owned();
    let name = claimed(HOSTILE_NAME);
    let pages = [
        ("error_not_found", "There is no page", ErrorPage::not_found()),
        ("error_form", "This form can no longer", ErrorPage::form_refused()),
        ("error_too_many", "Too many requests", ErrorPage::too_many_requests(90)),
        ("error_fault", "on our side", ErrorPage::fault(reference)),
        ("error_unavailable", "right now", ErrorPage::unavailable(reference)),
        ("error_hostile", "&#60;script&#62;", hostile),
        ("error_no_client", "names no app", errors::no_client()),
        ("error_client", "not known here", errors::unknown_client()),
        ("error_redirect_uri_hostile", "not safe", errors::redirect_uri_refused(&name)),
        ("error_expired", "has expired", errors::request_expired()),
        ("error_unseen", "signed in", errors::nobody_signed_in()),
        ("error_browser", "another browser", errors::other_browser()),
        ("error_unreachable", "checked", errors::document_unreachable("cursor.com")),
        ("error_document", "describe", errors::document_refused("cursor.com")),
    ];
    pages.map(|(name, heading, page)| (name, heading, html(&page))).into()
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
