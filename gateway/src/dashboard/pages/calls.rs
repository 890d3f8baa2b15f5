//! Calls of a function with their bills, and one call with all that is known of it.

use super::{
    super::{Dashboard, Frame, page, units},
    When,
    function::{Head, Shown, journal},
};
use crate::{control::Access, journal::InvocationDetail, problem::Problem};
use askama::Template;
use axum::{
    Extension,
    extract::{Path, Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};
use wasmway_scheduler::{Blame, Outcome};

/// Calls on the page.
const LISTED: usize = 100;

/// A call, as lists show it.
pub(in crate::dashboard) struct Call {
    pub(super) link: String,
    pub(super) id: String,
    pub(super) when: When,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) version: u32,
    /// What the client got; a dash when it left before.
    pub(super) status: String,
    pub(super) outcome: &'static str,
    /// How good the end is: `good`, `bad`, or `neutral` where it was nobody's fault here.
    pub(super) mood: &'static str,
    pub(super) wall: String,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) sent: String,
    pub(super) cold: bool,
}

impl Call {
    pub(super) fn of(function: &str, call: &InvocationDetail) -> Self {
        let record = &call.record;
        let id = record.request_id.as_str();
        let segment: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let mood = match (record.outcome, record.outcome.blame()) {
            (Outcome::Ok, _) if record.status >= 500 => "bad",
            (Outcome::Ok, _) => "good",
            (_, Blame::NotOurs) => "neutral",
            (_, Blame::Function | Blame::Platform) => "bad",
        };
        Self {
            link: format!("{function}/calls/{segment}"),
            id: id.to_owned(),
            when: When::at(record.time),
            method: record.method.to_string(),
            path: record.path.clone(),
            version: record.version,
            status: if record.status == 0 { units::NONE.to_owned() } else { record.status.to_string() },
            outcome: record.outcome.as_str(),
            mood,
            wall: units::micros(record.wall_us),
            cpu: units::micros(record.cpu_us),
            memory: units::bytes(record.memory_bytes),
            sent: units::bytes(record.bytes_out),
            cold: record.cold,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Asked {
    /// `failed` for those alone.
    show: String,
}

#[derive(Template)]
#[template(path = "calls.html")]
struct Calls {
    frame: Frame,
    head: Head,
    calls: Vec<Call>,
    failed_only: bool,
}

/// The latest calls.
pub(in crate::dashboard) async fn list(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (frame, head, _) = Head::of(&dashboard, &shown, "calls", &access).await?;
    let failed_only = asked.show == "failed";
    let kept = journal(&dashboard, &shown).map_or_else(Vec::new, |journal| journal.invocations());
    let is_shown = |call: &&Arc<InvocationDetail>| !failed_only || call.record.outcome.blame() != Blame::NotOurs;
    let calls = kept.iter().filter(is_shown).take(LISTED).map(|call| Call::of(&head.link, call)).collect();
    page(&Calls { frame, head, calls, failed_only })
}

#[derive(Template)]
#[template(path = "call.html")]
struct OneCall {
    frame: Frame,
    head: Head,
    call: Call,
    cause: Option<String>,
    stderr: Option<String>,
    bill: Vec<(&'static str, String)>,
}

/// One call.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
    Path(path): Path<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let (frame, head, _) = Head::of(&dashboard, &shown, "calls", &access).await?;
    let id = path.get("id").map_or("", String::as_str);
    let call = journal(&dashboard, &shown).and_then(|journal| journal.invocation(id)).ok_or_else(|| {
        let detail = "this call is not kept: only the latest are, and some more of those that failed";
        Problem::platform(StatusCode::NOT_FOUND, "unknown-invocation", "Unknown call", detail)
    })?;
    let record = &call.record;
    let bill = vec![
        ("Wall-clock time", units::micros(record.wall_us)),
        ("of it waiting for its turn", units::micros(record.queued_us)),
        ("CPU time", units::micros(record.cpu_us)),
        ("Most memory at once", units::bytes(record.memory_bytes)),
        ("Request body", units::bytes(record.bytes_in)),
        ("Response body", units::bytes(record.bytes_out)),
        ("Requests to other hosts", units::count(record.outbound_requests)),
        ("Bytes of those", units::bytes(record.outbound_bytes)),
        ("Program", if record.cold { "loaded for this call" } else { "in memory already" }.to_owned()),
    ];
    let (cause, stderr) = (record.error.clone(), call.stderr.clone());
    page(&OneCall { frame, call: Call::of(&head.link, &call), head, cause, stderr, bill })
}
