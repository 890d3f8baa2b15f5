//! Wrong tokens, counted by where they come from. Guessing one is hopeless; whoever tries should be noticed, and told
//! to stop. The right token is taken from everywhere at any time: else anyone who shares an address with the
//! operator, as all on one machine do, could lock the operator out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Wrong tokens from one address within [`WINDOW`] that are answered as such.
const ATTEMPTS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered at once.
const PEERS: usize = 4096;

/// Where wrong tokens came from in the last minute.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Failed>>);

#[derive(Clone, Copy)]
struct Failed {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Counts a wrong token. An error says that there were too many, and how long it takes until they are forgotten.
    pub(crate) fn failed(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let peer = network(peer);
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |failed: &Failed| now.saturating_duration_since(failed.since) >= WINDOW;
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.retain(|_, failed| !is_over(failed));
            if peers.len() >= PEERS {
                let oldest = peers.iter().min_by_key(|(_, failed)| failed.since).map(|(peer, _)| *peer);
                oldest.and_then(|oldest| peers.remove(&oldest));
            }
        }
        let failed = peers.entry(peer).or_insert(Failed { since: now, count: 0 });
        if is_over(failed) {
            *failed = Failed { since: now, count: 0 };
        }
        failed.count = failed.count.saturating_add(1);
        if failed.count == ATTEMPTS + 1 {
            tracing::warn!(%peer, "{ATTEMPTS} wrong tokens within a minute: somebody guesses, or a program has an old one");
        }
        if failed.count > ATTEMPTS { Err(failed.since + WINDOW - now) } else { Ok(()) }
    }
}

/// What one client can be assumed to have: an IPv4 address, or a whole network of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn too_many_from_one_address_are_too_many_for_a_minute() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        for second in 0..20 {
            assert_eq!(attempts.failed(peer(1), after(second)), Ok(()));
        }
        assert_eq!(attempts.failed(peer(1), after(20)), Err(Duration::from_secs(40)));
        assert_eq!(attempts.failed(peer(2), after(20)), Ok(()), "each address counts by itself");
        assert_eq!(attempts.failed(peer(1), after(59)), Err(Duration::from_secs(1)));
        assert_eq!(attempts.failed(peer(1), after(60)), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for number in 0..20 {
            assert!(attempts.failed(address(&format!("2001:db8::{number}")), now).is_ok());
        }
        assert!(attempts.failed(address("2001:db8::ffff"), now).is_err());
        assert!(attempts.failed(address("2001:db8:0:1::1"), now).is_ok());
        assert!(attempts.failed(address("::ffff:192.0.2.1"), now).is_ok());
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        for number in 0..2 * PEERS as u32 {
            let now = began + Duration::from_millis(number.into());
            assert!(attempts.failed(peer(number), now).is_ok());
            assert!(attempts.0.lock().unwrap().len() <= PEERS);
        }
        let known = attempts.0.lock().unwrap();
        assert!(known.contains_key(&peer(2 * PEERS as u32 - 1)) && !known.contains_key(&peer(0)), "the oldest goes");
    }
}
