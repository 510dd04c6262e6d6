//! An authorization server that is away or slow: nobody waits for it in vain, and nothing that it gives is lost.

use std::cell::RefCell;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::support::stub::{Stub, visit};
use super::support::{Bridge, Machine, initialize, signed_in, until};

/// How many requests may be under way at once.
const MOST: u64 = 256;

fn ping(bridge: &mut Bridge, id: u64) {
    bridge.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }));
}

/// Whether a request is refused because of those under way.
async fn finds_no_place(bridge: &mut Bridge, id: u64) -> bool {
    ping(bridge, id);
    // Answered at once, and in turn.
    bridge.write("no message");
    let first = bridge.next().await;
    if first["error"]["code"] == -32700 {
        return false;
    }
    assert_eq!((&first["id"], &first["error"]["data"]["reason"]), (&json!(id), &json!("too_many_requests")));
    assert_eq!(bridge.next().await["error"]["code"], -32700);
    true
}

#[tokio::test]
async fn who_waits_for_a_token_can_be_cancelled() {
    let stub = Stub::start().await;
    let (_machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    let _held = stub.hold_next("POST /token");
    can_be_cancelled(&mut bridge).await;
}

#[tokio::test]
async fn who_waits_for_the_server_to_know_that_the_client_is_ready_can_be_cancelled() {
    let stub = Stub::open().await;
    let machine = Machine::new();
    let mut bridge = machine.connect(&stub.at("/mcp"));
    bridge.ask(0, "initialize", &super::support::initialize(0)["params"]).await;
    let _held = stub.hold_next("POST /mcp");
    for _ in 0..2 {
        bridge.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }
    can_be_cancelled(&mut bridge).await;
}

/// That requests leave when they are cancelled, though nothing is answered.
async fn can_be_cancelled(bridge: &mut Bridge) {
    for id in 1..=MOST {
        ping(bridge, id);
    }
    assert!(finds_no_place(bridge, 1_000).await);
    for id in 1..=MOST {
        let params = json!({ "requestId": id });
        bridge.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
    }
    let waiting = async {
        let mut id = 1_001;
        while finds_no_place(bridge, id).await {
            id += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("nothing can be cancelled");
}

#[tokio::test]
async fn once_the_input_has_ended_a_token_is_not_waited_for_long() {
    let stub = Stub::start().await;
    let (_machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    let _held = stub.hold_next("POST /token");
    ping(&mut bridge, 1);
    stub.wait_for("POST /token", 2).await;
    assert!(bridge.close().await.success());
    let answer = bridge.answer(&json!(1)).await;
    assert_eq!(answer["error"]["data"]["reason"], "sign_in_unavailable", "{answer}");
}

#[tokio::test]
async fn once_the_input_has_ended_a_person_may_still_sign_in() {
    let stub = Stub::start().await;
    let machine = Machine::new();
    // Two programs with one sign-in: the second waits for the first.
    let mut bridges = [machine.connect(&stub.at("/mcp")), machine.connect(&stub.at("/mcp"))];
    for bridge in &mut bridges {
        bridge.send(&initialize(0));
        ping(bridge, 1);
        bridge.end_input();
    }
    let page = machine.sent_to(1).await;
    // A person takes their time: longer than a token is waited for otherwise.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(visit(&page).await.contains("Signed in"));
    for bridge in &mut bridges {
        for _ in [0, 1] {
            let answer = bridge.next().await;
            assert!(answer.get("result").is_some(), "{answer}");
        }
        assert!(bridge.ended().await.success());
    }
    assert_eq!(machine.visited().len(), 1);
}

#[tokio::test]
async fn a_sign_in_keeps_nobody_who_asks_to_stop_and_none_whom_nobody_waits_for() {
    let stub = Stub::start().await;
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    for (message, signal) in [(initialize(0), Some("-TERM")), (initialized, None)] {
        let machine = Machine::new();
        let mut bridge = machine.connect(&stub.at("/mcp"));
        bridge.send(&message);
        machine.sent_to(1).await;
        bridge.end_input();
        if let Some(name) = signal {
            bridge.signal(name);
        }
        assert!(bridge.ended().await.success(), "{message}");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed_while_there_is_nothing_to_tell_it() {
    let stub = Stub::start().await;
    for keeps_input in [false, true] {
        let machine = Machine::new();
        let mut command = machine.command(&["--token-store", "file", &stub.at("/mcp")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take());
        writeln!(input, "{}", initialize(0)).unwrap();
        let input = keeps_input.then_some(input);
        machine.sent_to(1).await;
        drop(output);
        let child = RefCell::new(child);
        let status = until(|| child.borrow_mut().try_wait().unwrap()).await;
        assert!(status.success(), "{keeps_input}");
        drop(input);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_not_asked_again_by_every_request() {
    let stub = Stub::start().await;
    let (machine, mut bridge) = signed_in(&stub).await;
    stub.end_access();
    for id in 1..=5 {
        stub.next("POST /token", 503, &[("retry-after", "60")], "");
        let answer = bridge.ask(id, "ping", &json!({})).await;
        assert_eq!(answer["error"]["data"]["reason"], "sign_in_unavailable", "{answer}");
    }
    assert_eq!((stub.grants("refresh_token"), machine.visited().len()), (1, 1));
}

#[tokio::test]
async fn tokens_that_are_on_their_way_are_kept_before_the_end() {
    for signal in [Some("-TERM"), None] {
        let stub = Stub::start().await;
        let (machine, mut bridge) = signed_in(&stub).await;
        stub.end_access();
        let held = stub.hold_next("POST /token");
        ping(&mut bridge, 1);
        stub.wait_for("POST /token", 2).await;
        let ended = async {
            match signal {
                Some(name) => {
                    bridge.signal(name);
                    bridge.ended().await
                }
                None => bridge.close().await,
            }
        };
        let answering = async {
            // A server that takes its time: long enough for a program that waits for nothing to be gone.
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(held);
        };
        let (status, ()) = tokio::join!(ended, answering);
        assert!(status.success(), "{signal:?}");
        assert_eq!(machine.kept()["refresh_token"], "refresh-2", "{signal:?}");
    }
}
