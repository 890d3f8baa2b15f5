//! The dashboard: pages for people, at the root of the control plane.
//!
//! Pages show what the registry, the metrics and the journals of this process say, and keep nothing themselves but the
//! last minutes of the metrics ([`sampling`]). What a page *does*, it asks of the control API like any other client, with
//! the session's cookie in place of a token: there is one way to deploy, and one place that says who may.

mod assets;
mod directory;
mod entering;
mod live;
mod pages;
mod sampling;
mod units;

use crate::{
    control::{Access, ControlPlane, Guard},
    problem::Problem,
    route_table::RouteTable,
};
use askama::Template;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use directory::{Directory, Entry};
use http::{HeaderValue, header};
pub(crate) use sampling::Sampler;
use std::sync::Arc;
use wasmway_registry::{FunctionName, Namespace};

/// What pages are made from.
pub(crate) struct Dashboard {
    plane: Arc<ControlPlane>,
    people: Arc<Guard>,
    /// What this process is called among nodes.
    node_name: String,
    directory: Directory,
    sampler: Arc<Sampler>,
}

/// Bytes of a form: a token, and where to go then.
const FORM_BYTES: usize = 8 << 10;

/// The routes of the dashboard.
pub(crate) fn router(plane: Arc<ControlPlane>, people: Arc<Guard>, node_name: String) -> Router {
    let sampler = Sampler::start(plane.catalog.clone(), plane.scheduler.clone());
    let dashboard = Arc::new(Dashboard { plane, people, node_name, directory: Directory::default(), sampler });
    let pages = Router::new()
        .route("/", get(pages::overview::show))
        .route("/functions", get(pages::functions::show))
        .route("/functions/{namespace}/{name}", get(pages::function::overview))
        .route("/functions/{namespace}/{name}/versions", get(pages::versions::show))
        .route("/functions/{namespace}/{name}/calls", get(pages::calls::list))
        .route("/functions/{namespace}/{name}/calls/{id}", get(pages::calls::show))
        .route("/functions/{namespace}/{name}/logs", get(pages::function::logs))
        .route("/functions/{namespace}/{name}/settings", get(pages::settings::show))
        .route("/deploy", get(pages::deploy::show))
        .route("/nodes", get(pages::nodes::show))
        .route("/namespaces", get(pages::access::namespaces))
        .route("/tokens", get(pages::access::tokens))
        .route("/audit", get(pages::access::audit))
        .route("/live/overview", get(live::overview))
        .route("/live/functions", get(live::functions))
        .route("/live/functions/{namespace}/{name}", get(live::function))
        .layer(middleware::from_fn_with_state(dashboard.clone(), entering::check))
        .route("/login", get(entering::show).post(entering::log_in))
        .route("/login/session", get(entering::has_session))
        .route("/logout", post(entering::log_out))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(middleware::map_response(as_page))
        .with_state(dashboard);
    pages.route("/assets/{file}", get(assets::serve))
}

/// What every page has around it.
struct Frame {
    title: String,
    /// The entry of the menu that it belongs to.
    section: &'static str,
    access: Access,
    /// Whether there is a session that could be ended.
    has_session: bool,
    /// Whether functions are called in this process.
    serves: bool,
}

impl Frame {
    fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

impl Dashboard {
    fn frame(&self, title: impl Into<String>, section: &'static str, access: &Access) -> Frame {
        Frame {
            title: title.into(),
            section,
            access: access.clone(),
            has_session: self.people.asks_for_token(),
            serves: self.plane.catalog.is_some(),
        }
    }

    /// All functions by namespace and name; not all of them are for everybody to [see](visible).
    async fn functions(&self) -> Result<Arc<Vec<Entry>>, Problem> {
        Ok(self.directory.functions(&self.plane.registry).await?)
    }

    /// Whether a function's calls are counted apart: past the cap on labels, functions are counted together.
    fn is_counted(&self, namespace: &str, name: &str) -> bool {
        let table = self.table();
        let backend = table.as_ref().and_then(|table| table.named(namespace, name));
        backend.is_none_or(|backend| backend.leader().metrics.own_labels().is_some())
    }

    /// What is served here; `None` where functions are called on other nodes.
    fn table(&self) -> Option<Arc<RouteTable>> {
        self.plane.catalog.as_ref().map(|catalog| catalog.table())
    }
}

/// Those of the functions that somebody may see.
fn visible<'a>(functions: &'a [Entry], access: &'a Access) -> impl Iterator<Item = &'a Entry> {
    let own = access.namespace.as_ref();
    functions.iter().filter(move |entry| own.is_none_or(|own| entry.namespace == *own))
}

/// Where a function's page is.
fn link(namespace: &Namespace, name: &FunctionName) -> String {
    format!("/functions/{namespace}/{name}")
}

/// A template, as an answer.
fn page(template: &impl Template) -> Result<Response, Problem> {
    let text = template.render().map_err(Problem::internal)?;
    Ok(Html(text).into_response())
}

/// What pages may do: load what comes from here, and be shown nowhere else. No script and no style is in a page itself.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Makes pages of problems, and says of every page what it may do.
async fn as_page(mut response: Response) -> Response {
    let wants_page = response.extensions_mut().remove::<entering::Browses>().is_some();
    if wants_page && let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut shown = match page(&pages::Failed::of(&problem)) {
            Ok(shown) => shown,
            Err(problem) => problem.into_response(),
        };
        *shown.status_mut() = problem.status();
        response = shown;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}
