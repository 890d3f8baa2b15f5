//! Kill -9 at random moments of deploys, round after round, with an oracle that knows what was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, guest};

const FUNCTIONS: [&str; 3] = ["crash-a", "crash-b", "crash-c"];

/// The latest moment of a round at which the process is killed.
const ROUND_MS_MAX: u64 = 700;

/// What the platform said it had: function and version, with the digest and the mark that was sent.
type Acknowledged = BTreeMap<(String, u64), (String, String)>;

/// A component that no one has seen, and that does what `inspect` does: with a section of no meaning.
fn unseen(mark: &str) -> Vec<u8> {
    let content = [&[4][..], b"mark", mark.as_bytes()].concat();
    let size = u8::try_from(content.len()).ok().filter(|size| *size < 128).unwrap();
    [&guest("inspect")[..], &[0, size], &content].concat()
}

/// Deploys to one function until the process is gone, and writes down what was acknowledged.
async fn deploy_on_and_on(platform: &Platform, name: &str, acknowledged: &Mutex<Acknowledged>) {
    loop {
        let mark = format!("{:016x}", rand::rng().random::<u64>());
        // Some of the same component, which is quick, and some that are compiled.
        let component = if rand::rng().random() { unseen(&mark) } else { guest("inspect") };
        let manifest = format!("[env]\nMARK = \"{mark}\"\n");
        let Ok(answer) = platform.upload(name, component).manifest(&manifest).attempt().await else { return };
        let function = answer.expect(201).json();
        let key = (name.to_owned(), function["version"].as_u64().unwrap());
        let value = (function["digest"].as_str().unwrap().to_owned(), mark);
        let before = acknowledged.lock().unwrap().insert(key.clone(), value);
        assert!(before.is_none(), "{key:?} was acknowledged twice");
    }
}

/// Everything that was acknowledged is there, whatever is there is whole, and what is active answers.
async fn check(platform: &Platform, acknowledged: &Acknowledged) {
    let incoming = platform.folder().join("artifacts/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "a leftover of an upload");
    for name in FUNCTIONS {
        let answer = platform.api(Method::GET, &format!("/functions/{name}/versions")).await;
        let known: Vec<_> = acknowledged.range((name.to_owned(), 0)..=(name.to_owned(), u64::MAX)).collect();
        if answer.status == 404 && known.is_empty() {
            continue;
        }
        let list = answer.expect(200).json();
        let versions = list["versions"].as_array().unwrap();
        let numbers: Vec<u64> = versions.iter().map(|version| version["version"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=versions.len() as u64).rev().collect::<Vec<_>>(), "{name} has a gap");
        for ((_, number), (digest, mark)) in known {
            let found = versions.iter().find(|version| version["version"] == *number);
            let found = found.unwrap_or_else(|| panic!("{name} v{number} was acknowledged and is gone"));
            assert_eq!(
                (&found["digest"], &found["manifest"]["env"]["MARK"]),
                (&Value::from(&**digest), &Value::from(&**mark))
            );
        }
        is_whole(platform, name, &versions[0]).await;
        answers(platform, name, versions).await;
    }
}

/// The newest version, acknowledged or not, has all of its component.
async fn is_whole(platform: &Platform, name: &str, version: &Value) {
    let path = format!("/functions/{name}/versions/{}/component", version["version"]);
    let component = platform.api(Method::GET, &path).await.expect(200);
    assert_eq!(component.body.len() as u64, version["size"].as_u64().unwrap());
    assert_eq!(wasmway_registry::Digest::of(&component.body).to_string(), version["digest"].as_str().unwrap());
}

async fn answers(platform: &Platform, name: &str, versions: &[Value]) {
    let active = versions.iter().find(|version| version["active"] == true).unwrap();
    let answer = platform.get(&format!("/{name}/")).await.expect(200).json();
    assert_eq!(answer["env"]["MARK"], active["manifest"]["env"]["MARK"], "{name} serves another version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a second or two for each round: cargo xtask crash-loop --rounds N"]
async fn nothing_acknowledged_is_lost() {
    let rounds: u32 = std::env::var("CRASH_LOOP_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let mut platform = Platform::start().await;
    let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
    for round in 1..=rounds {
        let moment = Duration::from_millis(rand::rng().random_range(1..ROUND_MS_MAX));
        {
            let deploys = FUNCTIONS.map(|name| deploy_on_and_on(&platform, name, &acknowledged));
            let killing = async {
                tokio::time::sleep(moment).await;
                platform.process().kill();
            };
            tokio::join!(futures::future::join_all(deploys), killing);
        }
        platform.process_mut().ended().await;
        platform.start_again().await;
        let known = acknowledged.lock().unwrap().clone();
        check(&platform, &known).await;
        println!("round {round} of {rounds}: killed after {moment:?}, {} versions acknowledged", known.len());
    }
    let known = acknowledged.lock().unwrap().len();
    assert!(known > 0, "no deploy was ever acknowledged: the loop showed nothing");
    println!("{rounds} rounds: {known} acknowledged versions, none lost, none half there");
}
