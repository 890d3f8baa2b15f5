//! Answers, as JSON, everything that it was given: the request's head and the environment.

use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let headers: Vec<Value> = request
            .headers()
            .entries()
            .iter()
            .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
            .collect();
        let env: serde_json::Map<String, Value> = wasip2::cli::environment::get_environment()
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        let seen = json!({
            "method": method(&request),
            "path_with_query": request.path_with_query(),
            "scheme": scheme(&request),
            "authority": request.authority(),
            "headers": headers,
            "env": env,
        });
        respond::whole(out, 200, "application/json", seen.to_string().as_bytes());
    }
}

fn method(request: &IncomingRequest) -> String {
    use wasip2::http::types::Method;
    match request.method() {
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

fn scheme(request: &IncomingRequest) -> Option<String> {
    use wasip2::http::types::Scheme;
    Some(match request.scheme()? {
        Scheme::Http => "http".into(),
        Scheme::Https => "https".into(),
        Scheme::Other(name) => name,
    })
}

wasip2::http::proxy::export!(Function);
