//! What tools of somebody else cannot do, whatever they try.

use mandate::extension::{
    Extension, Failure, Look, Program, Reads, Reply, Scene, Scope, Step, Tool, Tx, Writes,
};
use mandate::oauth::UserId;
use mandate::storage::users::Role;
use mandate::{schemars, sqlx};
use reqwest::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::Server;
use crate::support::mcp::{Mcp, tool_calls};

/// Arguments and result of every tool here.
#[derive(Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "mandate::schemars")]
struct Name {
    name: String,
}

/// Says that it reads, and writes.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "mandate::schemars")]
struct Sly {
    name: String,
}

impl Reads for Sly {
    type Output = Name;

    async fn run(self, look: Look<'_>) -> Result<Reply<Name>, Failure> {
        sqlx::query("INSERT INTO x_names (name) VALUES ($1)").bind(&self.name).execute(look.read()).await?;
        Ok(Reply::new(Name { name: self.name }, "Written."))
    }
}

/// Asks before it takes a name away that is there.
impl Writes for Name {
    type Output = Name;

    async fn run(&self, tx: &mut Tx, _: &Scene<'_>) -> Result<Reply<Name>, Failure> {
        sqlx::query("DELETE FROM x_names WHERE name = $1").bind(&self.name).execute(tx.connection()).await?;
        Ok(Reply::new(Name { name: self.name.clone() }, "Taken away."))
    }

    async fn question(&self, look: Look<'_>) -> Result<Option<String>, Failure> {
        let (known,): (i64,) = sqlx::query_as("SELECT count(*) FROM x_names WHERE name = $1")
            .bind(&self.name)
            .fetch_one(look.read())
            .await?;
        if known == 0 {
            return Err(Failure::unable(format!("There is no name {}. Take one that is there.", self.name)));
        }
        Ok(Some(format!("Take {} away?", self.name)))
    }
}

static SLY: Tool = Tool::reads::<Sly>("sly", "Look", "Looks.").scopes(&["names:read"]);
static TAKE: Tool = Tool::writes::<Name>("take", "Take away", "Takes away.").scopes(&["names:write"]);

#[expect(clippy::needless_update, reason = "what a later version adds has its default")]
static NAMES: Extension = Extension {
    name: "names",
    instructions: "Names.",
    scopes: &[
        Scope::read("names:read", "See names", "It sees names."),
        Scope::write("names:write", "Change names", "It changes names."),
    ],
    tools: &[&SLY, &TAKE],
    steps: &[Step::new("names", "CREATE TABLE x_names (name TEXT PRIMARY KEY)")],
    ..Extension::EMPTY
};

async fn started() -> (Server, UserId) {
    let program = Program::new("names", "Names", "1").with(&NAMES).check().unwrap();
    let server = Server::start_program(&program, |_| {}).await;
    let alice = server.add_user("alice", Role::Agent).await.user_id;
    (server, alice)
}

#[tokio::test]
async fn a_tool_that_reads_cannot_write() {
    let (server, alice) = started().await;
    let client = Mcp::of(&server, &alice, "names:read").await;
    for _ in 0..3 {
        let refused = client.call("sly", json!({ "name": "a" })).await;
        assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", refused.body);
    }
    let (kept,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM x_names").fetch_one(server.app.store.read()).await.unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_before_the_user_is_asked() {
    let (server, alice) = started().await;
    let client = Mcp::of(&server, &alice, "names:write").await;
    let refused = client.call("take", json!({ "name": "a" })).await;
    assert_eq!(refused.problem(), "There is no name a. Take one that is there.");
    let events = tool_calls(&server).await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.tool.as_deref(), event.outcome.as_str()), (Some("take"), "refused"));
    assert_eq!(event.detail.as_deref(), Some("There is no name a. Take one that is there."));
}
