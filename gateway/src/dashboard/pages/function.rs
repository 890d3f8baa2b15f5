//! One function: what is around each of its pages, how it does, and its log.

use super::{
    super::{Dashboard, Frame, link, page, units},
    calls::Call,
    overview::Tile,
};
use crate::{
    control::Access,
    journal::{InvocationDetail, Journal},
    problem::Problem,
};
use askama::Template;
use axum::{
    Extension,
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::request::Parts;
use std::sync::Arc;
use wasmway_registry::{Function, FunctionName, Namespace, RegistryError, manifest::Limits};
use wasmway_scheduler::Blame;

/// Failed calls that are shown with their causes.
const FAILURES: usize = 5;

/// A function that somebody may see, by the path.
pub(in crate::dashboard) struct Shown {
    pub(in crate::dashboard) namespace: Namespace,
    pub(in crate::dashboard) name: FunctionName,
}

impl<S: Sync + Send> FromRequestParts<S> for Shown {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unknown = || Problem::unknown_function("there is no function at this address; look for it in the list");
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        let part = |name: &str| path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let namespace: Namespace = part("namespace").unwrap_or_default().parse().map_err(|_| unknown())?;
        let name: FunctionName = part("name").unwrap_or_default().parse().map_err(|_| unknown())?;
        let access = parts.extensions.get::<Access>().ok_or_else(unknown)?;
        if !access.may_see(&format!("{namespace}/{name}")) {
            return Err(unknown());
        }
        Ok(Self { namespace, name })
    }
}

/// What is around each page of a function.
pub(super) struct Head {
    pub(super) tab: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Its first page.
    pub(super) link: String,
    /// Where the control API has it, up to the question mark, and from there.
    pub(super) api: String,
    pub(super) query: String,
    /// Where it is called.
    pub(super) url: String,
    pub(super) version: u32,
    /// The versions that get requests with their shares, where these are several.
    pub(super) split: Vec<(u32, String)>,
    /// The only version beside the active one that gets requests.
    pub(super) tried_out: Option<u32>,
}

impl Head {
    /// What is around the page, and the function that it is about.
    pub(super) async fn of(
        dashboard: &Dashboard,
        shown: &Shown,
        tab: &'static str,
        access: &Access,
    ) -> Result<(Frame, Self, Function), Problem> {
        let Shown { namespace, name } = shown;
        let function = dashboard.plane.registry.function(namespace, name).await?;
        let unknown = || RegistryError::FunctionNotFound { namespace: namespace.clone(), name: name.clone() };
        let function = function.ok_or_else(unknown)?;
        let shares = function.split.as_ref().map_or(&[][..], |split| split.shares.as_slice());
        let sum: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let share = |weight: u32| units::percent(f64::from(weight) / sum.max(1) as f64);
        let others: Vec<u32> =
            shares.iter().filter(|(it, _)| !it.active).map(|(record, _)| record.version.get()).collect();
        let head = Self {
            tab,
            namespace: namespace.to_string(),
            name: name.to_string(),
            link: link(namespace, name),
            api: format!("/api/v1/functions/{name}"),
            query: format!("?namespace={namespace}"),
            url: dashboard.plane.url_of(namespace, name),
            version: function.active.version.get(),
            split: shares.iter().map(|(record, weight)| (record.version.get(), share(*weight))).collect(),
            tried_out: if let [only] = others.as_slice() { Some(*only) } else { None },
        };
        Ok((dashboard.frame(format!("{name} · Functions"), "functions", access), head, function))
    }
}

/// What the journal of a function has; `None` where calls are on other nodes.
pub(super) fn journal(dashboard: &Dashboard, shown: &Shown) -> Option<Arc<Journal>> {
    let table = dashboard.table()?;
    Some(table.named(shown.namespace.as_str(), shown.name.as_str())?.leader().journal.clone())
}

#[derive(Template)]
#[template(path = "function.html")]
struct Overview {
    frame: Frame,
    head: Head,
    tiles: Vec<Tile>,
    usage: Vec<Use>,
    measured: usize,
    failures: Vec<Failure>,
}

/// A limit beside what calls used of it.
struct Use {
    what: &'static str,
    typical: String,
    most: String,
    limit: String,
    /// The share of the limit that the greatest use is, in percent and as people read it.
    percent: f64,
    share: String,
}

/// A failed call with all that is known of its end.
struct Failure {
    call: Call,
    cause: String,
    stderr: Option<String>,
}

/// How the function does.
pub(in crate::dashboard) async fn overview(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (frame, head, function) = Head::of(&dashboard, &shown, "overview", &access).await?;
    let calls = journal(&dashboard, &shown).map_or_else(Vec::new, |journal| journal.invocations());
    let failures = calls.iter().filter(|call| call.record.outcome.blame() != Blame::NotOurs).take(FAILURES);
    let failures = failures.map(|call| Failure {
        call: Call::of(&head.link, call),
        cause: call.record.error.clone().unwrap_or_default(),
        stderr: call.stderr.clone(),
    });
    page(&Overview {
        frame,
        tiles: tiles(&dashboard, &shown),
        usage: usage(&function.active.manifest.limits, &calls),
        measured: calls.len(),
        failures: failures.collect(),
        head,
    })
}

/// The numbers at the top, as they are now.
pub(in crate::dashboard) fn tiles(dashboard: &Dashboard, shown: &Shown) -> Vec<Tile> {
    if !dashboard.is_counted(shown.namespace.as_str(), shown.name.as_str()) {
        let why = "more functions are served than are counted apart; its calls are its own";
        return vec![Tile::new("requests", "Requests", units::NONE, why)];
    }
    let summary = dashboard.sampler.summary(shown.namespace.as_str(), shown.name.as_str());
    let a_call = (summary.total > 0).then(|| summary.cpu_s / summary.total as f64);
    let mut tiles = Tile::of_calls(&summary);
    tiles.push(Tile::new("cpu", "CPU a call", units::known(a_call, units::seconds), "mean since the start"));
    tiles
}

fn usage(limits: &Limits, calls: &[Arc<InvocationDetail>]) -> Vec<Use> {
    let row = |what, limit: u64, text: fn(u64) -> String, used: fn(&InvocationDetail) -> u64| {
        let mut all: Vec<u64> = calls.iter().map(|call| used(call)).collect();
        all.sort_unstable();
        let most = all.last().copied().unwrap_or_default();
        let shown = |used: Option<&u64>| used.map_or_else(|| units::NONE.to_owned(), |used| text(*used));
        let share = most as f64 / limit.max(1) as f64;
        Use {
            what,
            typical: shown(all.get(all.len() / 2)),
            most: shown(all.last()),
            limit: text(limit),
            percent: share * 100.0,
            share: units::percent(share),
        }
    };
    vec![
        row("Memory", limits.memory.as_u64(), units::bytes, |call| call.record.memory_bytes),
        row("CPU time", limits.cpu.as_micros() as u64, units::micros, |call| call.record.cpu_us),
        row("Wall-clock time", limits.timeout.as_micros() as u64, units::micros, |call| call.record.wall_us),
        row("Request body", limits.request_body.as_u64(), units::bytes, |call| call.record.bytes_in),
        row("Response body", limits.response_body.as_u64(), units::bytes, |call| call.record.bytes_out),
    ]
}

#[derive(Template)]
#[template(path = "logs.html")]
struct Logs {
    frame: Frame,
    head: Head,
}

/// Its log, as it is written.
pub(in crate::dashboard) async fn logs(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (frame, head, _) = Head::of(&dashboard, &shown, "logs", &access).await?;
    page(&Logs { frame, head })
}
