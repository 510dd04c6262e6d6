//! The JSON schemas of MCP, by which every answer that a test gets is checked.
//!
//! They are not part of this repository: each revision publishes its own (`schema/<revision>/schema.json` of
//! modelcontextprotocol/modelcontextprotocol). A folder with `2026-07-28.json`, `2025-11-25.json` and
//! `2025-06-18.json` is looked for in `MANDATE_MCP_SCHEMAS`, and else in `shared/mcp-schema` beside the repository.
//! Without them nothing is checked by them, which is said aloud.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The schemas of one revision.
#[derive(Debug)]
pub(crate) struct Schema {
    revision: &'static str,
    definitions: Value,
}

const REVISIONS: [&str; 3] = [super::mcp::MODERN, super::mcp::LEGACY, super::mcp::OLDER];

fn folder() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MANDATE_MCP_SCHEMAS") {
        let named = PathBuf::from(named);
        assert!(named.is_dir(), "MANDATE_MCP_SCHEMAS is no folder: {}", named.display());
        return Some(named);
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = repository.ancestors().skip(1).take(2).map(|folder| folder.join("shared/mcp-schema"));
    beside.into_iter().find(|folder| folder.is_dir())
}

/// Judges what comes back by what was sent.
#[derive(Debug)]
pub(crate) struct Judge {
    to_mcp: bool,
    revision: Option<String>,
    method: String,
}

impl Judge {
    /// Judges the answer to a request, and all that its stream brings.
    pub(crate) fn of(request: &reqwest::Request) -> Self {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let revision = request.headers().get("mcp-protocol-version").and_then(|value| value.to_str().ok());
        Self {
            to_mcp: request.url().path().starts_with("/mcp"),
            revision: revision.map(str::to_owned),
            method: message["method"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Checks a message.
    pub(crate) fn check(&self, message: &Value) {
        // What is refused by the rules of OAuth is no message of MCP.
        if !self.to_mcp || message.is_null() || message["error"].is_string() {
            return;
        }
        let negotiated = message["result"]["protocolVersion"].as_str();
        let Some(schema) = negotiated.or(self.revision.as_deref()).and_then(of) else { return };
        let problems = schema.problems(&self.method, message);
        assert!(problems.is_empty(), "{} {}: {problems:#?} in {message:#}", schema.revision, self.method);
    }
}

/// The schemas of a revision, if they are there.
pub(crate) fn of(revision: &str) -> Option<&'static Schema> {
    static ALL: OnceLock<Vec<Schema>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let Some(folder) = folder() else {
            eprintln!(
                "\n*** No schemas of MCP: answers are NOT checked by them. See e2e/support/schema.rs. ***\n"
            );
            return Vec::new();
        };
        REVISIONS.iter().map(|revision| Schema::load(&folder, revision)).collect()
    });
    all.iter().find(|schema| schema.revision == revision)
}

/// The definition of a method's result.
fn result_of(method: &str, result: &Value) -> &'static str {
    if result["resultType"] == "input_required" {
        return "InputRequiredResult";
    }
    match method {
        "initialize" => "InitializeResult",
        "server/discover" => "DiscoverResult",
        "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => "EmptyResult",
        "tools/list" => "ListToolsResult",
        "tools/call" => "CallToolResult",
        "resources/list" => "ListResourcesResult",
        "resources/templates/list" => "ListResourceTemplatesResult",
        "resources/read" => "ReadResourceResult",
        "prompts/list" => "ListPromptsResult",
        "prompts/get" => "GetPromptResult",
        "completion/complete" => "CompleteResult",
        "subscriptions/listen" => "SubscriptionsListenResult",
        other => panic!("{other} has a result, and no schema is known for it: {result}"),
    }
}

