//! For tests: an empty store of every kind that there is.

use super::postgres::PostgresUrl;
use super::{Database, Store};
use crate::audit::chain::ChainKey;
use crate::services::postgres::shared_postgres;

/// A store of one test.
pub(crate) struct Opened {
    /// The store.
    pub(crate) store: Store,
    /// Where it is.
    pub(crate) database: Database,
    /// Where SQLite keeps its file; gone with this value.
    pub(crate) _folder: tempfile::TempDir,
}

/// The key of the audit log's seals.
pub(crate) fn chain_key() -> ChainKey {
    ChainKey::new([7; 32])
}

/// An empty store on SQLite, and one on PostgreSQL where that is installed.
pub(crate) async fn open() -> Vec<Opened> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec![open_one(Database::Sqlite(folder.path().join("t.db")), folder).await];
    if let Some(server) = shared_postgres() {
        let url = PostgresUrl::parse(&server.fresh_database().await).unwrap();
        all.push(open_one(Database::Postgres { url, connections: 8 }, tempfile::tempdir().unwrap()).await);
    }
    all
}

async fn open_one(database: Database, folder: tempfile::TempDir) -> Opened {
    Opened { store: Store::open(&database, chain_key()).await.unwrap(), database, _folder: folder }
}
