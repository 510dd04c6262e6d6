//! What every page keeps, and the words that others rely on.

use super::account::AccountNotice;
use super::consent::{ClientKind, Destination};
use super::gallery::pages;
use super::samples::{
    MCP_URL, account, activity_page, app, app_view, claimed, consent, document, home, html, loopback, web,
    widening,
};
use crate::web::snippets::Snippets;

/// The text between `start` and the next `end`.
fn between<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
    let rest = html.split_once(start).unwrap_or_else(|| panic!("no {start}")).1;
    rest.split_once(end).unwrap().0
}

#[test]
fn every_page_has_one_heading_a_title_and_a_language() {
    for (name, heading, html) in pages() {
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert_eq!(html.matches("<main>").count(), 1, "{name}");
        assert!(between(&html, "<h1>", "</h1>").contains(heading), "{name}");
        let title = between(&html, "<title>", "</title>");
        assert!(title.ends_with(" · Mandate") && title.len() > " · Mandate".len(), "{name}: {title}");
    }
}

#[test]
fn foreign_text_never_becomes_markup() {
    for (name, _, html) in pages() {
        for forbidden in ["<script", "javascript:", "\"'>", "\u{202E}", " style=", "{{"] {
            assert!(!html.contains(forbidden), "{name}: {forbidden:?}");
        }
        let escaped = html.contains("&#60;script&#62;alert(1)");
        assert_eq!(escaped, name.contains("hostile"), "{name}");
    }
}

#[test]
fn the_front_page_gives_clients_the_server_in_the_words_of_the_banner() {
    let page = html(&home(None)).replace("&#34;", "\"").replace("&#39;", "'");
    let given = Snippets::of("tickets", MCP_URL);
    for snippet in [given.claude_code().join("\n"), given.codex(), given.vs_code(), given.cursor()] {
        assert!(page.contains(&format!("<pre><code>{snippet}</code></pre>")), "{snippet} in {page}");
    }
}

#[test]
fn the_port_of_an_app_on_another_computer_is_said() {
    for (host, port) in
        [("127.0.0.1:49152", "49152"), ("[::1]:8080", "8080"), ("localhost", "80"), ("[::1]", "80")]
    {
        let destination = Destination::Loopback { host: host.to_owned() };
        assert_eq!(destination.port_here().unwrap().to_string(), port, "{host}");
    }
    assert_eq!(Destination::Web { host: "a.example:8443".to_owned() }.port_here(), None);
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for (name, _, html) in pages() {
        for attribute in [
            "src=\"",
            "<link rel=\"icon\" type=\"image/svg+xml\" href=\"",
            "<link rel=\"stylesheet\" href=\"",
        ] {
            for part in html.split(attribute).skip(1) {
                assert!(part.starts_with("/assets/"), "{name}: {attribute}{part}");
            }
        }
    }
}

#[test]
fn every_aria_describedby_names_an_element() {
    for (name, _, html) in pages() {
        for part in html.split("aria-describedby=\"").skip(1) {
            for id in part.split_once('"').unwrap().0.split(' ') {
                assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{name}: {id}");
            }
        }
    }
}

#[test]
fn the_login_page_keeps_its_labels() {
    let all = pages();
    let html = |name| &all.iter().find(|page| page.0 == name).unwrap().2;
    let first = html("login");
    for part in [
        "<title>Sign in · Mandate</title>",
        "<form class=\"card\" method=\"post\" action=\"/login\">",
        "<label for=\"username\">Username</label>",
        "<label for=\"password\">Password</label>",
        ">Sign in</button>",
        "autocomplete=\"username\"",
        "autocomplete=\"current-password\"",
        "autocapitalize=\"none\"",
        "name=\"csrf\" value=\"csrf-1\"",
        "name=\"flow\" value=\"flow-1\"",
        "to connect <bdi>“Cursor”</bdi>",
    ] {
        assert!(first.contains(part), "{part}");
    }
    assert!(!first.contains("aria-invalid"));
    let wrong = html("login_wrong");
    assert!(
        wrong.contains("value=\"alice\"")
            && wrong.contains("role=\"alert\"")
            && wrong.contains("aria-invalid")
    );
    assert!(html("login_wait").contains("Wait 5 minutes"));
}

