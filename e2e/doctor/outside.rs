//! Healthy servers, and what is told before anything of MCP is.

use std::process::Command;

use super::front::{HONEST, Meddling};
use super::{Scene, doctor, shown};
use crate::support::Server;

#[tokio::test]
async fn a_healthy_server_has_no_fault_directly_and_behind_a_proxy_with_tls() {
    let server = Server::start().await;
    let said = doctor(&[&server.url], "").await;
    assert_eq!(said.trouble(&[]), [""; 0], "{}", said.all);
    assert_eq!(said.code, 0, "{}", said.all);
    let notes = ["client-left", "readiness-exposed", "this-machine-only"];
    assert_eq!(said.found(&["note"]), notes, "{}", said.all);
    for with_token in [false, true] {
        let scene = Scene::start(true, HONEST).await;
        let said = scene.examine(with_token).await;
        assert_eq!(said.trouble(&[]), [""; 0], "{}", said.all);
        assert_eq!(said.code, 0, "{}", said.all);
        assert_eq!(said.found(&["note"]), ["client-left", "readiness-exposed"], "{}", said.all);
        let fine = said.report["counts"]["ok"].as_u64().unwrap();
        assert!(fine >= if with_token { 28 } else { 24 }, "{fine}: {}", said.all);
    }
}

#[tokio::test]
async fn the_path_of_the_endpoint_may_be_left_out_and_spelt_either_way() {
    let server = Server::start().await;
    for path in ["", "/", "/mcp", "/mcp/"] {
        let said = doctor(&["--no-registration", &server.at(path)], "").await;
        assert_eq!(said.trouble(&[]), [""; 0], "{path}: {}", said.all);
        assert_eq!(said.found(&["note"]), ["readiness-exposed", "this-machine-only"], "{path}");
    }
    let said = doctor(&["--no-registration", &server.at("/elsewhere")], "").await;
    assert!(said.found(&["fault"]).contains(&"endpoint-missing"), "{}", said.all);
}

#[tokio::test]
async fn a_certificate_is_judged_before_anything_is_asked() {
    let scene = Scene::start(true, HONEST).await;
    let said = doctor(&[scene.url()], "").await;
    assert_eq!(said.trouble(&[]), ["tls-untrusted"], "{}", said.all);
    let ca_file = scene.ca_file().unwrap();
    let other_name = scene.url().replace("localhost", "127.0.0.1");
    let said = doctor(&["--ca-file", shown(&ca_file), &other_name], "").await;
    assert_eq!(said.trouble(&[]), ["tls-name"], "{}", said.all);
    let said = doctor(&["http://127.0.0.1:9/"], "").await;
    assert_eq!(said.trouble(&[]), ["unreachable"], "{}", said.all);
    assert_eq!(said.code, 1);
}

#[tokio::test]
async fn who_says_nothing_is_asked_three_times_and_nothing_is_called_fine_that_was_not_seen() {
    // The clients that preflights come from wait for ever; everybody else is served.
    let silent = Meddling { swallows: |parts| parts.method == http::Method::OPTIONS, ..HONEST };
    let scene = Scene::start(false, silent).await;
    let said = scene.examine(false).await;
    assert_eq!(said.trouble(&[]), ["no-answer"], "{}", said.all);
    for never in ["preflights are answered", "errors for clients are JSON", "no POST is redirected"] {
        assert!(!said.all.contains(never), "{never}: {}", said.all);
    }
    assert_eq!(said.all.matches("OPTIONS ").count(), 3, "{}", said.all);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_told_and_no_token_is_shown() {
    let server = Server::start().await;
    let said = doctor(&["--token-file", "-", &server.url], "not-a-token-of-this-server\n").await;
    assert_eq!(said.trouble(&[]), ["token-refused"], "{}", said.all);
    assert!(!said.all.contains("not-a-token"), "{}", said.all);
}

#[tokio::test]
async fn a_token_for_an_address_without_tls_is_refused_before_anything_is_sent() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    // A name that cannot exist: to ask it would be another error.
    command.args(["doctor", "--token-file", "/dev/null", "http://tickets.invalid"]).env_clear();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("give the https URL") && output.stdout.is_empty(), "{told}");
}
