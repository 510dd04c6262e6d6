//! The servers that the tests start keep their promises: data outlives a crash, a freeze is a freeze, and nothing is
//! left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{AsyncCommands as _, RedisResult};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::services::postgres::{Postgres, shared_postgres};
use crate::support::services::redis::{Redis, RedisCluster, shared_redis};

/// Longer than any answer takes; only what must not answer is waited for so long.
const NEVER: Duration = Duration::from_millis(300);

async fn postgres_at(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn redis_at(url: &str) -> redis::aio::MultiplexedConnection {
    // Waits as long as it takes: of its own accord it would give up a frozen server after half a second.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    redis::Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

#[tokio::test]
async fn a_fresh_database_is_nobody_elses() {
    let Some(postgres) = shared_postgres() else { return };
    let (one, other) = tokio::join!(postgres.fresh_database(), postgres.fresh_database());
    for url in [one, other] {
        postgres_at(&url).await.execute("CREATE TABLE facts (id TEXT)").await.unwrap();
    }
}

#[tokio::test]
async fn a_restarted_database_keeps_its_rows() {
    if !Postgres::installed() {
        return;
    }
    for postgres in [Postgres::start(), Postgres::start_durable()] {
        let url = postgres.fresh_database().await;
        let mut before = postgres_at(&url).await;
        before.execute("CREATE TABLE facts (id TEXT)").await.unwrap();
        for rows in 1..=3_i64 {
            postgres_at(&url).await.execute("INSERT INTO facts VALUES ('kept')").await.unwrap();
            postgres.restart();
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM facts");
            let count: i64 = count.fetch_one(&mut postgres_at(&url).await).await.unwrap();
            assert_eq!(count, rows);
        }
        assert!(before.ping().await.is_err(), "connections break");
        postgres.stop();
        assert!(PgConnection::connect(&url).await.is_err());
        postgres.start_again();
        postgres_at(&url).await;
    }
}

#[tokio::test]
async fn a_frozen_server_answers_after_the_thaw() {
    if !Postgres::installed() || !Redis::installed() {
        return;
    }
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let mut sql = postgres_at(&postgres.fresh_database().await).await;
    let mut keys = redis_at(&redis.url()).await;
    postgres.freeze();
    redis.freeze();
    let mut answers =
        Box::pin(async { tokio::join!(sql.execute("SELECT 1"), async { keys.set("a", "b").await }) });
    assert!(tokio::time::timeout(NEVER, &mut answers).await.is_err());
    postgres.thaw();
    redis.thaw();
    let (row, written): (_, RedisResult<()>) = answers.await;
    row.unwrap();
    written.unwrap();
}

#[tokio::test]
async fn a_stopped_redis_comes_back_empty_at_its_address() {
    let Some(shared) = shared_redis() else { return };
    let redis = Redis::start();
    assert_ne!(redis.url(), shared.url());
    for forget in [Redis::flush, |redis: &Redis| {
        redis.stop();
        assert!(redis::Client::open(redis.url()).unwrap().get_connection().is_err());
        redis.start_again();
    }] {
        let () = redis_at(&redis.url()).await.set("a", "b").await.unwrap();
        forget(&redis);
        assert!(!redis_at(&redis.url()).await.exists::<_, bool>("a").await.unwrap());
    }
}

#[tokio::test]
async fn a_cluster_serves_every_slot() {
    if !Redis::installed() {
        return;
    }
    let cluster = RedisCluster::start();
    let urls = cluster.urls();
    let client = redis::cluster::ClusterClient::new(urls.clone()).unwrap();
    let mut everywhere = client.get_async_connection().await.unwrap();
    for key in 0..300 {
        let () = everywhere.set(key, key).await.unwrap();
    }
    for url in urls {
        let held: u32 = redis::cmd("DBSIZE").query_async(&mut redis_at(&url).await).await.unwrap();
        assert!((50..200).contains(&held), "{held} of 300 at {url}");
    }
}

/// Says where its servers are, freezes one of each kind, and waits to be killed.
#[test]
#[ignore = "started and killed by nothing_is_left_behind"]
fn whoever_is_killed() {
    let (postgres, redis) = ([Postgres::start(), Postgres::start()], [Redis::start(), Redis::start()]);
    postgres[0].freeze();
    redis[0].freeze();
    for folder in postgres.iter().map(Postgres::folder).chain(redis.iter().map(Redis::folder)) {
        println!("\nfolder {}", folder.display());
    }
    println!("\nready");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn nothing_is_left_behind() {
    if !Postgres::installed() || !Redis::installed() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "services::whoever_is_killed", "--ignored", "--nocapture"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let folders: Vec<String> = lines
        .take_while(|line| line != "ready")
        .filter_map(|line| Some(line.strip_prefix("folder ")?.to_owned()))
        .collect();
    assert_eq!(folders.len(), 4);
    for folder in &folders {
        assert!(processes_in(folder) >= 2, "a server and its keeper are in {folder}");
    }
    child.kill().unwrap();
    // The keepers hold its standard error until they have tidied up.
    let said = child.wait_with_output().unwrap().stderr;
    assert_eq!(String::from_utf8_lossy(&said), "");
    for folder in &folders {
        assert_eq!((processes_in(folder), Path::new(folder).exists()), (0, false), "{folder}");
    }
}

/// How many processes have their working directory in this folder.
fn processes_in(folder: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes
        .filter_map(|path| path.join("cwd").read_link().ok())
        .filter(|cwd| cwd.starts_with(folder))
        .count()
}
