//! Signing keys change under the hands of many who call all the time, on several replicas with one clock that the test
//! sets; and what an operator takes back is refused by replicas of the real binary.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::{Algorithm, decode_header};
use mandate::app::App;
use mandate::authz::rotation;
use mandate::clock::{ManualClock, Timestamp};
use mandate::config::{Config, PublicUrl};
use mandate::ephemeral::Rate;
use mandate::ephemeral::redis::RedisUrl;
use mandate::identity::account::{self, Username};
use mandate::identity::password::Password;
use mandate::keys::ring::{LEAD, LEAD_OF_A_STRANGER, READ_EVERY};
use mandate::keys::rotation::{Rotated, Rotation};
use mandate::random::Random;
use mandate::storage::postgres::PostgresUrl;
use mandate::storage::users::Role;
use mandate::storage::{Database, commit};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::support::caller::Caller;
use super::support::eventually;
use super::support::fleet::Fleet;
use super::support::proxy::Proxy;
use crate::binary::free_port;
use crate::support::browser::Address;
use crate::support::client::Client;
use crate::support::services::postgres::shared_postgres;
use crate::support::services::redis::{age, shared_redis};
use crate::support::{PASSWORD, START, http};

/// How many replicas.
const REPLICAS: usize = 3;
/// How many call all the time.
const CALLERS: usize = 4;
/// How long a token lives.
const TOKEN: Duration = Duration::from_hours(1);
/// How long a key signs.
const DAY: Duration = Duration::from_hours(6);
/// How much time goes by at once: far less than a token lives.
const STEP: Duration = Duration::from_mins(10);
/// How long a replica goes on while the balancer learns that it stops.
const DRAIN: Duration = Duration::from_millis(500);

/// Replicas in this process behind a balancer.
struct Group {
    config: Config,
    clock: Arc<ManualClock>,
    ports: Vec<u16>,
    apps: Mutex<Vec<Arc<App>>>,
    proxy: Proxy,
    redis: (String, String),
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Address for Group {
    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.proxy.port())
    }
}

/// One replica, without the balancer.
struct Direct(u16);

impl Address for Direct {
    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.0)
    }
}

