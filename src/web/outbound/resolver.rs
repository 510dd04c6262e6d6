//! Resolves a name once, judges every address found, and hands those same addresses to the
//! connector. There is no second look-up, so a name cannot change its meaning in between
//! (DNS rebinding).
//!
//! Literal addresses in a URL never come here: the connector dials them at once. They are judged
//! in `target`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::address::is_special_use;
use super::target::{Reach, Refusal};

/// How many look-ups may run at once in one process. The system's look-up cannot be cancelled: it
/// holds a thread until the name servers have answered or given up, long after our own timeout.
const LOOKUPS_AT_ONCE: usize = 32;

/// How many addresses of one host are tried.
const ADDRESSES_TRIED: usize = 8;

/// The resolver of one of the two HTTP clients.
pub(super) struct GuardedResolver {
    reach: Reach,
    lookups: Arc<Semaphore>,
}

impl GuardedResolver {
    /// A resolver for hosts of this reach: only `Reach::Listed` may be at a special-use address.
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (self.reach, Arc::clone(&self.lookups));
        Box::pin(async move {
            let turn = lookups.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                // Port 0 stands for the port of the URL.
                let found = (name.as_str(), 0).to_socket_addrs();
                found.map(Vec::from_iter)
            });
            let addresses: Addrs = Box::new(admit(reach, found.await??)?.into_iter());
            Ok(addresses)
        })
    }
}

/// One special-use address among public ones is enough to refuse: an honest host has none.
fn admit(
    reach: Reach,
    mut found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(io::Error::other("the name has no address").into());
    }
    if reach == Reach::Public
        && let Some(special) = found.iter().find(|address| is_special_use(address.ip()))
    {
        return Err(Refusal::Address(special.ip()).into());
    }
    found.truncate(ADDRESSES_TRIED);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    fn refused(found: &[&str]) -> Option<Refusal> {
        let error = admit(Reach::Public, addresses(found)).err()?;
        Some(error.downcast_ref::<Refusal>().expect("a refusal").clone())
    }

    #[test]
    fn one_special_use_address_refuses_the_name() {
        for (found, special) in [
            (vec!["127.0.0.1"], "127.0.0.1"),
            (vec!["8.8.8.8", "10.0.0.1"], "10.0.0.1"),
            (vec!["2606:4700::1111", "8.8.8.8", "::ffff:169.254.169.254"], "::ffff:169.254.169.254"),
            // Beyond the addresses that would be tried, too.
            (
                vec![
                    "1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "1.1.1.6", "1.1.1.7", "1.1.1.8",
                    "fe80::1",
                ],
                "fe80::1",
            ),
        ] {
            assert_eq!(refused(&found), Some(Refusal::Address(special.parse().unwrap())));
        }
    }

    #[test]
    fn the_judged_addresses_are_the_ones_dialled() {
        let found = addresses(&["8.8.8.8", "2606:4700::1111"]);
        assert_eq!(admit(Reach::Public, found.clone()).unwrap(), found);
    }

    #[test]
    fn a_listed_name_may_be_inside() {
        let found = addresses(&["127.0.0.1", "10.0.0.1"]);
        assert_eq!(admit(Reach::Listed, found.clone()).unwrap(), found);
    }

    #[test]
    fn few_addresses_of_a_host_are_tried() {
        let many = addresses(&["8.8.8.8"; 100]);
        assert_eq!(admit(Reach::Public, many).unwrap().len(), ADDRESSES_TRIED);
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused() {
        let name = || "localhost".parse().unwrap();
        let error = GuardedResolver::new(Reach::Public).resolve(name()).await.err().unwrap();
        assert!(matches!(error.downcast_ref(), Some(Refusal::Address(ip)) if ip.is_loopback()));
        let mut found = GuardedResolver::new(Reach::Listed).resolve(name()).await.unwrap();
        assert!(found.all(|address| address.ip().is_loopback()));
    }
}
