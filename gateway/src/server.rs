//! One process, put together of the parts that its role asks for, and their end.

mod run_file;

use crate::{
    access_log::AccessLog,
    acme::Acme,
    catalog::Catalog,
    config::{Config, Role},
    control::{self, ControlPlane, Guard, Journals},
    dashboard::{self, Sampler},
    drain::Drain,
    follower::{Follower, Progress, Upstream},
    garbage,
    health::{self, Health, StoreWatch},
    invoke::DataPlane,
    listener::{ConnectionLimits, Plane},
    metrics::Metrics,
    otlp::Otlp,
    pace::Pace,
    pressure::{self, Pressure},
    revisions::Revisions,
    supervisor,
    tls::Tls,
    token::Token,
    trial::{self, Court},
};
use anyhow::{Context, bail};
use axum::Router;
use prometheus::IntGauge;
use reqwest::Url;
use run_file::{announce, reachable};
use std::{fs, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time};
use wasmway_registry::{ArtifactStore, Registry};
use wasmway_scheduler::{CompileLimits, Scheduler, SchedulerConfig};

/// Runs everything until `shutdown` comes, then drains. An error is one of the start.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    if config.dev && !config.control.ip().is_loopback() {
        bail!("--dev turns the token off, so that --control must be a loopback address; it is {}", config.control);
    }
    let folder = &config.data_dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    // Before anything is served or changed: another process may have the folder.
    let source = match &config.role {
        Role::All | Role::Registry => Source::Own(open_registry(&config).await?),
        Role::Gateway(upstream) => Source::Elsewhere { upstream, _lock: wasmway_registry::lock(folder)? },
    };
    let data = match &config.role {
        Role::All | Role::Gateway(_) => Some(bind(config.listen, "--listen").await?),
        Role::Registry => None,
    };
    let control = bind(config.control, "--control").await?;
    let address = control.local_addr()?;
    let metrics = Arc::new(Metrics::new()?);
    let node = Node {
        scheduler: Arc::new(Scheduler::start(&scheduler_config(&config, address))?),
        drain: Drain::default(),
        data: data.as_ref().map(TcpListener::local_addr).transpose()?,
        metrics,
        config: &config,
    };
    let Parts { router, health, catalog } = match &source {
        Source::Own(registry) => node.govern(registry.clone()).await?,
        Source::Elsewhere { upstream, .. } => node.follow(upstream).await?,
    };
    let mut otlp = node.otlp(health)?;
    let mut tls_address = None;
    if let (Some(listener), Some(catalog)) = (data, catalog) {
        let tls = node.tls().await?;
        let acme = tls.as_ref().and_then(|(_, tls)| tls.acme.clone());
        let mut handler = node.data_plane(catalog, listener.local_addr()?, acme)?;
        if let Some(otlp) = &mut otlp {
            handler.traces = otlp.traces(&node.metrics.sent().spans)?;
            handler.logs = otlp.logs(&node.metrics.sent().log_records)?;
        }
        let handler = Arc::new(handler);
        let open = node.metrics.connections("data");
        if let Some((listener, tls)) = tls {
            tls_address = Some(listener.local_addr()?);
            let plane = plane(listener, handler.clone(), open.clone(), &config, &node.drain);
            node.drain.track(Plane { tls: Some(tls.acceptor), ..plane }.serve());
        }
        node.drain.track(plane(listener, handler, open, &config, &node.drain).serve());
    }
    let open = node.metrics.connections("control");
    node.drain.track(plane(control, router, open, &config, &node.drain).serve());
    announce(folder, node.data, tls_address, address)?;
    supervisor::serving();

    shutdown.await;
    supervisor::draining();
    tracing::info!(timeout = ?config.drain_timeout, "draining: requests under way get to finish");
    if node.drain.finish(config.drain_timeout).await {
        tracing::info!("drained: every request was finished");
    } else {
        tracing::warn!("requests were cut at the end of the drain timeout");
    }
    if let Some(otlp) = otlp {
        otlp.finish().await;
    }
    // Gone already when somebody tidied up: nothing to do then.
    let _ = fs::remove_file(folder.join("run.json"));
    Ok(())
}

/// Where a process learns what should run. It has the data folder to itself as long as this is there.
enum Source<'a> {
    Own(Registry),
    Elsewhere { upstream: &'a Url, _lock: fs::File },
}

async fn open_registry(config: &Config) -> anyhow::Result<Registry> {
    let folder = &config.data_dir;
    let registry = Registry::open(folder, &config.stores).await;
    registry.with_context(|| match &config.stores.database {
        Some(url) => format!("the registry in {url} cannot be opened"),
        None => format!("the registry in {} cannot be opened", folder.display()),
    })
}

/// The parts that every role has.
struct Node<'a> {
    config: &'a Config,
    metrics: Arc<Metrics>,
    scheduler: Arc<Scheduler>,
    drain: Drain,
    /// Where functions are called, if they are here.
    data: Option<SocketAddr>,
}

