//! `/?url=http://host` sends a request body of 10 GB to the URL, and answers how many bytes of it were taken.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, ResponseOutparam, Scheme};

const BYTES: u64 = 10_000_000_000;

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let authority = target.split_once("url=http://").map_or("", |(_, url)| url.trim_end_matches('/'));
        let call = OutgoingRequest::new(Fields::new());
        call.set_method(&Method::Post).expect("the host takes the method");
        call.set_scheme(Some(&Scheme::Http)).expect("the host takes the scheme");
        call.set_authority(Some(authority)).expect("the host takes the authority");
    call.set_path_with_query(Some("/")).expect("the host takes the path");
        let body = call.body().expect("a new request has its body");
        let mut stream = body.write().expect("a new body has its stream");
        let _coming = outgoing_handler::handle(call, None).expect("the host lets it through");
        let piece = vec![b'x'; 64 << 10];
        let mut taken = 0;
        while taken < BYTES && stream.write_all(&piece).is_ok() {
            taken += piece.len() as u64;
        }
        respond::text(out, 200, &format!("{taken}\n"));
    }
}

wasip2::http::proxy::export!(Function);
