//! The smallest function on WASI 0.3.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

struct Function;

impl Guest for Function {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        headers.append("content-type", b"text/plain; charset=utf-8").expect("the host accepts the header");
        let (mut body, contents) = wit_stream::new();
        // Dropping the writer resolves to what the closure gives: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        wasip3::spawn_local(async move {
            // What is left over was meant for a client that has gone away.
            body.write_all(b"Hello from WASI 0.3!\n".to_vec()).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Function);
