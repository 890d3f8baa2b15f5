//! A small function of the Rust SDK: what it costs.

use wasmway::http::Uri;

#[wasmway::handler]
fn hello(uri: Uri) -> String {
    let name = uri.query().and_then(|query| query.strip_prefix("name=")).unwrap_or("world");
    format!("Hello, {name}!\n")
}
