//! What this half writes into the audit log, and when a grant was last used.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::message::Message;
use super::operation::Operation;
use super::principal::{Principal, Verified};
use super::tools::{Arguments, KEY, Tool};
use crate::app::App;
use crate::audit::{Event, Kind, Outcome, reason};
use crate::clock::Timestamp;
use crate::ephemeral::{Meter, Quota, Rate};
use crate::identity::linking::Nobody;
use crate::keys::BadToken;
use crate::oauth::{ClientId, GrantId};
use crate::storage::{self, audit, commit, grants};
use crate::telemetry;
use crate::web::reference;

/// How many refusals of one grant are recorded in a minute, and as many of one kind that another issuer vouches for:
/// enough to see what is going on, few enough that refusals do not keep the writer busy.
const NAMED: Rate = Rate::of(60, Duration::from_mins(1));
/// How many refusals of one kind are recorded in a day that name nobody: anybody can make as many as they like, and
/// what is recorded is kept for ever. The metrics count them all.
const NAMELESS: Rate = Rate::of(60, Duration::from_hours(24));
/// How exactly the last use of a grant is known.
const USE_PRECISION: Duration = Duration::from_mins(1);
/// How many grants' last uses are remembered, so that a busy one is not written twice.
const REMEMBERED_GRANTS: u64 = 20_000;
/// How much of a text among a tool's arguments is kept, in characters.
const KEPT: usize = 80;
/// How much of a tool's word on why it did not do what it was asked, in characters.
const REASON: usize = 200;
/// How many items of a list among them, and members of an object.
const LISTED: usize = 10;
/// How deep.
const DEEPEST: usize = 3;
/// Stands for what is never written down.
const HIDDEN: &str = "(not recorded)";

/// Who was refused what.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    /// The token that was presented.
    pub(super) token: &'a Verified,
    /// What was asked.
    pub(super) operation: Operation,
    /// With what.
    pub(super) params: &'a Map<String, Value>,
    /// The trace that the request belongs to.
    pub(super) trace_id: Option<&'a str>,
}

/// Writes the trail.
pub(super) struct Trail {
    app: Arc<App>,
    noted: Cache<GrantId, Timestamp>,
}

impl Trail {
    /// Has noted nothing yet.
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, noted: Cache::new(REMEMBERED_GRANTS) }
    }

    /// Records that the bearer of a token was refused an operation.
    pub(super) async fn refused(&self, by: By<'_>, why: &'static str) {
        let mut event = Event::new(Kind::ToolCall, Outcome::Refused)
            .user(&by.token.user_id)
            .client(&by.token.client_id)
            .grant(&by.token.grant_id)
            .detail(why);
        if let Operation::Tool(tool) = by.operation {
            let (arguments, key) = unread(tool, by.params);
            (event.tool, event.arguments, event.idempotency_key) = (Some(tool.name), arguments, key);
        }
        event.trace_id = by.trace_id.map(str::to_owned);
        self.record(by.token.grant_id.as_str(), NAMED, event).await;
    }

    /// Records that a token was presented that is not good, with whom it names where we signed it. Without any
    /// token nothing is recorded: that is how every client begins.
    pub(super) async fn bad_token(&self, reason: BadToken, token: Option<&Verified>, parts: &Parts) {
        let detail = match reason {
            BadToken::Expired => reason::EXPIRED.to_owned(),
            BadToken::Foreign => reason::FOREIGN.to_owned(),
            other => format!("invalid_token: {other}"),
        };
        let mut event = Event::new(Kind::ToolCall, Outcome::Refused).detail(detail);
        event.trace_id = telemetry::trace_id().or_else(|| header_traceparent(parts).and_then(parse_trace_id));
        let Some(token) = token else {
            // Only of a good token is it known that its client or account is disabled.
            let rate = match reason {
                BadToken::ClientDisabled | BadToken::AccountDisabled => NAMED,
                _ => NAMELESS,
            };
            // Each kind has a meter of its own, or the cheapest garbage would hide a forgery.
            return self.record(&format!("nobody:{}", reason.word()), rate, event).await;
        };
        let event = event.user(&token.user_id).client(&token.client_id).grant(&token.grant_id);
        self.record(token.grant_id.as_str(), NAMED, event).await;
    }

    /// Records that a token was good and its user has no account here.
    pub(super) async fn stranger(&self, why: Nobody, client_id: &ClientId, parts: &Parts) {
        let mut event =
            Event::new(Kind::ToolCall, Outcome::Refused).client(client_id).detail(why.word().to_owned());
        event.trace_id = telemetry::trace_id().or_else(|| header_traceparent(parts).and_then(parse_trace_id));
        self.record(&format!("stranger:{}", why.word()), NAMED, event).await;
    }

    /// A refusal stands whether or not it can be written down, so failures are only logged.
    async fn record(&self, meter: &str, rate: Rate, mut event: Event) {
        let detail = event.detail.as_deref();
        match self.app.ephemeral.quota(Meter::Refusals(meter), rate).await {
            Ok(Quota::Within { .. }) => {}
            Ok(Quota::Exceeded { .. }) => {
                return tracing::debug!(detail, "refusal not recorded: there are too many");
            }
            Err(error) => return tracing::warn!(%error, detail, "refusal not recorded"),
        }
        event.reference = Some(reference::current());
        if let Err(error) = append(&self.app, &event).await {
            tracing::error!(%error, detail = event.detail.as_deref(), "refusal not recorded");
        }
    }

    /// Notes that a call is made under a grant, at most once a minute and without keeping the call waiting.
    pub(super) fn note_use(&self, principal: &Principal) {
        let now = self.app.now();
        let noted = self.noted.get(&principal.grant_id).max(principal.last_used_at);
        if noted.is_some_and(|at| at.plus(USE_PRECISION) > now) {
            return;
        }
        self.noted.insert(principal.grant_id.clone(), now);
        let (app, grant_id) = (self.app.clone(), principal.grant_id.clone());
        self.app.tasks.spawn(async move {
            if let Err(error) = touch(&app, &grant_id, now).await {
                tracing::warn!(%error, "last use of a grant not noted");
            }
        });
    }
}

