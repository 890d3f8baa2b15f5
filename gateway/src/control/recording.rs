//! Recording the next calls of a function. What a capture holds is what people have sent: a token that may deploy the
//! function, and with it make it say all of that to its log, may record it, and the audit log says who did.

use super::{
    ControlPlane,
    auth::By,
    target::{CaptureTarget, NamespaceQuery, Parameters, Target},
};
use crate::{
    journal::Journal,
    problem::Problem,
    recording::{self, CaptureSummary, Progress, Recording, Wanted},
};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use utoipa::{IntoParams, ToSchema};
use wasmway_registry::Recorded;
use wasmway_scheduler::{Keep, World};

/// Which calls to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRecording {
    /// How many; 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    next: u32,
    /// Only those that fail: by what the function did, or with an answer of 500 and above.
    #[serde(default)]
    failing: bool,
    #[serde(default)]
    keep: KeepNames,
}

/// What to leave as it is, by name. Else what may be a secret, as its name has it, is replaced by a placeholder.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct KeepNames {
    headers: Vec<String>,
    /// Parameters of queries.
    query: Vec<String>,
    /// Variables of the function's environment.
    env: Vec<String>,
}

/// A recording, and the calls that it has taken down.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordingView {
    id: String,
    namespace: String,
    function: String,
    /// The name of the token that was shown for it.
    by: String,
    next: u32,
    failing: bool,
    /// `recording`, or `done`.
    #[schema(value_type = String)]
    progress: Progress,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it ends, and all of it is forgotten.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    /// Calls that might have been wanted, but that there was no room for, or whose clients left.
    passed_over: u64,
    /// Those after the one that was asked for.
    captures: Vec<CaptureSummary>,
}

/// Which captures.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CapturesQuery {
    /// Those after this number; all when it is left out.
    #[serde(default)]
    after: usize,
    /// Seconds to wait until there are such, or there will be none; at most 10.
    #[serde(default)]
    #[param(maximum = 10)]
    wait: u64,
}

/// The longest wait of a request, in seconds.
const WAIT_MAX_S: u64 = 10;

/// Record the next calls of a function
///
/// Everything that goes into their sandboxes is taken down: request, clocks, random numbers, answers of others. There is one
/// recording of a function at a time; it ends after 15 minutes. `wasmway replay` runs what it has captured once more.
#[utoipa::path(post, path = "/api/v1/functions/{name}/recording", tag = "observing",
    params(("name" = String, Path), NamespaceQuery), request_body = NewRecording,
    responses((status = 201, body = RecordingView), (status = 404, body = Problem),
        (status = 409, description = "The function is being recorded", body = Problem),
        (status = 422, description = "A function for WASI 0.3", body = Problem),
        (status = 429, description = "As many functions are being recorded as may be", body = Problem),
        (status = 501, description = "Functions are called on other nodes", body = Problem)))]
pub(super) async fn start(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    target: Target,
    body: Bytes,
) -> Result<(StatusCode, Json<RecordingView>), Problem> {
    let wanted = wanted(&body)?;
    let journal = journal(&plane, &target)?;
    if let Some(other) = journal.recording.current().filter(|other| other.progress() == Progress::Recording) {
        return Err(under_way(&other));
    }
    let said = described(&wanted);
    let recording = Recording::new(wanted, author.name.clone(), &plane.recordings).ok_or_else(too_many)?;
    let Target { namespace, name } = &target;
    // Before anything is recorded.
    plane.registry.record(&Recorded { namespace, name, what: &said }, &author).await?;
    journal.recording.begin(recording.clone()).map_err(|other| under_way(&other))?;
    tracing::info!(%namespace, function = %name, by = author.name, what = said, "recording");
    forget_in_time(Arc::downgrade(&journal), recording.id.clone());
    Ok((StatusCode::CREATED, Json(view(&target, &recording, 0))))
}

/// How far the recording of a function is, and what it has captured
#[utoipa::path(get, path = "/api/v1/functions/{name}/recording", tag = "observing",
    params(("name" = String, Path), NamespaceQuery, CapturesQuery),
    responses((status = 200, body = RecordingView),
        (status = 404, body = Problem), (status = 501, description = "Functions are called on other nodes", body = Problem)))]
pub(super) async fn show(
    State(plane): State<Arc<ControlPlane>>,
    target: Target,
    Parameters(query): Parameters<CapturesQuery>,
) -> Result<Json<RecordingView>, Problem> {
    let recording = current(&plane, &target)?;
    let wait = Duration::from_secs(query.wait.min(WAIT_MAX_S));
    tokio::select! {
        () = recording.beyond(query.after) => {}
        () = tokio::time::sleep(wait) => {}
        // A reader must not hold up the end of the process.
        () = plane.drain.closing() => {}
    }
    Ok(Json(view(&target, &recording, query.after)))
}

/// One capture: a JSON document that `wasmway replay` reads
#[utoipa::path(get, path = "/api/v1/functions/{name}/recording/captures/{number}", tag = "observing",
    params(("name" = String, Path), ("number" = usize, Path), NamespaceQuery),
    responses((status = 200, description = "The capture", body = Object), (status = 404, body = Problem),
        (status = 501, description = "Functions are called on other nodes", body = Problem)))]
pub(super) async fn capture(
    State(plane): State<Arc<ControlPlane>>,
    CaptureTarget { function, number }: CaptureTarget,
) -> Result<Response, Problem> {
    let recording = current(&plane, &function)?;
    let capture = recording.capture(number).ok_or_else(|| {
        let detail = format!("the recording of {} has no capture {number}", function.name);
        Problem::platform(StatusCode::NOT_FOUND, "unknown-capture", "Unknown capture", detail)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], capture.json.clone()).into_response())
}

