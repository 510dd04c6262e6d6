//! What the store promises, races included.

use std::time::Duration;

use super::documents::Note;
use super::everywhere::{self, Opened};
use super::grant_list::{Filter, Listed};
use super::identities::Identity;
use super::postgres::PostgresUrl;
use super::restored::{Ended, Ending};
use super::sessions::{SessionRow, Vouched};
use super::users::{Recorded, Role, RoleStatement, User};
use super::{
    Database, OpenError, Schema, StorageError, Store, codes, commit, disabled_clients, documents, effects,
    external_grants, grants, identities, leases, refresh_tokens, restored, sessions, setup_links,
    signing_keys, undo, users,
};
use crate::clock::Timestamp;
use crate::keys::{Pair, SealingKey};
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::scope::RESOURCE_SCOPES;
use crate::oauth::secret::SecretHash;
use crate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};
use crate::random::Random;

const NOW: Timestamp = Timestamp(1_000_000);

fn user(name: &str) -> User {
    User {
        user_id: UserId::new(format!("user_{name}")),
        username: name.to_owned(),
        role: Role::Requester,
        password_hash: "x".into(),
        created_at: NOW,
        disabled_at: None,
    }
}

fn grant(id: &str) -> grants::Grant {
    grants::Grant {
        grant_id: GrantId::new(id),
        user_id: UserId::new("user_alice"),
        client: Client {
            client_id: ClientId::new("client_1"),
            kind: ClientKind::Dynamic,
            metadata: ClientMetadata {
                client_name: Some("C".into()),
                redirect_uris: vec![RedirectUri::stored("https://c.example/cb")],
                ..ClientMetadata::unsaid(AuthMethod::None)
            },
            secret_hash: None,
        },
        redirect_uri: RedirectUri::stored("https://c.example/cb"),
        resource: "https://t.example/mcp".into(),
        scopes: Scopes::of(RESOURCE_SCOPES),
        authentication: Authentication::at(NOW),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(60)),
        activated_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

/// A store of each kind with a user and a grant whose code was not redeemed.
async fn with_grant() -> Vec<Opened> {
    let all = everywhere::open().await;
    for opened in &all {
        let mut tx = opened.store.write().await.unwrap();
        users::record(&mut tx, &user("alice")).await.unwrap();
        grants::record(&mut tx, &grant("g")).await.unwrap();
        commit(tx).await.unwrap();
    }
    all
}

#[tokio::test]
async fn a_username_is_taken_in_every_letter_case() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        assert_eq!(users::record(&mut tx, &user("alice")).await.unwrap(), Recorded::Yes);
        let mut second = user("ALICE");
        second.user_id = UserId::new("user_2");
        assert_eq!(users::record(&mut tx, &second).await.unwrap(), Recorded::Taken);
        commit(tx).await.unwrap();
        assert!(store.find_user_by_name(" Alice ").await.unwrap().is_some());
        assert!(!store.has_no_users().await.unwrap());
    }
}

#[tokio::test]
async fn what_is_not_committed_did_not_happen() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        users::record(&mut tx, &user("alice")).await.unwrap();
        drop(tx);
        assert!(store.has_no_users().await.unwrap());
    }
}

