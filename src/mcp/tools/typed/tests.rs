use serde::{Deserialize, Serializer};
use serde_json::json;

use super::*;

/// Cannot be serialised.
#[derive(Deserialize, JsonSchema)]
struct Mute {
    #[expect(dead_code, reason = "it is there to be an argument")]
    text: String,
}

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no words"))
    }
}

impl Writes for Mute {
    type Output = Mute;

    async fn run(&self, _: &mut Tx, _: &Scene<'_>) -> Result<Reply<Mute>, Failure> {
        Err(Failure::unable("Nothing is done."))
    }
}

#[test]
fn arguments_that_do_not_serialise_are_a_fault_of_ours() {
    static MUTE: Tool = Tool::writes::<Mute>("mute", "Be mute", "Is mute.");
    let Run::Write { parse, .. } = MUTE.run else { panic!("it writes") };
    let parsed = |arguments: Value| match parse(Arguments::of_tool(&MUTE, arguments.as_object().cloned())) {
        Err(NoDeed::Fault(error)) => error.detail.unwrap(),
        Err(NoDeed::Problems(problems)) => problems.to_string(),
        Ok(_) => "a deed".to_owned(),
    };
    assert_eq!(parsed(json!({ "text": "t" })), "arguments that do not serialise: it has no words");
    assert_eq!(parsed(json!({})), "- text: is required");
}

#[test]
fn a_result_that_does_not_serialise_is_a_fault_with_its_cause() {
    let mute = outcome(Ok(Reply::new(Mute { text: String::new() }, "t"))).unwrap_err();
    assert_eq!(mute.detail.as_deref(), Some("a result that does not serialise: it has no words"));
    let list = outcome(Ok(Reply::new(["a"], "t"))).unwrap_err();
    assert_eq!(list.detail.as_deref(), Some("a result that is no object"));
    let (structured, text) = (json!({ "a": 1 }), "t".to_owned());
    let answer = outcome(Ok(Reply::new(structured.clone(), "t"))).unwrap();
    assert_eq!(answer, Outcome::Answer(Answer { structured, text }));
}
