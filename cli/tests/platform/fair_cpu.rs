//! Who gets the CPU when there is not enough of it.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::Platform;

/// Every processor of the machine taken twice over, until it is dropped.
struct BusyMachine(Arc<AtomicBool>);

impl BusyMachine {
    fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..2 * thread::available_parallelism().unwrap().get() {
            let over = over.clone();
            thread::spawn(move || while !over.load(Relaxed) {});
        }
        Self(over)
    }
}

impl Drop for BusyMachine {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_requests_go_on_beside_a_busy_machine() {
    let platform = Platform::start().await;
    // Threads of the lowest priority alone would get less than a hundredth of a processor here.
    platform.deploy_with("loop", "[limits]\ncpu = \"400ms\"\ntimeout = \"30s\"\n").await;
    let busy = BusyMachine::begin();
    for _ in 0..2 {
        platform.get("/loop/").await.expect_problem(504, "cpu-limit", "function");
    }
    drop(busy);
}

#[tokio::test]
async fn short_requests_do_not_wait_behind_hundreds_of_long_ones() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy_with("loop", "[limits]\ncpu = \"5m\"\ntimeout = \"20s\"\nconcurrency = 400\n").await;
    let spinning: Vec<_> = (0..400).map(|_| tokio::spawn(platform.get("/loop/").into_future())).collect();
    let metrics = async || platform.metrics().await.value("wasmway_cpu_queue_requests", &[]);
    crate::harness::eventually("the long ones to queue", Duration::from_secs(15), async || {
        (metrics().await > 300.0).then_some(())
    })
    .await;
    let mut waits = Vec::new();
    for _ in 0..51 {
        let asked = Instant::now();
        platform.get("/hello/").await.expect(200);
        waits.push(asked.elapsed());
    }
    waits.sort();
    // A turn for each of the long ones, one after the other, is 200 ms on two processors.
    assert!(waits[25] < Duration::from_millis(100), "{waits:?}");
    spinning.iter().for_each(tokio::task::JoinHandle::abort);
    platform.idle(Duration::from_secs(20)).await;
}