/// What a role is made of.
struct Parts {
    /// The control plane.
    router: Router,
    health: Arc<Health>,
    /// What is served of functions, if anything is.
    catalog: Option<Arc<Catalog>>,
}

impl Node<'_> {
    /// A registry, with or without functions that are served from it in this process.
    async fn govern(&self, registry: Registry) -> anyhow::Result<Parts> {
        let config = self.config;
        let revisions = Arc::new(Revisions::new());
        let catalog = match self.data {
            Some(_) => {
                let catalog = self.catalog(registry.artifacts().clone());
                catalog.refresh(&registry).await.context("the functions cannot be read from the registry")?;
                Some(catalog)
            }
            None => None,
        };
        self.watch(&registry, &revisions, catalog.as_ref());
        let in_folder = |name| config.data_dir.join(name);
        let (admin, nodes) = (&config.admin_token_file, &config.node_token_file);
        let admin = token(admin.as_deref(), &in_folder("admin.token")).context("the admin token")?;
        let nodes = token(nodes.as_deref(), &in_folder("node.token")).context("the nodes' token")?;
        let people = Guard::of_people((!config.dev).then_some(admin), registry.clone());
        let plane = ControlPlane {
            registry,
            catalog: catalog.clone(),
            revisions,
            scheduler: self.scheduler.clone(),
            metrics: self.metrics.clone(),
            data_url: self.data_url(),
            max_upload: config.max_upload,
            max_memory: config.max_memory,
            pace: pace(config),
            drain: self.drain.clone(),
            recordings: Arc::default(),
        };
        let nodes = Guard::of_nodes(nodes);
        let plane = Arc::new(plane);
        if let Some(catalog) = &catalog {
            tokio::spawn(trial::watch(catalog.clone(), Court::Here(plane.clone()), config.node_name.clone()));
        }
        let health = self.health(health::Source::Own(StoreWatch::start(plane.registry.clone())), catalog.as_ref());
        let pages = dashboard::router(plane.clone(), people.clone(), config.node_name.clone());
        Ok(Parts { router: control::router(plane, health.clone(), people, nodes, pages), health, catalog })
    }

    /// Looks for what other processes change, and for what nobody needs any more.
    fn watch(&self, registry: &Registry, revisions: &Arc<Revisions>, catalog: Option<&Arc<Catalog>>) {
        if registry.is_shared() {
            let (ours, looking) = (registry.clone(), revisions.clone());
            tokio::spawn(async move { looking.keep_looking(&ours).await });
            if let Some(catalog) = catalog.cloned() {
                let (registry, revisions) = (registry.clone(), revisions.clone());
                tokio::spawn(async move { keep_refreshing(&catalog, &registry, &revisions).await });
            }
        }
        tokio::spawn(garbage::keep_collecting(registry.clone(), self.scheduler.clone()));
    }

    /// A node that serves what the registry at `upstream` says.
    async fn follow(&self, upstream: &Url) -> anyhow::Result<Parts> {
        let config = self.config;
        let folder = &config.data_dir;
        let path = config.node_token_file.clone().unwrap_or_else(|| folder.join("node.token"));
        let token = Token::read(&path).with_context(|| {
            format!(
                "the nodes' token cannot be read from {}; copy node.token of the registry's data folder, and name it with \
                 --node-token-file",
                path.display()
            )
        })?;
        let artifacts = folder.join("artifacts");
        let artifacts = tokio::task::spawn_blocking(move || ArtifactStore::open_root(&artifacts, None)).await??;
        let catalog = self.catalog(artifacts.clone());
        let progress = Arc::new(Progress::default());
        let upstream = Arc::new(Upstream::new(upstream, &token)?);
        tokio::spawn(trial::watch(catalog.clone(), Court::Upstream(upstream.clone()), config.node_name.clone()));
        let follower = Follower {
            upstream: upstream.clone(),
            catalog: catalog.clone(),
            scheduler: self.scheduler.clone(),
            sampler: Sampler::start(Some(catalog.clone()), self.scheduler.clone()),
            artifacts,
            snapshot: folder.join("snapshot.json"),
            progress: progress.clone(),
            name: config.node_name.clone(),
            // As it is: which machine it is on, the node's name says.
            address: config.data_url.as_ref().map_or_else(|| bound(self.data), |url| url.as_str().to_owned()),
        };
        let state = follower.resume().await;
        self.drain.track(follower.run(state, self.drain.clone()));
        let journals = Journals { catalog: Some(catalog.clone()), drain: self.drain.clone() };
        let nodes = Guard::of_nodes(token);
        let health = self.health(health::Source::Followed(progress), Some(&catalog));
        Ok(Parts { router: control::node_router(journals, health.clone(), nodes), health, catalog: Some(catalog) })
    }

    /// Where functions are called, without a slash at the end.
    fn data_url(&self) -> String {
        match (&self.config.data_url, self.data) {
            (Some(url), _) => url.as_str().trim_end_matches('/').to_owned(),
            (None, Some(data)) => format!("http://{}", reachable(data)),
            // Whoever runs a registry alone has gateways somewhere, and says where with --data-url.
            (None, None) => format!("http://{}", reachable(self.config.listen)),
        }
    }

    fn catalog(&self, artifacts: ArtifactStore) -> Arc<Catalog> {
        Arc::new(Catalog::new(artifacts, self.metrics.clone(), self.config))
    }

    fn health(&self, source: health::Source, catalog: Option<&Arc<Catalog>>) -> Arc<Health> {
        Arc::new(Health {
            metrics: self.metrics.clone(),
            scheduler: self.scheduler.clone(),
            drain: self.drain.clone(),
            source,
            catalog: catalog.cloned(),
            data_dir: self.config.data_dir.clone(),
        })
    }

    /// The data plane's second listener, if TLS is wanted.
    async fn tls(&self) -> anyhow::Result<Option<(TcpListener, Tls)>> {
        let Some(config) = &self.config.tls else { return Ok(None) };
        let listener = bind(config.listen, "--tls-listen").await?;
        Ok(Some((listener, Tls::start(config, &self.config.data_dir, &self.metrics, &self.drain)?)))
    }

    /// What sends to a receiver of OTLP, if anything is to be sent: the metrics, to begin with.
    fn otlp(&self, health: Arc<Health>) -> anyhow::Result<Option<Otlp>> {
        let Some(config) = &self.config.otlp else { return Ok(None) };
        let mut otlp = Otlp::new(config, &self.config.node_name)?;
        otlp.push_metrics(health, &self.metrics.sent().metric_points)?;
        Ok(Some(otlp))
    }

    fn data_plane(
        &self,
        catalog: Arc<Catalog>,
        own_address: SocketAddr,
        acme: Option<Arc<Acme>>,
    ) -> anyhow::Result<DataPlane> {
        let config = self.config;
        Ok(DataPlane {
            catalog,
            acme,
            scheduler: self.scheduler.clone(),
            metrics: self.metrics.clone(),
            access_log: Arc::new(AccessLog::start(config.access_log, self.metrics.access_log_dropped())?),
            traces: None,
            logs: None,
            drain: self.drain.clone(),
            pressure: Pressure::watch(config.memory_pressure, self.metrics.memory_used()),
            own_address,
            trust_forwarded: config.trust_forwarded,
            pace: pace(config),
        })
    }
}

