//! Says hello, and what it was asked for.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let method = name(request.method());
        let path = request.path_with_query().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let text = format!(
            "Hello from Rust!\n\
             Welcome to Wasmway. You sent {method} {path}, and a fresh WebAssembly sandbox\n\
             was made for this one request; it is gone by now.\n"
        );

        let headers = Fields::new();
        headers.append("content-type", b"text/plain; charset=utf-8").expect("a well-formed header");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("a new response has its body");
        ResponseOutparam::set(response_out, Ok(response));

        let mut stream = body.write().expect("a new body has its stream");
        // A client that has gone away is no failure of ours.
        let _ = stream.write_all(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

fn name(method: Method) -> String {
    match method {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(name) => name,
    }
}

wasip2::http::proxy::export!(Hello);
