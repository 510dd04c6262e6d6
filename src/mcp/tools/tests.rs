use super::*;
use crate::config::{Config, Mcp};
use crate::mcp::surface::Surface;

#[test]
fn write_tools_are_offered_only_where_writes_are_on() {
    let config = Config::defaults().unwrap().mcp;
    let names = |config: &Mcp| Surface::default().offered(config).map(|tool| tool.name).collect::<Vec<_>>();
    assert_eq!(
        names(&config),
        ["search_tickets", "get_ticket", "create_ticket", "comment_ticket", "close_ticket"]
    );
    config.writes.set(false);
    assert_eq!(names(&config), ["search_tickets", "get_ticket"]);
    assert!(Surface::default().find("create_ticket", &config).is_none());
}

#[test]
fn annotations_say_what_a_tool_may_do() {
    let hints = |name: &str| {
        let tool = TICKETS.iter().find(|tool| tool.name == name).unwrap().listed();
        let annotations = tool.annotations.unwrap();
        assert_eq!(annotations.open_world_hint, Some(false));
        (annotations.read_only_hint, annotations.destructive_hint, annotations.idempotent_hint)
    };
    assert_eq!(hints("search_tickets"), (Some(true), Some(false), Some(true)));
    assert_eq!(hints("get_ticket"), (Some(true), Some(false), Some(true)));
    assert_eq!(hints("create_ticket"), (Some(false), Some(false), Some(false)));
    assert_eq!(hints("comment_ticket"), (Some(false), Some(false), Some(false)));
    assert_eq!(hints("close_ticket"), (Some(false), Some(true), Some(true)));
}

#[test]
fn schemas_are_closed_objects_of_2020_12_and_writes_take_a_key() {
    for tool in TICKETS {
        for schema in [tool.schemas.input(), tool.schemas.output()] {
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{}", tool.name);
            assert_eq!(schema["type"], "object", "{}", tool.name);
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
        }
        let takes_key = tool.schemas.input()["properties"].get("idempotency_key").is_some();
        assert_eq!(takes_key, tool.is_write(), "{}", tool.name);
    }
}
