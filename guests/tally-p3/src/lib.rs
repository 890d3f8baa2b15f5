//! Counts the requests that its instance gets, on WASI 0.3, and does to the next one what the path says: traps, spins, leaves
//! the answer open, keeps the request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

struct Function;

/// Requests so far.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Those that were kept.
static KEPT: Mutex<Vec<Request>> = Mutex::new(Vec::new());

impl Guest for Function {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let count = COUNT.fetch_add(1, Relaxed) + 1;
        let path = request.get_path_with_query().unwrap_or_default();
        // Without an end of the line: whoever has the next request must not have it in theirs.
        let line = format!("request {count} of its instance");
        wasip2::cli::stdout::get_stdout().blocking_write_and_flush(line.as_bytes()).expect("the host takes it");
        match path.as_str() {
            "/trap" => std::process::abort(),
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/keep" => KEPT.lock().expect("nothing panics").push(request),
            _ => drop(request),
        }
        let (mut body, contents) = wit_stream::new();
        // Dropping the writer resolves to what the closure gives: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
        wasip3::spawn_local(async move {
            // What is left over was meant for a client that has gone away.
            body.write_all(format!("{count}\n").into_bytes()).await;
            if path == "/open" {
                std::mem::forget(body);
            }
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Function);