impl Group {
    /// Starts them with a changed configuration; `None` where there is no PostgreSQL or Redis.
    async fn start(change: impl FnOnce(&mut Config)) -> Option<Self> {
        let (postgres, redis) = (shared_postgres()?, shared_redis()?);
        let url = postgres.fresh_database().await;
        let prefix = format!("keys-{}", url.rsplit_once('/').unwrap().1);
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..REPLICAS).map(|_| free_port()).collect();
        let proxy = Proxy::start(&ports);
        let mut config = Config::defaults().unwrap();
        config.public_url = PublicUrl::parse(&format!("http://127.0.0.1:{}", proxy.port())).unwrap();
        config.database = Database::Postgres { url: PostgresUrl::parse(&url).unwrap(), connections: 5 };
        config.redis = RedisUrl::parse(&redis.url(), &prefix);
        config.secret_key_file = folder.path().join("mandate.key");
        let unlimited = Rate::of(1_000_000, Duration::from_mins(1));
        config.mcp.read_rate = unlimited;
        config.limits.token = unlimited;
        config.tokens.access_token_lifetime = TOKEN;
        config.tokens.signing_key_rotation = None;
        change(&mut config);
        let group = Self {
            config,
            clock: Arc::new(ManualClock::new(START)),
            ports,
            apps: Mutex::new(Vec::new()),
            proxy,
            redis: (redis.url(), prefix),
            http: http(),
            _folder: folder,
        };
        for number in 0..REPLICAS {
            let app = Box::pin(group.open(number, group.config.clone())).await;
            group.apps.lock().unwrap().push(app);
        }
        for number in 0..REPLICAS {
            group.is_ready(number).await;
        }
        group.add_user("alice").await;
        Some(group)
    }

    /// Begins to serve, as the command does.
    async fn open(&self, number: usize, mut config: Config) -> Arc<App> {
        let mut listener = None;
        eventually("the port is free", async || {
            listener = TcpListener::bind(("127.0.0.1", self.ports[number])).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        config.listen = listener.local_addr().unwrap().into();
        let app = Arc::new(App::open(config, self.clock.clone(), Random::system()).await.unwrap());
        app.tasks.spawn(rotation::run(app.clone()));
        #[expect(clippy::disallowed_methods, reason = "the replica lives as long as the test's runtime")]
        tokio::spawn(mandate::server::serve(app.clone(), listener));
        app
    }

    async fn is_ready(&self, number: usize) {
        eventually("a replica is ready", async || self.proxy.sends_to(number)).await;
    }

    /// Replaces a replica by one of another configuration.
    async fn restart(&self, number: usize, change: impl FnOnce(&mut Config)) {
        self.app(number).stop_after(DRAIN).await;
        let mut config = self.config.clone();
        change(&mut config);
        let app = Box::pin(self.open(number, config)).await;
        self.apps.lock().unwrap()[number] = app;
        self.is_ready(number).await;
    }

    fn app(&self, number: usize) -> Arc<App> {
        self.apps.lock().unwrap()[number].clone()
    }

    fn replica(&self, number: usize) -> Direct {
        Direct(self.ports[number])
    }

    fn now(&self) -> Timestamp {
        self.app(0).now()
    }

    /// Lets time go by everywhere. What every replica does now and then, it does.
    async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        age(&self.redis.0, &self.redis.1, duration);
        for number in 0..REPLICAS {
            rotation::once(&self.app(number)).await.unwrap();
        }
    }

    async fn add_user(&self, username: &str) {
        let app = self.app(0);
        let (name, password) = (Username::parse(username).unwrap(), Password::chosen(PASSWORD).unwrap());
        let user = account::prepare(&app, &name, password, Role::Agent).await.unwrap();
        let mut tx = app.store.write().await.unwrap();
        account::record(&app, &mut tx, &user).await.unwrap();
        commit(tx).await.unwrap();
    }

    async fn caller(&self) -> Caller {
        let client = Client::register(self).await;
        let tokens = client.obtain_tokens("alice").await;
        Caller::over(self.http.clone(), &client.client_id, &tokens)
    }

    /// What every replica publishes; all the same.
    async fn published(&self) -> BTreeSet<String> {
        let mut published = None;
        eventually("every replica publishes the same", async || {
            let mut sets = Vec::new();
            for number in 0..REPLICAS {
                let answer = self.http.get(self.replica(number).at("/jwks")).send().await.unwrap();
                sets.push(kids(&answer.json().await.unwrap()));
            }
            let same = sets.iter().all(|set| *set == sets[0]);
            published = Some(sets.swap_remove(0));
            same
        })
        .await;
        published.unwrap()
    }

    /// Every replica accepts a token, or none does.
    async fn assert_status(&self, caller: &Caller, status: StatusCode) {
        for number in 0..REPLICAS {
            assert_eq!(caller.status(&self.replica(number)).await, status, "replica {number}");
        }
    }
}

