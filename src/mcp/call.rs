//! Runs one tool call. A write, the row that keeps it from being done twice and its audit event are one
//! transaction.

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, InputRequiredResult};
use serde_json::json;
use tracing::Instrument as _;

use super::confirm::{self, Asking, Confirmation};
use super::context::Context;
use super::once::{Known, Once, digest};
use super::permit::Permit;
use super::principal::Principal;
use super::result::{in_flight, replayed, result};
use super::tools::{Arguments, Deed, Look, NoDeed, Outcome, Question, Run, Scene, Tool};
use super::trail;
use crate::app::App;
use crate::audit;
use crate::audit::reason::KEY_USED;
use crate::config::Unconfirmed;
use crate::ephemeral::bus::Notice;
use crate::oauth::Error;
use crate::oauth::error::server_error;
use crate::storage::{self, Tx, commit, undo};
use crate::tickets::search::Progress;

/// How many characters of the name of no tool are repeated: as many as a name may have.
const REPEATED: usize = 128;

/// Runs a call, for which there must be a permit that names this very tool. Without one the tool does not
/// exist: it is unknown, or not offered.
pub(super) async fn call(
    app: &App,
    permit: &Permit,
    request: CallToolRequestParams,
    context: &Context,
    progress: &dyn Progress,
) -> Result<CallToolResponse, ErrorData> {
    let Some((principal, tool)) = permit.for_tool(&request.name) else {
        permit.watched().fail("unknown_tool");
        let name: String = request.name.chars().take(REPEATED).collect();
        return Err(ErrorData::invalid_params("Unknown tool", Some(json!({ "name": name }))));
    };
    let arguments = Arguments::of_tool(tool, request.arguments);
    let asking = Asking { context, responses: request.input_responses, state: request.request_state };
    let done = match &tool.run {
        Run::Read(run) => {
            let look = Look { store: &app.store, principal, now: app.now(), progress: Some(progress) };
            run(look, arguments).await.map(|outcome| Done::Result(result(permit, outcome, tool)))
        }
        Run::Write { parse, .. } => {
            let mut arguments = arguments;
            let key = arguments.idempotency_key();
            match parse(arguments) {
                Err(NoDeed::Problems(problems)) => {
                    Ok(Done::Result(result(permit, Outcome::Problems(problems), tool)))
                }
                Err(NoDeed::Fault(error)) => Err(error),
                Ok(deed) => write(app, permit, principal, Write { tool, deed, key }, &asking).await,
            }
        }
    };
    match done {
        Ok(Done::Result(result)) => Ok(result.into()),
        Ok(Done::Ask(question)) => Ok((*question).into()),
        Ok(Done::Forged) => {
            permit.watched().fail("forged_state");
            let message = "requestState was not given for this call: call again without it, to be asked anew";
            Err(ErrorData::invalid_params(message, None))
        }
        Err(error) => {
            permit.fail(error);
            Err(ErrorData::internal_error("the server made an error", None))
        }
    }
}

/// What a call comes to.
enum Done {
    Result(CallToolResult),
    Ask(Box<InputRequiredResult>),
    Forged,
}

struct Write {
    tool: &'static Tool,
    deed: Box<dyn Deed>,
    key: Option<String>,
}

impl Write {
    fn event(&self, principal: &Principal, permit: &Permit, outcome: audit::Outcome) -> audit::Event {
        let mut event = trail::by(principal, outcome);
        event.tool = Some(self.tool.name);
        event.arguments = Some(trail::reduced(self.tool, &self.deed.arguments()));
        event.idempotency_key.clone_from(&self.key);
        event.reference = Some(permit.reference().to_owned());
        event.trace_id = permit.trace_id().map(str::to_owned);
        event
    }
}

async fn write(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    write: Write,
    asking: &Asking<'_>,
) -> Result<Done, Error> {
    let claim = permit.claim();
    // The gate read the same arguments, or else it let in something other than what is run here.
    let seen = match (claim, write.key.as_deref()) {
        (None, None) => true,
        (Some(claim), Some(key)) => claim.is_for(key, write.tool, write.deed.as_ref()),
        _ => false,
    };
    if !seen {
        return Err(server_error("the server made an error").detail("a key that the gate did not see"));
    }
    let once = match claim {
        Some(claim) => claim.judge().await?,
        None => Once::Run,
    };
    let known = match once {
        Once::Run => {
            match confirmed(app, permit, principal, &write, asking).await? {
                Confirmation::Given => {}
                Confirmation::Refused(why) => {
                    return Ok(Done::Result(refuse(app, permit, principal, &write, &why).await?));
                }
                Confirmation::Ask(question) => return Ok(Done::Ask(question)),
                Confirmation::Forged => return Ok(Done::Forged),
            }
            match run(app, permit, principal, &write).await? {
                Ok(outcome) => return Ok(Done::Result(result(permit, outcome, write.tool))),
                Err(known) => known,
            }
        }
        Once::Not(known) => known,
    };
    Ok(Done::Result(match known {
        Known::Done(answer) => {
            permit.watched().replay();
            replayed(answer)
        }
        Known::InFlight => {
            permit.watched().fail_as_result("in_flight");
            in_flight()
        }
        Known::Mismatch => {
            permit.watched().fail_as_result("key_used");
            refuse(app, permit, principal, &write, KEY_USED).await?
        }
    }))
}