impl Schema {
    fn load(folder: &Path, revision: &'static str) -> Self {
        let file = folder.join(format!("{revision}.json"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut whole: Value = serde_json::from_str(&text).unwrap();
        // The first one calls them otherwise (JSON Schema draft-07).
        let name = if whole.get("$defs").is_some() { "$defs" } else { "definitions" };
        Self { revision, definitions: whole[name].take() }
    }

    /// Whether the revision defines this.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.definitions.get(name).is_some()
    }

    /// What is wrong with a message of the server.
    pub(crate) fn problems(&self, method: &str, message: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        if message.get("error").is_some() {
            let name =
                if self.defines("JSONRPCErrorResponse") { "JSONRPCErrorResponse" } else { "JSONRPCError" };
            let mut message = message.clone();
            // JSON-RPC has an error without an id for what could not be read; the first revision forgot it.
            if message.get("id").is_none() && name == "JSONRPCError" {
                message["id"] = json!(0);
            }
            self.judge(name, &message, &mut problems);
            let specific = match message["error"]["code"].as_i64() {
                Some(-32020) => "HeaderMismatchError",
                Some(-32021) => "MissingRequiredClientCapabilityError",
                Some(-32022) => "UnsupportedProtocolVersionError",
                _ => return problems,
            };
            if self.defines(specific) {
                self.judge(specific, &message, &mut problems);
            }
        } else if message.get("result").is_some() {
            let name = if self.defines("JSONRPCResultResponse") {
                "JSONRPCResultResponse"
            } else {
                "JSONRPCResponse"
            };
            self.judge(name, message, &mut problems);
            self.judge(result_of(method, &message["result"]), &message["result"], &mut problems);
        } else if message.get("id").is_some() {
            self.judge("JSONRPCRequest", message, &mut problems);
            self.judge("ServerRequest", message, &mut problems);
        } else {
            self.judge("JSONRPCNotification", message, &mut problems);
            self.judge("ServerNotification", message, &mut problems);
        }
        problems
    }

    fn judge(&self, name: &str, value: &Value, problems: &mut Vec<String>) {
        assert!(self.defines(name), "{} has no {name}", self.revision);
        self.judge_by(&self.definitions[name], value, name, problems);
    }

    /// Judges a value by those keywords of JSON Schema that the schemas use; another one is a failure, so that nothing
    /// goes unchecked unnoticed.
    fn judge_by(&self, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().unwrap_or_else(|| panic!("{path}: {schema}")) {
            let holds = match keyword.as_str() {
                // What is said of a text beyond that it is one.
                "description" | "format" => true,
                "$ref" => {
                    let name = rule.as_str().unwrap().rsplit('/').next().unwrap();
                    self.judge(name, value, problems);
                    true
                }
                "type" => {
                    rule == type_of(value)
                        || rule.as_array().is_some_and(|all| all.iter().any(|one| one == type_of(value)))
                        || (is_or_has(rule, "number") && value.is_number())
                }
                "const" => rule == value,
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_f64() >= rule.as_f64(),
                "maximum" => value.as_f64() <= rule.as_f64(),
                "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
                "required" => {
                    rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        if let Some(member) = value.get(name) {
                            self.judge_by(schema, member, &format!("{path}.{name}"), problems);
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = |name: &str| schema["properties"].get(name).is_some();
                    let further = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                    match rule {
                        Value::Bool(allowed) => *allowed || further.count() == 0,
                        rule => {
                            further.for_each(|(name, member)| {
                                self.judge_by(rule, member, &format!("{path}.{name}"), problems);
                            });
                            true
                        }
                    }
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.judge_by(rule, item, &format!("{path}[]"), problems);
                    }
                    true
                }
                "allOf" => {
                    rule.as_array().unwrap().iter().for_each(|all| self.judge_by(all, value, path, problems));
                    true
                }
                "anyOf" => rule.as_array().unwrap().iter().any(|one| {
                    let mut problems = Vec::new();
                    self.judge_by(one, value, path, &mut problems);
                    problems.is_empty()
                }),
                other => panic!("{path}: the keyword {other} is not checked"),
            };
            if !holds {
                let value: String = value.to_string().chars().take(200).collect();
                problems.push(format!("{path}: {keyword} does not hold for {value}"));
            }
        }
    }
}

fn is_or_has(rule: &Value, name: &str) -> bool {
    rule == name || rule.as_array().is_some_and(|all| all.contains(&json!(name)))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
