//! Compiling strangers' components: in a jail, within limits, and by turns.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::{FutureExt, join_all};

use crate::harness::{Neighbour, PATIENCE, Platform, compile_bomb, eventually};

/// Waits for the process that compiles; answers with its folder in `/proc`.
async fn worker(platform: &Platform) -> std::path::PathBuf {
    let server = platform.process().run().pid;
    let parent = format!("\nPPid:\t{server}\n");
    eventually("a compile worker to be locked in", PATIENCE, async || {
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        processes.into_iter().find(|process| {
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            status.contains(&parent) && status.contains("\nSeccomp:\t2\n")
        })
    })
    .await
}

#[tokio::test]
async fn components_are_compiled_in_a_jail() {
    let platform = Platform::builder().arg("--compile-cpu=10s").start().await;
    let bomb = platform.upload("bomb", compile_bomb()).answer();
    let look = async {
        let worker = worker(&platform).await;
        let status = fs::read_to_string(worker.join("status")).unwrap();
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
        let stat = fs::read_to_string(worker.join("stat")).unwrap();
        // See proc_pid_stat(5): the 19th field, where the name in parentheses is the second.
        let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap();
        assert_eq!(nice, "10", "{stat}");
    };
    // The rest of the bomb is given up by its client.
    futures::future::select(Box::pin(bomb), Box::pin(look)).await;
    platform.deploy("hello").await;
    platform.deploy("echo").await;
    let told: Vec<_> = platform
        .journal()
        .into_iter()
        .filter(|line| line["message"].as_str().is_some_and(|it| it.contains("in a jail")))
        .collect();
    assert_eq!(told.len(), 1, "said once: {told:?}");
    assert!(told[0]["holds"].as_str().unwrap().contains("seccomp"), "{told:?}");
}

#[tokio::test]
async fn a_compile_bomb_costs_its_deploy_and_nothing_else() {
    for (limits, cause) in [
        (["--compile-cpu=1s", "--compile-memory=8GiB"], "more CPU time than"),
        (["--compile-memory=512MiB", "--compile-cpu=120s"], "more memory or CPU time than"),
        (["--compile-timeout=3s", "--compile-memory=8GiB"], "more time than"),
    ] {
        let platform = Platform::builder().arg(limits[0]).arg(limits[1]).start().await;
        let neighbour = Neighbour::watch(&platform).await;
        platform.process().forget_memory_peak();
        let before = platform.process().memory();
        let answer = platform.upload("bomb", compile_bomb()).answer().await;
        let detail = answer.expect_problem(422, "too-complex", "platform");
        assert!(detail.contains(cause), "{limits:?}: {detail}");
        let peak = platform.process().memory_peak();
        assert!(peak < before + (64 << 20), "{limits:?}: {before} bytes before, {peak} at the peak");
        neighbour.was_served().await;
        platform.deploy("echo").await;
    }
}

/// Deploys of bombs in a namespace of their own, and a count of those that are over.
fn bombs<'a>(platform: &'a Platform, count: usize, over: &'a AtomicUsize) -> impl Future<Output = ()> + 'a {
    let deploys = (0..count).map(async |number: usize| {
        let name = format!("bomb-{number}");
        platform.upload(&name, compile_bomb()).namespace("greedy").answer().await;
        over.fetch_add(1, SeqCst);
    });
    let deploys: Vec<_> = deploys.collect();
    join_all(deploys).map(drop)
}

#[tokio::test]
async fn namespaces_take_turns_at_the_compiler_and_a_call_waits_for_no_queue() {
    const BOMBS: usize = 12;
    let mut platform = Platform::builder().arg("--compile-cpu=2s").start().await;
    platform.deploy("hello").await;
    platform.terminate().await;
    // As after an upgrade: what is served has to be compiled again when it is called.
    fs::remove_dir_all(platform.folder().join("code")).unwrap();
    platform.start_again().await;
    let over = AtomicUsize::new(0);
    let polite = async {
        worker(&platform).await;
        let began = over.load(SeqCst);
        platform.get("/hello/").await.expect(200);
        platform.deploy("echo").await;
        let waited_for = over.load(SeqCst) - began;
        assert!(waited_for <= 4, "a call and a deploy waited for {waited_for} deploys of a neighbour");
    };
    let first = futures::future::select(Box::pin(bombs(&platform, BOMBS, &over)), Box::pin(polite)).await;
    assert!(matches!(first, futures::future::Either::Right(_)), "the queue was over first");
}

#[tokio::test]
async fn a_queue_of_deploys_is_bounded() {
    const DEPLOYS: usize = 40;
    let platform = Platform::builder().arg("--compile-cpu=10s").start().await;
    let refused = AtomicUsize::new(0);
    let deploys = (0..DEPLOYS).map(async |number: usize| {
        let name = format!("bomb-{number}");
        let answer = platform.upload(&name, compile_bomb()).answer().await;
        if answer.status != 422 {
            answer.expect_problem(429, "deploys-queued", "platform");
            assert!(answer.header("retry-after").is_some(), "{answer}");
            refused.fetch_add(1, SeqCst);
        }
    });
    let enough = async {
        // One has its turn and 32 wait; what comes then is turned away, while the first is still compiled.
        eventually("deploys to be turned away", PATIENCE, async || (refused.load(SeqCst) >= 5).then_some(())).await;
        platform.deploy("hello").namespace("other").await;
    };
    let deploys: Vec<_> = deploys.collect();
    futures::future::select(Box::pin(join_all(deploys)), Box::pin(enough)).await;
    // The clients are gone, and their deploys with them.
    tokio::time::timeout(Duration::from_secs(60), async { platform.deploy("hello").await }).await.unwrap();
}