#[test]
fn each_provider_has_a_button_that_is_a_form_of_its_own() {
    let all = pages();
    let html = |name| &all.iter().find(|page| page.0 == name).unwrap().2;
    let ways = html("login_ways");
    assert_eq!(ways.matches("<form class=\"way\" method=\"post\" action=\"/login/acme\">").count(), 2);
    assert_eq!(ways.matches("name=\"csrf\" value=\"csrf-1\"").count(), 3);
    assert_eq!(ways.matches("name=\"flow\" value=\"flow-1\"").count(), 3);
    assert!(ways.contains(">Sign in with <bdi>Acme Partners</bdi></span></button>"));
    assert!(ways.contains("type=\"password\"") && !ways.contains("name=\"switch\""));
    let only = html("login_only_way");
    assert!(!only.contains("type=\"password\"") && only.contains("Ask the IT desk."));
    assert!(only.contains("name=\"switch\" value=\"1\""));
    for name in ["login", "login_ways", "login_only_way"] {
        assert_eq!(html(name).matches("<form").count(), html(name).matches("</form>").count(), "{name}");
    }
}

#[test]
fn the_consent_page_keeps_its_labels() {
    let html = html(&consent("Cursor", document("cursor.com"), loopback()));
    for part in [
        "<title>Allow “Cursor” to use your tickets? · Mandate</title>",
        "method=\"post\" action=\"/consent/flow-1\"",
        "name=\"csrf\" value=\"csrf-1\"",
        "name=\"decision\" value=\"deny\">Deny</button>",
        "name=\"decision\" value=\"allow\">Allow</button>",
        "name=\"scope\" value=\"tickets:read\" checked",
        "<label for=\"scope-1\">See your tickets</label>",
        "<label for=\"scope-2\">Open, comment on and close tickets as you</label>",
        "<label for=\"scope-3\">Stay connected</label>",
        "href=\"/login?flow=flow-1&amp;switch=1\"",
        "Not alice? Sign in as someone else",
        "https://tickets.example.com/mcp",
        "23 December 2026, 00:20 UTC",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(html.matches("type=\"checkbox\"").count(), 3);
    assert!(!html.contains("disabled"));
}

#[test]
fn a_claimed_name_is_told_apart_from_a_proven_host() {
    let cases = [
        (
            document("cursor.com"),
            "<strong>cursor.com</strong> <span class=\"badge good\">Verified</span>",
            "the name it gives itself",
        ),
        (
            ClientKind::CameAlong { host: "cursor.com".to_owned() },
            "cursor.com <span class=\"badge\">Known to Mandate</span>",
            "cursor.com could not be asked",
        ),
        (ClientKind::Dynamic, "Not verified</span>", "the name it gives itself"),
        (ClientKind::Registered, "<strong><bdi>Cursor</bdi></strong>", "the people who run this server"),
    ];
    for (kind, badge, words) in cases {
        let is_proven = !matches!(kind, ClientKind::CameAlong { .. } | ClientKind::Dynamic);
        let html = html(&consent("Cursor", kind, web("cursor.com")));
        assert!(html.contains(badge) && html.contains(words), "{badge}");
        assert_eq!(html.contains(">Verified<"), is_proven, "{badge}");
    }
}

#[test]
fn a_claimed_name_is_no_sentence_of_ours() {
    let name = "yourself to stay signed in? Press Allow. It is safe";
    for destination in [loopback(), app("cursor"), web("evil.example")] {
        let page = html(&consent(name, ClientKind::Dynamic, destination));
        let short = "“yourself to stay signed in? Press Allow…”";
        assert!(page.contains(&format!("<h1>Allow <bdi>{short}</bdi> to use your tickets?</h1>")), "{page}");
        assert!(page.contains(&format!("<title>Allow {short} to use your tickets?")), "{page}");
        assert!(page.contains(&format!("<dd><bdi>“{name}”</bdi>")), "the App row has all of it: {page}");
        let quoted = page.matches(&format!("“{name}”")).count();
        assert_eq!((page.matches(name).count(), quoted >= 2), (quoted, true), "{page}");
    }
    let given = html(&consent("Help desk", ClientKind::Registered, loopback()));
    assert!(given.contains("in the name of <bdi>Help desk</bdi>.") && !given.contains('“'), "{given}");
}

#[test]
fn the_destination_is_shown_and_doubt_is_said() {
    let cases: [(ClientKind, Destination, &str, bool); 6] = [
        (document("cursor.com"), web("callback.cursor.com"), "<strong>callback.cursor.com</strong>", false),
        (ClientKind::Registered, web("desk.example.com"), "<strong>desk.example.com</strong>", false),
        (ClientKind::Dynamic, web("evil.example"), "<strong>evil.example</strong>", true),
        (document("cursor.com"), loopback(), "<strong>127.0.0.1</strong>", true),
        (ClientKind::Registered, loopback(), "a program on this computer", true),
        (document("cursor.com"), app("cursor"), "<strong>cursor:</strong>", true),
    ];
    for (kind, destination, shown, warned) in cases {
        let html = html(&consent("Cursor", kind, destination));
        assert!(html.contains(shown), "{shown}");
        assert_eq!(html.contains("Did you start this?"), warned, "{shown}");
    }
}

#[test]
fn a_widened_grant_shows_what_is_new() {
    let html = html(&widening());
    assert!(html.contains("You have allowed this app something before."));
    assert_eq!(html.matches("New</span>").count(), 2);
    assert_eq!(html.matches("Allowed before</span>").count(), 1);
    assert!(html.contains("value=\"tickets:write\" aria-describedby") && html.contains("Nothing is ticked."));
    let first = super::samples::html(&consent("Cursor", document("cursor.com"), loopback()));
    assert!(!first.contains("something before") && !first.contains("New</span>"));
}

#[test]
fn the_account_page_keeps_its_forms() {
    let apps = vec![app_view(2, "Cursor", document("cursor.com"), loopback())];
    let notice = AccountNotice::Revoked {
        client_name: claimed("VS Code"),
        used: "your tickets".into(),
        grant_id: "grant-9".into(),
    };
    let html = html(&account(apps, Some(notice)));
    for part in [
        "<title>Connected apps · Mandate</title>",
        "action=\"/account/revoke\"",
        "name=\"grant_id\" value=\"grant-2\"",
        "Revoke<span class=\"sr\"> Cursor</span></button>",
        "action=\"/logout\"",
        ">Sign out</button>",
        "<time datetime=\"2026-11-21T00:20:00Z\">21 November 2026, 00:20 UTC</time>",
        "<bdi>“VS Code”</bdi> can no longer use your tickets.",
        "href=\"/account/apps/grant-9/activity\"",
        "href=\"/account/apps/grant-2/activity\">All activity<span class=\"sr\"> of Cursor</span></a>",
        "<dt>Can read now</dt><dd>118 of 120 times <span class=\"note\">(120 a minute)</span></dd>",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn the_activity_page_pages_with_links() {
    let first = html(&activity_page("Cursor", "done", Some(4711)));
    for part in [
        "href=\"/account/apps/grant-1/activity?before=4711\">Older</a>",
        "href=\"/account/apps/grant-1/activity\">Newest</a>",
        "href=\"/account\"",
        "Tried to close ticket T-7 <span class=\"badge doubt\">Refused</span>",
        "You have not allowed this app to do that.",
        "<dt>Resolution</dt><dd><bdi>done</bdi></dd>",
    ] {
        assert!(first.contains(part), "{part}");
    }
    let empty = html(&activity_page("Cursor", "", None));
    assert!(
        empty.contains("Nothing yet.") && empty.contains("no access any more") && !empty.contains("Pages")
    );
}

#[test]
fn no_app_yet_explains_how_to_connect_one() {
    let html = html(&account(Vec::new(), None));
    assert!(
        html.contains("<code>https://tickets.example.com/mcp</code>") && html.contains("href=\"/#connect\"")
    );
    assert!(!html.contains("/account/revoke"));
}
