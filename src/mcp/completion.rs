//! What the value of an argument can be, while somebody types it (MCP server/utilities/completion): for the
//! arguments of prompts, and for the ids in addresses of tickets.

use rmcp::model::{CompleteRequestParams, CompletionInfo, ErrorData, Reference};
use serde_json::{Map, Value};

use super::principal::Principal;
use super::prompts::{self, Values};
use super::resources;
use crate::app::App;
use crate::storage::StorageError;
use crate::tickets::{IdPrefix, Sight, lists};

/// What is to be completed in a request. Refuses what there is nothing to say about.
pub(super) fn values(request: &CompleteRequestParams) -> Result<Values, ErrorData> {
    let argument = request.argument.name.as_str();
    let found = match &request.r#ref {
        Reference::Prompt(prompt) => {
            let prompt = prompts::find(&prompt.name).ok_or_else(|| prompts::unknown(&prompt.name))?;
            let takes = || prompt.arguments.iter().map(|argument| argument.name).collect();
            prompt.argument(argument).map(|argument| argument.values).ok_or_else(takes)
        }
        Reference::Resource(template) if template.uri == resources::TEMPLATE => {
            if argument == resources::VARIABLE {
                Ok(Values::TicketIds)
            } else {
                Err(vec![resources::VARIABLE])
            }
        }
        _ => {
            let template = resources::TEMPLATE;
            let message = format!("Unknown resource template: the only one is {template}");
            return Err(ErrorData::invalid_params(message, None));
        }
    };
    found.map_err(|takes| {
        let message = format!("There is no such argument to complete: it takes {}", takes.join(", "));
        ErrorData::invalid_params(message, None)
    })
}

/// Whether completing this reads tickets.
pub(super) fn reads_tickets(params: &Map<String, Value>) -> bool {
    let request = serde_json::from_value(Value::Object(params.clone())).ok();
    matches!(request.and_then(|request| values(&request).ok()), Some(Values::TicketIds))
}

/// Words that begin with what was typed, whatever its case.
pub(super) fn words(all: &[&str], typed: &str) -> CompletionInfo {
    let begins =
        |word: &&&str| word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    complete(all.iter().filter(begins).map(|word| (*word).to_owned()).collect(), false)
}

/// Ids of tickets in sight that begin with what was typed, the newest first.
pub(super) async fn ticket_ids(
    app: &App,
    principal: &Principal,
    typed: &str,
) -> Result<CompletionInfo, StorageError> {
    let Some(prefix) = IdPrefix::parse(typed) else { return Ok(complete(Vec::new(), false)) };
    let sight = Sight::of(principal.role, &principal.user_id);
    let most = CompletionInfo::MAX_VALUES;
    let mut ids = lists::list_ids(&app.store, &sight, &prefix, most + 1).await?;
    let more = ids.len() > most;
    ids.truncate(most);
    Ok(complete(ids.iter().map(ToString::to_string).collect(), more))
}

/// The total is said where it is known: counting tickets that nobody looks at costs more than it tells.
fn complete(values: Vec<String>, more: bool) -> CompletionInfo {
    let mut completion = CompletionInfo::default();
    completion.total = if more { None } else { u32::try_from(values.len()).ok() };
    completion.has_more = Some(more);
    completion.values = values;
    completion
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_completed_whatever_their_case() {
        let found = |typed: &str| words(&["low", "medium", "high", "ähnlich"], typed).values;
        assert_eq!(found("").len(), 4);
        assert_eq!(found("ME"), ["medium"]);
        assert_eq!(found("x"), [""; 0]);
        assert_eq!(found("ä"), ["ähnlich"]);
        assert_eq!(found("lowest"), [""; 0]);
    }

    #[test]
    fn only_completing_ids_reads_tickets() {
        let ids = json!({ "type": "ref/prompt", "name": "summarize_ticket" });
        let template = json!({ "type": "ref/resource", "uri": "ticket://{id}" });
        for (reference, argument, expected) in [
            (&ids, "id", true),
            (&ids, "audience", false),
            (&ids, "nonsense", false),
            (&template, "id", true),
            (&template, "ID", false),
            (&json!({ "type": "ref/prompt", "name": "nonsense" }), "id", false),
            (&json!({ "type": "ref/resource", "uri": "ticket://T-1" }), "id", false),
            (&json!({ "type": "ref/nonsense", "name": "summarize_ticket" }), "id", false),
        ] {
            let params = json!({ "ref": reference, "argument": { "name": argument, "value": "" } });
            assert_eq!(reads_tickets(params.as_object().unwrap()), expected, "{params}");
        }
    }
}
