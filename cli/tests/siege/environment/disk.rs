//! What is stored, and what becomes of it: cases 62 to 67, 69 and 70.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use wasmway_registry::Digest;

use crate::case::{Answered, By, Case, armed};
use crate::components::padded;
use crate::harness::{PATIENCE, Platform, guest};

/// Artifacts go to a disk of 2 MiB.
const SMALL_DISK: &str = "mkdir -p \"$DATA/artifacts\" && exec unshare --user --map-root-user --mount /bin/sh -c \
    'mount -t tmpfs -o size=2m tmpfs \"$DATA/artifacts\" && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
const SMALL_DISK_NEEDS: &str =
    "unshare --user --map-root-user --mount mount -t tmpfs -o size=2m tmpfs /mnt 2>/dev/null";

pub(super) fn cases() -> Vec<Case> {
    let environment = By::Environment;
    vec![
        environment.attacks_alone(62, "kill -9 in the middle of deploys", &[], |platform| Box::pin(killed(platform))),
        environment
            .attacks_own(63, "a full disk", &[], |platform| Box::pin(disk_full(platform)))
            .after(SMALL_DISK_NEEDS, SMALL_DISK),
        environment.elsewhere(64, "Postgres down at the start", "cli/tests/fleet/outages.rs"),
        environment.elsewhere(65, "Postgres down midway", "cli/tests/fleet/outages.rs"),
        environment
            .attacks_alone(66, "damaged components and native code", &[], |platform| Box::pin(damaged_files(platform))),
        environment.attacks_own(67, "a damaged database", &[], |platform| Box::pin(damaged_database(platform))),
        environment.elsewhere(69, "the object store out of reach", "cli/tests/fleet/outages.rs"),
        environment.attacks_alone(70, "native code of another wasmtime", &[], |platform| Box::pin(upgraded(platform))),
    ]
}

async fn killed(platform: &mut Platform) -> Answered {
    let name = armed("killed");
    let mut old = guest("hello");
    platform.upload(&name, old.clone()).await;
    let (mut kept, mut replaced) = (0, 0);
    for round in 1..=6_u8 {
        // Another component each time, so that it is compiled and stored.
        let new = padded(&guest("hello"), 100_000, round);
        let deploy = platform.upload(&name, new.clone()).attempt();
        let killing = async {
            tokio::time::sleep(Duration::from_millis(u64::from(round) * 60)).await;
            platform.process().kill();
        };
        let (acknowledged, ()) = tokio::join!(deploy, killing);
        platform.process_mut().ended().await;
        platform.start_again().await;
        platform.get(&format!("/{name}/")).await.expect(200).expect_text("Hello from Wasmway!\n");
        let digest = platform.function(&name).await["digest"].as_str().unwrap().to_owned();
        let is = |component: &[u8]| Digest::of(component).to_string() == digest;
        assert!(is(&old) || is(&new), "neither the old version nor the new");
        assert!(acknowledged.is_err() || is(&new), "what was acknowledged is lost");
        let left = fs::read_dir(platform.folder().join("artifacts/incoming")).unwrap().count();
        assert_eq!(left, 0, "a leftover of an upload");
        if is(&new) {
            (old, replaced) = (new, replaced + 1);
        } else {
            kept += 1;
        }
    }
    Ok(format!("killed 6 times: {kept} times the old version, {replaced} times the new, whole each time"))
}

async fn disk_full(platform: &Platform) -> Answered {
    let name = armed("too-much");
    let large = padded(&guest("hello"), 3 << 20, 1);
    platform.upload(&name, large).answer().await.expect_problem(507, "storage-full", "platform");
    platform.api(Method::GET, &format!("/functions/{name}")).await.expect(404);
    platform.get(&format!("/{}/", armed("hello"))).await.expect(200);
    // Nothing of it takes room: what fits is taken.
    platform.upload(&name, padded(&guest("hello"), 1 << 20, 2)).await;
    platform.get(&format!("/{name}/")).await.expect(200);
    Ok("507 storage-full; functions are served, and what fits is deployed".to_owned())
}