/// End the recording of a function, and forget what it has captured
#[utoipa::path(delete, path = "/api/v1/functions/{name}/recording", tag = "observing",
    params(("name" = String, Path), NamespaceQuery),
    responses((status = 204),
        (status = 404, body = Problem), (status = 501, description = "Functions are called on other nodes", body = Problem)))]
pub(super) async fn stop(State(plane): State<Arc<ControlPlane>>, target: Target) -> Result<StatusCode, Problem> {
    let forgotten = journal(&plane, &target)?.recording.forget(None);
    forgotten.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| nothing(&target))
}

/// What a node answers that has no registry of its own, and so neither roles nor an audit log.
pub(super) async fn elsewhere() -> Problem {
    unrecorded()
}

fn unrecorded() -> Problem {
    let detail = "calls are recorded by a `wasmway up`, which runs them and has the audit log: this process does not do both. \
                  In a fleet, start one on the same --database and --artifacts, record there, and send the calls to it";
    Problem::platform(StatusCode::NOT_IMPLEMENTED, "recording-elsewhere", "Calls are not recorded here", detail)
}

fn journal(plane: &ControlPlane, target: &Target) -> Result<Arc<Journal>, Problem> {
    let Some(catalog) = &plane.catalog else { return Err(unrecorded()) };
    let table = catalog.table();
    let backend = table.named(target.namespace.as_str(), target.name.as_str()).ok_or_else(|| target.unknown())?;
    let leader = backend.leader();
    if leader.function.world() == World::Http03 {
        let detail = format!(
            "{} is written for WASI 0.3 (wasi:http/handler); only functions for WASI 0.2 (wasi:http/incoming-handler) can be \
             recorded",
            target.name
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::platform(status, "recording-unsupported", "The function cannot be recorded", detail));
    }
    Ok(leader.journal.clone())
}

fn current(plane: &ControlPlane, target: &Target) -> Result<Arc<Recording>, Problem> {
    journal(plane, target)?.recording.current().ok_or_else(|| nothing(target))
}

fn nothing(target: &Target) -> Problem {
    let detail = format!(
        "there is no recording of {}: POST the same address to begin one, by `wasmway record`; one that was there has been \
         ended, or forgotten after {} minutes",
        target.name,
        recording::LIFETIME.as_secs() / 60
    );
    Problem::platform(StatusCode::NOT_FOUND, "unknown-recording", "Unknown recording", detail)
}

fn under_way(other: &Recording) -> Problem {
    let detail = format!(
        "the function is being recorded since {:.0}, by {:?}; end that with DELETE, by `wasmway record --stop`, or wait until \
         it is done",
        other.started_at, other.by
    );
    Problem::platform(StatusCode::CONFLICT, "recording-under-way", "The function is being recorded", detail)
}

fn too_many() -> Problem {
    let detail = format!("this node keeps {} recordings at once; end one, or wait until one is", recording::RECORDINGS);
    Problem::platform(StatusCode::TOO_MANY_REQUESTS, "too-many-recordings", "Too many recordings", detail)
}

/// Names of one kind that may be kept, and the characters of each.
const NAMES: usize = 50;
const NAME_CHARS: usize = 200;

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    let refused = |detail: String| Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail);
    let NewRecording { next, failing, keep } = serde_json::from_slice(body)
        .map_err(|error| refused(format!("the body is not {{\"next\": N, \"failing\": BOOL, ...}}: {error}")))?;
    if !(1..=recording::CAPTURES).contains(&next) {
        return Err(refused(format!("next: {next} is not from 1 to {}", recording::CAPTURES)));
    }
    let names = |field: &str, names: Vec<String>| {
        if names.len() > NAMES || names.iter().any(|name| name.len() > NAME_CHARS) {
            return Err(refused(format!("keep.{field}: at most {NAMES} names of at most {NAME_CHARS} bytes")));
        }
        Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>())
    };
    let keep = Keep {
        headers: names("headers", keep.headers)?,
        query: names("query", keep.query)?,
        env: names("env", keep.env)?,
    };
    Ok(Wanted { next, failing, keep })
}

/// What is wanted, for the audit log.
fn described(Wanted { next, failing, keep }: &Wanted) -> String {
    let mut text = format!("the next {next}{}", if *failing { " that fail" } else { "" });
    for (kind, names) in [("headers", &keep.headers), ("query", &keep.query), ("env", &keep.env)] {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            text.push_str(&format!("; keeps {kind} {}", names.join(", ")));
        }
    }
    text
}

fn view(target: &Target, recording: &Recording, after: usize) -> RecordingView {
    let lifetime = SignedDuration::try_from(recording::LIFETIME).unwrap_or_default();
    RecordingView {
        id: recording.id.clone(),
        namespace: target.namespace.to_string(),
        function: target.name.to_string(),
        by: recording.by.clone(),
        next: recording.wanted.next,
        failing: recording.wanted.failing,
        progress: recording.progress(),
        started_at: recording.started_at,
        ends_at: recording.started_at + lifetime,
        passed_over: recording.passed_over(),
        captures: recording.captures_after(after).iter().map(|capture| capture.summary.clone()).collect(),
    }
}

/// Forgets a recording when it has been there for as long as one may.
fn forget_in_time(journal: std::sync::Weak<Journal>, id: String) {
    tokio::spawn(async move {
        tokio::time::sleep(recording::LIFETIME).await;
        if let Some(journal) = journal.upgrade() {
            journal.recording.forget(Some(&id));
        }
    });
}
