//! The real binary with TLS.

use std::fs::File;
use std::process::{Command, Stdio};

use reqwest::StatusCode;

use super::{Authority, connect, replace, shown};
use crate::binary::{Place, Running, complaint, ended, free_port};
use crate::support::http;

fn with_tls(place: &Place, authority: &Authority, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    let files = authority.files();
    command.env("MANDATE_PUBLIC_URL", format!("https://localhost:{}", place.port));
    command.env("MANDATE_TLS__CERTIFICATE_FILE", files.certificate).env("MANDATE_TLS__KEY_FILE", files.key);
    command
}

/// Waits until it is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    while !so().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sighup_replaces_the_certificate_and_a_bad_one_is_kept_out() {
    let (place, authority) = (Place::new().await, Authority::new());
    authority.renew(1, 2090);
    let (metrics, log) = (free_port(), place.path("log"));
    let mut command = with_tls(&place, &authority, &["serve", "--demo"]);
    command.env("MANDATE_METRICS_LISTEN", format!("127.0.0.1:{metrics}"));
    let running = Running::wait_for(command.stderr(Stdio::from(File::create(&log).unwrap())));
    assert!(running.said.contains(&format!("127.0.0.1:{} (TLS)", place.port)), "{}", running.said);
    let logged = || std::fs::read_to_string(&log).unwrap();
    let present = async || shown(&connect(place.port, authority.trusted()).await.unwrap());
    let scraped = async || {
        let text = http()
            .get(format!("http://127.0.0.1:{metrics}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line =
            text.lines().find(|line| line.starts_with("mandate_tls_certificate_expiry_seconds ")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<i64>().unwrap()
    };
    let (first, ends) = (present().await, scraped().await);
    assert!(logged().contains("2090-01-02T00:00:00Z"), "{}", logged());

    let (_, foreign_key) = Authority::new().issue(9, 2090);
    replace(&authority.files().key, &foreign_key);
    running.signal("-HUP");
    until(async || logged().contains("is not replaced")).await;
    let line = logged().lines().find(|line| line.contains("is not replaced")).unwrap().to_owned();
    assert!(
        line.contains("ERROR") && line.contains("tls.key_file") && line.contains("issued together"),
        "{line}"
    );
    assert_eq!(present().await, first);

    authority.renew(0x2a, 2091);
    running.signal("-HUP");
    until(async || present().await != first).await;
    until(async || scraped().await == ends + 365 * 86_400).await;
    assert!(logged().contains("2091-01-02T00:00:00Z"), "{}", logged());
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test]
async fn an_expired_certificate_is_warned_of_at_the_start() {
    let (place, authority) = (Place::on_a_file(), Authority::new());
    authority.renew(1, 2020);
    let log = place.path("log");
    let mut command = with_tls(&place, &authority, &["serve"]);
    let _running = Running::wait_for(command.stderr(Stdio::from(File::create(&log).unwrap())));
    let logged = std::fs::read_to_string(&log).unwrap();
    let line = logged.lines().find(|line| line.contains("has expired")).unwrap_or_else(|| panic!("{logged}"));
    assert!(
        line.contains("WARN") && line.contains("2020-01-02T00:00:00Z") && line.contains("renew"),
        "{line}"
    );
}

#[tokio::test]
async fn wrong_files_end_the_start_and_the_check_with_the_key_and_the_cure() {
    let (place, authority) = (Place::on_a_file(), Authority::new());
    authority.renew(1, 2090);
    let files = authority.files();
    let written = |name: &str, text: &str| {
        std::fs::write(place.path(name), text).unwrap();
        place.path(name)
    };
    let (_, foreign_key) = Authority::new().issue(2, 2090);
    let foreign_key = written("foreign.key", &foreign_key);
    let encrypted = written(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let nonsense = written("nonsense.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (certificate, key, sentence) in [
        (Some(&files.certificate), None, "tls.key_file: tls.certificate_file is set but this is not"),
        (None, Some(&files.key), "tls.certificate_file: tls.key_file is set but this is not"),
        (Some(&place.path("no.crt")), Some(&files.key), "may read"),
        (Some(&files.key), Some(&files.key), "holds no certificate; write the server's certificate in PEM"),
        (Some(&nonsense), Some(&files.key), "tls.certificate_file: the first certificate in"),
        (Some(&files.certificate), Some(&foreign_key), "is not the key of the first certificate in"),
        (Some(&files.certificate), Some(&files.certificate), "holds no private key; write the key in PEM"),
        (
            Some(&files.certificate),
            Some(&encrypted),
            "holds an encrypted key; write the key in PEM and not encrypted",
        ),
    ] {
        for arguments in [&["serve"][..], &["config", "check"]] {
            let mut command = with_tls(&place, &authority, arguments);
            for (name, value) in [("CERTIFICATE", certificate), ("KEY", key)] {
                match value {
                    Some(path) => command.env(format!("MANDATE_TLS__{name}_FILE"), path),
                    None => command.env_remove(format!("MANDATE_TLS__{name}_FILE")),
                };
            }
            let refused = complaint(&ended(&mut command, ""));
            assert!(refused.starts_with("tls.") && refused.contains(sentence), "{refused}");
        }
    }
    let good = ended(&mut with_tls(&place, &authority, &["config", "check"]), "");
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && said.contains("until 2090-01-02T00:00:00Z"), "{said}");
    let mut command = with_tls(&place, &authority, &["serve"]);
    let refused = complaint(&ended(command.env("MANDATE_PUBLIC_URL", place.url("")), ""));
    assert!(
        refused.starts_with("public_url: ")
            && refused.contains(&format!("write https://localhost:{}", place.port)),
        "{refused}"
    );
    assert!(!place.path("data").exists(), "nothing is made before that");
}

#[tokio::test]
async fn a_healthcheck_asks_over_tls_whatever_the_certificate_is_for() {
    let (place, authority) = (Place::new().await, Authority::new());
    authority.renew(1, 2090);
    let _running =
        Running::wait_for(with_tls(&place, &authority, &["serve", "--demo"]).stderr(Stdio::null()));
    let asked = ended(&mut with_tls(&place, &authority, &["healthcheck"]), "");
    assert!(asked.status.success(), "{asked:?}");
    // Asked without TLS it says what is wrong.
    let refused = complaint(&ended(&mut place.command(&["healthcheck"]), ""));
    assert!(refused.contains(&StatusCode::BAD_REQUEST.to_string()), "{refused}");
}

#[tokio::test]
async fn what_never_ends_when_it_is_read_is_refused_and_keeps_the_server_from_nothing() {
    let (place, authority) = (Place::new().await, Authority::new());
    authority.renew(1, 2090);
    let log = place.path("log");
    let mut command = with_tls(&place, &authority, &["serve", "--demo"]);
    let running = Running::wait_for(command.stderr(Stdio::from(File::create(&log).unwrap())));
    let logged = || std::fs::read_to_string(&log).unwrap();
    let key = authority.files().key;
    std::fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    running.signal("-HUP");
    until(async || logged().contains("configuration read again")).await;
    let line = logged().lines().find(|line| line.contains("is not replaced")).unwrap().to_owned();
    assert!(line.contains("ERROR") && line.contains("is no regular file"), "{line}");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    let refused = complaint(&ended(&mut with_tls(&place, &authority, &["serve"]), ""));
    assert!(refused.starts_with("tls.key_file: ") && refused.contains("no regular file"), "{refused}");
}