/// All files below `folder` with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

async fn damaged_files(platform: &mut Platform) -> Answered {
    let hello = format!("/{}/", armed("hello"));
    platform.deploy("inspect").named(&armed("whole")).await;
    platform.get(&hello).await.expect(200);
    // Native code with other bytes in it.
    platform.terminate().await;
    for file in files(&platform.folder().join("code"), "cwasm") {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&file, bytes).unwrap();
    }
    platform.start_again().await;
    platform.get(&hello).await.expect(200).expect_text("Hello from Wasmway!\n");
    // A component that says something else than what was deployed, and no native code of the right one.
    platform.terminate().await;
    fs::remove_dir_all(platform.folder().join("code")).unwrap();
    let said = b"Hello from Wasmway!";
    let is_hello = |bytes: &[u8]| bytes.windows(said.len()).position(|found| found == said);
    let artifact = files(&platform.folder().join("artifacts"), "").into_iter();
    let (path, mut bytes, at) = artifact
        .filter_map(|path| {
            fs::read(&path).ok().and_then(|bytes| Some((is_hello(&bytes)?, bytes))).map(|(at, bytes)| (path, bytes, at))
        })
        .next()
        .expect("the component of hello");
    bytes[at..at + 5].copy_from_slice(b"Havoc");
    let permissions = fs::metadata(&path).unwrap().permissions();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, permissions).unwrap();
    platform.start_again().await;
    let answer = platform.get(&hello).await;
    assert!(!answer.text().starts_with("Havoc"), "what nobody deployed is run: {answer}");
    answer.expect_problem(500, "function-unloadable", "platform");
    platform.get(&format!("/{}/", armed("whole"))).await.expect(200);
    // Deployed again, it is whole again.
    platform.deploy("hello").named(&armed("hello")).await;
    platform.get(&hello).await.expect(200).expect_text("Hello from Wasmway!\n");
    Ok("native code is made again; a component that is not what was deployed is not run (500), until deployed again"
        .to_owned())
}

async fn damaged_database(platform: &Platform) -> Answered {
    let database = platform.folder().join("registry.db");
    for file in [database.with_extension("db-wal"), database.with_extension("db-shm"), database.clone()] {
        let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        if length > 0 {
            let file = fs::OpenOptions::new().write(true).open(&file).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![0x5a; length as usize], 0).unwrap();
        }
    }
    let mut refused = 0;
    for number in 0..5 {
        let answer = platform.deploy("echo").named(&armed(&format!("lost-{number}"))).answer().await;
        assert!(answer.status.is_server_error(), "a deploy into a damaged database: {answer}");
        refused += 1;
    }
    let hello = format!("/{}/", armed("hello"));
    for _ in 0..20 {
        platform.get(&hello).await.expect(200).expect_text("Hello from Wasmway!\n");
    }
    Ok(format!("{refused} deploys refused with 5xx, calls are served"))
}

async fn upgraded(platform: &mut Platform) -> Answered {
    let hello = format!("/{}/", armed("hello"));
    platform.get(&hello).await.expect(200);
    platform.terminate().await;
    let code = platform.folder().join("code");
    for (number, entry) in fs::read_dir(&code).unwrap().enumerate() {
        let folder = entry.unwrap().path();
        if folder.is_dir() {
            fs::rename(&folder, code.join(format!("47.0.{number}-other"))).unwrap();
        }
    }
    platform.start_again().await;
    // All at once, of which none finds code.
    let calls = (0..50).map(|_| async { platform.get(&hello).timeout(PATIENCE).await.expect(200) });
    futures::future::join_all(calls).await;
    let compiled = platform.metrics().await.value("wasmway_program_loads_total", &[("source", "compile")]);
    assert_eq!(compiled, 1.0, "it was compiled more than once");
    Ok("50 calls at once: all 200, compiled once".to_owned())
}