#[tokio::test]
async fn a_grant_is_live_from_its_code_until_it_ends() {
    for Opened { store, _folder, .. } in with_grant().await {
        let id = GrantId::new("g");
        assert!(store.find_live_grant(&id, NOW).await.unwrap().is_none(), "its code was not redeemed yet");
        let mut tx = store.write().await.unwrap();
        grants::activate(&mut tx, &id, NOW).await.unwrap();
        commit(tx).await.unwrap();
        let live = store.find_live_grant(&id, NOW).await.unwrap().unwrap();
        assert_eq!((live.username.as_str(), live.scopes), ("alice", Scopes::of(RESOURCE_SCOPES)));
        assert_eq!(store.list_live_grants(&live.user_id, NOW).await.unwrap().len(), 1);
        let end = NOW.plus(Duration::from_secs(60));
        assert!(store.find_live_grant(&id, end).await.unwrap().is_none(), "it has expired");

        let mut tx = store.write().await.unwrap();
        assert!(grants::revoke(&mut tx, &id, "test", NOW).await.unwrap());
        assert!(!grants::revoke(&mut tx, &id, "test", NOW).await.unwrap(), "it ends once");
        commit(tx).await.unwrap();
        assert!(store.find_live_grant(&id, NOW).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_disabled_user_has_no_live_grant_and_no_session() {
    for Opened { store, _folder, .. } in with_grant().await {
        let mut tx = store.write().await.unwrap();
        grants::activate(&mut tx, &GrantId::new("g"), NOW).await.unwrap();
        users::disable(&mut tx, &UserId::new("user_alice"), NOW).await.unwrap();
        commit(tx).await.unwrap();
        assert!(store.find_live_grant(&GrantId::new("g"), NOW).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn grants_are_listed_a_page_at_a_time_whoever_granted_what_and_however_they_stand() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        for name in ["alice", "bob"] {
            users::record(&mut tx, &user(name)).await.unwrap();
        }
        for (id, name, client_id) in [
            ("g1", "alice", "client_1"),
            ("g2", "alice", "client_2"),
            ("g3", "bob", "client_1"),
            ("g4", "bob", "client_2"),
        ] {
            let mut one = grant(id);
            one.user_id = UserId::new(format!("user_{name}"));
            one.client.client_id = ClientId::new(client_id);
            grants::record(&mut tx, &one).await.unwrap();
        }
        let id = GrantId::new("g1");
        grants::activate(&mut tx, &id, NOW.plus(Duration::from_secs(1))).await.unwrap();
        grants::touch(&mut tx, &id, NOW.plus(Duration::from_secs(2)), NOW).await.unwrap();
        grants::revoke(&mut tx, &id, "test", NOW.plus(Duration::from_secs(3))).await.unwrap();
        commit(tx).await.unwrap();
        let (alice, first, nobody) = (UserId::new("user_alice"), ClientId::new("client_1"), UserId::new("x"));
        let list = async |user_id, client_id, after: Option<&str>, limit| {
            let after = after.map(GrantId::new);
            let page = store.list_grants(Filter { user_id, client_id }, after.as_ref(), limit).await.unwrap();
            page.into_iter().map(|grant| grant.grant_id.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None, None, 3).await, ["g1", "g2", "g3"]);
        assert_eq!(list(None, None, Some("g3"), 3).await, ["g4"]);
        assert_eq!(list(None, None, Some("g4"), 3).await, [""; 0]);
        assert_eq!(list(Some(&alice), None, None, 9).await, ["g1", "g2"]);
        assert_eq!(list(Some(&alice), None, Some("g1"), 9).await, ["g2"]);
        assert_eq!(list(None, Some(&first), None, 9).await, ["g1", "g3"]);
        assert_eq!(list(None, Some(&first), Some("g1"), 9).await, ["g3"]);
        assert_eq!(list(Some(&alice), Some(&first), None, 9).await, ["g1"]);
        assert_eq!(list(Some(&nobody), None, None, 9).await, [""; 0]);
        let whole = store.list_grants(Filter::default(), None, 1).await.unwrap();
        let expected = Listed {
            grant_id: id,
            user_id: alice,
            client_id: first,
            client_kind: ClientKind::Dynamic,
            resource: "https://t.example/mcp".into(),
            scope: Scopes::of(RESOURCE_SCOPES).to_string(),
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(60)),
            activated_at: Some(NOW.plus(Duration::from_secs(1))),
            last_used_at: Some(NOW.plus(Duration::from_secs(2))),
            revoked_at: Some(NOW.plus(Duration::from_secs(3))),
            revoked_because: Some("test".into()),
        };
        assert_eq!(whole, [expected]);
    }
}

/// Runs `attempt` 32 times at once and counts who won.
async fn winners<F, Fut>(attempt: F) -> usize
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let attempts: Vec<_> = (0..32).map(|_| attempt()).collect();
    futures::future::join_all(attempts).await.into_iter().filter(|won| *won).count()
}

#[tokio::test]
async fn of_32_redeemers_of_a_code_one_wins() {
    for Opened { store, _folder, .. } in with_grant().await {
        let hash = SecretHash::of("code");
        let code = codes::CodeRow {
            grant_id: GrantId::new("g"),
            code_challenge: CodeChallenge::stored("c"),
            expires_at: NOW.plus(Duration::from_secs(60)),
            consumed_at: None,
        };
        let mut tx = store.write().await.unwrap();
        codes::record(&mut tx, &hash, &code, NOW).await.unwrap();
        commit(tx).await.unwrap();
        let won = winners(|| async {
            let mut tx = store.write().await.unwrap();
            let won = codes::redeem(&mut tx, &hash, NOW).await.unwrap() == codes::Redemption::Redeemed;
            commit(tx).await.unwrap();
            won
        });
        assert_eq!(won.await, 1);
        assert!(store.find_code(&hash).await.unwrap().unwrap().consumed_at.is_some());
    }
}

#[tokio::test]
async fn of_32_rotators_of_a_refresh_token_one_wins_and_an_expired_one_has_none() {
    for Opened { store, _folder, .. } in with_grant().await {
        let (hash, old) = (SecretHash::of("token"), SecretHash::of("old"));
        let mut tx = store.write().await.unwrap();
        let end = NOW.plus(Duration::from_secs(60));
        refresh_tokens::record(&mut tx, &hash, &GrantId::new("g"), NOW, end).await.unwrap();
        refresh_tokens::record(&mut tx, &old, &GrantId::new("g"), NOW, NOW).await.unwrap();
        assert!(!refresh_tokens::rotate(&mut tx, &old, "sealed", NOW).await.unwrap());
        commit(tx).await.unwrap();
        let won = winners(|| async {
            let mut tx = store.write().await.unwrap();
            let won = refresh_tokens::rotate(&mut tx, &hash, "sealed", NOW).await.unwrap();
            commit(tx).await.unwrap();
            won
        });
        assert_eq!(won.await, 1);
        let row = store.find_refresh_token(&hash).await.unwrap().unwrap();
        assert_eq!(row.rotated, Some((NOW, "sealed".into())));
    }
}

#[tokio::test]
async fn a_setup_link_works_once_and_ends_the_earlier_ones() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let (first, second) = (SecretHash::of("1"), SecretHash::of("2"));
        let end = NOW.plus(Duration::from_secs(60));
        let mut tx = store.write().await.unwrap();
        setup_links::record(&mut tx, &first, NOW, end).await.unwrap();
        setup_links::record(&mut tx, &second, NOW, end).await.unwrap();
        assert!(!setup_links::redeem(&mut tx, &first, NOW).await.unwrap());
        assert!(!setup_links::redeem(&mut tx, &second, end).await.unwrap(), "it has expired");
        assert!(setup_links::redeem(&mut tx, &second, NOW).await.unwrap());
        assert!(!setup_links::redeem(&mut tx, &second, NOW).await.unwrap());
        commit(tx).await.unwrap();
        assert!(!store.is_setup_link_live(&second, NOW).await.unwrap());
    }
}

