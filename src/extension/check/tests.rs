use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::extension::{Failure, Look, Reads, Reply, Step, Tx, Writes};
use crate::mcp::Scene;

/// Arguments and result of every tool here.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Plain {
    /// A text.
    text: String,
}

/// What cannot be the arguments of a tool.
#[derive(Deserialize, Serialize, JsonSchema)]
struct List(Vec<String>);

#[derive(Deserialize, Serialize, JsonSchema)]
struct Keyed {
    idempotency_key: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Even {
    #[schemars(extend("multipleOf" = 2))]
    number: u32,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Login {
    credentials: Credentials,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Credentials {
    #[schemars(extend("writeOnly" = true))]
    password: String,
}

macro_rules! tools {
    ($($name:ident),*) => {$(
        impl Reads for $name {
            type Output = Plain;
            async fn run(self, _: Look<'_>) -> Result<Reply<Plain>, Failure> {
                Err(Failure::unable("Nothing is done."))
            }
        }
        impl Writes for $name {
            type Output = Plain;
            async fn run(&self, _: &mut Tx, _: &Scene<'_>) -> Result<Reply<Plain>, Failure> {
                Err(Failure::unable("Nothing is done."))
            }
        }
    )*};
}
tools!(Plain, List, Keyed, Even, Login);

const READ: Scope = Scope::read("a:read", "See", "It sees.");
const WRITE: Scope = Scope::write("a:write", "Change", "It changes.");

fn read(name: &'static str) -> Tool {
    Tool::reads::<Plain>(name, "Look", "Looks.").scopes(&["a:read"])
}

fn write(name: &'static str) -> Tool {
    Tool::writes::<Plain>(name, "Change", "Changes.").scopes(&["a:write"])
}

/// Leaks, as a static does not end either.
fn extension(name: &'static str, scopes: &[Scope], tools: Vec<Tool>) -> Extension {
    let tools: Vec<&'static Tool> = tools.into_iter().map(|tool| &*Box::leak(Box::new(tool))).collect();
    Extension { name, scopes: scopes.to_vec().leak(), tools: tools.leak(), ..Extension::EMPTY }
}

fn program(extensions: Vec<Extension>) -> Program {
    let empty = Program::new("own", "Own", "1");
    extensions.into_iter().fold(empty, |program, one| program.with(Box::leak(Box::new(one))))
}

fn refusal(program: Program) -> String {
    program.check().map_or_else(|refused| refused.to_string(), |_| "accepted".to_owned())
}

#[test]
fn what_is_whole_is_accepted() {
    let one = || extension("a", &[READ, WRITE], vec![read("look"), write("change")]);
    let checked = program(vec![one()]).check().unwrap();
    assert_eq!(checked.own().scopes.names().to_string(), "a:read a:write");
    assert!(!checked.own().has_tickets() && checked.own().used() == "Own");
    let both = program(vec![one()]).with_tickets().check().unwrap();
    assert!(both.own().has_tickets() && both.own().used() == "Own");
    let names: Vec<_> = both.surface().names().collect();
    assert_eq!((names.len(), names[0], names[6]), (7, "search_tickets", "change"));
    let mandate = Program::mandate().check().unwrap();
    assert_eq!(*mandate.own(), Own::default());
    // A tool may take a scope of an extension before it.
    let after = extension("b", &[], vec![read("look_again")]);
    assert!(program(vec![one(), after]).check().is_ok());
}

#[test]
fn a_programs_name_and_title_are_looked_at() {
    let with = |name, title, version| {
        let one = extension("a", &[READ], vec![read("look")]);
        refusal(Program::new(name, title, version).with(Box::leak(Box::new(one))))
    };
    assert_eq!(with("own-2", "Own", "1"), "accepted");
    for name in ["", "Own", "2own", "o wn", "../own"] {
        assert!(with(name, "Own", "1").starts_with("the program's name "), "{name}");
    }
    for (title, version) in [("", "1"), ("two\nlines", "1"), ("Own", " ")] {
        assert!(with("own", title, version).starts_with("the title and the version of own "), "{title}");
    }
    assert_eq!(refusal(program(vec![])), "own has no tool: give it an extension that has one");
}

#[test]
fn names_are_looked_at_and_nothing_is_there_twice() {
    let one = |name| extension(name, &[READ, WRITE], vec![read("look")]);
    for name in ["", "A", "a-b", "1"] {
        assert!(refusal(program(vec![one(name)])).starts_with("the extension's name "), "{name}");
    }
    let none = extension("a", &[], vec![]);
    assert_eq!(refusal(program(vec![one("a"), none])), "two extensions are called a");
    assert_eq!(refusal(program(vec![one("a"), one("b")])), "two scopes are called a:read");
    let twice = extension("b", &[], vec![read("look")]);
    assert_eq!(refusal(program(vec![one("a"), twice])), "two tools are called look");
    let ticket = extension("a", &[READ], vec![read("get_ticket")]);
    assert_eq!(refusal(program(vec![ticket]).with_tickets()), "two tools are called get_ticket");
    assert_eq!(refusal(program(vec![ticket])), "accepted");
    for name in ["", "Look", "look-at", "look at", "read", "write"] {
        let bad = extension("a", &[READ], vec![read(name)]);
        assert!(refusal(program(vec![bad])).starts_with("the tool's name "), "{name}");
    }
    let step = Step::new("same", "SELECT 1");
    let twice = Extension { steps: vec![step, step].leak(), ..one("a") };
    assert_eq!(refusal(program(vec![twice])), "each step of a needs a name of its own, unlike \"same\"");
}

#[test]
fn a_scope_has_a_name_of_its_own_and_words() {
    let with = |scope: Scope| refusal(program(vec![extension("a", &[READ, scope], vec![read("look")])]));
    for name in ["", "A", "a b", "a\"b", "a\\b"] {
        assert!(with(Scope::read(name, "See", "It sees.")).starts_with("the scope's name "), "{name}");
    }
    for name in ["tickets:read", "tickets:write", "offline_access", "openid", "tokens:mint"] {
        let said = with(Scope::read(name, "See", "It sees."));
        assert_eq!(said, format!("the scope {name} is Mandate's own: choose another name"));
    }
    for (length, is_good) in [(128, true), (129, false)] {
        let name: &'static str = Box::leak("s".repeat(length).into_boxed_str());
        assert_eq!(with(Scope::read(name, "See", "It sees.")) == "accepted", is_good, "{length}");
    }
    assert!(with(Scope::read("b", "", "It sees.")).starts_with("the title of the scope b "));
    for words in ["", "It sees", "two\nlines."] {
        assert!(
            with(Scope::read("b", "See", words)).starts_with("the description of the scope b "),
            "{words}"
        );
    }
    let many: Vec<Scope> = (0..33)
        .map(|number| Scope::read(Box::leak(format!("s{number}").into_boxed_str()), "See", "It sees."))
        .collect();
    let many = extension("a", &many, vec![read("look").scopes(&["s0"])]);
    assert!(refusal(program(vec![many])).starts_with("own has more than 32 scopes"));
}

#[test]
fn a_tool_takes_scopes_that_exist_and_fit() {
    let with = |tool: Tool| refusal(program(vec![extension("a", &[READ, WRITE], vec![tool])]));
    assert_eq!(
        with(read("look").scopes(&["b:read"])),
        "the tool look takes the scope b:read, which does not exist"
    );
    assert!(with(read("look").scopes(&[])).starts_with("the tool look takes no scope"));
    assert!(with(read("look").scopes(&["a:write"])).starts_with("the tool look only reads"));
    assert!(with(write("change").scopes(&["a:read"])).starts_with("the tool change writes"));
    for tool in [read("look").destructive(), read("look").idempotent()] {
        assert_eq!(
            with(tool),
            "the tool look only reads: .destructive() and .idempotent() are for tools that write"
        );
    }
    assert_eq!(with(write("change").scopes(&["a:read", "a:write"])), "accepted");
    let ticket = Tool::reads::<Plain>("look", "Look", "Looks.").scopes(&["tickets:read"]);
    assert!(with(ticket).ends_with("takes the scope tickets:read, which does not exist"));
}

#[test]
fn a_tool_has_words_and_schemas_that_are_kept() {
    let with = |tool: Tool| {
        let scopes: &'static [&'static str] = if tool.is_write() { &["a:write"] } else { &["a:read"] };
        refusal(program(vec![extension("a", &[READ, WRITE], vec![tool.scopes(scopes)])]))
    };
    assert!(with(Tool::reads::<Plain>("look", "", "Looks.")).starts_with("the tool look needs a title "));
    assert!(with(Tool::reads::<Plain>("look", "Look", "")).starts_with("the tool look needs a title "));
    for tool in
        [Tool::reads::<List>("look", "Look", "Looks."), Tool::writes::<List>("look", "Look", "Looks.")]
    {
        assert!(with(tool).starts_with("the tool look cannot be served: its arguments must be an object"));
    }
    for tool in
        [Tool::reads::<Keyed>("look", "Look", "Looks."), Tool::writes::<Keyed>("look", "Look", "Looks.")]
    {
        assert!(with(tool).starts_with("the tool look cannot be served: idempotency_key is taken"));
    }
    let login = with(Tool::reads::<Login>("look", "Look", "Looks."));
    let half = "the tool look cannot be served: its argument credentials has a part that is writeOnly: ";
    assert!(login.starts_with(half), "{login}");
    let even = with(Tool::reads::<Even>("look", "Look", "Looks."));
    assert!(even.ends_with("the schema of its arguments says multipleOf, which is not checked"), "{even}");
}

#[test]
fn what_a_tool_takes_is_derived_and_closed() {
    let tool = write("change");
    let listed = serde_json::to_value(tool.listed()).unwrap();
    let input = &listed["inputSchema"];
    assert_eq!(input["additionalProperties"], false);
    assert_eq!(input["required"], serde_json::json!(["text"]));
    assert_eq!(input["properties"]["text"]["description"], "A text.");
    assert!(input["properties"]["idempotency_key"]["maxLength"].is_number() && input.get("title").is_none());
    assert_eq!(listed["outputSchema"]["type"], "object");
    let hints = |tool: Tool| serde_json::to_value(tool.listed()).unwrap()["annotations"].clone();
    assert_eq!(hints(write("a"))["destructiveHint"], false);
    assert_eq!(hints(write("a").destructive())["destructiveHint"], true);
    assert_eq!(hints(write("a").idempotent().destructive())["idempotentHint"], true);
    assert_eq!(hints(read("a"))["readOnlyHint"], true);
}
