//! What takes minutes: `cargo xtask fleet` runs it and prints the figures. Each test is the whole of what it says, for
//! the time that `FLEET_SECONDS` gives.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::{SeedableRng, seq::IndexedRandom};
use reqwest::Method;

use crate::balancer::Balancer;
use crate::harness::{Platform, eventually, guest};
use crate::load::Load;
use crate::members::{Fleet, Store, answers, ready};
use crate::s3_server::S3;

const HELLO: &str = "Hello from Wasmway!\n";

/// How long a test goes on.
fn patience() -> Duration {
    Duration::from_secs(std::env::var("FLEET_SECONDS").map_or(60, |text| text.parse().unwrap()))
}

async fn fleet() -> Fleet {
    let fleet = Fleet::start_on(Store::S3(Box::new(S3::start())), 2, 3).await;
    fleet.registries[0].deploy("hello").answer().await.expect(201);
    for gateway in &fleet.gateways {
        answers(gateway, "/hello/", HELLO).await;
    }
    fleet
}

fn hello_at(gateways: &[Platform]) -> Vec<String> {
    gateways.iter().map(|gateway| format!("{}/hello/", gateway.data())).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask fleet"]
async fn a_deploy_is_visible_on_all_gateways_within_a_second() {
    const DEPLOYS: usize = 100;
    let fleet = fleet().await;
    fleet.registries[0].deploy("inspect").answer().await.expect(201);
    // Compiled once: what counts below is the way of a change.
    fleet.settled().await;
    let mut took = Vec::with_capacity(DEPLOYS);
    for deploy in 0..DEPLOYS {
        let registry = &fleet.registries[deploy % 2];
        let manifest = format!("[env]\nMARK = \"mark-{deploy}-\"");
        registry.deploy_with("inspect", &manifest).answer().await.expect(201);
        let acknowledged = Instant::now();
        let mark = format!("mark-{deploy}-");
        for gateway in &fleet.gateways {
            while !gateway.get("/inspect/").await.text().contains(&mark) {
                assert!(acknowledged.elapsed() < Duration::from_secs(20), "deploy {deploy} is not visible");
            }
        }
        took.push(acknowledged.elapsed());
    }
    took.sort();
    let (median, p99, most) = (took[DEPLOYS / 2], took[DEPLOYS * 99 / 100 - 1], took[DEPLOYS - 1]);
    println!("{DEPLOYS} deploys visible on {} gateways: median {median:?}, p99 {p99:?}, most {most:?}", 3);
    assert!(p99 < Duration::from_secs(1));
}

/// What may be killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Gateway(usize),
    Registry(usize),
    Postgres,
    Objects,
}

