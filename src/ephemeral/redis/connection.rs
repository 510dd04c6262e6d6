//! A connection to a server or to a cluster, whichever is there.

use std::time::Duration;

use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{Client, Cmd, Pipeline, RedisFuture, RedisResult, Value, cmd};

use super::RedisUrl;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_millis(700);
/// How long a command may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(800);

/// One multiplexed connection that reconnects; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To a server.
    Server(ConnectionManager),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects. Several nodes are a cluster; of a single one the server says what it is.
    pub(super) async fn open(url: &RedisUrl) -> RedisResult<Self> {
        let nodes = url.nodes()?;
        if let [node] = nodes.as_slice() {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT_WITHIN))
                .set_response_timeout(Some(ANSWER_WITHIN))
                .set_number_of_retries(1)
                .set_min_delay(Duration::from_millis(50));
            let client = Client::open(node.clone())?;
            let mut connection = ConnectionManager::new_with_config(client, config).await?;
            let about: String = cmd("INFO").arg("server").query_async(&mut connection).await?;
            if !about.contains("redis_mode:cluster") {
                return Ok(Self::Server(connection));
            }
        }
        let client = ClusterClientBuilder::new(nodes)
            .connection_timeout(CONNECT_WITHIN)
            .response_timeout(ANSWER_WITHIN)
            .retries(2)
            .min_retry_wait(20)
            .max_retry_wait(200)
            .build()?;
        Ok(Self::Cluster(client.get_async_connection().await?))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
