//! Watching over tickets for one principal: what an open stream tells, and when it has to end.
//!
//! The bus says that something changed; whether the principal may know is asked of the database each time, and so
//! is whether they may still ask at all. Where something may have been missed, whatever is watched counts as changed:
//! once too often does no harm.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, interval};

use super::permit::Permit;
use super::principal::Principal;
use crate::app::App;
use crate::ephemeral::bus::{Heard, Listener, Notice};
use crate::ephemeral::{Place, Result as Answered};
use crate::oauth::Error;
use crate::oauth::scope::TICKETS_READ;
use crate::storage;
use crate::telemetry::metrics::OpenStream;
use crate::tickets::{Sight, TicketId, store};

/// How often an open stream looks whether it may stay: the bus says so sooner, unless it is broken.
const LOOKS_EVERY: Duration = Duration::from_secs(10);
/// How long an open stream has its place without keeping it.
const PLACE_HELD: Duration = Duration::from_secs(45);
/// How long to wait before looking at everything, after something may have been missed.
const GAP_SETTLES: Duration = Duration::from_millis(500);
/// How long to wait for a database that is away.
const DATABASE_AWAY: Duration = Duration::from_secs(1);
/// How many tickets one stream watches.
pub(super) const MOST_WATCHED: usize = 100;

/// What is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A ticket changed that the principal may see.
    Changed(TicketId),
    /// What this session is subscribed to may have changed.
    Resubscribed,
    /// Tools were switched on or off.
    ToolsChanged,
    /// It is over: the token expired, or the grant ended.
    Ended,
}

/// One principal who watches, in one of the places for streams of the grant.
pub(super) struct Watch {
    app: Arc<App>,
    principal: Principal,
    session: Option<String>,
    listener: Listener,
    changed: BTreeSet<TicketId>,
    tools_changed: bool,
    looks: Interval,
    place: Held,
    _open: OpenStream,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Whether a watch could begin.
pub(super) enum Opening {
    /// It begins.
    Open(Box<Watch>),
    /// Too many streams of the grant are open.
    Full,
}

impl Watch {
    /// Begins to watch, for a session where there is one.
    pub(super) async fn open(
        app: &Arc<App>,
        principal: &Principal,
        session: Option<String>,
    ) -> Result<Opening, Error> {
        let holder = app.random.id();
        let most = app.config.mcp.streams_per_grant;
        if !hold(app, principal, &holder, most).await? {
            return Ok(Opening::Full);
        }
        let open = app.metrics.stream_opened(if session.is_some() { "session" } else { "listen" });
        let place = Held { app: app.clone(), grant_id: principal.grant_id.as_str().to_owned(), holder };
        Ok(Opening::Open(Box::new(Self {
            app: app.clone(),
            principal: principal.clone(),
            session,
            listener: app.ephemeral.listen(),
            changed: BTreeSet::new(),
            tools_changed: false,
            looks: interval(LOOKS_EVERY),
            place,
            _open: open,
        })))
    }

    /// What happens next, of what is wanted.
    pub(super) async fn next(&mut self, wanted: &BTreeSet<TicketId>) -> Seen {
        loop {
            let left = self.principal.expires_at.since(self.app.now());
            if left.is_zero() {
                return Seen::Ended;
            }
            if std::mem::take(&mut self.tools_changed) {
                return Seen::ToolsChanged;
            }
            if let Some(id) = self.changed.pop_first() {
                if !wanted.contains(&id) {
                    continue;
                }
                match self.sees(id).await {
                    Ok(Sees::It) => return Seen::Changed(id),
                    Ok(Sees::Nothing) => continue,
                    Ok(Sees::NoMore) => return Seen::Ended,
                    Err(_) => {
                        self.changed.insert(id);
                        tokio::time::sleep(DATABASE_AWAY).await;
                        if !self.may_stay().await {
                            return Seen::Ended;
                        }
                        continue;
                    }
                }
            }
            let heard = tokio::select! {
                biased;
                // However much is heard, whether it may stay is looked at in time.
                _ = self.looks.tick() => None,
                () = tokio::time::sleep(left) => continue,
                heard = self.listener.next() => Some(heard),
            };
            match heard {
                Some(Heard::Notice(Notice::TicketChanged { id })) => {
                    self.changed.extend(TicketId::parse(&id).ok().filter(|id| wanted.contains(id)));
                }
                Some(Heard::Notice(Notice::GrantsEnded { grant_ids })) => {
                    if grant_ids.iter().any(|id| id == self.principal.grant_id.as_str()) {
                        return Seen::Ended;
                    }
                }
                Some(Heard::Notice(Notice::SessionEnded { session })) => {
                    if self.session.as_ref() == Some(&session) {
                        return Seen::Ended;
                    }
                }
                Some(Heard::Notice(Notice::Subscribed { session })) => {
                    if self.session.as_ref() == Some(&session) {
                        return Seen::Resubscribed;
                    }
                }
                Some(Heard::Notice(Notice::ToolsChanged)) => self.tools_changed = true,
                Some(Heard::Notice(_)) => {}
                Some(Heard::Gap) => {
                    // Where there is one gap there are more.
                    tokio::time::sleep(GAP_SETTLES).await;
                    self.changed.extend(wanted);
                    self.tools_changed = true;
                    if self.session.is_some() {
                        return Seen::Resubscribed;
                    }
                }
                None => {
                    if !self.may_stay().await {
                        return Seen::Ended;
                    }
                }
            }
        }
    }

    /// Whether the grant lives and the place is kept. Who cannot be asked has not said no: nothing is told without
    /// asking again.
    async fn may_stay(&mut self) -> bool {
        let most = self.app.config.mcp.streams_per_grant;
        let place = hold(&self.app, &self.principal, &self.place.holder, most).await;
        let alive = refresh(&self.app, &mut self.principal).await;
        !matches!(place, Ok(false)) && !matches!(alive, Ok(false))
    }

