//! Many replicas: they lose nothing and double nothing, what is revoked on one is refused on all, and what is away
//! makes them refuse, quickly.

mod crash;
mod faults;
mod keys;
mod races;
mod revocation;
mod rolling;
mod skew;
mod streams;
pub(crate) mod support;
