//! `/?COUNT&AUTHORITY` sends that many requests there before it looks at any answer; says how each of them ended, one a
//! line.

use std::fmt::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, FutureIncomingResponse, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let asked = target.split_once('?').and_then(|(_, query)| query.split_once('&'));
        let Some((count, authority)) = asked.and_then(|(count, to)| Some((count.parse::<u32>().ok()?, to))) else {
            return respond::text(out, 400, "say how many and where to: /?COUNT&AUTHORITY\n");
        };
        let sent: Vec<_> = (0..count).map(|_| send(authority)).collect();
        let mut ends = String::new();
        for coming in sent {
            coming.subscribe().block();
            let end = coming.get().expect("ready, as waited for").expect("taken once");
            writeln!(ends, "{:?}", end.map(|answer| answer.status())).expect("memory is enough");
        }
        respond::text(out, 200, &ends);
    }
}

fn send(authority: &str) -> FutureIncomingResponse {
    let call = OutgoingRequest::new(Fields::new());
    call.set_scheme(Some(&Scheme::Http)).expect("the host knows HTTP");
    call.set_authority(Some(authority)).expect("the host accepts the authority");
    call.set_path_with_query(Some("/")).expect("the host accepts the path");
    outgoing_handler::handle(call, None).expect("what is refused is refused by its answer")
}

wasip2::http::proxy::export!(Function);
