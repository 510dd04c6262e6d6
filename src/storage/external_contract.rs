//! What the store promises of grants that rest on the tokens of another issuer.

use std::time::Duration;

use super::everywhere::{self, Opened};
use super::external_grants::{self, Standing, TAKEN_BACK};
use super::grants::Grant;
use super::restore::Place;
use super::users::{Role, User};
use super::{Database, Store, backup, commit, disabled_clients, grants, restored, users};
use crate::clock::Timestamp;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};

const NOW: Timestamp = Timestamp(1_000_000);
const ISSUER: &str = "https://login.example";

fn grant(id: &str) -> Grant {
    Grant {
        grant_id: GrantId::new(id),
        user_id: UserId::new("user_alice"),
        client: Client {
            client_id: ClientId::new("acme:app"),
            kind: ClientKind::External,
            metadata: ClientMetadata {
                redirect_uris: vec![RedirectUri::stored(ISSUER)],
                ..ClientMetadata::unsaid(AuthMethod::None)
            },
            secret_hash: None,
        },
        redirect_uri: RedirectUri::stored(ISSUER),
        resource: "https://t.example/mcp".into(),
        scopes: Scopes::of(["tickets:read"]),
        authentication: Authentication::at(NOW),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(60)),
        activated_at: Some(NOW),
        last_used_at: None,
        revoked_at: None,
    }
}

async fn with_user() -> Vec<Opened> {
    let all = everywhere::open().await;
    for opened in &all {
        let user = User {
            user_id: UserId::new("user_alice"),
            username: "alice".into(),
            role: Role::Requester,
            password_hash: "x".into(),
            created_at: NOW,
            disabled_at: None,
        };
        let mut tx = opened.store.write().await.unwrap();
        users::record(&mut tx, &user).await.unwrap();
        commit(tx).await.unwrap();
    }
    all
}

async fn standing(store: &Store, now: Timestamp) -> Standing {
    store.find_standing(&UserId::new("user_alice"), &ClientId::new("acme:app"), now).await.unwrap()
}

async fn record(store: &Store, id: &str) -> bool {
    let mut tx = store.write().await.unwrap();
    let recorded = external_grants::record(&mut tx, &grant(id)).await.unwrap();
    commit(tx).await.unwrap();
    recorded
}

