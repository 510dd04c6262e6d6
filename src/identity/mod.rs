//! Who the user is: passwords, browser sessions, whom others vouch for, and what slows guessing down.
//!
//! Owns accounts' secrets and the cookies that stand for a signed-in person. Knows nothing of grants or tokens.

pub mod account;
pub mod csrf;
pub mod linking;
pub mod machine;
pub mod password;
pub mod session;
pub mod throttle;
pub mod upstream;