#[tokio::test]
async fn a_newer_or_unreadable_database_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("t.db"));
    let open = |database: Database| async move { Store::open(&database, everywhere::chain_key()).await };
    let store = open(database.clone()).await.unwrap();
    let mut tx = store.write().await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
        .execute(&mut *tx)
        .await
        .unwrap();
    commit(tx).await.unwrap();
    store.close().await;
    let newer = open(database).await;
    assert!(matches!(newer, Err(OpenError::Newer { found: 9999, .. })), "{newer:?}");

    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is no database, but a text that is long enough to be read as a header")
        .unwrap();
    let unreadable = open(Database::Sqlite(path)).await;
    assert!(matches!(unreadable, Err(OpenError::Unreadable(_))), "{unreadable:?}");
    let url = PostgresUrl::parse("postgres://user:secret@127.0.0.1:1/x").unwrap();
    let unreachable = open(Database::Postgres { url, connections: 1 }).await;
    assert!(matches!(unreachable, Err(OpenError::Unreachable(_))), "{unreachable:?}");
    assert!(!format!("{unreachable:?}").contains("secret"));
}

#[tokio::test]
async fn a_grant_that_ended_before_its_code_was_redeemed_never_lives() {
    for Opened { store, _folder, .. } in with_grant().await {
        let id = GrantId::new("g");
        let mut tx = store.write().await.unwrap();
        let ended = grants::revoke_all(&mut tx, &UserId::new("user_alice"), "test", NOW).await.unwrap();
        assert_eq!(ended, [grant("g").key()], "a new password ends what is not taken up yet");
        assert!(!grants::activate(&mut tx, &id, NOW).await.unwrap());
        commit(tx).await.unwrap();
        assert!(store.find_live_grant(&id, NOW).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn whoever_signs_in_while_the_password_changes_is_not_signed_in() {
    for Opened { store, _folder, .. } in with_grant().await {
        let alice = user("alice");
        let mut tx = store.write().await.unwrap();
        assert!(users::confirm(&mut tx, &alice).await.unwrap());
        users::set_password(&mut tx, &alice.user_id, "y").await.unwrap();
        assert!(!users::confirm(&mut tx, &alice).await.unwrap());
        let changed = User { password_hash: "y".into(), ..alice };
        assert!(users::confirm(&mut tx, &changed).await.unwrap());
        users::disable(&mut tx, &changed.user_id, NOW).await.unwrap();
        assert!(!users::confirm(&mut tx, &changed).await.unwrap());
        commit(tx).await.unwrap();
    }
}

fn effect(key: &str) -> effects::EffectKey<'_> {
    static USER: std::sync::LazyLock<UserId> = std::sync::LazyLock::new(|| UserId::new("user_alice"));
    static CLIENT: std::sync::LazyLock<ClientId> = std::sync::LazyLock::new(|| ClientId::new("client_1"));
    effects::EffectKey { user_id: &USER, client_id: &CLIENT, idempotency_key: key }
}

const CLAIMED: effects::Claimed<'static> = effects::Claimed { tool: "create_ticket", arguments_digest: "d" };
const DAY: Duration = Duration::from_hours(24);

async fn claim(store: &Store, key: &str, now: Timestamp) -> bool {
    let mut tx = store.write().await.unwrap();
    let claimed = effects::claim(&mut tx, effect(key), CLAIMED, now.minus(DAY), now).await.unwrap();
    if claimed {
        effects::record(&mut tx, effect(key), "result").await.unwrap();
    }
    commit(tx).await.unwrap();
    claimed
}

#[tokio::test]
async fn of_32_claims_of_a_key_at_once_one_does_the_effect_and_the_others_find_it() {
    for Opened { store, _folder, .. } in with_grant().await {
        assert_eq!(winners(|| claim(&store, "k", NOW)).await, 1);
        let mut tx = store.write().await.unwrap();
        let found = effects::find(&mut tx, effect("k")).await.unwrap().unwrap();
        assert_eq!((found.tool.as_str(), found.result.as_str()), ("create_ticket", "result"));
        undo(tx).await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_that_is_undone_leaves_the_key_free() {
    for Opened { store, _folder, .. } in with_grant().await {
        let mut tx = store.write().await.unwrap();
        assert!(effects::claim(&mut tx, effect("k"), CLAIMED, NOW.minus(DAY), NOW).await.unwrap());
        undo(tx).await.unwrap();
        assert!(claim(&store, "k", NOW).await);
    }
}

#[tokio::test]
async fn a_key_is_free_after_a_day_and_what_was_claimed_anew_is_not_removed() {
    for Opened { store, _folder, .. } in with_grant().await {
        assert!(claim(&store, "k", NOW).await);
        assert!(!claim(&store, "k", NOW.plus(DAY).minus(Duration::from_millis(1))).await);
        let later = NOW.plus(DAY);
        assert!(claim(&store, "k", later).await);
        let mut tx = store.write().await.unwrap();
        assert_eq!(effects::remove_older(&mut tx, later, 10).await.unwrap(), 0);
        assert_eq!(effects::remove_older(&mut tx, later.plus(DAY), 10).await.unwrap(), 1);
        commit(tx).await.unwrap();
    }
}

#[tokio::test]
async fn work_is_taken_by_one_of_32_until_its_time_is_up() {
    for Opened { store, _folder, .. } in with_grant().await {
        let take = |now: Timestamp| {
            let store = store.clone();
            async move {
                let mut tx = store.write_patiently().await.unwrap();
                let until = now.plus(Duration::from_secs(60));
                let taken = leases::take(&mut tx, leases::Work::Housekeeping, now, until).await.unwrap();
                commit(tx).await.unwrap();
                taken
            }
        };
        assert_eq!(winners(|| take(NOW)).await, 1);
        assert!(!take(NOW.plus(Duration::from_secs(59))).await);
        assert!(take(NOW.plus(Duration::from_secs(60))).await);
    }
}

#[tokio::test]
async fn more_than_there_is_room_for_is_refused_at_once_as_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("t.db"));
    let store = Store::open_with_room(&database, everywhere::chain_key(), 2).await.unwrap();
    let first = store.write().await.unwrap();
    store.ping().await.unwrap();
    let second = store.write();
    let (second, third) = tokio::join!(second, async {
        tokio::task::yield_now().await;
        store.ping().await
    });
    assert!(matches!(third, Err(StorageError::Away(_))), "{third:?}");
    assert!(matches!(second, Err(StorageError::Away(_))), "the writer did not become free");
    undo(first).await.unwrap();
    store.ping().await.unwrap();
}

fn identity(subject: &str) -> Identity {
    Identity { issuer: "https://idp.example".into(), subject: subject.into() }
}

#[tokio::test]
async fn an_identity_is_linked_to_one_account() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let (alice, bob) = (UserId::new("user_alice"), UserId::new("user_bob"));
        let mut tx = store.write().await.unwrap();
        for name in ["alice", "bob"] {
            users::record(&mut tx, &user(name)).await.unwrap();
        }
        assert!(identities::record(&mut tx, &identity("a"), &alice, NOW).await.unwrap());
        assert!(!identities::record(&mut tx, &identity("a"), &bob, NOW).await.unwrap());
        assert!(identities::record(&mut tx, &identity("A"), &bob, NOW).await.unwrap(), "case matters");
        commit(tx).await.unwrap();
        assert_eq!(store.find_identity(&identity("a")).await.unwrap(), Some(alice.clone()));
        assert_eq!(store.find_identity(&identity("A")).await.unwrap(), Some(bob));
        assert_eq!(store.find_identity(&identity("b")).await.unwrap(), None);
        assert_eq!(store.list_identities(&alice).await.unwrap(), [identity("a")]);
    }
}

