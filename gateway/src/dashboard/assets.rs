//! What pages load: in the binary, under names that change with their content, so that browsers keep them for good.

use crate::problem::Problem;
use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    /// As templates call it.
    name: &'static str,
    /// As browsers do.
    path: String,
    kind: &'static str,
    content: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |name: &'static str, kind, content: &'static [u8]| {
        let hash: String = Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        Asset { name, path: format!("/assets/{stem}.{hash}.{extension}"), kind, content }
    };
    vec![
        asset("app.css", STYLE, include_bytes!("../../dashboard/assets/app.css")),
        asset("app.js", SCRIPT, include_bytes!("../../dashboard/assets/app.js")),
        asset("charts.js", SCRIPT, include_bytes!("../../dashboard/assets/charts.js")),
        asset("actions.js", SCRIPT, include_bytes!("../../dashboard/assets/actions.js")),
        asset("deploy.js", SCRIPT, include_bytes!("../../dashboard/assets/deploy.js")),
        asset("logs.js", SCRIPT, include_bytes!("../../dashboard/assets/logs.js")),
        asset("login.js", SCRIPT, include_bytes!("../../dashboard/assets/login.js")),
        asset("icon.svg", "image/svg+xml", include_bytes!("../../dashboard/assets/icon.svg")),
        asset("htmx.js", SCRIPT, include_bytes!("../../dashboard/vendor/htmx-2.0.11.min.js")),
        asset("uplot.js", SCRIPT, include_bytes!("../../dashboard/vendor/uplot-1.6.32.iife.min.js")),
        asset("uplot.css", STYLE, include_bytes!("../../dashboard/vendor/uplot-1.6.32.min.css")),
    ]
});

/// Where browsers find the asset that templates call `name`.
pub(super) fn path(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.path.as_str())
}

/// An asset, for good: another content has another name.
pub(super) async fn serve(Path(file): Path<String>) -> Result<Response, Problem> {
    let asked = format!("/assets/{file}");
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == asked) else {
        let detail = "there is no such file; a page of another version asks for it: load the page again";
        return Err(Problem::platform(StatusCode::NOT_FOUND, "not-found", "Not found", detail));
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    Ok((headers, asset.content).into_response())
}
