//! Streams the request body back, then sends the request's trailers as the response's.
//! The request's `trailer` header is copied too: HTTP/1.1 sends only trailers announced there.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingBody};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let announced = request.headers().get("trailer");
        let headers: Vec<(&str, &[u8])> = announced.iter().map(|names| ("trailer", names.as_slice())).collect();
        let mut response = respond::Response::start(out, 200, &headers);
        let (body, mut from) = respond::request_body(&request);
        respond::copy(&mut from, &mut response.stream).expect("both bodies stay open");
        drop(from);
        response.finish_with(received_trailers(body));
    }
}

fn received_trailers(body: IncomingBody) -> Option<Fields> {
    let arriving = IncomingBody::finish(body);
    arriving.subscribe().block();
    let received =
        arriving.get().expect("ready, as waited for").expect("taken once").expect("the body arrived whole")?;
    // What was received is immutable, and what is sent must be ours.
    Some(received.clone())
}

wasip2::http::proxy::export!(Function);
