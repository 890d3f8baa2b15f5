//! `/?AUTHORITY` sends a body without end there, by POST, until it is stopped; answers with the name of the error that
//! stopped it.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, ResponseOutparam, Scheme};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let authority = target.split_once('?').map(|(_, authority)| authority);
        let call = OutgoingRequest::new(Fields::new());
        call.set_method(&Method::Post).expect("the host knows POST");
        call.set_scheme(Some(&Scheme::Http)).expect("the host knows HTTP");
        call.set_authority(authority).expect("the host accepts the authority");
        call.set_path_with_query(Some("/")).expect("the host accepts the path");
        let body = call.body().expect("a new request has its body");
        let stream = body.write().expect("a new body has its stream");
        let coming = outgoing_handler::handle(call, None).expect("the host lets it out");
        let piece = vec![b'x'; 64 * 1024];
        while stream.check_write().is_ok_and(|room| {
            if room == 0 {
                stream.subscribe().block();
            }
            let length = piece.len().min(room as usize);
            stream.write(&piece[..length]).is_ok()
        }) {}
        coming.subscribe().block();
        let end = coming.get().expect("ready, as waited for").expect("taken once");
        respond::text(out, 200, &format!("{:?}\n", end.map(|answer| answer.status())));
    }
}

wasip2::http::proxy::export!(Function);
