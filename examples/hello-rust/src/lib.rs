//! Says hello, and what it was asked for.

use wasmway::http::{Method, Uri};

#[wasmway::handler]
fn hello(method: Method, uri: Uri) -> String {
    let path = uri.path();
    format!(
        "Hello from Rust!\n\
         Welcome to Wasmway. You sent {method} {path}, and a fresh WebAssembly sandbox\n\
         was made for this one request; it is gone by now.\n"
    )
}
