//! What each statement costs on big tables. PostgreSQL itself writes down the plan of every statement that it ran
//! (`auto_explain`), so what is judged is what was sent. Run with
//! `cargo test --lib plans -- --ignored --nocapture --test-threads 1`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::audit::{self, Place};
use super::effects::{self, Claimed, EffectKey};
use super::everywhere::chain_key;
use super::grant_list::Filter;
use super::postgres::PostgresUrl;
use super::{
    Database, Store, clients, codes, commit, documents, grants, refresh_tokens, sessions, undo, users,
};
use crate::audit::{Event, Kind, Outcome};
use crate::clock::Timestamp;
use crate::oauth::secret::SecretHash;
use crate::oauth::{ClientId, GrantId, UserId};
use crate::services::postgres::Postgres;

/// Tables that no statement may read from end to end. Fetched documents are kept to 10 000, which is not big.
const BIG: [&str; 10] = [
    "tickets",
    "comments",
    "users",
    "clients",
    "grants",
    "authorization_codes",
    "refresh_tokens",
    "sessions",
    "effects",
    "audit_events",
];
/// How many rows a statement may fetch: an eighth of a big table.
const MOST_ROWS: f64 = 131_072.0;
/// Often enough for PostgreSQL to settle on a plan that serves any parameters, if it means to.
const TIMES: usize = 8;

/// A million of everything, and what PostgreSQL writes about it.
pub(crate) struct Figures {
    _server: Postgres,
    /// The store.
    pub(crate) store: Store,
    log: PathBuf,
    faults: RefCell<Vec<String>>,
}

impl Figures {
    /// Fills a database with these statements. `None` where PostgreSQL is not installed.
    pub(crate) async fn open(fill: &[&'static str]) -> Option<Self> {
        let server = Postgres::installed().then(Postgres::start_roomy)?;
        let url = server.fresh_database().await;
        let database = Database::Postgres { url: PostgresUrl::parse(&url).unwrap(), connections: 4 };
        Store::open(&database, chain_key()).await.unwrap().close().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for statements in fill {
            connection.execute(sqlx::raw_sql(*statements)).await.unwrap();
        }
        connection.execute("VACUUM ANALYZE").await.unwrap();
        let name = url.rsplit('/').next().unwrap();
        for setting in [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_analyze = on",
            "auto_explain.log_timing = off",
            "auto_explain.log_buffers = on",
            "auto_explain.log_nested_statements = on",
            "auto_explain.log_format = json",
        ] {
            let alter = AssertSqlSafe(format!("ALTER DATABASE {name} SET {setting}"));
            connection.execute(alter).await.unwrap();
        }
        connection.close().await.unwrap();
        let store = Store::open(&database, chain_key()).await.unwrap();
        let log = server.folder().join("log");
        Some(Self { _server: server, store, log, faults: RefCell::default() })
    }

    /// Does something several times, prints a line for each statement that this took, and keeps in mind
    /// which of them read too much.
    pub(crate) async fn show(&self, name: &str, deed: impl AsyncFn(&Store)) {
        let begun = std::fs::metadata(&self.log).unwrap().len();
        for _ in 0..TIMES {
            deed(&self.store).await;
        }
        let log = std::fs::read(&self.log).unwrap();
        let text = String::from_utf8_lossy(&log[usize::try_from(begun).unwrap()..]).into_owned();
        let mut statements: BTreeMap<usize, Statement> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for (milliseconds, plan) in plans(&text) {
            let query = plan["Query Text"].as_str().unwrap().to_owned();
            let place = order.iter().position(|known| *known == query).unwrap_or_else(|| {
                order.push(query.clone());
                order.len() - 1
            });
            statements.entry(place).or_default().add(milliseconds, &plan["Plan"]);
        }
        assert!(!statements.is_empty(), "{name}: nothing was logged");
        for (place, statement) in statements {
            let query = &order[place];
            statement.print(if place == 0 { name } else { "" }, query);
            if statement.reads_all {
                self.faults.borrow_mut().push(format!("{name} reads a big table from end to end: {query}"));
            }
            if statement.fetched > MOST_ROWS {
                self.faults.borrow_mut().push(format!("{name} fetches {} rows: {query}", statement.fetched));
            }
        }
    }

    /// Judges what was shown.
    pub(crate) fn judge(self) {
        assert_eq!(self.faults.take(), Vec::<String>::new());
    }
}

/// Durations and plans, as written to the log.
fn plans(log: &str) -> Vec<(f64, Value)> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once("duration: ") else { continue };
        let Some(milliseconds) = rest.strip_suffix(" ms  plan:") else { continue };
        let mut json = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            json.push_str(line);
        }
        plans.push((milliseconds.parse().unwrap(), serde_json::from_str(&json).unwrap()));
    }
    plans
}

