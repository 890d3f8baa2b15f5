//! Native code is a cache: whatever happens to it, functions answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::Platform;

const FUNCTIONS: [(&str, &str); 2] = [("hello", "Hello from Wasmway!\n"), ("hello-p3", "Hello from WASI 0.3!\n")];

/// A platform that has served its functions, and was stopped.
async fn stopped() -> Platform {
    let mut platform = Platform::start().await;
    for (name, text) in FUNCTIONS {
        platform.deploy(name).await;
        platform.get(&format!("/{name}/")).await.expect(200).expect_text(text);
    }
    assert_eq!(loads(&platform, "compile").await, 0.0, "a deploy is a compilation, not a load");
    platform.terminate().await;
    platform
}

async fn loads(platform: &Platform, source: &str) -> f64 {
    platform.metrics().await.value("wasmway_program_loads_total", &[("source", source)])
}

/// Starts it again: every function answers, having been loaded from `source`.
async fn answers_from(platform: &mut Platform, source: &str) {
    platform.start_again().await;
    for (name, text) in FUNCTIONS {
        platform.get(&format!("/{name}/")).await.expect(200).expect_text(text);
    }
    assert_eq!(loads(platform, source).await, FUNCTIONS.len() as f64, "{}", platform.metrics().await.text());
    assert_eq!(loads(platform, "cache").await + loads(platform, "compile").await, FUNCTIONS.len() as f64);
    let cold = |name| [("namespace", "default"), ("function", name)];
    let metrics = platform.metrics().await;
    assert_eq!(metrics.value("wasmway_cold_starts_total", &cold("hello")), 1.0);
}

fn folder(platform: &Platform) -> PathBuf {
    platform.folder().join("code")
}

/// The folders that hold code, one for each engine.
fn engines(platform: &Platform) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(platform)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn code(platform: &Platform) -> Vec<PathBuf> {
    let is_code = |path: &Path| path.extension().is_some_and(|it| it == "cwasm");
    let files = engines(platform).into_iter().flat_map(|engine| fs::read_dir(engine).unwrap());
    files.map(|entry| entry.unwrap().path()).filter(|path| is_code(path)).collect()
}

#[tokio::test]
async fn code_that_is_there_is_used() {
    let mut platform = stopped().await;
    assert_eq!(code(&platform).len(), FUNCTIONS.len());
    answers_from(&mut platform, "cache").await;
}

#[tokio::test]
async fn code_that_was_deleted_is_made_again() {
    let mut platform = stopped().await;
    fs::remove_dir_all(folder(&platform)).unwrap();
    answers_from(&mut platform, "compile").await;
    // And kept: the next start finds it.
    platform.terminate().await;
    answers_from(&mut platform, "cache").await;
}

#[tokio::test]
async fn code_that_was_changed_is_made_again() {
    let mut platform = stopped().await;
    for file in code(&platform) {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 16] {
            *byte ^= 0xff;
        }
        fs::write(&file, bytes).unwrap();
    }
    answers_from(&mut platform, "compile").await;
}

#[tokio::test]
async fn code_that_is_cut_short_or_empty_is_made_again() {
    let mut platform = stopped().await;
    for (file, length) in code(&platform).iter().zip([0, 1000]) {
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
    }
    answers_from(&mut platform, "compile").await;
}

#[tokio::test]
async fn code_of_another_version_is_made_again_and_does_not_stay() {
    let mut platform = stopped().await;
    let mut renamed = Vec::new();
    for (engine, version) in engines(&platform).iter().zip(["47.0.0-aaaa", "49.0.0-bbbb"]) {
        renamed.push(engine.with_file_name(version));
        fs::rename(engine, renamed.last().unwrap()).unwrap();
    }
    assert_eq!(renamed.len(), 2);
    answers_from(&mut platform, "compile").await;
    assert!(!renamed.iter().any(|folder| folder.exists()), "what nobody can use takes room for ever");
}

#[tokio::test]
async fn code_of_another_data_directory_is_not_trusted() {
    let mut platform = stopped().await;
    // The key that the code was signed with is gone, as it is when somebody copies code here.
    fs::remove_file(folder(&platform).join("key")).unwrap();
    answers_from(&mut platform, "compile").await;
}

#[tokio::test]
async fn code_that_is_changed_under_a_running_server_is_made_again() {
    // No program stays in memory: every call loads its code.
    let platform = Platform::builder().arg("--program-cache=0MiB").start().await;
    platform.deploy("hello").await;
    // Files that have just been written are verified each time: wait until one is believed to be unchanged.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..3 {
        platform.get("/hello/").await.expect(200);
    }
    assert_eq!(loads(&platform, "compile").await, 0.0);
    assert!(loads(&platform, "cache").await >= 3.0, "{}", platform.metrics().await.text());
    let [file] = &code(&platform)[..] else { panic!("one file of code") };
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    // A file of its own, since the one that is mapped would change under those who run it.
    let scratch = file.with_extension("new");
    fs::write(&scratch, bytes).unwrap();
    fs::rename(&scratch, file).unwrap();
    platform.get("/hello/").await.expect(200).expect_text(FUNCTIONS[0].1);
    assert_eq!(loads(&platform, "compile").await, 1.0);
}
