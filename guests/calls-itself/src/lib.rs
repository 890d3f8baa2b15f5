//! `/?via=host:port` calls itself at that address, without end, and passes the answer on.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingRequest, ResponseOutparam, Scheme,
};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match call(&request) {
            Ok(answer) => pass_on(&answer, out),
            Err(error) => respond::text(out, 500, &format!("{error:?}\n")),
        }
    }
}

fn call(request: &IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    let path = request.path_with_query().unwrap_or_default();
    let via = path.split_once("via=").map_or("", |(_, via)| via);
    let prefix = request.headers().get("x-forwarded-prefix").into_iter().next().unwrap_or_default();
    let own_path = format!("{}{path}", String::from_utf8_lossy(&prefix));
    let call = OutgoingRequest::new(Fields::new());
    call.set_scheme(Some(&Scheme::Http)).expect("the host takes the scheme");
    call.set_authority(Some(via)).expect("the host takes the authority");
    call.set_path_with_query(Some(&own_path)).expect("the host takes the path");
    let coming = outgoing_handler::handle(call, None)?;
    coming.subscribe().block();
    coming.get().expect("ready, as waited for").expect("taken once")
}

fn pass_on(answer: &IncomingResponse, out: ResponseOutparam) {
    let body = answer.consume().expect("the body of an answer is taken once");
    let mut from = body.stream().expect("the stream of a body is taken once");
    let mut response = respond::Response::start(out, answer.status(), &[]);
    // The caller may have gone, or the one that was called.
    if respond::copy(&mut from, &mut response.stream).is_err() {
        let _ = response.stream.write_all(b" cut\n");
    }
    response.finish();
}

wasip2::http::proxy::export!(Function);
