//! Tools of 2026-07-28 that ask by their result: the client answers in a second request (SEP-2322).

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, InputRequiredResult, InputResponses,
    RequestStateCodec, SealOptions,
};
use serde_json::{Value, json};

use crate::fixtures::Context;
use crate::json::{Answer, fault, said, typed};

/// Runs such a tool; `None` when it is none of these.
pub(crate) fn call(
    request: &CallToolRequestParams,
    context: &Context,
    seal: &RequestStateCodec,
) -> Option<Answer<CallToolResponse>> {
    let call = Call { request, seal };
    Some(match request.name.as_ref() {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" => call.name(),
        "test_input_required_result_sampling" => call.capital(),
        "test_input_required_result_list_roots" => call.roots(),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            call.confirmation()
        }
        "test_input_required_result_multiple_inputs" => call.three_at_once(),
        "test_input_required_result_multi_round" => call.two_rounds(),
        "test_input_required_result_capabilities" => call.what_the_client_can(context),
        "test_missing_capability" => needs_sampling(context),
        _ => return None,
    })
}

struct Call<'a> {
    request: &'a CallToolRequestParams,
    seal: &'a RequestStateCodec,
}

impl Call<'_> {
    fn name(&self) -> Answer<CallToolResponse> {
        match self.form_answer("user_name") {
            Some(content) => said(&format!("Hello, {}!", word(content, "name"))),
            None => Ok(only_question("user_name", &form("What is your name?", "name"))?.into()),
        }
    }

    fn capital(&self) -> Answer<CallToolResponse> {
        match self.answer("capital_question").and_then(|answer| answer.pointer("/content/text")) {
            Some(text) => said(text.as_str().unwrap_or_default()),
            None => Ok(only_question("capital_question", &capital())?.into()),
        }
    }

    fn roots(&self) -> Answer<CallToolResponse> {
        match self.answer("client_roots").and_then(|answer| answer.get("roots")).and_then(Value::as_array) {
            Some(roots) => said(&format!("The client has {} roots.", roots.len())),
            None => Ok(only_question("client_roots", &json!({ "method": "roots/list" }))?.into()),
        }
    }

    fn confirmation(&self) -> Answer<CallToolResponse> {
        let asked = self.state()?.is_some();
        match self.form_answer("confirm") {
            Some(_) if asked => said("state-ok"),
            _ => self.ask(json!({ "confirm": confirmation() }), &json!("asked")),
        }
    }

    fn three_at_once(&self) -> Answer<CallToolResponse> {
        let asked = self.state()?.is_some();
        let all = ["user_name", "greeting", "client_roots"].iter().all(|key| self.answer(key).is_some());
        if asked && all {
            return said("Everybody has answered.");
        }
        let questions = json!({
            "user_name": form("What is your name?", "name"),
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": { "method": "roots/list" },
        });
        self.ask(questions, &json!("asked"))
    }

    fn two_rounds(&self) -> Answer<CallToolResponse> {
        let known = self.state()?.unwrap_or_default();
        if let (Some(name), Some(answer)) = (known.get("name"), self.form_answer("step2")) {
            return said(&format!("{name} likes {}.", word(answer, "color")));
        }
        match self.form_answer("step1") {
            Some(answer) if known.get("step").is_some() => self.ask(
                json!({ "step2": form("Step 2: What is your favorite color?", "color") }),
                &json!({ "name": word(answer, "name") }),
            ),
            _ => self
                .ask(json!({ "step1": form("Step 1: What is your name?", "name") }), &json!({ "step": 1 })),
        }
    }

    fn what_the_client_can(&self, context: &Context) -> Answer<CallToolResponse> {
        let can = context.client_capabilities().unwrap_or_default();
        let mut questions = serde_json::Map::new();
        if can.elicitation.is_some() {
            questions.insert("user_name".into(), form("What is your name?", "name"));
        }
        if can.sampling.is_some() {
            questions.insert("greeting".into(), sampling("Generate a greeting", 50));
        }
        if questions.is_empty() || questions.keys().all(|key| self.answer(key).is_some()) {
            return said("There is nothing to ask.");
        }
        self.ask(Value::Object(questions), &json!("asked"))
    }

    fn answer(&self, key: &str) -> Option<&Value> {
        self.request.input_responses.as_ref()?.get(key).filter(|answer| answer.is_object())
    }

    fn form_answer(&self, key: &str) -> Option<&Value> {
        answered(self.request.input_responses.as_ref(), key)
    }

    fn ask(&self, questions: Value, state: &Value) -> Answer<CallToolResponse> {
        let bound = SealOptions::new().associated_data(self.request.name.as_bytes());
        let state = self.seal.seal_json_with(state, &bound).map_err(|error| fault(&error))?;
        Ok(InputRequiredResult::new(Some(typed(questions)?), Some(state)).into())
    }

    /// What an earlier round has remembered. The client may have changed it, or have brought that of another tool.
    fn state(&self) -> Answer<Option<Value>> {
        let Some(sealed) = &self.request.request_state else { return Ok(None) };
        let opened = self.seal.open_json_with(sealed, self.request.name.as_bytes());
        opened.map(Some).map_err(|_| ErrorData::invalid_params("requestState is not as it was sent", None))
    }
}

fn needs_sampling(context: &Context) -> Answer<CallToolResponse> {
    match context.client_capabilities().unwrap_or_default().sampling {
        Some(_) => said("The client can sample."),
        None => Err(ErrorData::missing_required_client_capability(
            ClientCapabilities::builder().enable_sampling().build(),
        )),
    }
}

/// What the user has put into a form; `None` when there is no answer of that form, or none in it.
pub(crate) fn answered<'a>(answers: Option<&'a InputResponses>, key: &str) -> Option<&'a Value> {
    let answer = answers?.get(key)?;
    let accepted = answer.get("action").and_then(Value::as_str) == Some("accept");
    answer.get("content").filter(|content| accepted && content.is_object())
}

/// A result that asks one question.
pub(crate) fn only_question(key: &str, question: &Value) -> Answer<InputRequiredResult> {
    Ok(InputRequiredResult::from_input_requests(typed(json!({ key: question }))?))
}

/// A question to the user with one field of text.
pub(crate) fn form(message: &str, field: &str) -> Value {
    let schema =
        json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] });
    json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": schema },
    })
}

fn confirmation() -> Value {
    let schema =
        json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] });
    json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": "Please confirm", "requestedSchema": schema },
    })
}

fn capital() -> Value {
    sampling("What is the capital of France?", 100)
}

fn sampling(prompt: &str, max_tokens: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    json!({
        "method": "sampling/createMessage",
        "params": { "messages": [message], "maxTokens": max_tokens },
    })
}

fn word<'a>(content: &'a Value, field: &str) -> &'a str {
    content.get(field).and_then(Value::as_str).unwrap_or("nobody")
}