/// An event about a call of this principal.
pub(super) fn by(principal: &Principal, outcome: Outcome) -> Event {
    Event::new(Kind::ToolCall, outcome)
        .user(&principal.user_id)
        .client(&principal.client_id)
        .grant(&principal.grant_id)
}

async fn append(app: &App, event: &Event) -> storage::Result<()> {
    let mut tx = app.store.write().await?;
    audit::record(&mut tx, app.now(), event);
    commit(tx).await
}

/// The trace that a request belongs to, as its `traceparent` says: the message's own, as MCP carries it, or else the
/// header's (W3C Trace Context §3.2).
pub(super) fn trace_id(parts: &Parts, message: &Message) -> Option<String> {
    own_traceparent(message).or_else(|| header_traceparent(parts)).and_then(parse_trace_id)
}

/// The same of a message that came without headers.
pub(super) fn own_trace_id(message: &Message) -> Option<String> {
    own_traceparent(message).and_then(parse_trace_id)
}

fn own_traceparent(message: &Message) -> Option<&str> {
    message.params.get("_meta")?.get("traceparent")?.as_str()
}

fn header_traceparent(parts: &Parts) -> Option<&str> {
    parts.headers.get("traceparent").and_then(|value| value.to_str().ok())
}

fn parse_trace_id(traceparent: &str) -> Option<String> {
    let mut fields = traceparent.split('-');
    let (version, id) = (fields.next()?, fields.next()?);
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let good =
        version.len() == 2 && hex(version) && id.len() == 32 && hex(id) && id.bytes().any(|b| b != b'0');
    good.then(|| id.to_owned())
}

async fn touch(app: &App, grant_id: &GrantId, now: Timestamp) -> storage::Result<()> {
    let mut tx = app.store.write().await?;
    grants::touch(&mut tx, grant_id, now, now.minus(USE_PRECISION)).await?;
    commit(tx).await
}

/// The arguments of a call that was refused before anybody parsed them, as they are recorded, and its idempotency
/// key: only what the tool takes, because nobody can say what else it is, and of that only texts and numbers.
fn unread(tool: &'static Tool, params: &Map<String, Value>) -> (Option<String>, Option<String>) {
    let Some(Value::Object(given)) = params.get("arguments") else { return (None, None) };
    let takes = tool.schemas.input();
    let is_taken =
        |name: &str| takes.get("properties").is_some_and(|properties| properties.get(name).is_some());
    let is_plain = |value: &Value| !matches!(value, Value::Array(_) | Value::Object(_));
    let known = given.iter().filter(|(name, value)| *name != KEY && is_taken(name) && is_plain(value));
    let known: Map<_, _> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    let key = Arguments::of_tool(tool, Some(given.clone())).idempotency_key();
    (Some(reduced(tool, &Value::Object(known))), key)
}

/// Arguments as they are recorded: long texts reduced to their beginning and length, long lists to their beginning,
/// and secrets to nothing.
pub(super) fn reduced(tool: &Tool, arguments: &Value) -> String {
    let Value::Object(members) = arguments else {
        // Nobody can say which part of it is which argument.
        let hidden = tool.schemas.hides_any();
        return if hidden { Value::from(HIDDEN) } else { shortened(arguments, 0) }.to_string();
    };
    let reduced = members.iter().map(|(name, value)| {
        let kept = if tool.schemas.hides(name) { Value::from(HIDDEN) } else { shortened(value, 0) };
        (name.clone(), kept)
    });
    Value::Object(reduced.collect()).to_string()
}

