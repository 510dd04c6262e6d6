//! What happens on one replica is heard on every other, in either era, and what a call of one asks is answered at
//! another.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::support::caller::Caller;
use super::support::fleet::Fleet;
use crate::support::events::{Events, Session};
use crate::support::mcp::Mcp;

fn updated(message: &Value) -> &Value {
    assert_eq!(message["method"], "notifications/resources/updated", "{message}");
    &message["params"]["uri"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_on_one_replica_is_heard_and_answered_on_every_other() {
    let Some(fleet) = Fleet::shared(3, &[]).await else { return };
    fleet.add_user("bob");
    fleet.add_user("carol");
    let (reporter, agent) = tokio::join!(Caller::connect(&fleet, "bob"), Caller::connect(&fleet, "carol"));
    let [first, second, third] = [fleet.replica(0), fleet.replica(1), fleet.replica(2)];
    let opened = reporter.call(&third, "create_ticket", &json!({ "title": "Printer", "body": "b" })).await;
    assert_eq!(opened.structured()["id"], "T-1");

    let wanted = json!({ "notifications": { "resourceSubscriptions": ["ticket://T-1"] } });
    let modern = Mcp::modern(&first, &agent.access_token).request("subscriptions/listen", wanted);
    let mut modern = Events::open(modern).await.ok().unwrap();
    modern.next().await.unwrap();
    let session = Session::begin(&second, &agent.access_token, json!({ "elicitation": {} })).await;
    let bearer = format!("Bearer {}", agent.access_token);
    let mut legacy = session.at(&first, &bearer).listen().await.ok().unwrap();
    let subscribed =
        session.at(&third, &bearer).ask("resources/subscribe", json!({ "uri": "ticket://T-1" })).await;
    assert_eq!(subscribed.body["result"], json!({}));
    // A subscription is known everywhere once its stream has read it: said until it is heard.
    let comment = json!({ "id": "T-1", "body": "more" });
    let telling = async {
        loop {
            reporter.call(&second, "comment_ticket", &comment).await.structured();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let hearing = async { tokio::join!(modern.next(), legacy.next()) };
    let heard = tokio::select! { () = telling => None, heard = hearing => Some(heard) };
    for message in <[Option<Value>; 2]>::from(heard.unwrap()) {
        assert_eq!(updated(&message.unwrap()), "ticket://T-1");
    }

    let call = json!({ "name": "close_ticket", "arguments": { "id": "T-1" } });
    let mut closing =
        Events::open(session.at(&first, &bearer).message(7, "tools/call", &call)).await.ok().unwrap();
    let question = closing.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let yes = json!({ "action": "accept", "content": { "confirm": true } });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": yes });
    assert_eq!(session.at(&third, &bearer).post(&answer).await.status, StatusCode::ACCEPTED);
    let closed = closing.next().await.unwrap();
    assert_eq!(closed["result"]["structuredContent"]["outcome"], "closed", "{closed}");

    agent.form(&third, "/revoke", &[("token", &agent.refresh_token)]).await;
    while let Some(message) = legacy.next().await {
        updated(&message);
    }
    let last = modern.rest().await.pop().unwrap();
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
}
