//! The servers that tests talk to, each one started for them alone: on a free port of loopback, in a folder of its
//! own, gone with the test process in whatever way that ends. The library's unit tests use this module too.

mod keeper;
pub(crate) mod postgres;
pub(crate) mod redis;
