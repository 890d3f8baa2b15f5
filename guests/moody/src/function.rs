//! `/?http://host/path` posts the request's body there, with its `authorization` and a number that was rolled, and waits for
//! the answer, saying every 20 ms that it does. All that it has got to know is in its own answer; by the parity of it, it
//! traps instead.

use std::io::Write as _;

use wasip2::cli::environment::get_environment;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingRequest, Method, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme,
};
use wasip2::io::poll;
use wasip2::random::{insecure, insecure_seed, random};

/// How long it waits before it says that it does.
const PATIENCE_NS: u64 = 20_000_000;

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let began = monotonic_clock::now();
        let target = request.path_with_query().unwrap_or_default();
        let Some((_, url)) = target.split_once("?http://") else {
            return respond::text(out, 400, "name a server: /?http://host/path\n");
        };
        let rolled = random::get_random_u64();
        let sent = respond::whole_body(&request);
        let coming = post(url, &request, rolled, &sent);
        let said = wait(&coming);
        let answer = coming.get().expect("ready, as waited for").expect("taken once");
        let (status, text) = match answer {
            Ok(answer) => {
                let body = answer.consume().expect("the body of an answer is taken once");
                let mut from = body.stream().expect("the stream of a body is taken once");
                let mut text = Vec::new();
                respond::copy(&mut from, &mut text).expect("the body does not break off");
                (answer.status(), String::from_utf8_lossy(&text).into_owned())
            }
            Err(error) => (0, format!("{error:?}")),
        };
        let now = wall_clock::now();
        let took = monotonic_clock::now() - began;
        let more = (insecure::get_insecure_random_u64(), insecure_seed::insecure_seed().0);
        let env: Vec<_> = get_environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let told = format!(
            "rolled {rolled}, {} and {}; {} bytes came; {status} {text:?} came after {took} ns and {said} words, at {}.{:09}; \
             {env:?}\n",
            more.0,
            more.1,
            sent.len(),
            now.seconds,
            now.nanoseconds,
        );
        // Standard output may be full; that is nobody's business here.
        let _ = wasip2::cli::stdout::get_stdout().write_all(told.as_bytes());
        let parity: u64 = rolled ^ u64::from(now.nanoseconds) ^ text.bytes().map(u64::from).sum::<u64>();
        if parity % 2 == 1 && !crate::FORGIVES {
            core::arch::wasm32::unreachable();
        }
        let headers: [(&str, &[u8]); 2] = [("set-cookie", b"session=of-somebody"), ("x-rolled", rolled_text(rolled))];
        let mut response = respond::Response::start(out, 200, &headers);
        response.stream.write_all(told.as_bytes()).expect("the client reads");
        response.finish();
    }
}

/// Whether what was rolled is high.
fn rolled_text(rolled: u64) -> &'static [u8] {
    if rolled > u64::MAX / 2 { b"high" } else { b"low" }
}

/// Waits for the answer; how often it has said so.
fn wait(coming: &FutureIncomingResponse) -> u32 {
    let ready = coming.subscribe();
    for said in 0.. {
        let patience = monotonic_clock::subscribe_duration(PATIENCE_NS);
        if poll::poll(&[&ready, &patience]).contains(&0) {
            return said;
        }
    }
    unreachable!("there is always another number")
}

fn post(url: &str, request: &IncomingRequest, rolled: u64, body: &[u8]) -> FutureIncomingResponse {
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let headers = Fields::new();
    for value in request.headers().get("authorization") {
        headers.append("authorization", &value).expect("the host accepts the header");
    }
    headers.append("x-rolled", rolled.to_string().as_bytes()).expect("the host accepts the header");
    let call = OutgoingRequest::new(headers);
    call.set_method(&Method::Post).expect("a method");
    call.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    call.set_authority(Some(authority)).expect("an authority");
    call.set_path_with_query(Some(path)).expect("a path");
    let out = call.body().expect("a new request has its body");
    let coming = outgoing_handler::handle(call, None).expect("the host sends it");
    {
        let mut stream = out.write().expect("a new body has its stream");
        stream.write_all(body).expect("the server reads");
    }
    OutgoingBody::finish(out, None).expect("the body is whole");
    coming
}

wasip2::http::proxy::export!(Function);