    async fn sees(&mut self, id: TicketId) -> storage::Result<Sees> {
        if !refresh(&self.app, &mut self.principal).await? {
            return Ok(Sees::NoMore);
        }
        if !self.principal.scopes.contains(TICKETS_READ) {
            return Ok(Sees::Nothing);
        }
        let sight = Sight::of(self.principal.role, &self.principal.user_id);
        let found = store::find(&self.app.store, &sight, id).await?;
        Ok(if found.is_some() { Sees::It } else { Sees::Nothing })
    }
}

enum Sees {
    It,
    Nothing,
    NoMore,
}

/// Whether the principal's grant lives; what the user may do is brought up to date.
pub(super) async fn refresh(app: &App, principal: &mut Principal) -> storage::Result<bool> {
    let now = app.now();
    let grant = app.store.find_live_grant(&principal.grant_id, now).await?;
    let Some(grant) = grant.filter(|grant| grant.user_id == principal.user_id) else { return Ok(false) };
    principal.role = grant.role;
    principal.expires_at = grant.expires_at.min(principal.token_ends_at);
    Ok(principal.expires_at > now)
}

async fn hold(app: &App, principal: &Principal, holder: &str, most: usize) -> Answered<bool> {
    app.ephemeral.hold(Place::Streams(principal.grant_id.as_str()), holder, most, PLACE_HELD).await
}

/// A place among the streams of a grant, given back when it is dropped.
struct Held {
    app: Arc<App>,
    grant_id: String,
    holder: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (app, grant_id, holder) =
            (self.app.clone(), std::mem::take(&mut self.grant_id), std::mem::take(&mut self.holder));
        self.app.tasks.spawn(async move {
            // If this fails, the place is free when its time runs out.
            let _ = app.ephemeral.leave(Place::Streams(&grant_id), &holder).await;
        });
    }
}

/// Whether a grant still lets a call do what it began: for calls that waited for a person.
pub(super) async fn still_permitted(app: &App, permit: &Permit) -> storage::Result<bool> {
    refresh(app, &mut permit.principal().clone()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::config::Config;
    use crate::identity::account::{self, Username};
    use crate::identity::password::Password;
    use crate::mcp::stdio::LocalGrant;
    use crate::oauth::Scopes;
    use crate::random::Random;
    use crate::storage::users::Role;
    use crate::storage::{Database, commit, grants};

    /// A server with room for one stream of each grant, and a grant.
    struct Scene {
        app: Arc<App>,
        clock: Arc<ManualClock>,
        principal: Principal,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        async fn set() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::defaults().unwrap();
            config.database = Database::Sqlite(folder.path().join("mandate.db"));
            config.secret_key_file = folder.path().join("mandate.key");
            config.mcp.streams_per_grant = 1;
            let clock = Arc::new(ManualClock::new(Timestamp(1_795_392_000_000)));
            let app = Arc::new(App::open(config, clock.clone(), Random::system()).await.unwrap());
            let name = Username::parse("alice").unwrap();
            let password = Password::chosen("correct horse battery").unwrap();
            let user = account::prepare(&app, &name, password, Role::Agent).await.unwrap();
            let mut tx = app.store.write().await.unwrap();
            account::record(&app, &mut tx, &user).await.unwrap();
            commit(tx).await.unwrap();
            let scopes = Scopes::parse(TICKETS_READ).unwrap();
            let token = LocalGrant::begin(app.clone(), "alice", scopes).await.unwrap().token().await.unwrap();
            let grant = app.store.find_grant(&token.grant_id).await.unwrap().unwrap();
            let principal = Principal {
                user_id: token.user_id.clone(),
                role: user.role,
                client_id: token.client_id.clone(),
                grant_id: token.grant_id.clone(),
                scopes: token.scopes.clone(),
                expires_at: grant.expires_at,
                token_ends_at: grant.expires_at,
                last_used_at: None,
            };
            Self { app, clock, principal, _folder: folder }
        }

        async fn open(&self) -> Opening {
            Watch::open(&self.app, &self.principal, None).await.unwrap()
        }

        /// A bus that is never silent: what concerns others, and at last something for everybody.
        async fn chatter(&self) {
            for number in 0..50 {
                self.app.tell(&Notice::TicketChanged { id: format!("T-{}", 1000 + number) }).await;
            }
            self.app.tell(&Notice::ToolsChanged).await;
        }
    }

    #[tokio::test]
    async fn however_much_is_heard_a_stream_keeps_its_place_and_sees_that_its_grant_ended() {
        let scene = Scene::set().await;
        let Opening::Open(mut watch) = scene.open().await else { panic!("there is room") };
        let (wanted, due) = (BTreeSet::new(), tokio::time::Instant::now() - LOOKS_EVERY);
        // Longer than a place is held without being looked after.
        for _ in 0..3 {
            scene.clock.advance(PLACE_HELD / 3 * 2);
            watch.looks.reset_at(due);
            scene.chatter().await;
            assert_eq!(watch.next(&wanted).await, Seen::ToolsChanged);
        }
        assert!(matches!(scene.open().await, Opening::Full), "the place is taken");
        // Nobody tells of it: that word was lost.
        let mut tx = scene.app.store.write().await.unwrap();
        assert!(grants::revoke(&mut tx, &scene.principal.grant_id, "test", scene.app.now()).await.unwrap());
        commit(tx).await.unwrap();
        watch.looks.reset_at(due);
        scene.chatter().await;
        assert_eq!(watch.next(&wanted).await, Seen::Ended);
    }
}
