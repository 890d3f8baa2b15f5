//! Whose deploy is compiled next. A namespace has one deploy at a time before the compiler, and the compiler takes them
//! in the order in which they come: so namespaces take turns, and each of them has its own deploys in their order.
//! A program that a request needs compiled goes to the compiler directly: at most one deploy of each namespace is
//! before it, however many are waiting.

use crate::by_namespace::{ByNamespace, Place};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Deploys of one namespace that wait while another of it has its turn.
const WAITING: usize = 32;

/// The namespaces that have a deploy under way. First come, first served in each.
#[derive(Default)]
pub(crate) struct DeployQueue {
    turns: ByNamespace<Mutex<()>>,
}

/// As many deploys as may wait do so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{WAITING} deploys of this namespace are waiting to be compiled, and no more may; try again when some are done"
)]
pub(crate) struct QueueFull;

/// A deploy's turn, until it is dropped.
pub(crate) struct Turn {
    // In this order: the next one goes on before this one is forgotten.
    _turn: OwnedMutexGuard<()>,
    _place: Place<Mutex<()>>,
}

impl DeployQueue {
    /// Waits until it is this deploy's turn in its namespace. A client that goes away gives its place up.
    pub(crate) async fn turn(&self, namespace: &str) -> Result<Turn, QueueFull> {
        // One has its turn, the others wait.
        let (place, turn) = self.turns.enter(namespace, 1 + WAITING).ok_or(QueueFull)?;
        Ok(Turn { _turn: turn.lock_owned().await, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_namespace_has_one_turn_at_a_time_in_order() {
        let queue = DeployQueue::default();
        let first = queue.turn("a").await.unwrap();
        let (mut second, mut third) = (Box::pin(queue.turn("a")), Box::pin(queue.turn("a")));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert!(queue.turn("b").now_or_never().is_some(), "another namespace has its own");
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it came later");
        let second = (&mut second).now_or_never().unwrap().unwrap();
        drop(second);
        assert!((&mut third).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_queue_of_a_namespace_is_bounded_and_nothing_is_left_of_it() {
        let queue = DeployQueue::default();
        let turn = queue.turn("a").await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(queue.turn("a"))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        assert!(matches!(queue.turn("a").now_or_never(), Some(Err(QueueFull))));
        assert!(queue.turn("b").now_or_never().is_some());
        // One that is given up makes room.
        waiting.pop();
        assert!(queue.turn("a").now_or_never().is_none());
        drop((turn, waiting));
        assert!(queue.turns.is_empty());
    }

    #[tokio::test]
    async fn namespaces_take_turns_at_the_compiler() {
        let (queue, compiler) = (Arc::new(DeployQueue::default()), Arc::new(Semaphore::new(1)));
        let order = Arc::new(Mutex::new(Vec::new()));
        let busy = compiler.clone().acquire_owned().await.unwrap();
        let mut deploys = tokio::task::JoinSet::new();
        for namespace in ["a", "a", "a", "a", "b", "b", "c"] {
            let (queue, compiler, order) = (queue.clone(), compiler.clone(), order.clone());
            deploys.spawn(async move {
                let _turn = queue.turn(namespace).await.unwrap();
                let _compiling = compiler.acquire().await.unwrap();
                order.lock().unwrap().push(namespace);
                tokio::task::yield_now().await;
            });
            tokio::task::yield_now().await;
        }
        drop(busy);
        deploys.join_all().await;
        assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "a", "b", "a", "a"]);
    }
}
