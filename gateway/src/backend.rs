//! What answers a request for a function: its version, or one of several among which its requests are split.

use crate::route_table::Served;
use http::{HeaderMap, header};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wasmway_registry::Sticky;

/// The versions of a function that are served.
#[derive(Clone)]
pub(crate) enum Backend {
    /// One version gets everything.
    One(Arc<Served>),
    /// Several get their shares.
    Split(Arc<SplitBackend>),
}

pub(crate) struct SplitBackend {
    /// The version whose routes count.
    leader: Arc<Served>,
    /// Each with the sum of its weight and those before it.
    shares: Vec<(u64, Arc<Served>)>,
    sticky: Option<Sticky>,
}

impl Backend {
    pub(crate) fn split(leader: Arc<Served>, weights: Vec<(Arc<Served>, u32)>, sticky: Option<Sticky>) -> Self {
        let mut sum = 0;
        let shares = weights.into_iter().map(|(served, weight)| {
            sum += u64::from(weight);
            (sum, served)
        });
        Self::Split(Arc::new(SplitBackend { leader, shares: shares.collect(), sticky }))
    }

    /// The version that stands for the function.
    pub(crate) fn leader(&self) -> &Arc<Served> {
        match self {
            Self::One(served) => served,
            Self::Split(split) => &split.leader,
        }
    }

    /// The version of that number, if it is served.
    pub(crate) fn version(&self, number: u32) -> Option<&Arc<Served>> {
        let is_it = |served: &&Arc<Served>| served.function.version() == number;
        match self {
            Self::One(served) => Some(served).filter(is_it),
            Self::Split(split) => split.shares.iter().map(|(_, served)| served).find(is_it),
        }
    }

    /// The version that answers a request with these headers.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> &Arc<Served> {
        match self {
            Self::One(served) => served,
            Self::Split(split) => split.choose(headers),
        }
    }
}

impl SplitBackend {
    fn choose(&self, headers: &HeaderMap) -> &Arc<Served> {
        let Some((sum, _)) = self.shares.last() else { return &self.leader };
        let point = match self.sticky.as_ref().and_then(|sticky| known_by(sticky, headers)) {
            Some(client) => point_of(client, *sum),
            None => rand::rng().random_range(0..*sum),
        };
        let share = self.shares.iter().find(|(upto, _)| point < *upto);
        share.map_or(&self.leader, |(_, served)| served)
    }
}

/// What the client is known by, if it says so.
fn known_by<'a>(sticky: &Sticky, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    match sticky {
        Sticky::Header(name) => headers.get(name).map(|value| value.as_bytes()),
        Sticky::Cookie(name) => headers.get_all(header::COOKIE).iter().find_map(|cookies| {
            let mut pairs = cookies.to_str().ok()?.split(';').filter_map(|pair| pair.trim().split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value.as_bytes()))
        }),
    }
}

/// Where between 0 and `sum` a client is: on every node the same, and evenly over all clients. When weights of the same
/// sum change, only those clients move whose place changes hands.
fn point_of(client: &[u8], sum: u64) -> u64 {
    let hash = Sha256::digest(client);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    // Below `sum`, which has 32 bits and some.
    ((u128::from(u64::from_be_bytes(first)) * u128::from(sum)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_and_few_move() {
        let clients: Vec<u64> = (0..10_000).map(|n| point_of(format!("client {n}").as_bytes(), 100)).collect();
        let below = |limit| clients.iter().filter(|point| **point < limit).count();
        assert!((8_800..9_200).contains(&below(90)), "{}", below(90));
        assert!((4_800..5_200).contains(&below(50)), "{}", below(50));
        assert!(clients.iter().all(|point| *point < 100));
        assert_eq!(point_of(b"client 1", 100), point_of(b"client 1", 100));
    }

    #[test]
    fn a_client_is_known_by_a_header_or_a_cookie() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-user", "ann"), ("cookie", "a=1; session=s1"), ("cookie", "late=2")] {
            headers.append(name, value.parse().unwrap());
        }
        let known = |sticky: &str| known_by(&sticky.parse().unwrap(), &headers);
        assert_eq!(known("header:X-User"), Some(&b"ann"[..]));
        assert_eq!(known("cookie:session"), Some(&b"s1"[..]));
        assert_eq!(known("cookie:late"), Some(&b"2"[..]));
        assert_eq!(known("cookie:sess"), None);
        assert_eq!(known("header:x-nobody"), None);
    }
}