fn shortened(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(items) if depth < DEEPEST => {
            let more = items.len().saturating_sub(LISTED);
            let more = (more > 0).then(|| Value::String(format!("… ({more} more)")));
            items.iter().take(LISTED).map(|item| shortened(item, depth + 1)).chain(more).collect()
        }
        Value::Object(members) if depth < DEEPEST => {
            let kept = members.iter().take(LISTED);
            Value::Object(kept.map(|(name, member)| (cut(name), shortened(member, depth + 1))).collect())
        }
        Value::Array(_) | Value::Object(_) => Value::from("…"),
        other => other.clone(),
    }
}

/// The beginning of a text, and its length where that is not all of it.
fn cut(text: &str) -> String {
    let length = text.chars().count();
    if length <= KEPT {
        return text.to_owned();
    }
    let kept: String = text.chars().take(KEPT).collect();
    format!("{kept}… ({length} characters)")
}

/// Why a deed was not done, as it is recorded.
pub(super) fn sentence(why: &str) -> String {
    why.chars().take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{Failure, Reply, Scene, Tx, Writes};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Clone, Deserialize, Serialize, JsonSchema)]
    #[serde(into = "(String, String)")]
    struct Login {
        username: String,
        #[schemars(extend("writeOnly" = true))]
        password: String,
    }

    impl From<Login> for (String, String) {
        fn from(login: Login) -> Self {
            (login.username, login.password)
        }
    }

    impl Writes for Login {
        type Output = Login;

        async fn run(&self, _: &mut Tx, _: &Scene<'_>) -> Result<Reply<Login>, Failure> {
            Err(Failure::unable("Nobody signs in."))
        }
    }

    static LOGIN: Tool = Tool::writes::<Login>("login", "Sign in", "Signs in.");

    #[test]
    fn long_texts_are_recorded_by_their_beginning_and_length() {
        let tool = crate::mcp::tools::TICKETS[2];
        let recorded = reduced(tool, &json!({ "title": "short", "body": "ü".repeat(5000), "priority": 1 }));
        assert!(recorded.len() < 250);
        assert!(recorded.contains("(5000 characters)") && recorded.contains("short"));
    }

    #[test]
    fn long_names_and_reasons_are_recorded_by_their_beginning() {
        let recorded = shortened(&json!({ "n".repeat(5000): { "m".repeat(81): "v" }, "n": 1 }), 0);
        let names = format!("{}… (5000 characters)", "n".repeat(80));
        let inner = format!("{}… (81 characters)", "m".repeat(80));
        assert_eq!(recorded, json!({ names: { inner: "v" }, "n": 1 }));
        assert_eq!(sentence(&"ü".repeat(5000)), "ü".repeat(200));
        assert_eq!(sentence("short"), "short");
    }

    #[test]
    fn what_a_tool_does_not_take_is_not_recorded() {
        let tool = crate::mcp::tools::TICKETS[2];
        let recorded = reduced(tool, &json!({ "title": "t", "other": "secret" }));
        assert_eq!(recorded, r#"{"other":"(not recorded)","title":"t"}"#);
    }

    #[test]
    fn of_arguments_that_are_no_object_nothing_is_recorded_where_one_is_secret() {
        let login = json!(["alice", "secret"]);
        assert_eq!(reduced(crate::mcp::tools::TICKETS[2], &login), login.to_string());
        assert_eq!(reduced(&LOGIN, &login), r#""(not recorded)""#);
    }

    #[test]
    fn of_arguments_that_nobody_parsed_only_what_the_tool_takes_is_recorded() {
        let config = crate::config::Config::defaults().unwrap().mcp;
        let tool = crate::mcp::surface::Surface::default().find("create_ticket", &config).unwrap();
        let recorded =
            |arguments: Value| unread(tool, json!({ "arguments": arguments }).as_object().unwrap());
        let (arguments, key) = recorded(json!({
            "title": "t", "body": "b".repeat(500_000), "password": "secret", "priority": ["x".repeat(9_000)],
            "idempotency_key": "k",
        }));
        let arguments = arguments.unwrap();
        assert!(arguments.len() < 200 && arguments.contains("(500000 characters)"), "{arguments}");
        assert!(!arguments.contains("secret") && !arguments.contains("priority"), "{arguments}");
        assert_eq!(key.as_deref(), Some("k"));
        assert_eq!(recorded(json!({ "idempotency_key": "not a key" })), (Some("{}".to_owned()), None));
        assert_eq!(recorded(json!("text")), (None, None));
    }
}