fn kids(jwks: &Value) -> BTreeSet<String> {
    let keys = jwks["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(access_token: &str) -> String {
    decode_header(access_token).unwrap().kid.unwrap()
}

/// Those who call and refresh without a pause, and are never refused.
struct Crowd {
    is_over: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicUsize>>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    calling: JoinSet<()>,
}

impl Crowd {
    async fn gather(group: &Arc<Group>) -> Self {
        let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut crowd = Self { is_over, rounds: Vec::new(), seen, calling: JoinSet::new() };
        for _ in 0..CALLERS {
            let (mut caller, group) = (group.caller().await, group.clone());
            let (is_over, seen) = (crowd.is_over.clone(), crowd.seen.clone());
            let rounds = Arc::new(AtomicUsize::new(0));
            crowd.rounds.push(rounds.clone());
            crowd.calling.spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    for _ in 0..3 {
                        let answer = caller.call(&*group, "search_tickets", &json!({ "query": "x" })).await;
                        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                    }
                    let answer = caller.refresh(&*group).await;
                    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                    caller = Caller::over(group.http.clone(), &caller.client_id, &answer.body);
                    seen.lock().unwrap().insert(kid(&caller.access_token));
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        crowd
    }

    /// Waits until everybody has called and refreshed from now on.
    async fn go_round(&mut self) {
        let before: Vec<usize> = self.rounds.iter().map(|rounds| rounds.load(Ordering::SeqCst)).collect();
        eventually("everybody goes on", async || {
            while let Some(ended) = self.calling.try_join_next() {
                ended.unwrap();
            }
            self.rounds.iter().zip(&before).all(|(rounds, before)| rounds.load(Ordering::SeqCst) > before + 1)
        })
        .await;
    }

    /// The keys of the tokens that were issued since this was asked last.
    fn seen(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    async fn go_home(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.calling.join_next().await {
            ended.unwrap();
        }
    }
}

fn one(kid: &str) -> BTreeSet<String> {
    BTreeSet::from([kid.to_owned()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_and_retire_on_three_replicas_and_nobody_who_calls_notices() {
    let every = Some(DAY);
    let Some(group) = Group::start(|config| config.tokens.signing_key_rotation = every).await else { return };
    let group = Arc::new(group);
    let mut crowd = Crowd::gather(&group).await;
    crowd.go_round().await;
    let first = crowd.seen().into_iter().next().unwrap();
    // Long after the start: whoever keeps a copy of the keys has the next one.
    group.pass(STEP).await;
    crowd.go_round().await;
    let before = group.published().await;
    assert_eq!(before.len(), 2);

    let Rotation::Done(Rotated { kid: second, next, active_from, former_until, .. }) =
        rotation::rotate(&group.app(0)).await.unwrap()
    else {
        panic!()
    };
    assert!(before.contains(&second), "it was published before anything was signed with it");
    assert!(group.published().await.contains(&next), "and so is the one after it, everywhere");
    assert!(matches!(rotation::rotate(&group.app(1)).await.unwrap(), Rotation::Pending(_)));
    crowd.go_round().await;
    assert_eq!(crowd.seen(), one(&first), "its time has not come");
    let last = group.caller().await;
    assert_eq!(kid(&last.access_token), first);

    group.pass(LEAD).await;
    assert_eq!(group.now(), active_from);
    crowd.go_round().await;
    crowd.seen();
    crowd.go_round().await;
    assert_eq!(crowd.seen(), one(&second));
    let new = group.caller().await;
    assert_eq!(kid(&new.access_token), second);
    group.assert_status(&new, StatusCode::OK).await;

    // The former stays until the last token that it signed has expired, and is then gone everywhere.
    let expires = START.plus(STEP + TOKEN);
    while group.now() < former_until {
        let is_good = group.now() < expires;
        let expected = if is_good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        group.assert_status(&last, expected).await;
        rotation::keep_house(&group.app(1)).await.unwrap();
        assert!(group.published().await.contains(&first));
        group.pass(STEP.min(former_until.since(group.now()))).await;
        crowd.go_round().await;
    }
    rotation::keep_house(&group.app(2)).await.unwrap();
    let expected = BTreeSet::from([second.clone(), next.clone()]);
    eventually("the old key is gone", async || group.published().await == expected).await;
    crowd.go_round().await;

    // By schedule, when the day is over.
    group.pass(STEP).await;
    while group.now() < active_from.plus(DAY) {
        crowd.go_round().await;
        rotation::keep_house(&group.app(0)).await.unwrap();
        assert_eq!(group.published().await.len(), 2, "it is not time yet");
        group.pass(4 * STEP).await;
    }
    for number in 0..REPLICAS {
        rotation::keep_house(&group.app(number)).await.unwrap();
    }
    assert_eq!(group.published().await.len(), 3, "one of them rotated");
    crowd.go_round().await;
    group.pass(LEAD).await;
    crowd.go_round().await;
    crowd.seen();
    crowd.go_round().await;
    assert_eq!(crowd.seen(), one(&next));
    crowd.go_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_that_changes_the_algorithm_refuses_no_token() {
    let Some(group) = Group::start(|_| {}).await else { return };
    let group = Arc::new(group);
    let mut crowd = Crowd::gather(&group).await;
    let old = group.caller().await;
    let algorithm = |caller: &Caller| decode_header(&caller.access_token).unwrap().alg;
    assert_eq!(algorithm(&old), Algorithm::ES256);
    let restart = async |number| {
        group.restart(number, |config| config.tokens.signing_algorithm = Algorithm::EdDSA).await;
    };
    restart(0).await;
    crowd.go_round().await;
    assert_eq!(group.published().await.len(), 4, "every replica knows the keys of both, at once");
    let tokens = old.refresh(&group.replica(0)).await.body;
    let old = Caller::over(group.http.clone(), &old.client_id, &tokens);
    assert_eq!(
        algorithm(&old),
        Algorithm::ES256,
        "whoever keeps a copy of the keys may not know the new one"
    );
    group.assert_status(&old, StatusCode::OK).await;
    // The restart takes longer than the lead: replicas of both kinds sign at the same time.
    group.pass(LEAD_OF_A_STRANGER).await;
    crowd.go_round().await;
    let tokens = old.refresh(&group.replica(0)).await.body;
    let new = Caller::over(group.http.clone(), &old.client_id, &tokens);
    assert_eq!(algorithm(&new), Algorithm::EdDSA);
    let tokens = new.refresh(&group.replica(1)).await.body;
    let old = Caller::over(group.http.clone(), &old.client_id, &tokens);
    assert_eq!(algorithm(&old), Algorithm::ES256);
    for number in 1..REPLICAS {
        restart(number).await;
        crowd.go_round().await;
        group.assert_status(&old, StatusCode::OK).await;
        group.assert_status(&new, StatusCode::OK).await;
    }
    crowd.go_round().await;
    assert_eq!(algorithm(&group.caller().await), Algorithm::EdDSA);
    // In time the former keys go, and nobody notices.
    let kept = 3 * TOKEN;
    let until = group.now().plus(kept);
    while group.now() < until {
        group.pass(STEP).await;
        rotation::keep_house(&group.app(0)).await.unwrap();
        crowd.go_round().await;
    }
    eventually("the former keys are gone", async || group.published().await.len() == 2).await;
    crowd.go_home().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_takes_back_is_refused_by_every_replica_and_its_holders_get_a_new_token() {
    let Some(fleet) = Fleet::shared(REPLICAS, &[]).await else { return };
    fleet.add_user("alice");
    let caller = Caller::connect(&fleet, "alice").await;
    for number in 0..REPLICAS {
        assert_eq!(caller.status(&fleet.replica(number)).await, StatusCode::OK);
    }
    let taken = kid(&caller.access_token);
    let said = fleet.run(&["keys", "rotate", "--revoke", &taken], "");
    assert!(said.contains(&taken), "{said}");
    for number in 0..REPLICAS {
        let replica = fleet.replica(number);
        let refused = async || caller.status(&replica).await == StatusCode::UNAUTHORIZED;
        let within = eventually("it is refused, though it was accepted a moment ago", refused).await;
        assert!(within < READ_EVERY / 2, "the replicas were told: {within:?}");
        let published = fleet.http.get(replica.at("/jwks")).send().await.unwrap().json().await.unwrap();
        assert!(!kids(&published).contains(&taken));
        assert_eq!(kids(&published).len(), 2);
    }
    let tokens = caller.refresh(&fleet).await.body;
    let caller = Caller::with(&fleet, &caller.client_id, &tokens);
    assert_ne!(kid(&caller.access_token), taken);
    for number in 0..REPLICAS {
        assert_eq!(caller.status(&fleet.replica(number)).await, StatusCode::OK);
    }
}
