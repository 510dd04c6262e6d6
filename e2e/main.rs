//! Behaviour over real HTTP. `README.md` beside this file says which test keeps which requirement.

// Marked as tests, so that the lints treat helpers as they treat tests.
#[cfg(test)]
mod authz;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod extension;
#[cfg(test)]
mod grant_command;
#[cfg(test)]
mod keys_command;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod machine_commands;
#[cfg(test)]
mod nothing_there;
#[cfg(test)]
mod odd_text;
#[cfg(test)]
mod packaging;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod resource_server;
#[cfg(test)]
mod services;
#[cfg(test)]
mod stdio;
#[cfg(test)]
mod support;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod upgrade;
