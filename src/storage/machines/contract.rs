//! What the store promises of machines.

use std::time::Duration;

use super::super::everywhere::{self, Opened};
use super::super::grants::{self, Grant};
use super::super::users::{self, Role, User};
use super::super::{Store, clients, commit};
use super::{Standing, find_standing, hold, let_in, revoke_some};
use crate::clock::Timestamp;
use crate::oauth::client::{AuthMethod, Client, ClientKind, ClientMetadata};
use crate::oauth::{Authentication, ClientId, GrantId, RedirectUri, Scopes, UserId};

const NOW: Timestamp = Timestamp(1_000_000);
const RESOURCE: &str = "https://t.example/mcp";

fn client(id: &str, kind: ClientKind) -> Client {
    Client {
        client_id: ClientId::new(id),
        kind,
        metadata: ClientMetadata {
            client_name: Some("C".into()),
            redirect_uris: Vec::new(),
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            further_auth_methods: Vec::new(),
            client_uri: None,
            application_type: None,
            scope: Some("tickets:read".into()),
            jwks: None,
            jwks_uri: None,
            software_id: None,
            software_version: None,
            came_along: false,
        },
        secret_hash: None,
    }
}

fn account(user_id: UserId) -> User {
    User {
        username: user_id.as_str().to_owned(),
        user_id,
        role: Role::Requester,
        password_hash: "x".into(),
        created_at: NOW,
        disabled_at: None,
    }
}

