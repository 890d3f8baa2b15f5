//! `/?url=http://host/path` fetches the URL (taken as it stands to the end of the query) and
//! passes the answer's status and body on. When there is none: 500 with the name of the error.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingRequest, ResponseOutparam, Scheme,
};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let Some(call) = target.split_once("url=").and_then(|(_, url)| get(url)) else {
            return respond::text(out, 400, "give a URL: /?url=http://host/path\n");
        };
        match answer_to(call) {
            Ok(answer) => pass_on(&answer, out),
            Err(error) => respond::text(out, 500, &format!("{error:?}\n")),
        }
    }
}

/// A GET request for `url`; `None` when it is not one that the host accepts.
fn get(url: &str) -> Option<OutgoingRequest> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(start) => rest.split_at(start),
        None => (rest, "/"),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let call = OutgoingRequest::new(Fields::new());
    call.set_scheme(Some(&scheme)).ok()?;
    call.set_authority(Some(authority)).ok()?;
    call.set_path_with_query(Some(path)).ok()?;
    Some(call)
}

fn answer_to(call: OutgoingRequest) -> Result<IncomingResponse, ErrorCode> {
    let coming = outgoing_handler::handle(call, None)?;
    coming.subscribe().block();
    coming.get().expect("ready, as waited for").expect("taken once")
}

fn pass_on(answer: &IncomingResponse, out: ResponseOutparam) {
    let body = answer.consume().expect("the body of an answer is taken once");
    let mut from = body.stream().expect("the stream of a body is taken once");
    let mut response = respond::Response::start(out, answer.status(), &[]);
    respond::copy(&mut from, &mut response.stream).expect("both bodies stay open");
    response.finish();
}

wasip2::http::proxy::export!(Function);