#[tokio::test]
async fn a_role_is_that_of_the_newest_statement() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let alice = UserId::new("user_alice");
        let mut tx = store.write().await.unwrap();
        users::record(&mut tx, &user("alice")).await.unwrap();
        commit(tx).await.unwrap();
        assert_eq!(store.find_role_statement(&alice).await.unwrap(), None);
        for (role, at, taken) in [
            (Some(Role::Agent), 2000, true),
            (Some(Role::Requester), 1999, false),
            (Some(Role::Requester), 2000, true),
            (Some(Role::Agent), 1, false),
            (None, 2999, true),
            (Some(Role::Agent), 2998, false),
            (Some(Role::Requester), 3000, true),
            (None, 3001, true),
        ] {
            let mut tx = store.write().await.unwrap();
            assert_eq!(users::say_role(&mut tx, &alice, role, Timestamp(at)).await.unwrap(), taken, "{at}");
            commit(tx).await.unwrap();
        }
        let last = RoleStatement { at: Timestamp(3001), withheld: true };
        assert_eq!(store.find_role_statement(&alice).await.unwrap(), Some(last));
        assert_eq!(store.find_user(&alice).await.unwrap().unwrap().role, Role::Requester);
    }
}

#[tokio::test]
async fn a_role_is_given_once() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        users::record(&mut tx, &user("alice")).await.unwrap();
        let alice = UserId::new("user_alice");
        for (role, is_new) in [(Role::Requester, false), (Role::Agent, true), (Role::Agent, false)] {
            assert_eq!(users::set_role(&mut tx, &alice, role).await.unwrap(), is_new, "{role:?}");
        }
        assert!(!users::set_role(&mut tx, &UserId::new("user_nobody"), Role::Agent).await.unwrap());
        commit(tx).await.unwrap();
        assert_eq!(store.find_user(&alice).await.unwrap().unwrap().role, Role::Agent);
    }
}

