//! Redis for tests: one server that they share, one of their own to break, or a cluster. Nothing is kept on disk: a
//! server that was stopped comes back empty.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult, cmd};

use super::keeper::{Keeper, eventually, folder_of};

/// How many hash slots a cluster has.
const SLOTS: u16 = 16_384;
/// The nodes of a cluster: the fewest with which a majority can outlive one.
const NODES: u16 = 3;

/// The server that the tests of this process share, so each uses keys of its own and none flushes it; `None` when
/// Redis is not installed.
pub(crate) fn shared_redis() -> Option<&'static Redis> {
    static SHARED: OnceLock<Option<Redis>> = OnceLock::new();
    SHARED.get_or_init(|| Redis::installed().then(Redis::start)).as_ref()
}

/// Makes every key under a prefix older, as if that much time had gone by: what a key has left to live shrinks, and
/// arrival times (unix microseconds) move into the past.
const AGE: &str = r"
    for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
        local left = redis.call('PTTL', key)
        if left >= 0 and left <= tonumber(ARGV[2]) then
            redis.call('DEL', key)
        else
            if left > 0 then redis.call('PEXPIRE', key, left - ARGV[2]) end
            if string.find(key, ':rate:', 1, true) or string.find(key, ':calls:', 1, true) then
                redis.call('DECRBY', key, ARGV[2] * 1000)
            end
        end
    end
    return 1";

/// Lets time go by for the keys under a prefix, on the node of this URL.
pub(crate) fn age(url: &str, prefix: &str, duration: std::time::Duration) {
    let mut connection = Client::open(url).unwrap().get_connection().unwrap();
    let millis = u64::try_from(duration.as_millis()).unwrap();
    let aged: RedisResult<i64> = cmd("EVAL").arg(AGE).arg(0).arg(prefix).arg(millis).query(&mut connection);
    aged.unwrap();
}

/// Every key under a prefix with what it holds, one a line; on the node of this URL.
pub(crate) fn dump(url: &str, prefix: &str) -> String {
    let mut connection = Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<String> = cmd("KEYS").arg(format!("{prefix}:*")).query(&mut connection).unwrap();
    let line = |key: String| {
        let kind: String = cmd("TYPE").arg(&key).query(&mut connection).unwrap();
        let read = if kind == "hash" { "HGETALL" } else { "GET" };
        let held: redis::Value = cmd(read).arg(&key).query(&mut connection).unwrap();
        let held = match held {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => format!("{:?}", Vec::<String>::from_redis_value(other).unwrap()),
        };
        format!("{key} {held}\n")
    };
    keys.into_iter().map(line).collect()
}

/// Forgets every key under a prefix, on the node of this URL.
pub(crate) fn forget(url: &str, prefix: &str) {
    let mut connection = Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<String> = cmd("KEYS").arg(format!("{prefix}:*")).query(&mut connection).unwrap();
    if !keys.is_empty() {
        cmd("DEL").arg(keys).exec(&mut connection).unwrap();
    }
}

/// A running server; it ends with this value.
pub(crate) struct Redis {
    keeper: Keeper,
    port: u16,
}

impl Redis {
    /// Whether Redis is installed. If not, this says so on standard error once, or panics when
    /// `MANDATE_TEST_SERVICES` is `required`.
    pub(crate) fn installed() -> bool {
        programs().is_some()
    }

    /// Starts an empty server.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(settings: &str) -> Self {
        let programs = programs().expect("Redis is not installed: apt-get install redis-server");
        let keeper = Keeper::open("redis", "KILL", programs);
        // An empty word can be said in a file only: `save ""` is "never".
        let file = format!("bind 127.0.0.1\nunixsocket redis.sock\nsave \"\"\nappendonly no\n{settings}");
        std::fs::write(keeper.folder.join("redis.conf"), file).unwrap();
        let port = keeper.start_somewhere(command, |_| is_ready(&keeper));
        Self { keeper, port }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server as a crash does. Connections are refused until [`Self::start_again`].
    pub(crate) fn stop(&self) {
        self.keeper.halt();
    }

    /// Starts a stopped server on its port, empty.
    pub(crate) fn start_again(&self) {
        let started = self.keeper.start(&command(self.port), || is_ready(&self.keeper));
        assert!(started, "somebody took port {}", self.port);
    }

    /// Forgets everything, scripts excepted.
    pub(crate) fn flush(&self) {
        self.ask::<()>(&cmd("FLUSHALL"));
    }

    /// Stops the process: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.keeper.freeze();
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) {
        self.keeper.thaw();
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.keeper.folder
    }

    fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query(&mut connect(&self.keeper).unwrap()).unwrap()
    }
}

/// Three servers that share the slots of a cluster, without replicas; they end with this value.
pub(crate) struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts an empty cluster.
    pub(crate) fn start() -> Self {
        let nodes: Vec<Redis> = (0..NODES).map(|_| Redis::start_with("cluster-enabled yes\n")).collect();
        for (number, node) in (0..).zip(&nodes) {
            let slots: Vec<u16> = (number * SLOTS / NODES..(number + 1) * SLOTS / NODES).collect();
            node.ask::<()>(cmd("CLUSTER").arg("ADDSLOTS").arg(slots));
            // Two that begin in one epoch would quarrel about it.
            node.ask::<()>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1));
            for other in nodes.iter().take(usize::from(number)) {
                node.ask::<()>(cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(other.port));
            }
        }
        let agrees = |node: &Redis| {
            let info: String = node.ask(cmd("CLUSTER").arg("INFO"));
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{NODES}"))
        };
        let logs = || nodes.iter().map(|node| node.keeper.log()).collect::<String>();
        assert!(eventually(|| nodes.iter().all(agrees)), "the nodes do not agree: {}", logs());
        Self { nodes }
    }

    /// The URL of each node.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| folder_of("redis-server", Vec::new(), "redis-server")).as_deref()
}

fn command(port: u16) -> String {
    format!("redis-server redis.conf --port {port}")
}

/// Through the socket file, where nobody else can answer; the server listens on its port before.
fn connect(keeper: &Keeper) -> RedisResult<Connection> {
    Client::open(format!("redis+unix://{}", keeper.folder.join("redis.sock").display()))?.get_connection()
}

fn is_ready(keeper: &Keeper) -> bool {
    connect(keeper).and_then(|mut connection| cmd("PING").query::<String>(&mut connection)).is_ok()
}
