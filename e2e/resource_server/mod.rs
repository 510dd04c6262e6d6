//! The resource server, seen from outside: discovery, the gate, MCP in both eras, and the tools.

mod audit;
mod cancel;
mod challenge;
mod discovery;
mod faults;
mod legacy;
mod limits;
mod methods;
mod once;
mod origin;
mod tools;
mod transport;
mod visibility;
