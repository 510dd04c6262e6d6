//! How clients are given an MCP server: what the program says at its start, what the front page shows, and what the
//! pages of the book say. Name and address are ours or an operator's, and were checked where they were read: neither
//! has a quote, a space or a backslash.

/// An MCP server as clients are given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippets {
    /// What it is called in their settings: prompts and tools bear this name there.
    pub name: String,
    /// Its address.
    pub url: String,
}

impl Snippets {
    /// For the server of this name and address.
    pub fn of(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self { name: name.into(), url: url.into() }
    }

    /// Claude Code: adds it, then signs in.
    pub fn claude_code(&self) -> [String; 2] {
        let Self { name, url } = self;
        [format!("claude mcp add --transport http {name} {url}"), format!("claude mcp login {name}")]
    }

    /// Codex: adds it and signs in.
    pub fn codex(&self) -> String {
        format!("codex mcp add {} --url {}", self.name, self.url)
    }

    /// VS Code: adds it for this user.
    pub fn vs_code(&self) -> String {
        let Self { name, url } = self;
        format!(r#"code --add-mcp '{{"name":"{name}","type":"http","url":"{url}"}}'"#)
    }

    /// Cursor: its file, `~/.cursor/mcp.json`.
    pub fn cursor(&self) -> String {
        let Self { name, url } = self;
        format!("{{\n  \"mcpServers\": {{\n    \"{name}\": {{ \"url\": \"{url}\" }}\n  }}\n}}")
    }

    /// The same in one line.
    pub fn cursor_in_a_line(&self) -> String {
        self.cursor().split_whitespace().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "http://localhost:8080/mcp";

    #[test]
    fn the_book_gives_clients_a_server_in_the_same_words() {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/clients");
        let snippets = Snippets::of("tickets", URL);
        for (page, snippet) in [
            ("claude-code.md", snippets.claude_code().join("\n")),
            ("codex.md", snippets.codex()),
            ("vs-code.md", snippets.vs_code()),
            ("cursor.md", snippets.cursor()),
        ] {
            let text = std::fs::read_to_string(clients.join(page)).unwrap();
            assert!(text.contains(&format!("\n{snippet}\n```")), "{page} must have:\n{snippet}");
        }
    }

    #[test]
    fn what_goes_into_files_is_json() {
        let snippets = Snippets::of("notes", URL);
        for text in [snippets.cursor(), snippets.cursor_in_a_line()] {
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read, json!({ "mcpServers": { "notes": { "url": URL } } }), "{text}");
        }
    }
}
