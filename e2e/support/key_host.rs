//! A TLS host on this machine that serves the documents and key sets of clients and issuers, and counts who asks.

use serde_json::Value;

use mandate::config::Config;

use super::origin::Origin;

/// The host.
pub(crate) struct KeyHost(Origin);

impl KeyHost {
    /// Begins to serve; nothing is there yet, so every path is 404.
    pub(crate) async fn start() -> Self {
        Self(Origin::start().await)
    }

    /// Lets a server trust and reach it.
    pub(crate) fn allow(&self, config: &mut Config) {
        self.0.trust(config);
    }

    /// Lets a server trust and reach both hosts.
    pub(crate) fn allow_both(&self, other: &Self, config: &mut Config) {
        self.0.trust_both(&other.0, config);
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        self.0.at(path)
    }

    /// Puts a document at a path.
    pub(crate) fn put(&self, path: &str, body: &Value) {
        self.0.publish(path, "Content-Type: application/json\r\n", body);
    }

    /// Answers everything with 500 from now on.
    pub(crate) fn break_down(&self) {
        self.0.break_down();
    }

    /// Answers as before again.
    pub(crate) fn recover(&self) {
        self.0.recover();
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.0.asked(path)
    }
}
