//! What is said of lines that are no request, and of requests that nobody can answer.

use serde_json::{Value, json};

use super::program::{Program, place};

#[tokio::test]
async fn what_is_no_message_is_refused_in_json_rpc_and_the_next_is_answered() {
    let place = place().await;
    let mut program = Program::start(&place, "alice", &[]);
    let mut lines = program.lines();
    lines.initialize();
    let long = "x".repeat((1 << 20) + 1);
    let cases = [
        ("{", -32700, Value::Null),
        ("nonsense", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        (r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, -32600, json!(7)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}"#, -32600, json!(7)),
        (r#"{"jsonrpc":"2.0","id":"a","method":"tickets/burn"}"#, -32601, json!("a")),
        (r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":1}}"#, -32602, json!(8)),
        (r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"burn"}}"#, -32602, json!(8)),
        (long.as_str(), -32600, Value::Null),
    ];
    for (line, code, id) in cases {
        lines.write(line);
        let answer = lines.read().unwrap();
        let shown = line.chars().take(60).collect::<String>();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{shown}: {answer}");
    }
    lines.write_bytes(b"\xff\xfe");
    assert_eq!(lines.read().unwrap()["error"]["code"], -32700);
    // Nothing is said to these.
    lines.write("");
    lines.write("   ");
    lines.write(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    lines.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#);
    let answer = lines.ask(&json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" }));
    assert_eq!(answer["id"], 9, "{answer}");
    lines.close();
    assert_eq!(lines.read(), None);
    assert_eq!(program.ended().0, Some(0));
}

#[tokio::test]
async fn before_the_client_has_said_how_it_speaks_it_is_told_what_to_say() {
    let place = place().await;
    let mut program = Program::start(&place, "alice", &[]);
    let mut lines = program.lines();
    // No reason to give up: neither a notification nor an answer.
    lines.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    lines.write(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let early = lines.ask(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    assert_eq!(early["error"]["code"], -32602, "{early}");
    let ping = lines.ask(&json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" }));
    assert_eq!(ping["result"], json!({}));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let modern = |id: i64, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": { "_meta": meta } });
    let discovered = lines.ask(&modern(3, "server/discover"));
    assert_eq!(discovered["result"]["supportedVersions"][0], "2026-07-28", "{discovered}");
    let initialize = lines.ask(&modern(4, "initialize"));
    assert_eq!(initialize["error"]["code"], -32601, "2026-07-28 knows none: {initialize}");
    let mut unknown = modern(5, "tools/list");
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let unknown = lines.ask(&unknown);
    assert_eq!(unknown["error"]["data"]["requested"], "2099-01-01", "{unknown}");
    let answer = lines.initialize();
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
    let listed = lines.ask(&json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/list" }));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 5);
}