/// A grant of the machine `m` to a client.
fn grant(id: &str, by: &str, seconds: u64) -> Grant {
    Grant {
        grant_id: GrantId::new(id),
        user_id: UserId::of_machine(&ClientId::new("m")),
        client: client(by, ClientKind::Machine),
        redirect_uri: RedirectUri::stored(""),
        resource: RESOURCE.into(),
        scopes: Scopes::of(["tickets:read"]),
        authentication: Authentication::at(NOW),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(seconds)),
        activated_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

/// Stores with the machine `m` and the client `c`, which is none.
async fn with_a_machine() -> Vec<Opened> {
    let all = everywhere::open().await;
    for opened in &all {
        let mut tx = opened.store.write().await.unwrap();
        users::record(&mut tx, &account(UserId::of_machine(&ClientId::new("m")))).await.unwrap();
        for (id, kind) in [("m", ClientKind::Machine), ("c", ClientKind::Registered)] {
            assert!(clients::record(&mut tx, &client(id, kind), NOW).await.unwrap());
        }
        commit(tx).await.unwrap();
    }
    all
}

async fn record(store: &Store, grant: &Grant) {
    let mut tx = store.write().await.unwrap();
    grants::record(&mut tx, grant).await.unwrap();
    grants::activate(&mut tx, &grant.grant_id, NOW).await.unwrap();
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn a_machine_stays_a_machine_and_no_other_client_becomes_one() {
    for Opened { store, _folder, .. } in with_a_machine().await {
        let kind = async |id: &str| store.find_client(&ClientId::new(id)).await.unwrap().unwrap().client.kind;
        assert_eq!((kind("m").await, kind("c").await), (ClientKind::Machine, ClientKind::Registered));
        let listed = store.list_clients().await.unwrap();
        assert_eq!(listed.iter().filter(|row| row.client.kind == ClientKind::Machine).count(), 1);
        let later = NOW.plus(Duration::from_secs(1));
        let mut tx = store.write().await.unwrap();
        assert!(hold(&mut tx, &ClientId::new("m"), later).await.unwrap());
        assert!(!hold(&mut tx, &ClientId::new("c"), later).await.unwrap());
        assert!(!hold(&mut tx, &ClientId::new("unknown"), later).await.unwrap());
        commit(tx).await.unwrap();
        let row = store.find_client(&ClientId::new("m")).await.unwrap().unwrap();
        assert_eq!((row.created_at, row.last_used_at), (NOW, later));
    }
}

#[tokio::test]
async fn the_account_of_a_machine_is_nobodys_first_one() {
    for Opened { store, _folder, .. } in with_a_machine().await {
        assert!(store.has_no_users().await.unwrap());
        let mut tx = store.write().await.unwrap();
        assert!(!users::exists(&mut tx).await.unwrap());
        users::record(&mut tx, &account(UserId::new("user_alice"))).await.unwrap();
        assert!(users::exists(&mut tx).await.unwrap());
        commit(tx).await.unwrap();
        assert!(!store.has_no_users().await.unwrap());
    }
}

#[tokio::test]
async fn the_standing_grant_is_the_machines_own_live_and_as_wide_as_is_asked() {
    for Opened { store, _folder, .. } in with_a_machine().await {
        let (id, scopes) = (ClientId::new("m"), Scopes::of(["tickets:read"]));
        let wider = Scopes::of(["tickets:read", "tickets:write"]);
        let wanted = Standing { client_id: &id, resource: RESOURCE, scopes: &scopes, beyond: NOW };
        let find = async |wanted: Standing<'_>| {
            let mut tx = store.write().await.unwrap();
            let found = find_standing(&mut tx, wanted).await.unwrap();
            commit(tx).await.unwrap();
            found.map(|(grant_id, _)| grant_id.as_str().to_owned())
        };
        assert_eq!(find(wanted).await, None);
        record(&store, &grant("minted", "control-plane", 900)).await;
        assert_eq!(find(wanted).await, None, "what others minted for it is not its own");
        record(&store, &grant("short", "m", 60)).await;
        record(&store, &grant("long", "m", 600)).await;
        assert_eq!(find(wanted).await.as_deref(), Some("long"));
        let end = NOW.plus(Duration::from_secs(600));
        for other in [
            Standing { beyond: end, ..wanted },
            Standing { scopes: &wider, ..wanted },
            Standing { resource: "https://other.example/mcp", ..wanted },
            Standing { client_id: &ClientId::new("c"), ..wanted },
        ] {
            assert_eq!(find(other).await, None, "{other:?}");
        }
        let mut tx = store.write().await.unwrap();
        assert!(grants::revoke(&mut tx, &GrantId::new("long"), "test", NOW).await.unwrap());
        commit(tx).await.unwrap();
        assert_eq!(find(wanted).await.as_deref(), Some("short"));
    }
}

#[tokio::test]
async fn of_32_requests_of_a_machine_at_once_one_makes_the_grant() {
    for Opened { store, _folder, .. } in with_a_machine().await {
        let scopes = Scopes::of(["tickets:read"]);
        let ask = async |number: usize| {
            let mut tx = store.write_patiently().await.unwrap();
            let id = ClientId::new("m");
            assert!(hold(&mut tx, &id, NOW).await.unwrap());
            let wanted = Standing { client_id: &id, resource: RESOURCE, scopes: &scopes, beyond: NOW };
            let found = find_standing(&mut tx, wanted).await.unwrap();
            if found.is_none() {
                let made = grant(&format!("g{number}"), "m", 60);
                grants::record(&mut tx, &made).await.unwrap();
                grants::activate(&mut tx, &made.grant_id, NOW).await.unwrap();
            }
            commit(tx).await.unwrap();
            found.is_none()
        };
        let made = futures::future::join_all((0..32).map(ask)).await;
        assert_eq!(made.into_iter().filter(|made| *made).count(), 1);
    }
}

#[tokio::test]
async fn a_removed_machine_loses_every_grant_some_at_a_time_and_may_be_let_in_again() {
    for Opened { store, _folder, .. } in with_a_machine().await {
        for (id, by) in [("a", "m"), ("b", "m"), ("c", "control-plane")] {
            record(&store, &grant(id, by, 60)).await;
        }
        let user_id = UserId::of_machine(&ClientId::new("m"));
        let mut ended = Vec::new();
        for _ in 0..3 {
            let mut tx = store.write().await.unwrap();
            ended.push(revoke_some(&mut tx, &user_id, NOW, 2).await.unwrap().len());
            commit(tx).await.unwrap();
        }
        assert_eq!(ended, [2, 1, 0]);
        let mut tx = store.write().await.unwrap();
        assert!(clients::remove(&mut tx, &ClientId::new("m")).await.unwrap(), "its account stays");
        users::disable(&mut tx, &user_id, NOW).await.unwrap();
        assert!(let_in(&mut tx, &user_id, Role::Agent).await.unwrap());
        assert!(!let_in(&mut tx, &UserId::of_machine(&ClientId::new("M")), Role::Agent).await.unwrap());
        commit(tx).await.unwrap();
        let user = store.find_user(&user_id).await.unwrap().unwrap();
        assert_eq!((user.role, user.disabled_at), (Role::Agent, None));
    }
}
