use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wasmway_registry::{Migration, Quota, Registry, RegistryError, Stores, migrations};

use crate::harness::TestRegistry;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let registry = TestRegistry::new().await;
    registry.deploy("hello", "one", "[[routes]]\npath = \"/shop\"").await;
    registry.deploy("hello", "two", "[env]\nA = \"2\"\n[[routes]]\npath = \"/shop\"").await;
    registry.deploy("other/gone", "one", "").await;
    registry.delete("other/gone").await;
    let before = registry.registry.changes(0).await.unwrap();

    let registry = registry.reopen().await;
    assert_eq!(registry.registry.changes(0).await.unwrap(), before);
    assert_eq!(registry.versions("hello").await, Some((vec![2, 1], 2)));
    assert!(registry.try_deploy("thief", "one", "[[routes]]\npath = \"/shop\"").await.is_err());
    assert_eq!(registry.rollback("hello", None).await.unwrap().active.version.get(), 1);
    assert_eq!(registry.deploy("other/gone", "one", "").await.function.active.version.get(), 2);
}

#[tokio::test]
async fn a_database_of_an_older_program_is_brought_to_the_schema() {
    let data = tempfile::tempdir().unwrap();
    let registry = Registry::open(data.path(), &Stores::default()).await.unwrap();
    crate::harness::deploy(&registry, "hello", "one", "").await.unwrap();
    let in_use = migrations(data.path(), None, true).await.unwrap_err();
    assert!(matches!(in_use, RegistryError::InUse(_)), "{in_use:?}");
    registry.close().await;
    drop(registry);
    // As it was before one of the steps.
    let url = format!("sqlite://{}/registry.db", data.path().display());
    let database = sqlx::SqlitePool::connect(&url).await.unwrap();
    for statement in [
        "DROP INDEX quotas_by_revision",
        "ALTER TABLE quotas DROP COLUMN revision",
        "ALTER TABLE quotas DROP COLUMN concurrency",
        "ALTER TABLE quotas DROP COLUMN requests_per_second",
        "ALTER TABLE quotas DROP COLUMN cpu_weight",
        "DELETE FROM _sqlx_migrations WHERE version = 8",
        "INSERT INTO quotas (namespace, functions) VALUES ('default', 3)",
    ] {
        sqlx::query(statement).execute(&database).await.unwrap();
    }
    database.close().await;
    let lacking = |steps: Vec<Migration>| steps.iter().filter(|step| !step.applied).map(|it| it.number).collect();
    let find = async |take| -> Vec<i64> { lacking(migrations(data.path(), None, take).await.unwrap()) };
    assert_eq!(find(false).await, [8]);
    assert_eq!(find(false).await, [8], "looking changes nothing");
    assert_eq!(find(true).await, [0; 0]);
    let registry = Registry::open(data.path(), &Stores::default()).await.unwrap();
    assert_eq!(registry.namespaces().await.unwrap()[0].quota, Quota { functions: Some(3), ..Quota::default() });
    let nowhere = migrations(&data.path().join("nowhere"), None, true).await.unwrap_err();
    assert!(matches!(nowhere, RegistryError::NoRegistry(_)), "{nowhere:?}");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let registry = TestRegistry::new().await;
    let error = Registry::open(registry.path(), &Stores::default()).await.unwrap_err();
    assert!(matches!(error, RegistryError::InUse(_)), "{error:?}");
    registry.reopen().await;
}

#[tokio::test]
async fn closing_waits_and_then_refuses() {
    let registry = TestRegistry::new().await;
    registry.deploy("hello", "one", "").await;
    registry.registry.close().await;
    assert!(registry.registry.changes(0).await.is_err());
    assert!(!registry.path().join("registry.db-wal").exists(), "the log is merged");
    assert!(registry.reopen().await.function("hello").await.is_some());
}

#[tokio::test]
async fn folders_and_database_are_for_their_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep/data");
    let registry = Registry::open(&data, &Stores::default()).await.unwrap();
    crate::harness::deploy(&registry, "hello", "one", "").await.unwrap();
    for folder in ["", "artifacts", "artifacts/incoming", "artifacts/sha256"] {
        assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
    }
    for file in ["registry.db", "registry.db-wal", "registry.db-shm", "registry.lock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let artifact = registry.artifacts().path(&wasmway_registry::Digest::of(b"one"));
    assert_eq!(mode(&artifact), 0o600);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Registry::open(&file.join("data"), &Stores::default()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_none_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("registry.db");
    std::fs::write(&database, "this is not a database, but somebody's letter".repeat(50)).unwrap();
    let error = Registry::open(dir.path(), &Stores::default()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Database(_)), "{error:?}");
    assert!(std::fs::read_to_string(&database).unwrap().starts_with("this is not"));
}

#[tokio::test]
async fn a_database_that_a_newer_program_migrated_is_taken() {
    let registry = TestRegistry::new().await;
    registry.deploy("hello", "one", "").await;
    let url = format!("sqlite://{}/registry.db", registry.path().display());
    let database = sqlx::SqlitePool::connect(&url).await.unwrap();
    for statement in [
        "ALTER TABLE functions ADD COLUMN paused INTEGER NOT NULL DEFAULT 0",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'paused functions', TRUE, x'00', 1)",
    ] {
        sqlx::query(statement).execute(&database).await.unwrap();
    }
    database.close().await;

    let registry = registry.reopen().await;
    assert!(registry.deploy("hello", "two", "").await.created);
}

/// The process is killed at a random moment between acknowledgements; what it acknowledged must be there.
///
/// The test runs itself as the process to kill: with `CRASH_DIR` set it deploys until then.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let Ok(dir) = std::env::var("CRASH_DIR") else {
        return survive_kill_9();
    };
    runtime().block_on(async {
        let registry = Registry::open(Path::new(&dir), &Stores::default()).await.unwrap();
        let first = registry.changes(0).await.unwrap().revision;
        // More than it lives to see; an end, in case nobody is left to kill it.
        for i in first..first + 2000 {
            let deployed = crate::harness::deploy(&registry, "hello", &format!("component {i}"), "").await.unwrap();
            println!("acknowledged {}", deployed.function.active.version);
        }
    });
}

fn survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..8_u64 {
        let log = dir.path().join("log");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "opening::what_was_acknowledged_survives_kill_9"])
            .env("CRASH_DIR", dir.path().join("data"))
            .stdout(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let acknowledged = || {
            let log = std::fs::read_to_string(&log).unwrap();
            let numbers = log.lines().filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse::<u32>().ok());
            numbers.max()
        };
        while acknowledged().is_none() {
            assert_eq!(child.try_wait().unwrap(), None, "the child goes on until it is killed");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_micros(round * 3700));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = acknowledged().unwrap();
        runtime().block_on(check_after_crash(&dir.path().join("data"), acknowledged));
    }
}

async fn check_after_crash(data: &Path, acknowledged: u32) {
    let registry = Registry::open(data, &Stores::default()).await.unwrap();
    let (namespace, name) = crate::harness::parse("hello");
    let versions = registry.versions(&namespace, &name).await.unwrap().unwrap();
    let newest = versions[0].version.get();
    assert!(newest == acknowledged || newest == acknowledged + 1, "{acknowledged} {newest}");
    assert_eq!(versions.len() as u32, newest);
    for version in versions {
        assert!(registry.artifacts().verify(&version.digest).await.unwrap());
    }
    assert_eq!(std::fs::read_dir(data.join("artifacts/incoming")).unwrap().count(), 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}