/// After a gateway was killed, answers that were on their way from it may fail, or go to it before the balancer knows.
const SETTLED: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask fleet"]
async fn any_one_process_may_be_killed_at_any_time() {
    let mut fleet = fleet().await;
    let balancer = Balancer::start(&fleet).await;
    let load = Load::start(&[format!("{}/hello/", balancer.url())], 16);
    let mut random = StdRng::seed_from_u64(42);
    let end = Instant::now() + patience();
    let victims = [0, 1, 2].map(Victim::Gateway).into_iter().chain([0, 1].map(Victim::Registry));
    let victims: Vec<_> = victims.chain([Victim::Postgres, Victim::Objects]).collect();
    let (mut gateways_killed, mut kills, mut deploys) = (Vec::new(), 0, 0);
    while Instant::now() < end {
        let victim = *victims.choose(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
        if let Victim::Gateway(_) = victim {
            gateways_killed.push(Instant::now());
        }
        kill(&mut fleet, victim).await;
        kills += 1;
        // A deploy meanwhile is refused or acknowledged; what was acknowledged is counted.
        let registry = match victim {
            Victim::Registry(dead) => 1 - dead,
            _ => random.random_range(0..2),
        };
        let manifest = format!("[env]\nMARK = \"mark-{kills}-\"");
        let answer = fleet.registries[registry].deploy_with("inspect", &manifest).answer().await;
        assert!(matches!(answer.status.as_u16(), 201 | 503), "{victim:?}: {answer}");
        deploys += usize::from(answer.status == 201);
        resume(&mut fleet, victim).await;
    }
    let (answered, failures) = load.stop().await;
    let near = |failure: &Instant| gateways_killed.iter().any(|kill| *failure >= *kill && *failure - *kill < SETTLED);
    let (excused, failed): (Vec<_>, Vec<_>) = failures.into_iter().partition(|(when, _)| near(when));
    println!(
        "{kills} kills, {} of gateways: {answered} calls answered, {} failed in flight on a killed gateway, {} others",
        gateways_killed.len(),
        excused.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    let versions = fleet.registries[0].api(Method::GET, "/functions/inspect/versions").await.expect(200).json();
    let stored = versions["versions"].as_array().unwrap().len();
    println!("{deploys} deploys were acknowledged, {stored} are there");
    // One that was cut off before its answer may be there as well.
    assert!(stored >= deploys);
    fleet.settled().await;
}

async fn kill(fleet: &mut Fleet, victim: Victim) {
    match victim {
        Victim::Gateway(place) => fleet.gateways[place].kill().await,
        Victim::Registry(place) => fleet.registries[place].kill().await,
        Victim::Postgres => fleet.postgres.stop(),
        Victim::Objects => objects(fleet).stop(),
    }
}

async fn resume(fleet: &mut Fleet, victim: Victim) {
    match victim {
        Victim::Gateway(place) => {
            fleet.gateways[place].start_again().await;
            ready(&fleet.gateways[place]).await;
        }
        Victim::Registry(place) => fleet.registries[place].start_again().await,
        Victim::Postgres => fleet.postgres.resume(),
        Victim::Objects => objects(fleet).resume(),
    }
}

fn objects(fleet: &mut Fleet) -> &mut S3 {
    match &mut fleet.objects {
        Store::S3(server) => server,
        Store::Folder => unreachable!("this fleet has a real one"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask fleet"]
async fn invocations_go_on_in_every_outage() {
    let mut fleet = fleet().await;
    // The snapshot is written within a second or so.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for outage in [vec![Victim::Postgres], vec![Victim::Objects], vec![Victim::Registry(0), Victim::Registry(1)]] {
        for victim in &outage {
            kill(&mut fleet, *victim).await;
        }
        // The third one is restarted meanwhile.
        let load = Load::start(&hello_at(&fleet.gateways[..2]), 8);
        let half = patience() / 2;
        tokio::time::sleep(half).await;
        if matches!(outage[0], Victim::Postgres) {
            let refused = fleet.registries[0].api(Method::GET, "/functions").await.expect(503).json();
            assert_eq!(refused["code"], "registry-unavailable");
        }
        fleet.gateways[2].kill().await;
        fleet.gateways[2].start_again().await;
        ready(&fleet.gateways[2]).await;
        let restarted = Load::start(&hello_at(&fleet.gateways[2..]), 4);
        tokio::time::sleep(half).await;
        let (answered, failures) = load.stop().await;
        let (of_restarted, more) = restarted.stop().await;
        println!(
            "{outage:?} away for {:?}: {answered} and {of_restarted} calls answered, {} failed",
            2 * half,
            failures.len() + more.len()
        );
        assert!(failures.is_empty() && more.is_empty(), "{failures:?} {more:?}");
        for victim in outage {
            resume(&mut fleet, victim).await;
        }
        fleet.settled().await;
    }
    fleet.registries[1].deploy("inspect").answer().await.expect(201);
    fleet.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask fleet"]
async fn a_rolling_restart_behind_a_balancer_loses_no_request() {
    let mut fleet = fleet().await;
    let balancer = Balancer::start(&fleet).await;
    let load = Load::start(&[format!("{}/hello/", balancer.url())], 16);
    let end = Instant::now() + patience();
    let mut restarts = 0;
    while Instant::now() < end {
        let place = restarts % 3;
        let status = fleet.gateways[place].terminate().await;
        assert!(status.success(), "{status}");
        fleet.gateways[place].start_again().await;
        ready(&fleet.gateways[place]).await;
        restarts += 1;
        // Until the balancer has looked at it once more.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (answered, failures) = load.stop().await;
    println!("{restarts} restarts: {answered} calls answered, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask fleet"]
async fn a_node_with_ten_thousand_functions_starts_within_two_seconds() {
    let mut fleet = Fleet::start(1, 1).await;
    let mut deployed = 0;
    for count in [10, 1000, 10_000] {
        while deployed < count {
            let registry = &fleet.registries[0];
            let deploys =
                (0..10).map(|place| registry.upload(&format!("f{}", deployed + place), guest("hello")).answer());
            for answer in futures_all(deploys).await {
                answer.expect(201);
            }
            deployed += 10;
        }
        fleet.settled().await;
        eventually("the snapshot to have all", Duration::from_secs(60), async || {
            let snapshot = std::fs::read_to_string(fleet.gateways[0].folder().join("snapshot.json")).ok()?;
            snapshot.contains(&format!("\"f{}\"", count - 1)).then_some(())
        })
        .await;
        fleet.gateways[0].terminate().await;
        let begin = Instant::now();
        fleet.gateways[0].start_again().await;
        ready(&fleet.gateways[0]).await;
        let ready_in = begin.elapsed();
        let last = format!("/f{}/", count - 1);
        fleet.gateways[0].get(&last).await.expect(200).expect_text(HELLO);
        let first_answer = begin.elapsed();
        let memory = fleet.gateways[0].process().memory() >> 20;
        println!("{count} functions: ready in {ready_in:?}, the last answers after {first_answer:?}, {memory} MiB");
        assert!(ready_in < Duration::from_secs(2));
    }
}

async fn futures_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures::future::join_all(futures).await
}
