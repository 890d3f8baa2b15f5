//! hyper and nothing else: what no server on this stack can be faster than.

use std::convert::Infallible;
use std::thread;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Serves on any port of loopback, and prints which, until it is killed.
pub(crate) fn run() -> Result<()> {
    // As many threads as this process may use processors; a single one needs no other to hand work to.
    let mut runtime = match thread::available_parallelism()?.get() {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("Serving HTTP on http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let answer = service_fn(|request| async move { Ok::<_, Infallible>(answer(request)) });
            // A client that leaves is no event.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// What the guests `hello` and `echo` answer.
fn answer(request: Request<Incoming>) -> Response<BoxBody<Bytes, hyper::Error>> {
    let (kind, body) = if request.method() == Method::POST {
        ("application/octet-stream", request.into_body().boxed())
    } else {
        let hello = Full::new(Bytes::from_static(b"Hello from Wasmway!\n"));
        ("text/plain; charset=utf-8", hello.map_err(|never| match never {}).boxed())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
