//! Room for connections: how many there may be, how many of them one address may have, and what is kept for this machine.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::listeners::{Accepted, Listeners, Which};
use crate::config::TrustedProxy;
use crate::web::address::{bucket, trusts};

/// Which part of all places one address may have, as a divisor. Four addresses must work together to take all of them, and
/// a company behind one address has more than it has people at work.
const SHARE: usize = 4;
/// Which part of all places is kept for this machine when strangers have taken the rest, as a divisor, and how many at
/// most: probes and the few connections of a proxy or an operator beside it.
const KEPT: (usize, usize) = (100, 64);

/// The places for connections.
pub(super) struct Room {
    all: usize,
    public: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    shares: Arc<Shares>,
    trusted: Vec<TrustedProxy>,
    told: bool,
}

/// A place; it is free again when this is dropped.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _claim: Claim,
}

/// What a connection has of its address's share.
enum Claim {
    /// It needs none: it is of this machine, or a proxy's.
    Free,
    /// One of it, for as long as it lives.
    Share { _share: Share },
    /// Nothing: others have all of it.
    Refused,
}

impl Room {
    /// For so many connections. Proxies have no share: all of their clients come from one address.
    pub(super) fn new(all: usize, trusted: &[TrustedProxy]) -> Self {
        let kept = (all / KEPT.0).min(KEPT.1);
        let shares = Shares { most: (all / SHARE).max(1), held: Mutex::default() };
        Self {
            all,
            public: Arc::new(Semaphore::new(all - kept)),
            kept: Arc::new(Semaphore::new(kept)),
            shares: Arc::new(shares),
            trusted: trusted.to_vec(),
            told: false,
        }
    }

    /// The next connection that has a place. Others wait until there is one; those beyond their address's share are
    /// closed at once, since who waits for that holds up everybody else.
    pub(super) async fn next(&mut self, listeners: &mut Listeners) -> Option<(Accepted, Place)> {
        loop {
            self.tell();
            // Semaphores are never closed.
            let (accepted, place) = tokio::select! {
                biased;
                place = self.public.clone().acquire_owned() => {
                    (listeners.accept(Which::All).await, place.ok()?)
                }
                taken = kept(&self.kept, listeners) => taken?,
            };
            match self.claim(accepted.address()) {
                Claim::Refused => {}
                claim => return Some((accepted, Place { _place: place, _claim: claim })),
            }
        }
    }

    /// That there is no room is told once, until there is plenty of it again.
    fn tell(&mut self) {
        let free = self.public.available_permits();
        if free == 0 && !self.told {
            tracing::warn!(
                "{} connections are open: others wait until one ends (limits.connections)",
                self.all
            );
        }
        self.told = free == 0 || (self.told && free <= self.all / 10);
    }

    /// What a connection from this address may have.
    fn claim(&self, address: Option<IpAddr>) -> Claim {
        match address {
            Some(address) if !is_near(address) && !trusts(&self.trusted, address) => {
                Shares::take(&self.shares, bucket(address))
                    .map_or(Claim::Refused, |share| Claim::Share { _share: share })
            }
            _ => Claim::Free,
        }
    }
}

/// A connection from this machine with one of the places kept for those.
async fn kept(
    places: &Arc<Semaphore>,
    listeners: &mut Listeners,
) -> Option<(Accepted, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    Some((listeners.accept(Which::Near).await, place))
}

/// Whether it is of this machine, where nobody is a stranger.
pub(super) fn is_near(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// How many connections each address has.
struct Shares {
    most: usize,
    held: Mutex<HashMap<String, Held>>,
}

/// What one address has.
#[derive(Default)]
struct Held {
    count: usize,
    told: bool,
}

impl Shares {
    fn take(this: &Arc<Self>, address: String) -> Option<Share> {
        let mut held = this.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = held.entry(address.clone()).or_default();
        if of_address.count >= this.most {
            tracing::debug!(address, "a connection beyond its address's share was closed");
            return None;
        }
        of_address.count += 1;
        if of_address.count == this.most && !of_address.told {
            of_address.told = true;
            tracing::warn!(
                address,
                "one address has {} connections, which is its share of limits.connections: more of them are closed. If \
                 it is a proxy, name it in trusted_proxies",
                this.most
            );
        }
        drop(held);
        Some(Share { shares: this.clone(), address })
    }

    /// That an address has all of its share is told once, until it has plenty of room again.
    fn give_back(&self, address: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_address) = held.get_mut(address) else { return };
        of_address.count -= 1;
        of_address.told &= self.most - of_address.count <= self.most / 10;
        if of_address.count == 0 {
            held.remove(address);
        }
    }
}

/// A connection of an address.
struct Share {
    shares: Arc<Shares>,
    address: String,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.give_back(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::pin::pin;
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn one_address_has_a_quarter_of_all_places_and_a_proxy_as_many_as_there_are() {
        let room = Room::new(8, &["10.0.0.0/8".parse().unwrap()]);
        let claim = |address: &str| room.claim(Some(address.parse().unwrap()));
        let is_refused = |address: &str| matches!(claim(address), Claim::Refused);
        for (one, another_of_it) in
            [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8:1:2::3", "2001:db8:1:2:ffff::4")]
        {
            let (first, second) = (claim(one), claim(another_of_it));
            assert!(matches!((&first, &second), (Claim::Share { .. }, Claim::Share { .. })), "{one}");
            assert!(is_refused(one) && is_refused(another_of_it), "{one}");
            drop(first);
            assert!(!is_refused(another_of_it), "{one}");
        }
        assert!(room.shares.held.lock().unwrap().is_empty(), "who has left is forgotten");
        for near in ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(claim(near), Claim::Free), "{near}");
        }
        assert!(matches!(room.claim(None), Claim::Free), "a Unix socket has no address");
    }

    #[test]
    fn who_closes_and_opens_at_the_limit_is_told_of_once() {
        let room = Room::new(80, &[]);
        let claim = || room.claim(Some("192.0.2.1".parse().unwrap()));
        let is_told = || room.shares.held.lock().unwrap().values().all(|held| held.told);
        let mut claims: Vec<_> = (0..19).map(|_| claim()).collect();
        assert!(!is_told(), "there is one left");
        claims.push(claim());
        assert!(is_told());
        claims.truncate(18);
        assert!(is_told(), "another line for the next two would say nothing new");
        claims.truncate(17);
        assert!(!is_told(), "there is plenty");
    }

    #[tokio::test]
    async fn when_strangers_have_taken_all_places_some_are_left_for_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut near = Listeners::from(listener);
        let mut room = Room::new(100, &[]);
        let _strangers = room.public.clone().acquire_many_owned(99).await.unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let taken = room.next(&mut near).await;
        assert!(taken.is_some());
        let _second = TcpStream::connect(address).await.unwrap();
        assert!(poll!(pin!(room.next(&mut near))).is_pending(), "one was kept");
        drop(taken);
        assert!(room.next(&mut near).await.is_some());
        let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let _stranger =
            TcpStream::connect(("127.0.0.1", everywhere.local_addr().unwrap().port())).await.unwrap();
        let mut everywhere = Listeners::from(everywhere);
        assert!(poll!(pin!(room.next(&mut everywhere))).is_pending(), "it could be anybody's");
    }
}
