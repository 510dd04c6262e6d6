//! What is told of the configuration's own stores and files, beside the running server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Said, run};
use crate::binary::{Place, Running};
use crate::support::profile::Profile;
use crate::support::services::redis::Redis;

fn examine(place: &Place, change: &[(&str, &str)]) -> Said {
    let mut command = place.command(&["doctor", "--json"]);
    command.envs(change.iter().copied());
    run(&mut command, "")
}

#[tokio::test]
async fn a_running_server_is_healthy_inside_and_out() {
    let place = Place::new().await;
    let running = Running::start(&place, &["--demo"]);
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), [""; 0], "{}", said.all);
    assert_eq!(said.code, 0, "{}", said.all);
    for part in ["its schema is this version's", "mandate.key has mode 0600"] {
        assert!(said.all.contains(part), "{part}: {}", said.all);
    }
    if let Profile::Services { database_url, redis_url, .. } = &place.profile {
        assert!(said.found(&["note"]).contains(&"redis-forgets"), "{}", said.all);
        for url in [database_url, redis_url] {
            assert!(!said.all.contains(url.as_str()), "a URL may hold a password: {}", said.all);
        }
    }
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(examine(&place, &[]).trouble(&[]), ["unreachable"], "the stores are fine without it");
}

#[tokio::test]
async fn a_database_of_another_version_and_a_key_that_others_read_are_told() {
    let place = Place::new().await;
    place.done(&["migrate"], "");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9000, 'next', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    place.change_database(newer).await;
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["unreachable"], "{}", said.all);
    assert!(said.found(&["note"]).contains(&"schema-newer"), "{}", said.all);
    place.change_database("DELETE FROM _sqlx_migrations WHERE version = 9000").await;
    place.change_database("DELETE FROM _sqlx_migrations WHERE version = 11").await;
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["schema-behind", "unreachable"], "{}", said.all);
    place.change_database("UPDATE _sqlx_migrations SET version = 4711 WHERE version = 10").await;
    fs::set_permissions(place.path("data/mandate.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["key-file-open", "schema-ahead", "unreachable"], "{}", said.all);
}

#[tokio::test]
async fn nothing_is_made_before_the_first_start() {
    let place = Place::on_a_file();
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["unreachable"], "{}", said.all);
    assert_eq!(said.found(&["note"]), ["database-absent", "key-file-missing"], "{}", said.all);
    assert!(!place.path("data").exists());
}

#[tokio::test]
async fn redis_that_throws_keys_away_is_warned_of() {
    let mut place = Place::new().await;
    if !Redis::installed() {
        return;
    }
    let redis = Redis::start();
    let Profile::Services { redis_url, .. } = &mut place.profile else { return };
    *redis_url = redis.url();
    place.done(&["migrate"], "");
    assert_eq!(examine(&place, &[]).trouble(&[]), ["unreachable"]);
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let policy = ["maxmemory-policy", "allkeys-lru"];
    redis::cmd("CONFIG").arg("SET").arg(&policy).exec(&mut connection).unwrap();
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["redis-evicts", "unreachable"], "{}", said.all);
    redis.stop();
    let said = examine(&place, &[]);
    assert_eq!(said.trouble(&[]), ["redis-away", "unreachable"], "{}", said.all);
}

#[tokio::test]
async fn what_is_doubtful_behind_an_https_url_is_told() {
    let place = Place::on_a_file();
    let said = examine(&place, &[("MANDATE_PUBLIC_URL", "https://localhost:9")]);
    assert_eq!(said.trouble(&[]), ["no-trusted-proxies", "unreachable"], "{}", said.all);
    assert!(said.found(&["note"]).contains(&"sqlite-in-production"), "{}", said.all);
}

#[tokio::test]
async fn people_read_a_line_each_with_the_cure_below_and_the_counts_last() {
    let place = Place::on_a_file();
    let output = place.command(&["doctor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let fault = lines.iter().position(|line| line.contains("fault    unreachable: ")).unwrap();
    assert!(lines[fault].starts_with("  \u{2717} "), "{text}");
    assert!(lines[fault + 1].trim_start().starts_with("Cure: "), "{text}");
    assert!(lines.contains(&"The way there") && !text.contains('\u{1b}'), "{text}");
    let last = format!("{}: 1 ok, 2 notes, 0 warnings, 1 fault.", place.url("/"));
    assert_eq!(lines.last(), Some(&last.as_str()), "{text}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "mandate: there is one fault\n");
}

#[tokio::test]
async fn an_authorization_server_alone_has_no_mcp_endpoint_to_miss() {
    let place = Place::new().await;
    let settings = "resource_server = \"off\"\n[resources.files]\nuri = \"https://files.example/mcp\"\n\
                    title = \"Files\"\n[resources.files.scopes]\n\"files:read\" = \"Read your files\"\n";
    fs::write(place.path("mandate.toml"), settings).unwrap();
    let mut serve = place.command(&["serve", "--config", "mandate.toml"]);
    let _running = Running::wait_for_line(serve.stderr(std::process::Stdio::null()), "Ephemeral store");
    let said = run(&mut place.command(&["doctor", "--json", "--config", "mandate.toml"]), "");
    assert_eq!(said.trouble(&[]), [""; 0], "{}", said.all);
}
