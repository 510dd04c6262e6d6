use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::extension::{Extension, Failure, Look, Reads, Reply, Scope, Timestamp, Tool};

#[derive(Deserialize, JsonSchema)]
struct Who {
    /// What is to be answered.
    answer: Answer,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Me,
    Unable,
    Fault,
}

#[derive(Serialize, JsonSchema)]
struct Me {
    role: String,
    scopes: String,
    now: i64,
}

impl Reads for Who {
    type Output = Me;

    async fn run(self, look: Look<'_>) -> Result<Reply<Me>, Failure> {
        let scopes = look.principal.scopes.to_string();
        let me = Me { role: look.principal.role.as_str().to_owned(), scopes, now: look.now.0 };
        match self.answer {
            Answer::Me => Ok(Reply::new(me, "You.")),
            Answer::Unable => Err(Failure::unable("Not now.")),
            Answer::Fault => Err(Failure::fault("broken")),
        }
    }
}

static WHO: Tool = Tool::reads::<Who>("who", "Who", "Says who.").scopes(&["who:read"]);
static OWN: Extension = Extension {
    name: "who",
    scopes: &[
        Scope::read("who:read", "See you", "It sees you."),
        Scope::read("who:more", "See more", "It sees more."),
    ],
    tools: &[&WHO],
    ..Extension::EMPTY
};

/// A program with one tool.
pub(crate) fn program() -> Program {
    Program::new("who", "Who", "1").with(&OWN)
}

#[tokio::test]
async fn a_call_goes_the_whole_way_on_behalf_of_its_user() {
    let bench = Bench::of(program()).await.unwrap();
    let alice = bench.caller("alice", Role::Requester, &["who:read"]).await.unwrap();
    let called = async |answer: &str| alice.call("who", json!({ "answer": answer })).await.unwrap();
    let me = called("me").await;
    assert_eq!(
        (&me.structured()["role"], &me.structured()["scopes"]),
        (&json!("requester"), &json!("who:read"))
    );
    assert_eq!(called("unable").await, Called::Unable("Not now.".to_owned()));
    let Called::Unable(problem) = called("nobody").await else { panic!("it is no answer") };
    assert!(problem.starts_with("Arguments of who to mend:"), "{problem}");
    let fault = called("fault").await;
    assert!(
        matches!(fault, Called::Refused { status: 500, .. }) && fault.structured().is_null(),
        "{fault:?}"
    );
    bench.advance(Duration::from_secs(60));
    let later = called("me").await.structured()["now"].as_i64().map(Timestamp);
    let before = me.structured()["now"].as_i64().map(Timestamp);
    assert_eq!(later, before.map(|before| before.plus(Duration::from_secs(60))));
}

#[tokio::test]
async fn what_was_not_allowed_is_not_reached() {
    let bench = Bench::of(program()).await.unwrap();
    let other = bench.caller("alice", Role::Agent, &["who:more"]).await.unwrap();
    let refused = other.call("who", json!({ "answer": "me" })).await.unwrap();
    assert!(matches!(refused, Called::Refused { status: 403, .. }), "{refused:?}");
    for scopes in [&["who:else"][..], &[]] {
        let said = bench.caller("alice", Role::Agent, scopes).await.unwrap_err().to_string();
        assert!(said.starts_with("the scopes: scope "), "{said}");
    }
    let refused = Bench::of(Program::new("who", "Who", "1")).await.unwrap_err().to_string();
    assert!(refused.starts_with("the program: who has no tool"), "{refused}");
}
