//! Everything that can be configured, for people and for editors: from the types that read it, and the comments of
//! their keys.

mod environment;
pub(super) mod known;
mod markdown;
mod schema;
#[cfg(test)]
mod tests;

pub use markdown::markdown;
pub use schema::schema;
