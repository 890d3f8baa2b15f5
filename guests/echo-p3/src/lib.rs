//! Streams the request body back on WASI 0.3, holding 64 KiB of it at a time.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::rt::async_support::{StreamReader, StreamResult, StreamWriter};
use wasip3::{wit_future, wit_stream};

struct Function;

impl Guest for Function {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        let content_type = request.get_headers().get("content-type");
        headers.set("content-type", &content_type).expect("the host accepts the header");
        // Dropping the writer resolves to what the closure gives: handled without an error.
        let (_, handled) = wit_future::new(|| Ok(()));
        let (from, trailers) = Request::consume_body(request, handled);
        let (to, contents) = wit_stream::new();
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        wasip3::spawn_local(copy(from, to));
        Ok(response)
    }
}

async fn copy(mut from: StreamReader<u8>, mut to: StreamWriter<u8>) {
    let mut piece = Vec::with_capacity(64 * 1024);
    loop {
        let (status, filled) = from.read(piece).await;
        piece = to.write_all(filled).await;
        // Bytes left over were meant for a client that has gone away.
        if matches!(status, StreamResult::Dropped) || !piece.is_empty() {
            return;
        }
    }
}

wasip3::http::service::export!(Function);
