//! What a function asked for: its limits, addresses, capabilities and variables.

use super::{
    super::{Dashboard, Frame, page, units},
    function::{Head, Shown},
};
use crate::{control::Access, problem::Problem};
use askama::Template;
use axum::{Extension, extract::State, response::Response};
use std::sync::Arc;
use wasmway_registry::{
    Manifest, VersionRecord, differences,
    manifest::{Instances, Limits},
};

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    head: Head,
    limits: Vec<(&'static str, String)>,
    addresses: Vec<String>,
    capabilities: Vec<Capability>,
    outbound: Vec<String>,
    /// Names alone: values may be secrets.
    variables: Vec<String>,
    facts: Vec<(&'static str, String)>,
}

/// An interface that the component imports.
struct Capability {
    interface: String,
    meaning: String,
    /// Whether it reaches beyond the request.
    reaches_out: bool,
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (frame, head, function) = Head::of(&dashboard, &shown, "settings", &access).await?;
    let VersionRecord { manifest, imports, digest, size, world, .. } = function.active;
    let yes = |is: bool, yes: &str, no: &str| if is { yes.to_owned() } else { no.to_owned() };
    let facts = vec![
        ("Handler", world),
        ("Component", format!("{}, {digest}", units::bytes(size))),
        ("Instances", instances(&manifest.instances)),
        ("Errors", yes(manifest.debug, "told to clients in full (debug)", "told to clients by their kind alone")),
        ("Server-Timing", yes(manifest.server_timing, "sent to clients", "not sent")),
    ];
    let routes = manifest.routes.iter().map(ToString::to_string);
    page(&Settings {
        frame,
        limits: limits(&manifest.limits),
        addresses: std::iter::once(head.url.clone()).chain(routes).collect(),
        capabilities: capabilities(&imports),
        outbound: manifest.outbound.allow.iter().map(ToString::to_string).collect(),
        variables: manifest.env.keys().cloned().collect(),
        facts,
        head,
    })
}

fn instances(instances: &Instances) -> String {
    match instances.reuse {
        1 => "a fresh one for each request".to_owned(),
        requests => format!("shared by up to {} requests, one after the other", units::count(requests.into())),
    }
}

fn limits(limits: &Limits) -> Vec<(&'static str, String)> {
    vec![
        ("Memory", units::bytes(limits.memory.as_u64())),
        ("CPU time", units::seconds(limits.cpu.as_secs_f64())),
        ("Wall-clock time", units::seconds(limits.timeout.as_secs_f64())),
        ("Share of the CPU", format!("{} (100 is usual)", limits.cpu_weight)),
        ("Requests at once, on a node", units::count(limits.concurrency.into())),
        ("Request body", units::bytes(limits.request_body.as_u64())),
        ("Response body", units::bytes(limits.response_body.as_u64())),
    ]
}

/// What a deploy's plan would say of them if the function were new.
fn capabilities(imports: &[String]) -> Vec<Capability> {
    let found = differences(None, imports, &Manifest::default()).into_iter();
    let capability = |it: wasmway_registry::Difference| {
        Some(Capability { interface: it.after?, meaning: it.meaning.unwrap_or_default(), reaches_out: it.grows })
    };
    found.filter_map(capability).collect()
}