#[tokio::test]
async fn a_client_was_seen_when_it_is_registered_or_was_granted_something() {
    for Opened { store, _folder, .. } in with_grant().await {
        let granted = grant("g").client;
        let mut tx = store.write().await.unwrap();
        let registered = Client { client_id: ClientId::new("registered"), ..granted.clone() };
        super::clients::record(&mut tx, &registered, NOW).await.unwrap();
        commit(tx).await.unwrap();
        for (client_id, seen) in
            [(&granted.client_id, true), (&registered.client_id, true), (&ClientId::new("nope"), false)]
        {
            assert_eq!(store.has_seen_client(client_id).await.unwrap(), seen, "{client_id}");
        }
    }
}

#[tokio::test]
async fn a_logout_elsewhere_ends_the_sessions_that_rest_on_it() {
    for Opened { store, _folder, .. } in with_grant().await {
        let mut tx = store.write().await.unwrap();
        let vouched = |subject: &str, sid: Option<&str>| {
            let (issuer, subject) = ("https://idp.example".into(), subject.into());
            Some(Vouched { issuer, subject, sid: sid.map(str::to_owned) })
        };
        let all = [
            ("own", None),
            ("one", vouched("a", Some("s1"))),
            ("two", vouched("a", Some("s2"))),
            ("three", vouched("b", Some("s1"))),
            ("four", vouched("c", None)),
        ];
        let authentication = Authentication {
            auth_time: NOW,
            acr: Some("urn:x:gold".into()),
            amr: vec!["pwd".into(), "otp".into()],
        };
        for (name, vouched) in all {
            let row = SessionRow {
                user_id: UserId::new("user_alice"),
                authentication: authentication.clone(),
                vouched,
                expires_at: NOW.plus(Duration::from_secs(60)),
            };
            sessions::record(&mut tx, &SecretHash::of(name), &row, NOW).await.unwrap();
        }
        let issuer = "https://idp.example";
        for (other, subject, sid) in [("https://other.example", Some("a"), None), (issuer, None, None)] {
            assert!(sessions::revoke_vouched(&mut tx, other, subject, sid).await.unwrap().is_empty());
        }
        let ended = sessions::revoke_vouched(&mut tx, issuer, Some("a"), Some("s1")).await.unwrap();
        assert_eq!(ended.len(), 1);
        assert_eq!(sessions::revoke_vouched(&mut tx, issuer, Some("a"), None).await.unwrap().len(), 1);
        assert_eq!(sessions::revoke_vouched(&mut tx, issuer, None, Some("s1")).await.unwrap().len(), 1);
        commit(tx).await.unwrap();
        let found = store.find_session(&SecretHash::of("four"), NOW).await.unwrap().unwrap();
        assert_eq!((found.authentication, found.vouched), (authentication, vouched("c", None)));
        assert!(store.find_session(&SecretHash::of("own"), NOW).await.unwrap().unwrap().vouched.is_none());
        for ended in ["one", "two", "three"] {
            assert!(store.find_session(&SecretHash::of(ended), NOW).await.unwrap().is_none(), "{ended}");
        }
    }
}