fn bound(address: Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| format!("http://{address}"))
}

/// How long what another process has changed is waited for, before what is missing is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes over what other processes change, for ever.
async fn keep_refreshing(catalog: &Catalog, registry: &Registry, revisions: &Revisions) {
    loop {
        match catalog.refresh(registry).await {
            Ok(served) => {
                revisions.other_than(served, LOOK_EVERY).await;
                catalog.fetch_missing().await;
            }
            Err(error) => {
                tracing::warn!(%error, "changes cannot be read; what is served stays");
                time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// The token in the file that was named, which must be there, or in our own, which is made.
fn token(named: Option<&Path>, own: &Path) -> anyhow::Result<Token> {
    let path = named.unwrap_or(own);
    let token = if named.is_some() { Token::read(path) } else { Token::read_or_make(path) };
    token.with_context(|| format!("the token in {} cannot be read or made", path.display()))
}

fn plane<H>(listener: TcpListener, handler: H, open: IntGauge, config: &Config, drain: &Drain) -> Plane<H> {
    Plane { listener, handler, limits: connection_limits(config), open, drain: drain.clone(), tls: None }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be bound; name another address"))
}

/// Of the memory that there is, what instances may keep that run no request.
const IDLE_SHARE: u64 = 8;
/// Bytes of it, where nobody says how much memory there is.
const IDLE_MEMORY: u64 = 1 << 30;

fn scheduler_config(config: &Config, control: SocketAddr) -> SchedulerConfig {
    SchedulerConfig {
        code_cache: config.data_dir.join("code"),
        max_instances: config.max_instances,
        fresh_instances: config.fresh_instances,
        max_requests: config.max_requests,
        max_memory: config.max_memory,
        idle_memory: pressure::memory_limit().map_or(IDLE_MEMORY, |limit| limit / IDLE_SHARE),
        program_cache: config.program_cache,
        target_cpu: config.target_cpu,
        compile: CompileLimits {
            memory: config.compile_memory,
            cpu: config.compile_cpu,
            timeout: config.compile_timeout,
        },
        control,
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.max_connections,
        header_timeout: config.header_timeout,
        write_timeout: config.body_idle_timeout,
        header_bytes: config.max_header_bytes,
    }
}

fn pace(config: &Config) -> Pace {
    Pace { min_rate: config.min_body_rate, grace: config.header_timeout, idle: config.body_idle_timeout }
}
