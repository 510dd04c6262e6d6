//! How often one user's client may call: what counts a call, and how the limits are told.

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::operation::{Class, Operation};
use crate::config::Mcp;
use crate::ephemeral::admission::{Limit, Standing};
use crate::ephemeral::{Rate, whole_seconds};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// The limits that an operation is told of: both classes, and its tool's own where there is one. It counts
/// against its class and its tool.
pub(super) fn limits(operation: Operation, config: &Mcp) -> Vec<Limit<'_>> {
    let counted = operation.class();
    let mut limits = vec![of_class(Class::Read, counted, config)];
    if config.writes.is_on() {
        limits.push(of_class(Class::Write, counted, config));
    }
    if let Some(tool) = operation.tool()
        && let Some((name, rate)) = config.tool_rates.get_key_value(tool)
    {
        limits.push(Limit { name, rate: *rate, counts: true });
    }
    limits
}

fn of_class<'a>(class: Class, counted: Option<Class>, config: &Mcp) -> Limit<'a> {
    Limit { name: class.as_str(), rate: class.rate(config), counts: counted == Some(class) }
}

/// How the limits of a (client, user) stand, to be told.
#[derive(Clone, Debug)]
pub(super) struct Standings(Vec<(String, Rate, Standing)>);

impl Standings {
    /// The limits with how each stands.
    pub(super) fn new(limits: &[Limit<'_>], standings: &[Standing]) -> Self {
        let one = |(limit, standing): (&Limit<'_>, &Standing)| (limit.name.to_owned(), limit.rate, *standing);
        Self(limits.iter().zip(standings).map(one).collect())
    }

    /// Tells them in `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): the quota
    /// `q` that grows back in `w` seconds, how much of it remains in `r`, and in `t` seconds all of it is there.
    pub(super) fn tell(&self, response: &mut Response) {
        let policies = self
            .0
            .iter()
            .map(|(name, rate, _)| format!("\"{name}\";q={};w={}", rate.burst, whole_seconds(rate.window())));
        let standings = self.0.iter().map(|(name, _, standing)| {
            format!("\"{name}\";r={};t={}", standing.remaining, whole_seconds(standing.full_after))
        });
        let lines = [
            (POLICY, policies.collect::<Vec<_>>().join(", ")),
            (STANDING, standings.collect::<Vec<_>>().join(", ")),
        ];
        for (name, line) in lines {
            // Names of classes and tools, and numbers: always a header.
            if let Ok(value) = HeaderValue::from_str(&line) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use axum::response::IntoResponse;

    use crate::config::Config;

    #[test]
    fn a_limit_is_told_with_what_is_left_of_it() {
        let read = Limit { name: "read", rate: Rate::of(120, Duration::from_secs(60)), counts: true };
        let slow = Rate { count: 6, per: Duration::from_secs(60), burst: 3 };
        let tool = Limit { name: "get_ticket", rate: slow, counts: true };
        let left = |remaining, full_after| Standing { remaining, full_after };
        let standings = [left(119, Duration::from_millis(500)), left(0, Duration::from_secs(30))];
        let mut response = ().into_response();
        Standings::new(&[read, tool], &standings).tell(&mut response);
        assert_eq!(response.headers()[POLICY], "\"read\";q=120;w=60, \"get_ticket\";q=3;w=30");
        assert_eq!(response.headers()[STANDING], "\"read\";r=119;t=1, \"get_ticket\";r=0;t=30");
    }

    #[test]
    fn what_needs_no_scope_counts_against_no_limit() {
        let config = Config::defaults().unwrap().mcp;
        let counted = |config: &Mcp| {
            let limits = limits(Operation::Protocol, config);
            limits.iter().map(|limit| (limit.name.to_owned(), limit.counts)).collect::<Vec<_>>()
        };
        assert_eq!(counted(&config), [("read".to_owned(), false), ("write".to_owned(), false)]);
        config.writes.set(false);
        assert_eq!(counted(&config), [("read".to_owned(), false)]);
    }
}