/// Whether the user wants it, where the deed is one that they are asked about.
async fn confirmed(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    write: &Write,
    asking: &Asking<'_>,
) -> Result<Confirmation, Error> {
    let look = Look { store: &app.store, principal, now: app.now(), progress: None };
    let question = match write.deed.question(look).await? {
        Question::None => return Ok(Confirmation::Given),
        Question::Unable(why) => return Ok(Confirmation::Refused(why.into())),
        Question::Ask(question) => question,
    };
    let unasked = match app.config.mcp.unconfirmed {
        Unconfirmed::Proceed => Confirmation::Given,
        Unconfirmed::Refuse => Confirmation::Refused(
            "This needs the user's own word, and their client cannot ask for it (MCP elicitation). Nothing was changed."
                .into(),
        ),
    };
    let digest = digest(write.tool, write.deed.as_ref());
    confirm::confirm(app, permit, asking, &digest, &question, unasked).await
}

/// Says that a deed is not done, and writes it down.
async fn refuse(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    write: &Write,
    why: &str,
) -> Result<CallToolResult, Error> {
    let mut event = write.event(principal, permit, audit::Outcome::Refused);
    event.detail = Some(trail::sentence(why));
    append(app, event, None).await?;
    Ok(result(permit, Outcome::Unable(why.to_owned()), write.tool))
}

/// Writes a refusal down, after what was begun is undone. It goes on when nobody waits for the answer any more: whoever
/// hangs up is recorded, too.
async fn append(app: &App, event: audit::Event, begun: Option<Tx>) -> Result<(), Error> {
    let (store, now) = (app.store.clone(), app.now());
    let appending = async move {
        if let Some(tx) = begun {
            undo(tx).await?;
        }
        let mut tx = store.write().await?;
        storage::audit::record(&mut tx, now, &event);
        commit(tx).await
    };
    let appended = app.tasks.spawn(appending.in_current_span()).await;
    Ok(appended.map_err(|error| server_error("the server made an error").detail(error))??)
}

/// Ends a deed that keeps the writers waiting for longer than any of them would wait: also one that waits for something
/// other than the database.
async fn in_time<T>(within: Duration, deed: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late =
        |_| server_error("the server made an error").detail("a tool took too long within its transaction");
    tokio::time::timeout(within, deed).await.map_err(late)?
}

/// Does a deed, unless its row says that there is nothing to do.
async fn run(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    write: &Write,
) -> Result<Result<Outcome, Known>, Error> {
    let now = app.now();
    let mut tx = app.store.write().await?;
    let claim = permit.claim();
    if let Some(claim) = claim
        && let Once::Not(known) = claim.claim(&mut tx, now).await?
    {
        // Not told to the ephemeral store: there it would outlive its row.
        undo(tx).await?;
        return Ok(Err(known));
    }
    let scene = Scene { principal, now, random: &app.random };
    let outcome = in_time(app.store.patience(), write.deed.run(&mut tx, &scene)).await?;
    let answer = match &outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Unable(_) | Outcome::Problems(_) => {
            // Undone is whatever was done before it turned out so, the claim of the key included.
            let mut event = write.event(principal, permit, audit::Outcome::Refused);
            if let Outcome::Unable(why) = &outcome {
                event.detail = Some(trail::sentence(why));
            }
            append(app, event, Some(tx)).await?;
            return Ok(Ok(outcome));
        }
    };
    if let Some(claim) = claim {
        claim.record(&mut tx, answer).await?;
    }
    let mut event = write.event(principal, permit, audit::Outcome::Done);
    event.detail = Some(answer.text.chars().take(80).collect());
    storage::audit::record(&mut tx, now, &event);
    commit(tx).await?;
    if let Some(claim) = claim {
        claim.settle(answer).await;
    }
    if let Some(id) = write.tool.changed_ticket(answer) {
        app.tell(&Notice::TicketChanged { id }).await;
    }
    Ok(Ok(outcome))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::random::Random;
    use crate::storage::Database;
    use crate::storage::audit::Filter;

    #[tokio::test]
    async fn a_deed_that_does_not_end_is_a_fault() {
        let endless = std::future::pending::<Result<(), Error>>();
        let late = in_time(Duration::ZERO, endless).await.unwrap_err();
        assert_eq!(late.detail.as_deref(), Some("a tool took too long within its transaction"));
        assert!(in_time(Duration::from_hours(1), async { Ok(()) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_is_recorded_although_the_caller_hung_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::defaults().unwrap();
        config.database = Database::Sqlite(folder.path().join("mandate.db"));
        config.secret_key_file = folder.path().join("mandate.key");
        let app = App::open(config, Arc::new(SystemClock), Random::system()).await.unwrap();
        let begun = app.store.write().await.unwrap();
        let event =
            audit::Event::new(audit::Kind::ToolCall, audit::Outcome::Refused).detail("not to be done");
        assert!(append(&app, event, Some(begun)).now_or_never().is_none());
        app.tasks.close();
        app.tasks.wait().await;
        let all = app.store.find_records(&Filter::default(), None, 10).await.unwrap();
        let details: Vec<_> = all.iter().filter_map(|record| record.row.detail.as_deref()).collect();
        assert!(details.contains(&"not to be done"), "{details:?}");
    }
}
