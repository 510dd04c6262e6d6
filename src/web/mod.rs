//! HTTP manners. Knows no OAuth: parameters, cookies, addresses, pages, documents, and the way out.

pub mod address;
pub mod assets;
pub mod cookies;
pub mod cors;
pub mod document;
pub mod draining;
pub mod fetched;
pub mod host;
pub mod issuer_metadata;
pub mod key_set;
pub mod moment;
pub mod not_found;
pub mod outbound;
pub mod page;
pub mod params;
pub mod reference;
pub mod refusal;
pub mod snippets;
pub mod text;
