//! Runs one tool call. A write, the row that keeps it from being done twice and its audit event are one
//! transaction.

use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ErrorData, MetaObject};
use serde_json::{Value, json};

use super::gate::Permit;
use super::once::{Keyed, Once};
use super::principal::Principal;
use super::tools::{Answer, Arguments, Deed, Outcome, Run, Scene, Tool};
use super::trail;
use crate::app::App;
use crate::audit;
use crate::storage::{self, StorageError, commit};

/// Marks a result that was remembered rather than made now.
const REPLAYED: &str = "mandate/replayed";

/// Runs a call, for which there must be a permit that names this very tool. Without one the tool does not
/// exist: it is unknown, or not offered.
pub(super) async fn call(
    app: &App,
    permit: &Permit,
    request: CallToolRequestParams,
) -> Result<CallToolResult, ErrorData> {
    let Some((principal, tool)) = permit.for_tool(&request.name) else {
        return Err(ErrorData::invalid_params("Unknown tool", Some(json!({ "name": request.name }))));
    };
    let arguments = Arguments::new(request.arguments);
    let done = match &tool.run {
        Run::Read(run) => run(app, principal, arguments).await.map(|outcome| result(outcome, tool)),
        Run::Write { parse, .. } => {
            let mut arguments = arguments;
            let key = arguments.idempotency_key();
            match parse(arguments) {
                Err(problems) => Ok(result(Outcome::Problems(problems), tool)),
                Ok(deed) => write(app, permit, principal, Write { tool, deed, key }).await,
            }
        }
    };
    done.map_err(|error| {
        permit.fail(error.into());
        ErrorData::internal_error("the server made an error", None)
    })
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
        event.arguments = Some(trail::reduced(&self.deed.arguments()));
        event.idempotency_key.clone_from(&self.key);
        event.reference = Some(permit.reference().to_owned());
        event
    }
}

async fn write(
    app: &App,
    permit: &Permit,
    principal: &Principal,
    write: Write,
) -> Result<CallToolResult, StorageError> {
    let Write { tool, deed, key } = &write;
    let now = app.now();
    let mut tx = app.store.write().await?;
    let keyed = key.as_deref().map(|key| Keyed::new(principal, key, tool, deed.as_ref()));
    let once = match &keyed {
        Some(keyed) => keyed.find(&mut tx, now).await?,
        None => Once::Run,
    };
    let outcome = match once {
        Once::Replay(answer) => return Ok(replayed(answer)),
        Once::Mismatch => Outcome::Unable(
            "idempotency_key: was used before with other arguments or another tool; use a new key for a new call"
                .to_owned(),
        ),
        Once::Run => deed.run(&mut tx, &Scene { principal, now }).await?,
    };
    if let Outcome::Answer(answer) = &outcome {
        if let Some(keyed) = &keyed {
            keyed.record(&mut tx, answer, now).await?;
        }
        let mut event = write.event(principal, permit, audit::Outcome::Done);
        event.detail = Some(answer.text.chars().take(80).collect());
        storage::audit::record(&mut tx, now, &event).await?;
    } else {
        let mut event = write.event(principal, permit, audit::Outcome::Refused);
        if let Outcome::Unable(why) = &outcome {
            event.detail = Some(why.clone());
        }
        storage::audit::record(&mut tx, now, &event).await?;
    }
    commit(tx).await?;
    Ok(result(outcome, tool))
}

/// What the caller gets. What they can mend themselves is a result that says so, not a protocol error, so that
/// the model sees it (MCP server/tools, "Error Handling").
fn result(outcome: Outcome, tool: &Tool) -> CallToolResult {
    let (text, structured) = match outcome {
        Outcome::Answer(Answer { structured, text }) => (text, Some(structured)),
        Outcome::Problems(problems) => (format!("Arguments of {} to mend:\n{problems}", tool.name), None),
        Outcome::Unable(why) => (why, None),
    };
    let content = vec![ContentBlock::text(text)];
    let mut result = match &structured {
        Some(_) => CallToolResult::success(content),
        None => CallToolResult::error(content),
    };
    result.structured_content = structured;
    result
}

fn replayed(answer: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    result.structured_content = Some(answer.structured);
    let mut meta = MetaObject::default();
    meta.0.insert(REPLAYED.to_owned(), Value::Bool(true));
    result.meta = Some(meta);
    result
}
