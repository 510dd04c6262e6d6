//! HTTP manners, without a word of OAuth: pages, their headers and assets, and how foreign text is shown.

pub mod assets;
pub mod moment;
pub mod page;
pub mod text;
