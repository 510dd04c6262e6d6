//! HTTP manners shared by both halves; nothing here knows OAuth.

pub mod outbound;