#[tokio::test]
async fn a_client_is_disabled_until_it_is_let_in_again() {
    for Opened { store, _folder, .. } in everywhere::open().await {
        let client_id = ClientId::new("acme:client");
        let mut tx = store.write().await.unwrap();
        assert!(disabled_clients::record(&mut tx, &client_id, NOW).await.unwrap());
        assert!(
            !disabled_clients::record(&mut tx, &client_id, NOW.plus(Duration::from_secs(1))).await.unwrap()
        );
        assert!(disabled_clients::exists(&mut tx, &client_id).await.unwrap());
        commit(tx).await.unwrap();
        assert!(store.is_client_disabled(&client_id).await.unwrap());
        assert_eq!(store.list_disabled_clients().await.unwrap(), [(client_id.clone(), NOW)]);
        let mut tx = store.write().await.unwrap();
        assert!(disabled_clients::remove(&mut tx, &client_id).await.unwrap());
        assert!(!disabled_clients::remove(&mut tx, &client_id).await.unwrap());
        commit(tx).await.unwrap();
        assert!(!store.is_client_disabled(&client_id).await.unwrap());
    }
}

#[tokio::test]
async fn after_a_restore_everything_that_was_granted_ends_once() {
    for Opened { store, _folder, .. } in with_grant().await {
        let mut tx = store.write().await.unwrap();
        grants::activate(&mut tx, &GrantId::new("g"), NOW).await.unwrap();
        let mut expired = grant("expired");
        expired.expires_at = NOW;
        let mut external = grant("external");
        external.client.kind = ClientKind::External;
        // Its issuer's tokens may have prolonged it since, and its user may have taken it back.
        let mut run_out = grant("run_out");
        run_out.expires_at = NOW;
        run_out.client.kind = ClientKind::External;
        for one in [&expired, &external, &run_out] {
            grants::record(&mut tx, one).await.unwrap();
        }
        let session = SessionRow {
            user_id: UserId::new("user_alice"),
            authentication: Authentication::at(NOW),
            vouched: None,
            expires_at: NOW.plus(Duration::from_secs(60)),
        };
        sessions::record(&mut tx, &SecretHash::of("s"), &session, NOW).await.unwrap();
        let link = SecretHash::of("l");
        setup_links::record(&mut tx, &link, NOW, NOW.plus(Duration::from_secs(60))).await.unwrap();
        let random = Random::seeded(1);
        let pair = |_| Pair::generate(jsonwebtoken::Algorithm::ES256).unwrap();
        let [made, given] = [0, 1].map(pair);
        let sealed = made.seal(NOW, NOW, &SealingKey::new([7; 32]), &random).unwrap();
        signing_keys::record(&mut tx, &sealed).await.unwrap();
        signing_keys::record(&mut tx, &given.public(NOW, NOW)).await.unwrap();
        commit(tx).await.unwrap();
        let given_keys = [given.kid.clone()];
        let ending = Ending { external: external_grants::TAKEN_BACK, given_keys: &given_keys, now: NOW };
        let ended = restored::end_all(&store, &ending).await.unwrap();
        let keys = vec![made.kid.clone()];
        assert_eq!(ended, Ended { grants: 3, external: 2, carried: 0, sessions: 1, keys });
        restored::record(&store, "test", NOW).await.unwrap();
        assert_eq!(restored::end_all(&store, &ending).await.unwrap(), Ended::default());
        assert!(store.find_live_grant(&GrantId::new("g"), NOW).await.unwrap().is_none());
        let taken_back = store.list_taken_back(&UserId::new("user_alice")).await.unwrap();
        assert_eq!(taken_back.len(), 2, "its user lets it in again, and no token does");
        assert!(!store.is_setup_link_live(&link, NOW).await.unwrap());
        let left = store.list_signing_keys().await.unwrap();
        assert_eq!(left.iter().map(|row| &row.life.kid).collect::<Vec<_>>(), [&given.kid]);
        let events = store.list_audit_events(None, 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
        assert_eq!(kinds, ["key_revoked", "restored"]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_that_was_brought_further_says_who_may_still_run() {
    for Opened { store, database, _folder } in everywhere::open().await {
        let open = || Store::open(&database, everywhere::chain_key());
        let Schema::Own(own) = store.schema() else { panic!("{:?}", store.schema()) };
        let change = async |statements: &[&'static str]| {
            let mut tx = store.write().await.unwrap();
            for statement in statements {
                sqlx::query(*statement).execute(&mut *tx).await.unwrap();
            }
            commit(tx).await.unwrap();
        };
        change(&[
            "ALTER TABLE users ADD COLUMN later TEXT",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9000, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        ])
        .await;
        let beside = open().await.unwrap();
        assert_eq!(beside.schema(), Schema::Newer(9000));
        beside.close().await;
        change(&["UPDATE compatibility SET oldest_schema = 8999"]).await;
        let refused = open().await;
        let expected = OpenError::Newer { found: 9000, oldest: Some(8999), own };
        assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
        change(&[
            "UPDATE compatibility SET oldest_schema = 1",
            "UPDATE _sqlx_migrations SET version = 0 WHERE version = 3",
        ])
        .await;
        assert!(matches!(open().await, Err(OpenError::Newer { .. })), "one of ours is missing");
    }
}

#[tokio::test]
async fn a_note_on_a_document_stays_however_old_and_many_they_are() {
    let client_id = ClientId::new("https://app.example/client");
    let note = Note::Contradicted(&client_id);
    for Opened { store, _folder, .. } in everywhere::open().await {
        let mut tx = store.write().await.unwrap();
        documents::note(&mut tx, note).await.unwrap();
        documents::keep(&mut tx, "kept", "{}", NOW).await.unwrap();
        let later = NOW.plus(Duration::from_secs(1_000_000));
        assert_eq!(documents::remove_old(&mut tx, later, 10).await.unwrap(), 1);
        documents::keep(&mut tx, "kept", "{}", later).await.unwrap();
        assert_eq!(documents::remove_beyond(&mut tx, 1, 10).await.unwrap(), 1);
        commit(tx).await.unwrap();
        assert!(store.is_noted(note).await.unwrap());
        let mut tx = store.write().await.unwrap();
        documents::remove_note(&mut tx, note).await.unwrap();
        commit(tx).await.unwrap();
        assert!(!store.is_noted(note).await.unwrap());
    }
}
