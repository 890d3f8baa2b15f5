//! What answers a request for a function: its version, or one of several among which its requests are split.

use crate::{
    route_table::Served,
    trial::{Reported, Tally},
};
use http::{HeaderMap, header};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wasmway_registry::{FunctionName, Namespace, Split, Sticky, TakeBack, Trial, Version};

/// The versions of a function that are served.
#[derive(Clone)]
pub(crate) enum Backend {
    /// One version gets everything.
    One(Arc<Served>),
    /// Several get their shares.
    Split(Arc<SplitBackend>),
}

/// A function as it is served.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) backend: Backend,
    /// Versions that have addresses of their own.
    pub(crate) previews: Vec<Arc<Served>>,
}

impl Published {
    /// The version of that number, if it is served.
    pub(crate) fn version(&self, number: u32) -> Option<&Arc<Served>> {
        let is_it = |served: &&Arc<Served>| served.function.version() == number;
        self.backend.version(number).or_else(|| self.previews.iter().find(is_it))
    }
}

pub(crate) struct SplitBackend {
    /// The version whose routes count.
    leader: Arc<Served>,
    shares: Vec<Share>,
    sticky: Option<Sticky>,
    trial: Option<Trial>,
    reported: Reported,
    /// What it was made from.
    of: (Namespace, FunctionName, u64),
}

/// What one version gets.
struct Share {
    /// The sum of its weight and those before it.
    upto: u64,
    version: Version,
    served: Arc<Served>,
    tally: Arc<Tally>,
}

impl Backend {
    /// Splits requests over the versions of `split`, which are served as `serve` says.
    pub(crate) fn split(
        leader: Arc<Served>,
        split: &Split,
        of: (Namespace, FunctionName, u64),
        serve: impl Fn(&wasmway_registry::VersionRecord) -> Option<Arc<Served>>,
    ) -> Self {
        let mut upto = 0;
        let shares = split.shares.iter().filter_map(|(version, weight)| {
            let served = if version.active { leader.clone() } else { serve(version)? };
            upto += u64::from(*weight);
            Some(Share { upto, version: version.version, served, tally: Arc::default() })
        });
        let shares = shares.collect();
        let (sticky, trial) = (split.sticky.clone(), split.trial);
        Self::Split(Arc::new(SplitBackend { leader, shares, sticky, trial, reported: Reported::default(), of }))
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
            Self::Split(split) => split.shares.iter().map(|share| &share.served).find(is_it),
        }
    }

    /// The version that answers a request with these headers, and where its requests are counted if several have a part.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> (&Arc<Served>, Option<&Arc<Tally>>) {
        match self {
            Self::One(served) => (served, None),
            Self::Split(split) => match split.choose(headers) {
                Some(share) => (&share.served, Some(&share.tally)),
                None => (&split.leader, None),
            },
        }
    }
}

impl SplitBackend {
    fn choose(&self, headers: &HeaderMap) -> Option<&Share> {
        let sum = self.shares.last()?.upto;
        let point = match self.sticky.as_ref().and_then(|sticky| known_by(sticky, headers)) {
            Some(client) => point_of(client, sum),
            None => rand::rng().random_range(0..sum),
        };
        self.shares.iter().find(|share| point < share.upto)
    }

    pub(crate) fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    pub(crate) fn reported(&self) -> &Reported {
        &self.reported
    }

    /// How the active version does, and how each of the others.
    pub(crate) fn on_trial(&self) -> Option<(&Tally, Vec<(Version, &Tally)>)> {
        let is_leader = |share: &&Share| Arc::ptr_eq(&share.served, &self.leader);
        let leader = self.shares.iter().find(is_leader)?;
        let others = self.shares.iter().filter(|share| !is_leader(share)).map(|share| (share.version, &*share.tally));
        Some((&leader.tally, others.collect()))
    }

    /// The case against a version.
    pub(crate) fn case(&self, version: Version, why: String) -> TakeBack {
        let (namespace, name, revision) = self.of.clone();
        TakeBack { namespace, name, version, revision, why }
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
