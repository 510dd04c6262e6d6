//! Tools that say something while they run: progress, log messages, changed lists.

use std::time::Duration;

use rmcp::model::{
    CallToolResponse, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
};
use serde_json::json;

use crate::fixtures::{Change, Context, Fixtures, is_modern};
use crate::json::{Answer, fault, said};

/// The suite asks for a pause between two messages, so that a client can be seen to take them one by one.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs such a tool; `None` when it is none of these.
pub(crate) async fn call(
    fixtures: &Fixtures,
    name: &str,
    context: &Context,
) -> Option<Answer<CallToolResponse>> {
    Some(match name {
        "test_tool_with_progress" => progress(context).await,
        "test_tool_with_logging" | "test_logging_tool" => log(context).await,
        "test_trigger_tool_change" => changed(fixtures, Change::Tools),
        "test_trigger_prompt_change" => changed(fixtures, Change::Prompts),
        _ => return None,
    })
}

async fn progress(context: &Context) -> Answer<CallToolResponse> {
    let token = context.meta.get_progress_token();
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = token.clone() {
            let notice = ProgressNotificationParam::new(token, done).with_total(100.0);
            context.peer.notify_progress(notice).await.map_err(|error| fault(&error))?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    said("Tool with progress is done.")
}

/// Since 2026-07-28 a request that names no level wants no messages; before, the level is the server's choice.
async fn log(context: &Context) -> Answer<CallToolResponse> {
    let wanted = match context.meta.log_level() {
        Some(level) => matches!(level, LoggingLevel::Debug | LoggingLevel::Info),
        None => !is_modern(context),
    };
    for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        if wanted {
            let notice = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(text));
            context.peer.notify_logging_message(notice).await.map_err(|error| fault(&error))?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    said("Tool with logging is done.")
}

fn changed(fixtures: &Fixtures, change: Change) -> Answer<CallToolResponse> {
    fixtures.tell(change);
    said("Whoever listens has been told.")
}
