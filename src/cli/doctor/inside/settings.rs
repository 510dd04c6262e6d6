//! What is allowed and still doubtful where others rely on it.

use std::net::IpAddr;

use crate::cli::doctor::findings::{
    Finding, METRICS_EVERYWHERE, NO_TRUSTED_PROXIES, PRIVATE_HOSTS_ALLOWED, PUBLIC_URL_ASTRAY,
    SQLITE_IN_PRODUCTION, STORES_IN_THE_CLEAR,
};
use crate::cli::doctor::report::Report;
use crate::config::{Config, Listen, TrustedProxy};
use crate::ephemeral::redis::RedisUrl;
use crate::storage::Database;

pub(super) fn check(config: &Config, report: &mut Report) {
    let doubts = doubts(config);
    for (finding, detail) in &doubts {
        report.found(finding, detail);
    }
    if doubts.is_empty() {
        report.ok("nothing in it is doubtful");
    }
}

fn doubts(config: &Config) -> Vec<(&'static Finding, String)> {
    let mut doubts = Vec::new();
    if config.astray().is_some() {
        let places = config.places().join(", ");
        doubts.push((
            &PUBLIC_URL_ASTRAY,
            format!("(it is {}, listen is {places})", config.public_url.issuer()),
        ));
    }
    if config.public_url.is_https() {
        // Who ends TLS here has no proxy. Where there are several listeners, the proxy uses one of them.
        let is_believed = |listen: &Listen| {
            config.trusted_proxies.iter().any(|proxy| {
                matches!(
                    (listen, proxy),
                    (Listen::Tcp(_), TrustedProxy::Network(_)) | (Listen::Unix(_), TrustedProxy::Unix)
                )
            })
        };
        if config.tls.is_none() && !config.listen.iter().any(is_believed) {
            doubts.push((&NO_TRUSTED_PROXIES, String::new()));
        }
        if let Database::Sqlite(path) = &config.database {
            doubts.push((&SQLITE_IN_PRODUCTION, format!("({})", path.display())));
        }
    }
    if let Some(address) = config.metrics_listen.filter(|address| address.ip().is_unspecified()) {
        doubts.push((&METRICS_EVERYWHERE, format!("(metrics_listen is {address})")));
    }
    let clear = stores_in_the_clear(config);
    if !clear.is_empty() {
        doubts.push((&STORES_IN_THE_CLEAR, format!("({})", clear.join(", "))));
    }
    if !config.outbound.allowed_hosts.is_empty() {
        doubts.push((&PRIVATE_HOSTS_ALLOWED, format!("({})", config.outbound.allowed_hosts.join(", "))));
    }
    doubts
}

/// Hosts besides this machine to which a store's words go unprotected.
fn stores_in_the_clear(config: &Config) -> Vec<String> {
    let database = match &config.database {
        Database::Postgres { url, .. } if !url.checks_certificate() => url.host(),
        Database::Postgres { .. } | Database::Sqlite(_) => None,
    };
    let redis = config.redis.iter().flat_map(RedisUrl::hosts_in_the_clear);
    let is_here = |host: &String| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    database.into_iter().chain(redis).filter(|host| !is_here(host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_doubtful_depends_on_who_relies_on_it() {
        let https = "public_url = 'https://t.example'\n";
        let good = format!("{https}trusted_proxies = ['10.0.0.0/8']\n");
        let unix = format!("{https}trusted_proxies = ['unix']\n");
        for (text, expected) in [
            (String::new(), vec![]),
            ("listen = '127.0.0.1:8085'".to_owned(), vec![]),
            (
                "listen = '127.0.0.1:8085'\npublic_url = 'http://localhost:8080'".to_owned(),
                vec!["public-url-astray"],
            ),
            (https.to_owned(), vec!["no-trusted-proxies", "sqlite-in-production"]),
            (good.clone(), vec!["sqlite-in-production"]),
            (format!("{https}listen = 'unix:m.sock'"), vec!["no-trusted-proxies", "sqlite-in-production"]),
            (format!("{good}listen = 'unix:m.sock'"), vec!["no-trusted-proxies", "sqlite-in-production"]),
            (format!("{unix}listen = 'unix:m.sock'"), vec!["sqlite-in-production"]),
            (format!("{unix}listen = ['unix:m.sock', '127.0.0.1:8080']"), vec!["sqlite-in-production"]),
            (unix.clone(), vec!["no-trusted-proxies", "sqlite-in-production"]),
            (
                format!("{https}[tls]\ncertificate_file = 'c.pem'\nkey_file = 'k.pem'"),
                vec!["sqlite-in-production"],
            ),
            ("metrics_listen = '0.0.0.0:9090'".to_owned(), vec!["metrics-everywhere"]),
            ("metrics_listen = '127.0.0.1:9090'".to_owned(), vec![]),
            ("[outbound]\nallowed_hosts = ['10.1.2.3']".to_owned(), vec!["private-hosts-allowed"]),
            (
                format!(
                    "{good}database_url = 'postgres://a@b/c'\nredis_url = 'redis://b'\nsecret_key_file = 'k'\n"
                ),
                vec!["stores-in-the-clear"],
            ),
            (
                format!(
                    "{good}database_url = 'postgres://a@b/c?sslmode=verify-full'\nredis_url = 'rediss://b'\n\
                     secret_key_file = 'k'\n"
                ),
                vec![],
            ),
            (
                format!(
                    "{good}database_url = 'postgres://a@127.0.0.1/c'\nredis_url = 'redis://[::1]'\n\
                     secret_key_file = 'k'\n"
                ),
                vec![],
            ),
        ] {
            let config = Config::written(&text).unwrap();
            let found: Vec<&str> = doubts(&config).iter().map(|(finding, _)| finding.id).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
