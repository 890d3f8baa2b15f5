//! A registry that moves: out of a fleet into one process, and back into another fleet.

use std::fs;
use std::path::Path;

use crate::harness::{Platform, binary};
use crate::members::{Fleet, ready};

const HELLO: &str = "Hello from Wasmway!\n";

/// Runs `wasmway VERB FILE` on a registry, which must succeed.
#[track_caller]
fn wasmway(verb: &str, file: &Path, registry: &[String]) {
    let output = binary().arg(verb).arg(file).args(registry).output().unwrap();
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
}

/// How commands find the registry of a fleet.
fn stores(fleet: &Fleet) -> [String; 2] {
    [format!("--database={}", fleet.database), format!("--artifacts=file://{}", fleet.store().display())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_becomes_one_process_and_a_fleet_again() {
    let mut fleet = Fleet::start(1, 0).await;
    fleet.registries[0].deploy("hello").answer().await.expect(201);
    fleet.registries[0].deploy_with("inspect", "[env]\nSAY = \"one\"").answer().await.expect(201);
    fleet.registries[0].deploy_with("inspect", "[env]\nSAY = \"two\"").answer().await.expect(201);
    let mut platform = Platform::start().await;
    let (first, second) = (platform.scratch().join("first.tar"), platform.scratch().join("second.tar"));

    // While its registry goes on.
    wasmway("backup", &first, &stores(&fleet));
    platform.kill().await;
    fs::remove_dir_all(platform.folder()).unwrap();
    let data_dir = [format!("--data-dir={}", platform.folder().display())];
    wasmway("restore", &first, &data_dir);
    platform.start_again().await;
    platform.get("/hello/").await.expect(200).expect_text(HELLO);
    assert_eq!(platform.get("/inspect/").await.expect(200).json()["env"]["SAY"], "two");
    platform.api(reqwest::Method::POST, "/functions/inspect/rollback").await.expect(200);

    wasmway("backup", &second, &data_dir);
    let output = binary().arg("restore").arg(&second).args(stores(&fleet)).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("is not empty"));
    fleet.database = fleet.postgres.database();
    wasmway("restore", &second, &stores(&fleet));
    let registry = fleet.registry().start().await;
    fleet.registries = vec![registry];
    let gateway = fleet.gateway(0).start().await;
    ready(&gateway).await;
    gateway.get("/hello/").await.expect(200).expect_text(HELLO);
    assert_eq!(gateway.get("/inspect/").await.expect(200).json()["env"]["SAY"], "one");
    let deployed = fleet.registries[0].deploy_with("inspect", "[env]\nSAY = \"three\"").answer().await.expect(201);
    assert_eq!(deployed.json()["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_brought_to_the_schema_beforehand() {
    let fleet = Fleet::start(0, 0).await;
    let migrate = |arguments: &[&str]| {
        let output = binary().arg("migrate").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let database = format!("--database={}", fleet.database);
    let (code, said, _) = migrate(&[&database, "--check"]);
    assert!(code == Some(1) && said.contains("request quotas  lacking"), "{said}");
    let (code, said, _) = migrate(&[&database]);
    assert!(code == Some(0) && said.contains("request quotas  applied now"), "{said}");
    let (code, said, _) = migrate(&[&database, "--check", "-o", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"], &said["migrations"][0]["applied"]), (Some(0), &true.into(), &true.into()));

    // A program that reads along is told what has come of it.
    let other = format!("--database={}", fleet.postgres.database());
    let (code, said, _) = migrate(&[&other, "-o", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"], &said["migrations"][0]["applied"]), (Some(0), &true.into(), &true.into()));

    let platform = Platform::start().await;
    let data_dir = format!("--data-dir={}", platform.folder().display());
    let (code, said, _) = migrate(&[&data_dir]);
    assert!(code == Some(0) && said.contains("there"), "there is nothing to do for a server's: {said}");
    let nowhere = format!("--data-dir={}", platform.scratch().join("nowhere").display());
    let (code, _, why) = migrate(&[&nowhere]);
    assert!(code == Some(1) && why.contains("there is no registry in"), "{why}");
}
