//! `/?url=http://host/path` fetches the URL with each of the timeouts that no program would mean, and answers what
//! came of it, a line each.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, RequestOptions, ResponseOutparam, Scheme};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let authority = target.split_once("url=http://").map_or("", |(_, url)| url.trim_end_matches('/'));
        let results: Vec<String> = [0, 1, u64::MAX - 1, u64::MAX].map(|ns| fetch(authority, ns)).to_vec();
        respond::text(out, 200, &format!("{}\n", results.join("\n")));
    }
}

fn fetch(authority: &str, ns: u64) -> String {
    let options = RequestOptions::new();
    let set = options.set_connect_timeout(Some(ns)).is_ok()
        && options.set_first_byte_timeout(Some(ns)).is_ok()
        && options.set_between_bytes_timeout(Some(ns)).is_ok();
    let call = OutgoingRequest::new(Fields::new());
    call.set_scheme(Some(&Scheme::Http)).expect("the host takes the scheme");
    call.set_authority(Some(authority)).expect("the host takes the authority");
    call.set_path_with_query(Some("/")).expect("the host takes the path");
    let answer = outgoing_handler::handle(call, set.then_some(options)).and_then(|coming| {
        coming.subscribe().block();
        coming.get().expect("ready, as waited for").expect("taken once")
    });
    match answer {
        Ok(answer) => format!("{ns} ns: {}", answer.status()),
        Err(error) => format!("{ns} ns: {error:?}"),
    }
}

wasip2::http::proxy::export!(Function);
