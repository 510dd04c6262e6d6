//! Behaviour over real HTTP. `README.md` beside this file says which test keeps which requirement.

mod authz;
mod support;
