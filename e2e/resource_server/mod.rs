//! The resource server, seen from outside: discovery, the gate, MCP in both eras, and the tools.

mod absent;
mod audit;
mod cancel;
mod challenge;
mod completion;
mod discovery;
mod faults;
mod headers;
mod legacy;
mod limits;
mod methods;
mod once;
mod order;
mod origin;
mod prompts;
mod schemas;
mod sessions;
mod sizes;
mod streams;
mod tools;
mod transport;
mod visibility;
