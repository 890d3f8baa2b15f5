//! The processes of a fleet.

use std::fs;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Builder, PATIENCE, Platform, eventually, free_port};
use crate::postgres_server::Postgres;
use crate::s3_server::S3;

/// Where a fleet keeps its components.
pub(crate) enum Store {
    /// A folder that all registries see.
    Folder,
    /// A real object store.
    S3(Box<S3>),
}

/// The least that a fleet has, and as many of each as a test wants.
pub(crate) struct Fleet {
    pub(crate) gateways: Vec<Platform>,
    pub(crate) registries: Vec<Platform>,
    pub(crate) postgres: Postgres,
    pub(crate) database: String,
    pub(crate) objects: Store,
    /// The object store's folder, and the tokens.
    shared: tempfile::TempDir,
}

impl Fleet {
    pub(crate) async fn start(registries: usize, gateways: usize) -> Self {
        Self::start_on(Store::Folder, registries, gateways).await
    }

    pub(crate) async fn start_on(objects: Store, registries: usize, gateways: usize) -> Self {
        let postgres = Postgres::start();
        let shared = tempfile::tempdir().unwrap();
        for (file, token) in [("admin.token", "a"), ("node.token", "n")] {
            fs::write(shared.path().join(file), token.repeat(40)).unwrap();
        }
        fs::create_dir(shared.path().join("store")).unwrap();
        let database = postgres.database();
        let mut fleet = Self { gateways: Vec::new(), registries: Vec::new(), postgres, database, objects, shared };
        for _ in 0..registries {
            let registry = fleet.registry().start().await;
            fleet.registries.push(registry);
        }
        for place in 0..gateways {
            let gateway = fleet.gateway(place % registries.max(1)).start().await;
            fleet.gateways.push(gateway);
        }
        for gateway in &fleet.gateways {
            ready(gateway).await;
        }
        fleet
    }

    /// A registry that is about to start.
    pub(crate) fn registry(&self) -> Builder {
        let shared = |name: &str| self.shared.path().join(name).display().to_string();
        let registry = Platform::builder().role("registry").arg(format!("--database={}", self.database));
        let registry = match &self.objects {
            Store::Folder => registry.arg(format!("--artifacts=file://{}", shared("store"))),
            Store::S3(server) => {
                let registry = registry.arg("--artifacts=s3://functions/artifacts");
                server.environment().into_iter().fold(registry, |registry, (name, value)| registry.env(name, &value))
            }
        };
        registry
            // The same after a restart: gateways know it by its address.
            .arg(format!("--control=127.0.0.1:{}", free_port()))
            .arg(format!("--admin-token-file={}", shared("admin.token")))
            .arg(format!("--node-token-file={}", shared("node.token")))
            .with_token("a".repeat(40))
    }

    /// A gateway that is about to start, and follows that registry.
    pub(crate) fn gateway(&self, registry: usize) -> Builder {
        Platform::builder()
            .role("gateway")
            .arg(format!("--registry={}", self.registries[registry].control_url()))
            .arg(format!("--node-token-file={}", self.shared.path().join("node.token").display()))
            .arg(format!("--node-name=gateway-{}", self.gateways.len()))
            // The same after a restart, for a balancer.
            .arg(format!("--listen=127.0.0.1:{}", free_port()))
            .arg(format!("--control=127.0.0.1:{}", free_port()))
    }

    /// The folder of the object store.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.shared.path().join("store")
    }

    /// The nodes as a registry knows them.
    pub(crate) async fn nodes(&self) -> Value {
        self.registries[0].api(Method::GET, "/nodes").await.expect(200).json()
    }

    /// Waits until every gateway serves everything that a registry has taken down.
    pub(crate) async fn settled(&self) {
        eventually("every gateway to be up to date", PATIENCE, async || {
            let list = self.nodes().await;
            let nodes = list["nodes"].as_array()?;
            let live = nodes.iter().filter(|node| node["live"] == true);
            (live.filter(|node| node["revision"] == list["revision"]).count() >= self.gateways.len()).then_some(())
        })
        .await;
    }
}

/// Waits until a process says that it is ready.
pub(crate) async fn ready(platform: &Platform) {
    eventually("a node to be ready", PATIENCE, async || {
        (platform.control(Method::GET, "/readyz").await.status == 200).then_some(())
    })
    .await;
}

/// Waits until a gateway answers so.
pub(crate) async fn answers(gateway: &Platform, path: &str, text: &str) {
    eventually(&format!("{path} to answer {text:?}"), Duration::from_secs(20), async || {
        let answer = gateway.get(path).await;
        (answer.status == 200 && answer.text() == text).then_some(())
    })
    .await;
}
