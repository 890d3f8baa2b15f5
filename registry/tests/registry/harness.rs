//! A registry in a folder of its own, and short ways to use it.

use tempfile::TempDir;
use wasmway_registry::{
    ArtifactError, Author, Deployed, Digest, Function, FunctionName, Manifest, Namespace, NewVersion, Registry,
    RegistryError, Sticky, Stores, Traffic, Version,
};

use crate::database;

/// An open registry, on the database that this test program is for; its folder goes when it is dropped.
pub(crate) struct TestRegistry {
    pub(crate) registry: Registry,
    pub(crate) dir: TempDir,
    pub(crate) stores: Stores,
    #[allow(dead_code, reason = "it runs as long as this is there")]
    pub(crate) server: database::Server,
}

impl TestRegistry {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (stores, server) = database::stores();
        let registry = Registry::open(dir.path(), &stores).await.unwrap();
        Self { registry, dir, stores, server }
    }

    pub(crate) async fn store(&self, bytes: &[u8]) -> Digest {
        store(&self.registry, bytes).await
    }

    /// Stores `component` and deploys it with the manifest of that text.
    pub(crate) async fn deploy(&self, function: &str, component: &str, manifest: &str) -> Deployed {
        self.try_deploy(function, component, manifest).await.unwrap()
    }

    pub(crate) async fn try_deploy(
        &self,
        function: &str,
        component: &str,
        manifest: &str,
    ) -> Result<Deployed, RegistryError> {
        deploy(&self.registry, function, component, manifest).await
    }

    pub(crate) async fn rollback(&self, function: &str, to: Option<u32>) -> Result<Function, RegistryError> {
        let (namespace, name) = parse(function);
        self.registry.rollback(&namespace, &name, to.map(version), &author()).await
    }

    /// Splits requests by `weights`, pairs of a version and its weight.
    pub(crate) async fn split(&self, function: &str, weights: &[(u32, u32)]) -> Result<Function, RegistryError> {
        self.split_sticky(function, weights, None).await
    }

    pub(crate) async fn split_sticky(
        &self,
        function: &str,
        weights: &[(u32, u32)],
        sticky: Option<Sticky>,
    ) -> Result<Function, RegistryError> {
        let (namespace, name) = parse(function);
        let weights = weights.iter().map(|&(number, weight)| (version(number), weight)).collect();
        self.registry.set_traffic(&namespace, &name, &Traffic { weights, sticky, trial: None }, &author()).await
    }

    pub(crate) async fn delete(&self, function: &str) -> bool {
        let (namespace, name) = parse(function);
        self.registry.delete(&namespace, &name, &author()).await.unwrap()
    }

    pub(crate) async fn function(&self, function: &str) -> Option<Function> {
        let (namespace, name) = parse(function);
        self.registry.function(&namespace, &name).await.unwrap()
    }

    /// The numbers of the function's versions, newest first, and which is active.
    pub(crate) async fn versions(&self, function: &str) -> Option<(Vec<u32>, u32)> {
        let (namespace, name) = parse(function);
        let versions = self.registry.versions(&namespace, &name).await.unwrap()?;
        let mut active = versions.iter().filter(|v| v.active).map(|v| v.version.get());
        let the_active = active.next().unwrap();
        assert_eq!(active.next(), None, "one version is active");
        Some((versions.iter().map(|v| v.version.get()).collect(), the_active))
    }

    pub(crate) async fn revision(&self) -> u64 {
        self.registry.changes(0).await.unwrap().revision
    }
}

pub(crate) async fn store(registry: &Registry, bytes: &[u8]) -> Digest {
    store_up_to(registry, bytes, 1 << 20).await
}

pub(crate) async fn store_up_to(registry: &Registry, bytes: &[u8], most: u64) -> Digest {
    try_store(registry, bytes, most).await.unwrap()
}

async fn try_store(registry: &Registry, bytes: &[u8], most: u64) -> Result<Digest, ArtifactError> {
    let mut upload = registry.artifacts().upload(most).await?;
    upload.write(bytes).await?;
    let sealed = upload.seal().await?;
    let digest = sealed.digest();
    sealed.commit().await?;
    Ok(digest)
}

pub(crate) async fn deploy(
    registry: &Registry,
    function: &str,
    component: &str,
    manifest: &str,
) -> Result<Deployed, RegistryError> {
    let (namespace, name) = parse(function);
    let digest = try_store(registry, component.as_bytes(), 1 << 20).await?;
    registry
        .deploy(
            NewVersion {
                namespace,
                name,
                digest,
                size: component.len() as u64,
                world: "wasi:http/incoming-handler@0.2.10".to_owned(),
                imports: vec!["wasi:io/streams@0.2.6".to_owned()],
                manifest: Manifest::from_toml(manifest).unwrap(),
                traffic: 100,
            },
            &author(),
        )
        .await
}

/// Who changes things here.
pub(crate) fn author() -> Author {
    Author { name: "tests".to_owned(), address: "127.0.0.1".to_owned(), request_id: "r-1".to_owned() }
}

/// `name` or `namespace/name`.
pub(crate) fn parse(function: &str) -> (Namespace, FunctionName) {
    match function.split_once('/') {
        Some((namespace, name)) => (namespace.parse().unwrap(), name.parse().unwrap()),
        None => (Namespace::default(), function.parse().unwrap()),
    }
}

pub(crate) fn version(number: u32) -> Version {
    i64::from(number).try_into().unwrap()
}