/// What was seen of one statement.
#[derive(Default)]
struct Statement {
    indexes: Vec<String>,
    milliseconds: Vec<f64>,
    rows: f64,
    fetched: f64,
    reads_all: bool,
}

impl Statement {
    fn add(&mut self, milliseconds: f64, plan: &Value) {
        self.milliseconds.push(milliseconds);
        self.rows = self.rows.max(number(plan, "Actual Rows"));
        let mut fetched = 0.0;
        self.look_at(plan, &mut fetched);
        self.fetched = self.fetched.max(fetched);
    }

    fn look_at(&mut self, node: &Value, fetched: &mut f64) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let table = node["Relation Name"].as_str().unwrap_or_default();
        self.reads_all |= kind.contains("Seq Scan") && BIG.contains(&table);
        if kind.ends_with("Scan") && kind != "Bitmap Index Scan" && !table.is_empty() {
            let rows = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
            *fetched +=
                rows.iter().map(|rows| number(node, rows)).sum::<f64>() * number(node, "Actual Loops");
        }
        let index = node["Index Name"].as_str().unwrap_or(if kind.ends_with("Seq Scan") { kind } else { "" });
        if !index.is_empty() && !self.indexes.iter().any(|known| known == index) {
            self.indexes.push(index.to_owned());
        }
        for below in node["Plans"].as_array().into_iter().flatten() {
            self.look_at(below, fetched);
        }
    }

    /// Milliseconds in the middle and at worst, rows given and fetched, how often it ran each time.
    fn print(&self, name: &str, query: &str) {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        let (middle, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
        let often = sorted.len() / TIMES;
        let verb: String = query.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let indexes = self.indexes.join(", ");
        println!(
            "{name:<44} {middle:>8.2} ms {worst:>8.2} worst {often:>4}x {:>6} rows {:>7} fetched  {indexes:<60} {verb:.40}",
            self.rows, self.fetched
        );
    }
}

