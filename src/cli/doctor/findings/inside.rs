//! What can be found in the configuration, in files and in the stores.

use super::{Finding, Level, findings};

findings! {
    PUBLIC_URL_ASTRAY Warning "public-url-astray"
    "The public URL leads to a port of this machine that this server does not listen on: clients find another program there, or none."
    "Set public_url to a port that listen names, or leave it out; nothing, if something else passes that port on."

    NO_TRUSTED_PROXIES Warning "no-trusted-proxies"
    "The public URL is https and no proxy is trusted: every caller counts under the proxy's one address, and shares its limits."
    "Name the proxy's network in trusted_proxies, or `unix` if it connects to a Unix socket, once it sets X-Forwarded-For."

    SQLITE_IN_PRODUCTION Note "sqlite-in-production"
    "The public URL is https and everything is kept in one SQLite file: one replica, and its disk is all there is."
    "Nothing for a small installation with backups; else PostgreSQL (database_url) and Redis (redis_url)."

    STORES_IN_THE_CLEAR Note "stores-in-the-clear"
    "What goes to PostgreSQL or Redis on another machine can be read or changed on the way."
    "Add ?sslmode=verify-full&sslrootcert=… to database_url, and write rediss:// in redis_url; nothing, if the network between is guarded."

    DEMO_ACCOUNTS Warning "demo-accounts"
    "The public URL is https and the accounts of the demo, alice and bob, can sign in."
    "Disable them (`mandate user disable alice`), or begin with an empty database and without --demo."

    METRICS_EVERYWHERE Warning "metrics-everywhere"
    "Metrics are served on every address of this machine."
    "Let metrics_listen name an inner address, or see that the firewall keeps others out."

    PRIVATE_HOSTS_ALLOWED Note "private-hosts-allowed"
    "outbound.allowed_hosts lets outgoing requests reach inner addresses."
    "Keep the list as short as it can be; client documents are fetched from addresses that strangers name."

    KEY_FILE_OPEN Fault "key-file-open"
    "A file with a key or a database can be read by others on this machine."
    "chmod 600, and let it belong to the user that the server runs as."

    KEY_FILE_MISSING Note "key-file-missing"
    "The key file does not exist yet."
    "Nothing before the first start, which makes it; with several replicas give all of them the same one."

    DATABASE_ABSENT Note "database-absent"
    "The database file does not exist yet."
    "Nothing before the first start, which makes it; else check database_url and the folder that commands run in."

    DATABASE_EMPTY Note "database-empty"
    "There is a database, and nothing in it."
    "Nothing before the first start or `mandate migrate`, which make the tables; else check database_url."

    DATABASE_AWAY Fault "database-away"
    "The database cannot be reached or read."
    "Check that the server runs, and database_url with its password."

    DATABASE_OLD Fault "database-old"
    "PostgreSQL is older than 15, the oldest that is supported."
    "Upgrade PostgreSQL."

    DATABASE_READS_ONLY Fault "database-reads-only"
    "The database is a standby that only reads."
    "Let database_url lead to the primary."

    SCHEMA_BEHIND Warning "schema-behind"
    "The database's schema is older than this binary's."
    "Run `mandate migrate` before the new version starts; a start does it, too."

    SCHEMA_AHEAD Fault "schema-ahead"
    "The database was written by a newer version; this one refuses to start on it."
    "Run that version, or restore a backup from before it."

    SCHEMA_NEWER Note "schema-newer"
    "A newer version brought the database to its schema, and lets this one run on it."
    "Finish the upgrade, or go back to the newer version."

    DATABASE_CLOCK Warning "database-clock"
    "The database's clock differs from this machine's by more than five seconds."
    "Let both keep time with NTP."

    REDIS_AWAY Fault "redis-away"
    "Redis cannot be reached."
    "Check that it runs, and redis_url with its password."

    REDIS_OLD Fault "redis-old"
    "Redis is older than 7, the oldest that is supported."
    "Upgrade Redis."

    REDIS_EVICTS Warning "redis-evicts"
    "Redis throws keys away when it is full: claims of writes and marks of ended grants would vanish early."
    "Set `maxmemory-policy noeviction`, and watch its memory."

    REDIS_FORGETS Note "redis-forgets"
    "Redis keeps nothing on disk: a restart loses sign-ins under way and what idempotency keys led to, and nothing else."
    "Nothing, if that is meant; else `appendonly yes`."

    REDIS_CLOCK Warning "redis-clock"
    "Redis' clock differs from this machine's by more than five seconds."
    "Let both keep time with NTP."
}
