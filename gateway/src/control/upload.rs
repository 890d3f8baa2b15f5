//! Taking an upload: the component as the body itself, or as a part beside its manifest.

use super::ControlPlane;
use crate::{pace::PacedBody, problem::Problem};
use axum::{
    body::Body,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use wasmway_registry::{ArtifactError, Manifest, Sealed, Upload};
use wasmway_scheduler::Failure;

/// Bytes of a manifest.
const MANIFEST_BYTES: usize = 256 << 10;

/// What a deploy brought.
pub(super) struct Received {
    pub(super) component: Sealed,
    pub(super) manifest: Manifest,
}

/// Reads the whole upload. The component goes to disk as it comes.
pub(super) async fn receive(plane: &ControlPlane, request: Request) -> Result<Received, Problem> {
    let limit = plane.max_upload;
    if content_length(request.headers()).is_some_and(|length| length > limit + MANIFEST_BYTES as u64 * 2) {
        return Err(too_large(limit));
    }
    let kind = content_type(request.headers()).to_owned();
    let (head, body) = request.into_parts();
    let (body, client) = PacedBody::new(body, plane.pace);
    let received = receive_as(&kind, plane, Request::from_parts(head, Body::new(body))).await;
    if client.is_too_slow() { Err(Problem::of_failure(&Failure::RequestTooSlow)) } else { received }
}

async fn receive_as(kind: &str, plane: &ControlPlane, request: Request) -> Result<Received, Problem> {
    match kind {
        "multipart/form-data" => receive_parts(plane, request).await,
        "" | "application/wasm" | "application/octet-stream" => {
            Ok(Received { component: receive_raw(plane, request).await?, manifest: Manifest::default() })
        }
        other => Err(Problem::platform(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Unsupported media type",
            format!(
                "content-type: {other} is not taken; send application/wasm, or multipart/form-data with `component` and `manifest`"
            ),
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

async fn receive_raw(plane: &ControlPlane, request: Request) -> Result<Sealed, Problem> {
    let mut upload = begin(plane).await?;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            write(&mut upload, &data).await?;
        }
    }
    upload.seal().await.map_err(stored)
}

async fn receive_parts(plane: &ControlPlane, request: Request) -> Result<Received, Problem> {
    let mut parts = Multipart::from_request(request, &()).await.map_err(|error| broken(&error.body_text()))?;
    let (mut component, mut manifest) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        match part.name().unwrap_or_default() {
            "component" if component.is_none() => component = Some(receive_component(plane, part).await?),
            "manifest" if manifest.is_none() => manifest = Some(receive_manifest(part).await?),
            other => {
                let detail =
                    format!("part `{other}`: a deploy has one part `component` and at most one part `manifest`");
                return Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail));
            }
        }
    }
    let Some(component) = component else {
        let detail = "the part `component` is missing; it carries the component's bytes";
        return Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail));
    };
    Ok(Received { component, manifest: manifest.unwrap_or_default() })
}

async fn receive_component(plane: &ControlPlane, mut part: Field<'_>) -> Result<Sealed, Problem> {
    let mut upload = begin(plane).await?;
    while let Some(data) = part.chunk().await.map_err(unreadable)? {
        write(&mut upload, &data).await?;
    }
    upload.seal().await.map_err(stored)
}

async fn receive_manifest(mut part: Field<'_>) -> Result<Manifest, Problem> {
    let refused =
        |detail: String| Problem::platform(StatusCode::BAD_REQUEST, "invalid-manifest", "Invalid manifest", detail);
    let mut text = Vec::new();
    while let Some(data) = part.chunk().await.map_err(unreadable)? {
        if text.len() + data.len() > MANIFEST_BYTES {
            return Err(refused(format!("the manifest is larger than {MANIFEST_BYTES} bytes")));
        }
        text.extend_from_slice(&data);
    }
    let text = String::from_utf8(text).map_err(|_| refused("the manifest is not UTF-8 text".into()))?;
    Manifest::from_toml(&text).map_err(|error| refused(error.to_string()))
}

async fn begin(plane: &ControlPlane) -> Result<Upload, Problem> {
    plane.registry.artifacts().upload(plane.max_upload).await.map_err(stored)
}

async fn write(upload: &mut Upload, data: &Bytes) -> Result<(), Problem> {
    upload.write(data).await.map_err(stored)
}

fn unreadable(error: MultipartError) -> Problem {
    broken(&error.body_text())
}

/// The client's end of the upload broke.
fn broken(cause: &str) -> Problem {
    let detail = format!("the upload could not be read to its end: {cause}");
    Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
}

fn too_large(limit: u64) -> Problem {
    let detail = format!(
        "the component is larger than the {limit} bytes that this node takes; make it smaller, or raise --max-upload"
    );
    Problem::platform(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Component too large", detail)
}

/// What storing it came to.
pub(super) fn stored(error: ArtifactError) -> Problem {
    match error {
        ArtifactError::TooLarge { limit } => too_large(limit),
        ArtifactError::StorageFull(cause) => {
            tracing::error!(%cause, "there is no storage left for an upload");
            Problem::storage_full()
        }
        ArtifactError::Bucket { .. } => Problem::unavailable(anyhow::Error::new(error)),
        ArtifactError::Damaged(_) | ArtifactError::Io { .. } => Problem::internal(anyhow::Error::new(error)),
    }
}
