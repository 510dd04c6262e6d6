//! `mandate keys` of the real binary.

use std::process::{Command, Stdio};

use crate::binary::{Place, Running};

/// The lines of `keys list` below the header, by column.
fn listed(place: &Place) -> Vec<Vec<String>> {
    let text = place.done(&["keys", "list"], "");
    assert!(text.starts_with("KID"), "{text}");
    let cells = text.lines().skip(1).map(|line| line.split("  ").map(str::trim));
    cells.map(|cells| cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect()).collect()
}

fn of_state<'a>(keys: &'a [Vec<String>], state: &str) -> Vec<&'a str> {
    keys.iter().filter(|key| key[2].starts_with(state)).map(|key| key[0].as_str()).collect()
}

#[tokio::test]
async fn keys_are_listed_and_rotated_beside_the_running_server() {
    let place = Place::new().await;
    let _running = Running::start(&place, &[]);
    let before = listed(&place);
    let (signing, next) = (of_state(&before, "signing"), of_state(&before, "next"));
    assert_eq!((before.len(), signing.len(), next.len()), (2, 1, 1), "{before:?}");
    assert!(before.iter().all(|key| key[1] == "ES256"));
    let said = place.done(&["keys", "rotate"], "");
    assert!(said.starts_with(&format!("{} signs from ", next[0])), "{said}");
    assert!(said.contains(&format!("{} signs until then", signing[0])), "{said}");
    let after = listed(&place);
    assert_eq!(after.len(), 3);
    assert_eq!(of_state(&after, "signing"), signing);
    assert_eq!(of_state(&after, "next, signs from"), next);
    let sentence = place.refused(&["keys", "rotate"], "");
    assert!(sentence.contains(next[0]) && sentence.contains("try again after"), "{sentence}");

    let said = place.done(&["keys", "rotate", "--revoke", signing[0]], "");
    assert!(said.contains(&format!("{} signs from now on", next[0])), "{said}");
    let after = listed(&place);
    assert_eq!(of_state(&after, "revoked"), signing);
    assert_eq!(of_state(&after, "signing"), next);
    let again = place.refused(&["keys", "rotate", "--revoke", signing[0]], "");
    assert!(again.contains("revoked before"), "{again}");
    let unknown = place.refused(&["keys", "rotate", "--revoke", "unknown"], "");
    assert!(unknown.contains("unknown") && unknown.contains("keys list"), "{unknown}");
    let dash = place.refused(&["keys", "rotate", "--revoke", "-unknown"], "");
    assert!(dash.contains("there is no key -unknown"), "{dash}");
    let audited = place.done(&["audit", "list"], "");
    assert!(audited.contains("keys_rotated") && audited.contains("key_revoked"), "{audited}");
}

#[tokio::test]
async fn a_given_key_is_listed_and_rotates_by_its_file_alone() {
    let place = Place::new().await;
    std::fs::create_dir_all(place.path("data")).unwrap();
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(place.path("signing.pem"))
        .output();
    // What people make keys with; where it is missing, other tests make them without it.
    let Ok(made) = made else { return };
    assert!(made.status.success(), "{made:?}");
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let output = command.env("MANDATE_TOKENS__SIGNING_KEY_FILE", "signing.pem").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    // Which key is wanted is not known to it, so it makes none that would stand in the list.
    place.done(&["migrate"], "");
    let (code, text) = run(&["keys", "list"]);
    assert_eq!((code, text.lines().count()), (Some(0), 1), "who looks publishes nothing: {text}");
    let mut serve = place.command(&["serve"]);
    serve.env("MANDATE_TOKENS__SIGNING_KEY_FILE", "signing.pem").stderr(Stdio::null());
    let _running = Running::wait_for(&mut serve);
    let (code, text) = run(&["keys", "list"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().count() == 2 && text.contains("signing"), "{text}");
    let (code, text) = run(&["keys", "rotate"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("tokens.next_signing_key_file") && text.lines().count() == 1, "{text}");
    for kind in ["RSA", "ED25519"] {
        let mut command = Command::new("openssl");
        command.args(["genpkey", "-algorithm", kind, "-out"]).arg(place.path("signing.pem"));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let (code, text) = run(&["keys", "list"]);
        assert_eq!(code, Some(1));
        assert!(text.contains("tokens.signing_algorithm is ES256"), "{text}");
    }
}
