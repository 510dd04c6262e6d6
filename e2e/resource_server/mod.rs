//! The resource server, seen from outside: discovery, the gate, MCP in both eras, and the tools.

mod absent;
mod audit;
mod cancel;
mod challenge;
mod completion;
mod confirm;
mod discovery;
mod faults;
mod headers;
mod issuers;
mod issuers_alone;
mod legacy;
mod limits;
mod methods;
mod once;
mod order;
mod origin;
mod progress;
mod prompts;
mod schemas;
mod sessions;
mod sizes;
mod streams;
mod tools;
mod transport;
mod visibility;
