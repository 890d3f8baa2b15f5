use wstd::http::{Body, Request, Response, Result};

/// Called for every request.
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let uri = request.uri();
    let text = greeting(uri.path(), uri.query().unwrap_or_default());
    let response = Response::builder().header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(text.into())?)
}

fn greeting(path: &str, query: &str) -> String {
    let name = parameter(query, "name").unwrap_or("world");
    format!("Hello, {name}! This is Rust, and you asked for {path}\n")
}

/// The value of a parameter of the query, as it is written there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting("/tea", "x=1&name=Ada"), "Hello, Ada! This is Rust, and you asked for /tea\n");
        assert_eq!(greeting("/", ""), "Hello, world! This is Rust, and you asked for /\n");
    }
}
