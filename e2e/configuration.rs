//! Which file is read, what follows from it, and what is said of it before anything is served.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use reqwest::StatusCode;

use crate::binary::{Place, Running, complaint, ended, free_port};
use crate::doctor;
use crate::support::http;

/// What the check says, whatever comes of it.
fn checked(place: &Place, variables: &[(&str, &str)]) -> String {
    let mut command = place.command(&["config", "check"]);
    let output = ended(command.envs(variables.iter().copied()), "");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn which_file_is_read_is_said_and_one_nearby_that_is_not() {
    let place = Place::on_a_file();
    assert!(checked(&place, &[]).contains("none (give one with --config)"));
    fs::write(place.path("mandate.toml"), "log = \"warn\"\n").unwrap();
    let unread = "none; the mandate.toml in this folder is not read";
    assert!(checked(&place, &[]).contains(unread));
    let running = Running::start(&place, &[]);
    assert!(running.said.contains(unread), "{}", running.said);
    drop(running);
    let running = Running::start(&place, &["--config", "mandate.toml"]);
    assert_eq!(running.word_after("Configuration file "), "mandate.toml");
    assert!(!running.said.contains("not read"), "{}", running.said);
}

#[test]
fn a_variable_names_the_file_for_every_command() {
    let place = Place::on_a_file();
    fs::write(place.path("other.toml"), "[tokens]\ncode_lifetime = \"soon\"\n").unwrap();
    fs::write(place.path("good.toml"), "database_url = \"sqlite://./there/m.db\"\n").unwrap();
    let with =
        |file: &str, arguments: &[&str]| ended(place.command(arguments).env("MANDATE_CONFIG", file), "");
    for arguments in [&["serve"][..], &["user", "list"], &["config", "check"], &["doctor"]] {
        let refused = complaint(&with("other.toml", arguments));
        assert!(refused.starts_with("tokens.code_lifetime: "), "{arguments:?}: {refused}");
        let missing = complaint(&with("missing.toml", arguments));
        assert!(missing.contains("missing.toml") && missing.contains("MANDATE_CONFIG"), "{missing}");
    }
    assert!(with("good.toml", &["migrate"]).status.success());
    assert!(place.path("there/m.db").exists());
    // What is said by hand goes before it.
    assert!(with("other.toml", &["--config", "good.toml", "user", "list"]).status.success());
}

#[tokio::test]
async fn the_public_url_follows_the_port_unless_it_is_set() {
    let place = Place::new().await;
    let mut serve = place.command(&["serve"]);
    let running = Running::wait_for(serve.env_remove("MANDATE_PUBLIC_URL").stderr(Stdio::null()));
    assert!(running.said.contains(&place.url("/mcp")) && !running.said.contains(":8080"), "{}", running.said);
    assert!(!running.said.contains("Warning"), "{}", running.said);
    let metadata = http().get(place.url("/.well-known/oauth-authorization-server")).send().await.unwrap();
    assert_eq!(metadata.status(), StatusCode::OK);
    let metadata: serde_json::Value = metadata.json().await.unwrap();
    assert_eq!(metadata["issuer"], place.url(""));
}

#[test]
fn a_public_url_that_leads_elsewhere_is_told_by_server_check_and_doctor() {
    let place = Place::on_a_file();
    let nobody = format!("http://localhost:{}", free_port());
    let warning = format!("public_url: clients are sent to {nobody}, where this server does not listen");
    let variables = [("MANDATE_PUBLIC_URL", nobody.as_str())];
    let said = checked(&place, &variables);
    assert!(said.contains(&warning) && said.contains(&place.url(" (MANDATE_PUBLIC_URL)")), "{said}");
    let log = place.path("log");
    let mut serve = place.command(&["serve"]);
    let running =
        Running::wait_for(serve.envs(variables).stderr(Stdio::from(fs::File::create(&log).unwrap())));
    assert!(running.said.contains(&warning), "{}", running.said);
    assert!(fs::read_to_string(&log).unwrap().contains(&format!("WARN {warning}")));
    let told = doctor::run(place.command(&["doctor", "--json"]).envs(variables), "");
    assert_eq!(told.trouble(&[]), ["public-url-astray", "unreachable"], "{}", told.all);
    drop(running);
    let fine = doctor::run(&mut place.command(&["doctor", "--json"]), "");
    assert_eq!(fine.trouble(&[]), ["unreachable"], "{}", fine.all);
}

#[test]
fn files_that_a_start_would_refuse_are_refused_by_the_check() {
    let place = Place::on_a_file();
    fs::write(place.path("nonsense"), "nonsense").unwrap();
    for (variable, key) in [
        ("MANDATE_TOKENS__SIGNING_KEY_FILE", "tokens.signing_key_file: "),
        ("MANDATE_SECRET_KEY_FILE", "secret_key_file: "),
        ("MANDATE_OUTBOUND__EXTRA_CA_FILE", "outbound.extra_ca_file: "),
        ("MANDATE_CLIENTS__PRELOADED_DOCUMENTS", "clients.preloaded_documents: "),
    ] {
        for arguments in [&["config", "check"][..], &["serve"]] {
            let refused = complaint(&ended(place.command(arguments).env(variable, "nonsense"), ""));
            assert!(refused.starts_with(key) && refused.contains("nonsense"), "{arguments:?}: {refused}");
        }
    }
    let hosts = ("MANDATE_OUTBOUND__ALLOWED_HOSTS", "https://x/");
    assert!(checked(&place, &[hosts]).starts_with("mandate: outbound.allowed_hosts: "));
}

#[test]
fn a_tls_key_that_others_read_is_a_fault_to_the_doctor() {
    let place = Place::on_a_file();
    let key = place.path("tls.key");
    fs::write(&key, "a key").unwrap();
    let examine = |mode: u32| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = place.command(&["doctor", "--json"]);
        command.env("MANDATE_TLS__KEY_FILE", "tls.key").env("MANDATE_TLS__CERTIFICATE_FILE", "tls.crt");
        let url = format!("https://localhost:{}", place.port);
        doctor::run(command.env("MANDATE_PUBLIC_URL", url), "")
    };
    assert_eq!(examine(0o644).trouble(&[]), ["key-file-open", "unreachable"]);
    assert_eq!(examine(0o640).trouble(&[]), ["unreachable"]);
}
