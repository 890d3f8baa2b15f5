//! How many outbound requests there may be at once: of one request, of one namespace, on the node.

use crate::by_namespace::{ByNamespace, Place};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// On the node.
const NODE_REQUESTS: usize = 1024;
/// Of one namespace: a quarter of the node's, so that no other is shut out by one.
const NAMESPACE_REQUESTS: usize = 256;
/// Of one request.
const OPEN_REQUESTS: usize = 16;

/// The counts that all requests share.
pub(super) struct NodePermits {
    node: Arc<Semaphore>,
    namespaces: ByNamespace<()>,
}

impl Default for NodePermits {
    fn default() -> Self {
        Self { node: Arc::new(Semaphore::new(NODE_REQUESTS)), namespaces: ByNamespace::default() }
    }
}

/// The count of one request.
pub(super) struct RequestPermits(Arc<Semaphore>);

impl Default for RequestPermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OPEN_REQUESTS)))
    }
}

impl RequestPermits {
    pub(super) fn are_taken(&self) -> bool {
        self.0.available_permits() < OPEN_REQUESTS
    }
}

/// A place in every count, held until the last byte of the answer.
pub(super) struct Permits {
    _request: OwnedSemaphorePermit,
    _namespace: Place<()>,
    _node: OwnedSemaphorePermit,
}

impl NodePermits {
    /// A place for one more, where each count has one.
    pub(super) fn take(&self, request: &RequestPermits, namespace: &str) -> Option<Permits> {
        Some(Permits {
            _request: request.0.clone().try_acquire_owned().ok()?,
            _namespace: self.namespaces.enter(namespace, NAMESPACE_REQUESTS)?.0,
            _node: self.node.clone().try_acquire_owned().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_a_namespace_and_the_node_each_have_a_bound() {
        let node = NodePermits::default();
        let of_request = |namespace: &str| {
            let request = RequestPermits::default();
            let taken: Vec<_> = std::iter::from_fn(|| node.take(&request, namespace)).collect();
            (taken.len(), taken)
        };
        let many: Vec<_> = (0..NAMESPACE_REQUESTS / OPEN_REQUESTS).map(|_| of_request("a")).collect();
        assert!(many.iter().all(|(count, _)| *count == OPEN_REQUESTS));
        assert_eq!(of_request("a").0, 0, "the namespace has what it may have");
        let mut others = Vec::new();
        while let (1.., taken) = of_request(&format!("n{}", others.len() * OPEN_REQUESTS / NAMESPACE_REQUESTS)) {
            others.push(taken);
        }
        assert_eq!((many.len() + others.len()) * OPEN_REQUESTS, NODE_REQUESTS, "the node has what it may have");
        drop(many);
        assert_eq!(of_request("z").0, OPEN_REQUESTS, "what is dropped is free again");
        drop(others);
        assert!(node.namespaces.is_empty());
    }
}
