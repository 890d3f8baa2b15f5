//! `/?url=http://host/path` fetches the URL (taken as it stands to the end of the query) and
//! passes the answer's status and body on. When there is none: 500 with the name of the error.
//! Before the URL there may be, each followed by `&`: `timeouts=NANOSECONDS` for all three timeouts, `follow` for
//! redirects to be followed, `cdn-loop=VALUE` and `traceparent=VALUE` for headers of these names, `trace` for the call's own
//! `traceparent` and `tracestate` to be passed on.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingRequest, RequestOptions, ResponseOutparam, Scheme,
};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let call = target.split_once('?').and_then(|(_, query)| query.split_once("url="));
        let Some((wishes, url)) = call else {
            return respond::text(out, 400, "give a URL: /?url=http://host/path\n");
        };
        let trace = if has(wishes, "trace") { trace_of(&request) } else { Vec::new() };
        let fetch = |url: &str| fetch(url, wishes, &trace);
        let mut answer = fetch(url);
        while let Some(next) = answer.as_ref().ok().filter(|_| has(wishes, "follow")).and_then(location) {
            answer = fetch(&next);
        }
        match answer {
            Ok(answer) => pass_on(&answer, out),
            Err(error) => respond::text(out, 500, &format!("{error:?}\n")),
        }
    }
}

fn has(wishes: &str, name: &str) -> bool {
    wishes.split('&').any(|wish| wish == name)
}

fn wish<'a>(wishes: &'a str, name: &str) -> Option<&'a str> {
    wishes.split('&').find_map(|wish| wish.strip_prefix(name)?.strip_prefix('='))
}

/// Where a redirect leads.
fn location(answer: &IncomingResponse) -> Option<String> {
    let redirects = (300..400).contains(&answer.status());
    let to = redirects.then(|| answer.headers().get("location").into_iter().next())??;
    String::from_utf8(to).ok()
}

/// The headers that say which trace the call belongs to.
fn trace_of(request: &IncomingRequest) -> Vec<(String, Vec<u8>)> {
    let headers = request.headers().entries();
    headers.into_iter().filter(|(name, _)| ["traceparent", "tracestate"].contains(&name.as_str())).collect()
}

fn fetch(url: &str, wishes: &str, passed_on: &[(String, Vec<u8>)]) -> Result<IncomingResponse, ErrorCode> {
    let headers = Fields::from_list(passed_on).expect("the host accepts what it gave");
    for name in ["cdn-loop", "traceparent"] {
        if let Some(value) = wish(wishes, name) {
            headers.append(name, value.as_bytes()).expect("the host accepts the header");
        }
    }
    let call = get(url, headers).ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let options = wish(wishes, "timeouts").map(|nanos| timeouts(nanos.parse().expect("nanoseconds")));
    let coming = outgoing_handler::handle(call, options)?;
    coming.subscribe().block();
    coming.get().expect("ready, as waited for").expect("taken once")
}

fn timeouts(nanos: u64) -> RequestOptions {
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(nanos)).expect("the host takes a timeout");
    options.set_first_byte_timeout(Some(nanos)).expect("the host takes a timeout");
    options.set_between_bytes_timeout(Some(nanos)).expect("the host takes a timeout");
    options
}

/// A GET request for `url`; `None` when it is not one that the host accepts.
fn get(url: &str, headers: Fields) -> Option<OutgoingRequest> {
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
    let call = OutgoingRequest::new(headers);
    call.set_scheme(Some(&scheme)).ok()?;
    call.set_authority(Some(authority)).ok()?;
    call.set_path_with_query(Some(path)).ok()?;
    Some(call)
}

fn pass_on(answer: &IncomingResponse, out: ResponseOutparam) {
    let body = answer.consume().expect("the body of an answer is taken once");
    let mut from = body.stream().expect("the stream of a body is taken once");
    let mut response = respond::Response::start(out, answer.status(), &[]);
    respond::copy(&mut from, &mut response.stream).expect("both bodies stay open");
    response.finish();
}

wasip2::http::proxy::export!(Function);
