//! HTTP manners. Knows no OAuth: parameters, cookies, addresses, pages, documents, and the way out.

pub mod address;
pub mod cookies;
pub mod cors;
pub mod document;
pub mod outbound;
pub mod params;
pub mod reference;
