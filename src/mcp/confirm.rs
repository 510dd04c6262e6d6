//! Asking the user, through their client, before something is done that they may not have meant.
//!
//! Since 2026-07-28 the question is the call's result, and the client calls again with the answer (MCP multi
//! round-trip requests). The state that it brings back is sealed for this very deed of this very principal and
//! runs out, so nobody can answer a question that was not asked. Before, the call waits while its client is asked
//! (`elicitation/create`), where the session or the pipe says that the client can be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequiredResult, InputResponses,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::{Context, is_modern};
use super::permit::Permit;
use super::watch;
use crate::app::App;
use crate::clock::Timestamp;
use crate::oauth::Error;
use crate::oauth::error::server_error;

/// How long a question can be answered.
const ANSWERED_WITHIN: Duration = Duration::from_mins(5);
/// What the question is called, and the box that says yes.
const CONFIRM: &str = "confirm";
/// How much of an answer is looked at, in bytes of the state.
const LONGEST_STATE: usize = 1_024;

/// With what a call came: who may be asked, and what they answered.
pub(super) struct Asking<'a> {
    /// The request's context.
    pub(super) context: &'a Context,
    /// The answers that the client brings.
    pub(super) responses: Option<InputResponses>,
    /// The state that it brings back.
    pub(super) state: Option<String>,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Confirmation {
    /// Go on.
    Given,
    /// Not to be done, and this is why.
    Refused(Cow<'static, str>),
    /// The client is to ask, and to call again.
    Ask(Box<InputRequiredResult>),
    /// What the client brings back was not given to it for this call.
    Forged,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    expires_at: Timestamp,
}

/// Asks `question` about the deed that `digest` stands for. `unasked` says what happens when nobody can be asked.
pub(super) async fn confirm(
    app: &App,
    permit: &Permit,
    asking: &Asking<'_>,
    digest: &str,
    question: &str,
    unasked: Confirmation,
) -> Result<Confirmation, Error> {
    if !can_ask(asking.context) {
        return Ok(unasked);
    }
    if !is_modern(asking.context) {
        return wait(app, permit, asking.context, question).await;
    }
    let purpose = purpose(permit, digest, question);
    let Some(state) = &asking.state else { return ask(app, &purpose, question) };
    let opened = app.keys.sealing.open(&purpose, state.get(..LONGEST_STATE).unwrap_or(state));
    let Some(state) = opened.ok().and_then(|plain| serde_json::from_slice::<State>(&plain).ok()) else {
        return Ok(Confirmation::Forged);
    };
    let answer = asking.responses.as_ref().and_then(|all| all.get(CONFIRM)).cloned();
    match answer.map(serde_json::from_value::<ElicitResult>) {
        Some(Ok(answer)) if state.expires_at > app.now() => Ok(judge(&answer)),
        _ => ask(app, &purpose, question),
    }
}

/// Whether the client said that it can show its user a form.
fn can_ask(context: &Context) -> bool {
    let modes = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    modes.is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
}

/// Whose answer to what a state is: nothing else opens it.
fn purpose(permit: &Permit, digest: &str, question: &str) -> String {
    let who = permit.principal();
    let (user, client, grant) = (who.user_id.as_str(), who.client_id.as_str(), who.grant_id.as_str());
    json!(["confirm", "tools/call", user, client, grant, digest, question]).to_string()
}

fn ask(app: &App, purpose: &str, question: &str) -> Result<Confirmation, Error> {
    let state = State { expires_at: app.now().plus(ANSWERED_WITHIN) };
    let plain = serde_json::to_vec(&state).map_err(unmade)?;
    let sealed = app.keys.sealing.seal(purpose, &plain, &app.random)?;
    let request = InputRequest::Elicitation(ElicitRequest::new(form(question)?));
    let requests = BTreeMap::from([(CONFIRM.to_owned(), request)]);
    Ok(Confirmation::Ask(Box::new(InputRequiredResult::new(Some(requests), Some(sealed)))))
}

/// Asks and waits. Much may happen meanwhile, so whether the grant still lives is asked again.
async fn wait(app: &App, permit: &Permit, context: &Context, question: &str) -> Result<Confirmation, Error> {
    let answer = context.peer.create_elicitation_with_timeout(form(question)?, Some(ANSWERED_WITHIN)).await;
    let Ok(answer) = answer else {
        return Ok(Confirmation::Refused(
            "The user was asked to confirm and did not answer. Nothing was changed.".into(),
        ));
    };
    if !watch::still_permitted(app, permit).await? {
        return Ok(Confirmation::Refused("The access was taken back meanwhile. Nothing was changed.".into()));
    }
    Ok(judge(&answer))
}

fn form(question: &str) -> Result<ElicitRequestParams, Error> {
    let schema = ElicitationSchema::builder()
        .required_bool_property(CONFIRM, |yes| yes.title("Yes, do it").with_default(false))
        .build()
        .map_err(unmade)?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: question.to_owned(),
        requested_schema: schema,
    })
}

fn judge(answer: &ElicitResult) -> Confirmation {
    let ticked = answer.content.as_ref().and_then(|content| content.get(CONFIRM)) == Some(&Value::Bool(true));
    if answer.action == ElicitationAction::Accept && ticked {
        return Confirmation::Given;
    }
    Confirmation::Refused("The user was asked to confirm and did not. Nothing was changed.".into())
}

fn unmade(why: impl std::fmt::Display) -> Error {
    server_error("the server made an error").detail(format!("a question cannot be asked: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ticked_box_that_was_accepted_is_a_yes() {
        let answers = [
            (ElicitationAction::Accept, json!({ "confirm": true }), true),
            (ElicitationAction::Accept, json!({ "confirm": false }), false),
            (ElicitationAction::Accept, json!({ "confirm": "true" }), false),
            (ElicitationAction::Accept, json!({}), false),
            (ElicitationAction::Decline, json!({ "confirm": true }), false),
            (ElicitationAction::Cancel, json!({ "confirm": true }), false),
        ];
        for (action, content, yes) in answers {
            let said = judge(&ElicitResult::new(action.clone()).with_content(content.clone()));
            assert_eq!(matches!(said, Confirmation::Given), yes, "{action:?} {content}");
        }
        assert!(matches!(judge(&ElicitResult::new(ElicitationAction::Accept)), Confirmation::Refused(_)));
    }
}
