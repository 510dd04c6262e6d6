//! A look at Redis without changing it: for whoever asks whether this program can rely on it.

use std::time::Duration;

use ::redis::{Client, ConnectionInfo, RedisResult, cmd};

use super::RedisUrl;
use super::line::failed;
use crate::clock::Timestamp;
use crate::ephemeral::{EphemeralError, Result};

/// How long looking at a node may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What was seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Its version, as it writes it.
    pub version: String,
    /// What it throws away when it is full: `noeviction` is nothing.
    pub policy: String,
    /// Whether it keeps anything on disk; `None` when it does not say.
    pub persists: Option<bool>,
    /// Its clock.
    pub now: Timestamp,
}

/// Looks at each node that is named; the first of a pair is its address, without a password. Where none is, that is
/// what was seen.
pub async fn survey(url: &RedisUrl) -> Vec<(String, Result<Survey>)> {
    let nodes = match url.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return vec![(url.to_string(), Err(failed(&error)))],
    };
    let mut seen = Vec::new();
    for node in nodes {
        let name = node.addr().to_string();
        let looked = match tokio::time::timeout(WITHIN, look(node)).await {
            Ok(looked) => looked.map_err(|error| failed(&error)),
            Err(_) => Err(EphemeralError(format!("Redis does not answer within {} s", WITHIN.as_secs()))),
        };
        seen.push((name, looked));
    }
    seen
}

async fn look(node: ConnectionInfo) -> RedisResult<Survey> {
    let mut connection = Client::open(node)?.get_multiplexed_async_connection().await?;
    let about: String = cmd("INFO").query_async(&mut connection).await?;
    let (seconds, micros): (i64, i64) = cmd("TIME").query_async(&mut connection).await?;
    // Hosted servers may not let it be asked.
    let saves: RedisResult<(String, String)> =
        cmd("CONFIG").arg("GET").arg("save").query_async(&mut connection).await;
    let appends = field(&about, "aof_enabled") == "1";
    Ok(Survey {
        version: field(&about, "redis_version").to_owned(),
        policy: field(&about, "maxmemory_policy").to_owned(),
        persists: if appends { Some(true) } else { saves.ok().map(|(_, saves)| !saves.is_empty()) },
        now: Timestamp(seconds.saturating_mul(1000).saturating_add(micros / 1000)),
    })
}

fn field<'a>(about: &'a str, name: &str) -> &'a str {
    let mut fields = about.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| *field == name).map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::redis::Redis;

    #[tokio::test]
    async fn a_node_is_seen_as_it_is() {
        if !Redis::installed() {
            return;
        }
        let server = Redis::start();
        let url = RedisUrl::parse(&format!("{},redis://:secret@127.0.0.1:9", server.url()), "p").unwrap();
        let set = |name: &str, value: &str| {
            let mut connection = Client::open(server.url()).unwrap().get_connection().unwrap();
            cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).unwrap();
        };
        let seen = survey(&url).await;
        let first = seen[0].1.as_ref().unwrap();
        assert_eq!((first.policy.as_str(), first.persists), ("noeviction", Some(false)));
        assert!(first.version.split('.').count() == 3 && first.now.0 > 1_700_000_000_000, "{first:?}");
        assert_eq!(seen[1].0, "127.0.0.1:9");
        assert!(!seen[1].1.as_ref().unwrap_err().to_string().contains("secret"));
        set("maxmemory-policy", "allkeys-lru");
        set("save", "60 1");
        let changed = survey(&url).await[0].1.as_ref().unwrap().clone();
        assert_eq!((changed.policy.as_str(), changed.persists), ("allkeys-lru", Some(true)));
    }
}
