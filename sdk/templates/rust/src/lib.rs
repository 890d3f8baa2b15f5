use serde::Deserialize;
use wasmway::Query;
use wasmway::http::Uri;

#[derive(Deserialize)]
struct Whom {
    name: Option<String>,
}

/// Called for every request, with what its arguments ask for.
#[wasmway::handler]
fn hello(Query(whom): Query<Whom>, uri: Uri) -> String {
    let name = whom.name.as_deref().unwrap_or("world");
    format!("Hello, {name}! This is Rust, and you asked for {}\n", uri.path())
}

#[cfg(test)]
mod tests {
    use wasmway::test::{call, get};

    use super::*;

    #[test]
    fn greets_by_name() {
        let ada = "Hello, Ada! This is Rust, and you asked for /tea\n";
        call(hello, get("/tea?x=1&name=Ada")).expect(200).expect_text(ada);
        call(hello, get("/")).expect(200).expect_text("Hello, world! This is Rust, and you asked for /\n");
    }
}