async fn revoke(store: &Store, id: &str, because: &str) {
    let mut tx = store.write().await.unwrap();
    assert!(grants::revoke(&mut tx, &GrantId::new(id), because, NOW).await.unwrap());
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn of_32_first_tokens_at_once_one_records_the_grant() {
    for Opened { store, _folder, .. } in with_user().await {
        let attempts: Vec<_> = (0..32).map(|_| record(&store, "ext_1")).collect();
        let won = futures::future::join_all(attempts).await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        let found = store.find_live_grant(&GrantId::new("ext_1"), NOW).await.unwrap();
        assert!(found.is_some(), "it lives at once");
    }
}

#[tokio::test]
async fn what_its_user_took_back_counts_before_what_merely_ended_and_a_living_one_before_both() {
    for Opened { store, _folder, .. } in with_user().await {
        let mut tx = store.write().await.unwrap();
        let (user_id, client_id) = (UserId::new("user_alice"), ClientId::new("acme:app"));
        assert_eq!(external_grants::count_ended(&mut tx, &user_id, &client_id, NOW).await.unwrap(), 0);
        commit(tx).await.unwrap();
        assert_eq!(standing(&store, NOW).await, Standing::None);
        assert!(record(&store, "ext_1").await);
        assert!(matches!(standing(&store, NOW).await, Standing::Live { .. }));
        let later = NOW.plus(Duration::from_secs(60));
        assert_eq!(standing(&store, later).await, Standing::None, "it ended by itself");
        revoke(&store, "ext_1", "the client was disabled").await;
        assert_eq!(standing(&store, NOW).await, Standing::None);
        assert!(record(&store, "ext_2").await);
        revoke(&store, "ext_2", TAKEN_BACK).await;
        assert_eq!(standing(&store, NOW).await, Standing::TakenBack(GrantId::new("ext_2")));
        let listed = store.list_taken_back(&user_id).await.unwrap();
        assert_eq!(listed.iter().map(|grant| grant.grant_id.as_str()).collect::<Vec<_>>(), ["ext_2"]);
        assert_eq!(listed[0].client.kind, ClientKind::External);
        let mut tx = store.write().await.unwrap();
        let (taken, other) = (GrantId::new("ext_2"), UserId::new("user_bob"));
        assert!(!external_grants::allow_again(&mut tx, &other, &taken).await.unwrap());
        assert!(!external_grants::allow_again(&mut tx, &user_id, &GrantId::new("ext_1")).await.unwrap());
        assert!(external_grants::allow_again(&mut tx, &user_id, &taken).await.unwrap());
        assert!(!external_grants::allow_again(&mut tx, &user_id, &taken).await.unwrap());
        assert_eq!(external_grants::count_ended(&mut tx, &user_id, &client_id, NOW).await.unwrap(), 2);
        commit(tx).await.unwrap();
        assert_eq!(standing(&store, NOW).await, Standing::None);
        assert!(store.list_taken_back(&user_id).await.unwrap().is_empty());
        assert!(record(&store, "ext_3").await);
        let mut tx = store.write().await.unwrap();
        let ended = external_grants::count_ended(&mut tx, &user_id, &client_id, NOW).await.unwrap();
        assert_eq!(ended, 2, "one that lives has not ended");
        commit(tx).await.unwrap();
        assert!(matches!(standing(&store, NOW).await, Standing::Live { .. }));
    }
}

#[tokio::test]
async fn the_next_grant_has_an_id_that_no_ended_one_has_also_where_some_of_those_are_missing() {
    for Opened { store, _folder, .. } in with_user().await {
        let (user_id, client_id) = (UserId::new("user_alice"), ClientId::new("acme:app"));
        let next = async |now| {
            let mut tx = store.write().await.unwrap();
            let numbered = |number| GrantId::new(format!("ext_{number}"));
            let id = external_grants::next_id(&mut tx, &user_id, &client_id, now, numbered).await.unwrap();
            commit(tx).await.unwrap();
            id.as_str().to_owned()
        };
        let allow_again = async |id| {
            let mut tx = store.write().await.unwrap();
            assert!(external_grants::allow_again(&mut tx, &user_id, &GrantId::new(id)).await.unwrap());
            commit(tx).await.unwrap();
        };
        assert_eq!(next(NOW).await, "ext_0");
        // As after a restore that brought the second one along, and not the first.
        assert!(record(&store, "ext_1").await);
        revoke(&store, "ext_1", TAKEN_BACK).await;
        assert_eq!(next(NOW).await, "ext_1", "nothing takes the place of what was taken back");
        allow_again("ext_1").await;
        for id in ["ext_2", "ext_3"] {
            assert_eq!(next(NOW).await, id);
            assert!(record(&store, id).await);
            assert_eq!(next(NOW).await, id, "of two at once the second meets the first");
            revoke(&store, id, TAKEN_BACK).await;
            allow_again(id).await;
        }
        assert!(record(&store, "ext_4").await);
        assert_eq!(next(NOW).await, "ext_4");
        assert_eq!(next(NOW.plus(Duration::from_secs(60))).await, "ext_5", "it ended by itself");
    }
}

#[tokio::test]
async fn a_grant_is_widened_from_what_it_was_and_only_while_it_lives() {
    for Opened { store, _folder, .. } in with_user().await {
        assert!(record(&store, "ext_1").await);
        let (read, both) = (Scopes::of(["tickets:read"]), Scopes::of(["tickets:read", "tickets:write"]));
        let (id, until) = (GrantId::new("ext_1"), NOW.plus(Duration::from_secs(600)));
        let mut tx = store.write().await.unwrap();
        assert!(external_grants::widen(&mut tx, &id, &read, &both, until, NOW).await.unwrap());
        assert!(!external_grants::widen(&mut tx, &id, &read, &both, until, NOW).await.unwrap());
        commit(tx).await.unwrap();
        let live = Standing::Live { grant_id: id.clone(), scopes: both.clone(), expires_at: until };
        assert_eq!(standing(&store, NOW).await, live);
        revoke(&store, "ext_1", TAKEN_BACK).await;
        let mut tx = store.write().await.unwrap();
        assert!(!external_grants::widen(&mut tx, &id, &both, &both, until, NOW).await.unwrap());
        commit(tx).await.unwrap();
    }
}

#[tokio::test]
async fn a_disabled_client_has_no_live_grant_and_an_enabled_user_has_theirs() {
    for Opened { store, _folder, .. } in with_user().await {
        assert!(record(&store, "ext_1").await);
        let lives = async || store.find_live_grant(&GrantId::new("ext_1"), NOW).await.unwrap().is_some();
        let (user_id, client_id) = (UserId::new("user_alice"), ClientId::new("acme:app"));
        let mut tx = store.write().await.unwrap();
        disabled_clients::record(&mut tx, &client_id, NOW).await.unwrap();
        commit(tx).await.unwrap();
        assert!(!lives().await);
        let mut tx = store.write().await.unwrap();
        disabled_clients::remove(&mut tx, &client_id).await.unwrap();
        users::disable(&mut tx, &user_id, NOW).await.unwrap();
        commit(tx).await.unwrap();
        assert!(!lives().await);
        let mut tx = store.write().await.unwrap();
        assert!(users::enable(&mut tx, &user_id).await.unwrap());
        assert!(!users::enable(&mut tx, &user_id).await.unwrap());
        commit(tx).await.unwrap();
        assert!(lives().await);
    }
}

#[tokio::test]
async fn what_was_taken_back_after_a_backup_is_carried_over_from_the_database_that_is_replaced() {
    for Opened { store, database, _folder } in with_user().await {
        let Database::Sqlite(path) = &database else { continue };
        let file = path.with_extension("backup");
        backup::write(path, &file, "1").await.unwrap().publish(&file).unwrap();
        assert!(record(&store, "ext_1").await);
        revoke(&store, "ext_1", "the client was disabled").await;
        assert!(record(&store, "ext_2").await);
        revoke(&store, "ext_2", TAKEN_BACK).await;
        store.close().await;
        drop(store);
        let place = Place::hold(path).await.unwrap();
        let taken_back = place.taken_back().await.unwrap();
        let prepared = place.prepare(&file, "2").await.unwrap();
        let restored = Store::open(&prepared.database(), everywhere::chain_key()).await.unwrap();
        assert_eq!(standing(&restored, NOW).await, Standing::None);
        for _ in 0..2 {
            assert_eq!(restored::carry_over(&restored, &taken_back).await.unwrap(), 1);
            assert_eq!(standing(&restored, NOW).await, Standing::TakenBack(GrantId::new("ext_2")));
        }
        assert_eq!(restored.list_taken_back(&UserId::new("user_alice")).await.unwrap().len(), 1);
        restored.close().await;
        std::fs::write(path, "what is left of it").unwrap();
        assert!(place.taken_back().await.is_none(), "nobody knows then");
        std::fs::remove_file(path).unwrap();
        assert!(place.taken_back().await.unwrap().is_empty(), "there was nothing");
    }
}
