//! A server on a free port with a clock that tests set, and the two who talk to it: a browser and a client.

pub(crate) mod acme;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod key_host;
pub(crate) mod mcp;
pub(crate) mod origin;
pub(crate) mod otlp;
pub(crate) mod profile;
pub(crate) mod schema;
#[expect(dead_code, reason = "the unit tests of the library use it, too, and some of it alone")]
pub(crate) mod services;
pub(crate) mod signer;
pub(crate) mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mandate::app::App;
use mandate::clock::{ManualClock, Timestamp};
use mandate::config::{Config, PublicUrl};
use mandate::ephemeral::Rate;
use mandate::extension::Checked;
use mandate::identity::account::{self, Username};
use mandate::identity::password::Password;
use mandate::oauth::ClientId;
use mandate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata, MetadataRules};
use mandate::oauth::secret::ClientSecret;
use mandate::random::Random;
use mandate::server::Listeners;
use mandate::storage::users::{Role, User};
use mandate::storage::{Tx, clients, commit};
use serde_json::Value;
use tokio::net::TcpListener;

use profile::Profile;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// When every test begins: 2026-11-23T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_392_000_000);

/// A running server of one test.
pub(crate) struct Server {
    /// What it runs on, for looking at the store.
    pub(crate) app: Arc<App>,
    /// Its clock, moved by [`Server::advance`].
    pub(crate) clock: Arc<ManualClock>,
    /// Its stores.
    pub(crate) profile: Profile,
    /// Its public URL.
    pub(crate) url: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts with the defaults.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts with a changed configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with_app(change, |_| {}).await
    }

    /// Starts with a changed configuration and a changed application.
    pub(crate) async fn start_with_app(
        change: impl FnOnce(&mut Config),
        change_app: impl FnOnce(&mut App),
    ) -> Self {
        Self::start_listening(change, change_app, async |listener, _| listener.into()).await
    }

    /// The same with listeners made of its own.
    pub(crate) async fn start_listening(
        change: impl FnOnce(&mut Config),
        change_app: impl FnOnce(&mut App),
        listeners: impl AsyncFnOnce(TcpListener, &Config) -> Listeners,
    ) -> Self {
        Box::pin(Self::start_any(None, change, change_app, listeners)).await
    }

    /// Starts a program of somebody else.
    pub(crate) async fn start_program(program: &Checked, change: impl FnOnce(&mut Config)) -> Self {
        let started = Self::start_any(Some(program), change, |_| {}, async |listener, _| listener.into());
        Box::pin(started).await
    }

    async fn start_any(
        program: Option<&Checked>,
        change: impl FnOnce(&mut Config),
        change_app: impl FnOnce(&mut App),
        listeners: impl AsyncFnOnce(TcpListener, &Config) -> Listeners,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = program.map(|program| program.own().clone()).unwrap_or_default();
        let mut config = Config::defaults_for(own).unwrap();
        config.listen = address.into();
        config.public_url = PublicUrl::parse(&format!("http://localhost:{}", address.port())).unwrap();
        let profile = Profile::fresh(&folder.path().join("mandate.db")).await;
        profile.configure(&mut config);
        config.secret_key_file = folder.path().join("mandate.key");
        change(&mut config);
        let clock = Arc::new(ManualClock::new(START));
        let mut app = App::open(config, clock.clone(), Random::system()).await.unwrap();
        change_app(&mut app);
        let app = Arc::new(app);
        let url = app.config.public_url.issuer().to_owned();
        let listeners = listeners(listener, &app.config).await;
        serve(app.clone(), program, listeners).await;
        Self { app, clock, profile, url, address, _folder: folder }
    }

    /// Lets time go by: for the server's clock, and for the keys of a store with a clock of its own.
    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        self.profile.age(duration);
    }

    /// Stops the server and starts another on its address, its stores and its key file.
    pub(crate) async fn restart(&self) {
        self.restart_with(|_| {}).await;
    }

    /// The same with a changed configuration.
    pub(crate) async fn restart_with(&self, change: impl FnOnce(&mut Config)) {
        self.app.stopping.cancel();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut config = self.app.config.clone();
        change(&mut config);
        let app = App::open(config, self.clock.clone(), Random::system()).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the server lives as long as the test's runtime")]
        tokio::spawn(mandate::server::serve(Arc::new(app), listener));
    }

    /// Stops the server and starts this program in its place.
    pub(crate) async fn restart_program(&self, program: &Checked) {
        self.app.stopping.cancel();
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let app = App::open(self.app.config.clone(), self.clock.clone(), Random::system()).await.unwrap();
        serve(Arc::new(app), Some(program), listener).await;
    }

    /// Restarts it, and whatever may be lost is lost.
    pub(crate) async fn restart_with_nothing_remembered(&self) {
        self.profile.forget_the_perishable();
        self.restart().await;
    }

    /// Waits until the number of those who hold the application is one of these. A request that is being read holds
    /// it, and a call that is being done does so once more, even after its request is gone.
    pub(crate) async fn holders(&self, expected: impl Fn(usize) -> bool) -> usize {
        while !expected(Arc::strong_count(&self.app)) {
            tokio::task::yield_now().await;
        }
        Arc::strong_count(&self.app)
    }

    /// How many hold the application when nothing is being done.
    pub(crate) async fn idle_holders(&self) -> usize {
        self.app.tasks.close();
        self.app.tasks.wait().await;
        self.app.tasks.reopen();
        Arc::strong_count(&self.app)
    }

    /// Keeps every other write waiting for as long as the result lives: on SQLite there is one writer; on PostgreSQL
    /// the table is held.
    pub(crate) async fn hold_writes(&self) -> Tx {
        let mut tx = self.app.store.write().await.unwrap();
        if Profile::is_services() {
            sqlx::query("LOCK TABLE tickets IN EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
        }
        tx
    }

    /// Waits as a write does, until it can be done or has waited for as long as it may.
    pub(crate) async fn wait_to_write(&self) {
        let Ok(mut tx) = self.app.store.write().await else { return };
        if Profile::is_services() {
            // Held or not: it has waited.
            let _ = sqlx::query("LOCK TABLE tickets IN ROW EXCLUSIVE MODE").execute(&mut *tx).await;
        }
    }

    /// Adds an account with [`PASSWORD`].
    pub(crate) async fn add_user(&self, username: &str, role: Role) -> User {
        let name = Username::parse(username).unwrap();
        let password = Password::chosen(PASSWORD).unwrap();
        let user = account::prepare(&self.app, &name, password, role).await.unwrap();
        let mut tx = self.app.store.write().await.unwrap();
        account::record(&self.app, &mut tx, &user).await.unwrap();
        commit(tx).await.unwrap();
        user
    }

    /// Starts with the accounts `alice` (agent) and `bob` (requester).
    pub(crate) async fn with_people() -> Self {
        let server = Self::start().await;
        server.add_user("alice", Role::Agent).await;
        server.add_user("bob", Role::Requester).await;
        server
    }

    /// Registers a client as an operator does; returns its secret, if its method needs one.
    pub(crate) async fn add_client(&self, client_id: &str, metadata: &Value) -> Option<String> {
        let schemes = &self.app.config.clients.private_use_schemes;
        let rules = MetadataRules {
            private_use_schemes: schemes,
            default_auth_method: AuthMethod::None,
            further_methods: true,
        };
        let metadata = ClientMetadata::parse(metadata.as_object().unwrap(), rules).unwrap();
        let secret = metadata.token_endpoint_auth_method.uses_secret();
        let secret = secret.then(|| ClientSecret::issue(&self.app.random));
        let client = Client {
            client_id: ClientId::new(client_id),
            kind: ClientKind::Registered,
            metadata,
            secret_hash: secret.as_ref().map(ClientSecret::hash),
        };
        let mut tx = self.app.store.write().await.unwrap();
        assert!(clients::record(&mut tx, &client, START).await.unwrap());
        commit(tx).await.unwrap();
        secret.map(|secret| secret.reveal().to_owned())
    }

    /// The absolute URL of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Serves a program, or the tickets.
async fn serve(app: Arc<App>, program: Option<&Checked>, listeners: impl Into<Listeners>) {
    let router = match program {
        Some(program) => {
            program.prepare(&app.store, app.now()).await.unwrap();
            mandate::server::router_for(&app, program.surface())
        }
        None => mandate::server::router(&app),
    };
    #[expect(clippy::disallowed_methods, reason = "the server lives as long as the test's runtime")]
    tokio::spawn(mandate::server::serve_router(app, listeners.into(), router));
}

/// So many at once, and so few after them that none grows back while a test runs: a store with a clock of its own
/// does not wait for tests.
pub(crate) fn at_most(count: u32) -> Rate {
    Rate::of(count, Duration::from_hours(1))
}

/// An HTTP client that follows no redirect and keeps no cookie.
#[expect(clippy::disallowed_methods, reason = "tests talk to the server under test")]
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

/// The value of a header as text; empty when it is missing.
pub(crate) fn header(response: &reqwest::Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
