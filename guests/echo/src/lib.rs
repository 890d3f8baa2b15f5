//! Streams the request body back, holding 64 KiB of it at a time.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let content_type = request.headers().get("content-type").into_iter().next();
        let content_type = content_type.unwrap_or_else(|| b"application/octet-stream".to_vec());
        let (_body, mut from) = respond::request_body(&request);
        let mut response = respond::Response::start(out, 200, &[("content-type", &content_type)]);
        respond::copy(&mut from, &mut response.stream).expect("both bodies stay open");
        response.finish();
    }
}

wasip2::http::proxy::export!(Function);