fn number(node: &Value, member: &str) -> f64 {
    node[member].as_f64().unwrap_or_default()
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LONG_AGO: Timestamp = Timestamp(0);
const BATCH: u32 = 500;

#[tokio::test]
#[ignore = "takes minutes; prints figures"]
async fn plans_of_a_million_grants_go_by_an_index() {
    let fill = [
        "INSERT INTO users (user_id, username, username_key, role, password_hash, created_at) \
         SELECT 'user_' || n, 'user' || n, 'user' || n, 'requester', 'x', 1800000000000 \
         FROM generate_series(1, 50000) AS n",
        include_str!("figures.sql"),
    ];
    let Some(figures) = Figures::open(&fill).await else { return };
    reads(&figures).await;
    lists(&figures).await;
    writes(&figures).await;
    effects_done(&figures).await;
    the_audit_log(&figures).await;
    housekeeping(&figures).await;
    figures.judge();
}

async fn reads(figures: &Figures) {
    let grant = GrantId::new("grant_77777");
    let hash = |kind: &str| SecretHash::stored(format!("{kind}_777814"));
    figures
        .show("a live grant", async |store| {
            store.find_live_grant(&grant, NOW).await.unwrap().unwrap();
        })
        .await;
    figures
        .show("a grant", async |store| {
            store.find_grant(&grant).await.unwrap().unwrap();
        })
        .await;
    for (name, user, count) in
        [("500 live grants of a user", "user_1", 500), ("a user without grants", "user_2", 0)]
    {
        figures
            .show(name, async |store| {
                let live = store.list_live_grants(&UserId::new(user), NOW).await.unwrap();
                assert_eq!(live.len(), count);
            })
            .await;
    }
    figures
        .show("a refresh token", async |store| {
            store.find_refresh_token(&hash("token")).await.unwrap().unwrap();
        })
        .await;
    figures
        .show("a code", async |store| {
            store.find_code(&hash("code")).await.unwrap().unwrap();
        })
        .await;
    figures
        .show("a session", async |store| {
            store.find_session(&hash("session"), NOW).await.unwrap().unwrap();
        })
        .await;
    figures
        .show("a client, a user, a user by name", async |store| {
            store.find_client(&ClientId::new("client_77")).await.unwrap().unwrap();
            store.find_user(&UserId::new("user_77")).await.unwrap().unwrap();
            store.find_user_by_name("User77").await.unwrap().unwrap();
        })
        .await;
    figures
        .show("how many clients registered themselves", async |store| {
            assert_eq!(store.count_dynamic_clients().await.unwrap(), 100_000);
        })
        .await;
}

async fn lists(figures: &Figures) {
    let grant = GrantId::new("grant_77777");
    // The first has a tenth of all grants, the second a hundred, the third none.
    let (user, clients) =
        (UserId::new("user_77"), ["client_1", "client_77", "client_99999"].map(ClientId::new));
    let [all, of_user] = [Filter::default(), Filter { user_id: Some(&user), client_id: None }];
    let of = |client_id| Filter { user_id: None, client_id: Some(client_id) };
    let of_both = Filter { client_id: Some(&clients[0]), ..of_user };
    for (name, filter) in [
        ("list grants", all),
        ("list grants of a user", of_user),
        ("list grants to a client, 100 000", of(&clients[0])),
        ("list grants to a client", of(&clients[1])),
        ("list grants to a client without any", of(&clients[2])),
        ("list grants of a user to a client", of_both),
    ] {
        figures
            .show(name, async |store| {
                store.list_grants(filter, None, BATCH).await.unwrap();
                store.list_grants(filter, Some(&grant), BATCH).await.unwrap();
            })
            .await;
    }
}

async fn writes(figures: &Figures) {
    let grant = GrantId::new("grant_77777");
    let hash = |kind: &str| SecretHash::stored(format!("{kind}_777814"));
    figures
        .show("rotate a refresh token", async |store| {
            let mut tx = store.write().await.unwrap();
            assert!(refresh_tokens::rotate(&mut tx, &hash("token"), "sealed", NOW).await.unwrap());
            refresh_tokens::record(&mut tx, &hash("new"), &grant, NOW, NOW).await.unwrap();
            undo(tx).await.unwrap();
        })
        .await;
    figures
        .show("redeem a code", async |store| {
            let mut tx = store.write().await.unwrap();
            let redeemed = codes::redeem(&mut tx, &hash("code"), NOW).await.unwrap();
            assert_eq!(redeemed, codes::Redemption::Redeemed);
            grants::activate(&mut tx, &grant, NOW).await.unwrap();
            clients::touch(&mut tx, &ClientId::new("client_77"), NOW).await.unwrap();
            undo(tx).await.unwrap();
        })
        .await;
    figures
        .show("note a call, end a grant", async |store| {
            let mut tx = store.write().await.unwrap();
            grants::touch(&mut tx, &grant, NOW, NOW).await.unwrap();
            assert!(grants::revoke(&mut tx, &grant, "the user", NOW).await.unwrap());
            undo(tx).await.unwrap();
        })
        .await;
    figures
        .show("end all 500 grants of a user", async |store| {
            let mut tx = store.write().await.unwrap();
            assert_eq!(grants::list_unended(&mut tx, &UserId::new("user_1"), NOW).await.unwrap().len(), 500);
            assert_eq!(
                grants::revoke_all(&mut tx, &UserId::new("user_1"), "test", NOW).await.unwrap().len(),
                500
            );
            undo(tx).await.unwrap();
        })
        .await;
    figures
        .show("a new password", async |store| {
            let mut tx = store.write().await.unwrap();
            assert!(users::set_password(&mut tx, &UserId::new("user_77"), "x").await.unwrap());
            undo(tx).await.unwrap();
        })
        .await;
}

async fn effects_done(figures: &Figures) {
    let (user_id, client_id) = (UserId::new("user_28"), ClientId::new("client_7777"));
    let claimed = Claimed { tool: "create_ticket", arguments_digest: "digest" };
    let key = |idempotency_key| EffectKey { user_id: &user_id, client_id: &client_id, idempotency_key };
    figures
        .show("claim a key, do its effect", async |store| {
            let mut tx = store.write().await.unwrap();
            assert!(effects::claim(&mut tx, key("new"), claimed, LONG_AGO, NOW).await.unwrap());
            effects::record(&mut tx, key("new"), "{}").await.unwrap();
            undo(tx).await.unwrap();
        })
        .await;
    let (user_id, client_id) = (UserId::new("user_27778"), ClientId::new("client_7777"));
    let key = EffectKey { user_id: &user_id, client_id: &client_id, idempotency_key: "key_777777" };
    figures
        .show("a key that was used", async |store| {
            let mut tx = store.write().await.unwrap();
            assert!(!effects::claim(&mut tx, key, claimed, LONG_AGO, NOW).await.unwrap());
            assert!(effects::find(&mut tx, key).await.unwrap().is_some());
            undo(tx).await.unwrap();
        })
        .await;
}

async fn the_audit_log(figures: &Figures) {
    let user = UserId::new("user_1");
    for (name, grant, before, count) in [
        ("activity of a grant, 100 000 events", "grant_1", None, 50),
        ("activity of a grant, far back", "grant_1", Some(5_000), 50),
        ("activity of a grant without events", "grant_2", None, 0),
    ] {
        figures
            .show(name, async |store| {
                let rows = store.list_activity(&user, &GrantId::new(grant), before, 50).await.unwrap();
                assert_eq!(rows.len(), count);
            })
            .await;
    }
    let middle = Place { at: Timestamp(1_800_000_500_000), seq: 500_000 };
    for (name, after) in [("audit log, first page", None), ("audit log, a page in the middle", Some(middle))]
    {
        figures
            .show(name, async |store| {
                assert_eq!(store.list_audit_events(after, 500).await.unwrap().len(), 500);
            })
            .await;
    }
    figures
        .show("audit log, newest first", async |store| {
            let found = store.find_records(&audit::Filter::default(), None, 100).await.unwrap();
            assert_eq!(found.len(), 100);
        })
        .await;
    figures
        .show("audit chains: links, ends, none", async |store| {
            assert_eq!(store.list_links(3, 50_000, 500).await.unwrap().len(), 500);
            store.list_chain_ends().await.unwrap();
            assert_eq!(store.count_unchained_events().await.unwrap(), 0);
        })
        .await;
    figures
        .show("append an event", async |store| {
            let mut tx = store.write().await.unwrap();
            let event = Event::new(Kind::ToolCall, Outcome::Done).user(&user).grant(&GrantId::new("grant_2"));
            audit::record(&mut tx, NOW, &event);
            commit(tx).await.unwrap();
        })
        .await;
}

async fn housekeeping(figures: &Figures) {
    for (when, before, over) in [("half is over", NOW, true), ("nothing is over", LONG_AGO, false)] {
        let removed = if over { u64::from(BATCH) } else { 0 };
        figures
            .show(&format!("sessions, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                assert_eq!(sessions::remove_expired(&mut tx, before, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("codes, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                assert_eq!(codes::remove_expired(&mut tx, before, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("grants not taken up, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                assert_eq!(grants::remove_not_taken_up(&mut tx, before, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("refresh tokens, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                assert_eq!(refresh_tokens::remove_expired(&mut tx, before, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("effects, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                let before = if over { NOW.minus(std::time::Duration::from_secs(86_400)) } else { before };
                assert_eq!(effects::remove_older(&mut tx, before, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("documents, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                assert_eq!(documents::remove_old(&mut tx, before, BATCH).await.unwrap(), removed);
                let most = if over { 10_000 } else { 20_000 };
                assert_eq!(documents::remove_beyond(&mut tx, most, BATCH).await.unwrap(), removed);
                undo(tx).await.unwrap();
            })
            .await;
        figures
            .show(&format!("clients, {when}"), async |store| {
                let mut tx = store.write().await.unwrap();
                let day = |days: u64| NOW.minus(std::time::Duration::from_secs(86_400 * days));
                let (unused, never) = if over { (day(30), day(1)) } else { (before, before) };
                let done = clients::remove_unused(&mut tx, unused, never, NOW, BATCH).await.unwrap();
                assert_eq!(done, removed);
                undo(tx).await.unwrap();
            })
            .await;
    }
}
