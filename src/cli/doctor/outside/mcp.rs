//! The few MCP messages that are sent, and the headers of either era.

use serde_json::{Map, Value, json};
use url::Url;

use crate::cli::doctor::probe::Ask;

/// The newest revision with sessions.
pub(super) const LEGACY: &str = "2025-11-25";
/// The stateless era.
pub(super) const MODERN: &str = "2026-07-28";

/// The MCP endpoint that a URL means: the URL itself, or `/mcp` on a bare origin.
pub(super) fn endpoint(url: &Url) -> Url {
    let mut endpoint = url.clone();
    endpoint.set_fragment(None);
    if endpoint.path() == "/" {
        endpoint.set_path("/mcp");
    }
    endpoint
}

fn client() -> Value {
    json!({ "name": "mandate-doctor", "version": env!("CARGO_PKG_VERSION") })
}

/// `initialize`, of the era with sessions.
pub(super) fn initialize(endpoint: &Url) -> Ask {
    legacy(
        endpoint,
        "initialize",
        &json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client() }),
    )
}

/// A request of the era with sessions.
pub(super) fn legacy(endpoint: &Url, method: &str, params: &Value) -> Ask {
    post(endpoint, method, params)
}

/// A request of the stateless era, with the headers that repeat its body. `name` is what `Mcp-Name` repeats.
pub(super) fn modern(endpoint: &Url, method: &str, name: Option<&str>, params: Map<String, Value>) -> Ask {
    let mut params = params;
    params.insert(
        "_meta".to_owned(),
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": client(),
            "io.modelcontextprotocol/clientCapabilities": {},
        }),
    );
    let ask = post(endpoint, method, &Value::Object(params))
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    match name {
        Some(name) => ask.header("mcp-name", name),
        None => ask,
    }
}

fn post(endpoint: &Url, method: &str, params: &Value) -> Ask {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    Ask::post_json(endpoint, &message).header("accept", "application/json, text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_origin_means_its_mcp_endpoint() {
        for (url, expected) in [
            ("https://t.example", "https://t.example/mcp"),
            ("https://t.example/", "https://t.example/mcp"),
            ("https://t.example/mcp#x", "https://t.example/mcp"),
            ("https://t.example/a/b/", "https://t.example/a/b/"),
        ] {
            assert_eq!(endpoint(&Url::parse(url).unwrap()).as_str(), expected);
        }
    }
}
