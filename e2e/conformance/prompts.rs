//! The prompts, and the completion of their arguments.

use rmcp::ErrorData;
use rmcp::model::{
    CompletionInfo, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Prompt, Reference, ResultType,
};
use serde_json::{Value, json};

use crate::json::{Answer, typed};
use crate::media::PNG;
use crate::rounds;

/// What completion offers for every argument.
const OFFERED: [&str; 4] = ["paris", "park", "party", "test value"];

/// The list.
pub(crate) fn list() -> Answer<Vec<Prompt>> {
    let argument =
        |name: &str, description: &str| json!({ "name": name, "description": description, "required": true });
    typed(json!([
        { "name": "test_simple_prompt", "description": "A prompt without arguments" },
        {
            "name": "test_prompt_with_arguments",
            "description": "A prompt with two arguments",
            "arguments": [argument("arg1", "First test argument"), argument("arg2", "Second test argument")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "A prompt with a resource",
            "arguments": [argument("resourceUri", "URI of the resource to embed")],
        },
        { "name": "test_prompt_with_image", "description": "A prompt with an image" },
        { "name": "test_input_required_result_prompt", "description": "A prompt that asks the user first" },
    ]))
}

/// One prompt.
pub(crate) fn get(request: &GetPromptRequestParams) -> Answer<GetPromptResponse> {
    let argument = |name: &str| {
        let given = request.arguments.as_ref().and_then(|arguments| arguments.get(name));
        given
            .and_then(Value::as_str)
            .ok_or_else(|| ErrorData::invalid_params(format!("the prompt needs the argument {name}"), None))
    };
    let text = |text: &str| json!({ "type": "text", "text": text });
    match request.name.as_str() {
        "test_simple_prompt" => said(&[text("This is a simple prompt for testing.")]),
        "test_prompt_with_arguments" => {
            let (first, second) = (argument("arg1")?, argument("arg2")?);
            said(&[text(&format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))])
        }
        "test_prompt_with_embedded_resource" => {
            let words = "Embedded resource content for testing.";
            let uri = argument("resourceUri")?;
            let resource = json!({ "uri": uri, "mimeType": "text/plain", "text": words });
            let content = json!({ "type": "resource", "resource": resource });
            said(&[content, text("Please process the embedded resource above.")])
        }
        "test_prompt_with_image" => {
            let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
            said(&[image, text("Please analyze the image above.")])
        }
        "test_input_required_result_prompt" => {
            match rounds::answered(request.input_responses.as_ref(), "user_context") {
                Some(context) => said(&[text(&format!("Work in this context: {context}"))]),
                None => Ok(rounds::only_question(
                    "user_context",
                    &rounds::form("What context should the prompt use?", "context"),
                )?
                .into()),
            }
        }
        _ => Err(ErrorData::invalid_params("there is no such prompt", None)),
    }
}

/// What fits the beginning of an argument.
pub(crate) fn complete(reference: &Reference, beginning: &str) -> Answer<CompletionInfo> {
    if let Reference::Prompt(prompt) = reference
        && !list()?.iter().any(|known| known.name == prompt.name)
    {
        return Err(ErrorData::invalid_params("there is no such prompt", None));
    }
    let fitting = OFFERED.iter().filter(|value| value.starts_with(beginning)).map(ToString::to_string);
    CompletionInfo::with_all_values(fitting.collect()).map_err(|error| ErrorData::internal_error(error, None))
}

fn said(contents: &[Value]) -> Answer<GetPromptResponse> {
    let messages: Vec<Value> =
        contents.iter().map(|content| json!({ "role": "user", "content": content })).collect();
    let mut result: GetPromptResult = typed(json!({ "messages": messages }))?;
    result.result_type = Some(ResultType::COMPLETE);
    Ok(result.into())
}
