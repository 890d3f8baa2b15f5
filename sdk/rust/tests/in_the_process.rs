//! What the examples in the documentation do not show.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use wasmway::http::{Method, StatusCode};
use wasmway::{Body, Bytes, Error, Form, Json, Request, Result, Router, client, log, sse, test, time};

#[test]
fn a_failure_is_a_500_whose_cause_is_in_the_log() {
    fn fails() -> Result<String> {
        Ok(String::from_utf8(vec![0xff])?)
    }
    let answer = test::call(fails, test::get("/")).expect(500);
    answer.expect_text("Internal Server Error\n");
    let lines = test::lines();
    assert!(lines.len() == 1 && lines[0].starts_with("error: invalid utf-8"), "{lines:?}");
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_the_handler() {
    fn never(_: Json<u32>) {
        unreachable!("it is not called");
    }
    let answer = test::call(never, test::post("/", "[]")).expect(400);
    assert!(answer.text().starts_with("the body is not as this function wants it: "), "{answer:?}");
    test::call(never, test::post("/", vec![b' '; Body::BYTES_MAX + 1])).expect(413);
    assert!(test::lines().is_empty(), "the client's fault is no line of the log");

    fn optional(number: Option<Json<u32>>, rest: String) -> String {
        format!("{:?} {rest:?}", number.map(|Json(number)| number))
    }
    test::call(optional, test::post("/", "7")).expect_text("Some(7) \"\"");
    test::call(optional, test::post("/", "x")).expect_text("None \"\"");
}

#[test]
fn a_form_and_bytes_are_taken() {
    fn names(Form(pairs): Form<Vec<(String, String)>>) -> String {
        format!("{pairs:?}")
    }
    test::call(names, test::post("/", "a=1&b=x+y")).expect_text(r#"[("a", "1"), ("b", "x y")]"#);
    fn same(bytes: Bytes) -> Bytes {
        bytes
    }
    let answer = test::call(same, test::post("/", &b"\xff\0"[..])).expect(200);
    assert_eq!((&answer.body[..], answer.header("content-type")), (&b"\xff\0"[..], Some("application/octet-stream")));
}

#[test]
fn a_body_comes_piece_by_piece_and_as_fast_as_it_is_read() {
    async fn sum(mut body: Body) -> Result<String> {
        let mut lengths = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            lengths.push(chunk.len());
        }
        Ok(format!("{lengths:?}"))
    }
    let written = Rc::new(Cell::new(0));
    let count = Rc::clone(&written);
    let body = Body::written(async move |mut out| {
        for piece in ["a", "", "bcd"] {
            out.write(piece).await;
            count.set(count.get() + 1);
        }
        Ok(())
    });
    assert_eq!(written.get(), 0, "nothing runs before somebody reads");
    test::call(sum, test::post("/", body)).expect_text("[1, 3]");
    assert_eq!(written.get(), 3);
}

#[test]
fn a_body_that_fails_breaks_off() {
    fn half() -> Body {
        Body::written(async |mut out| {
            out.write("half").await;
            Err(Error::new(StatusCode::INTERNAL_SERVER_ERROR, "the rest is missing"))
        })
    }
    let answer = test::call(half, test::get("/"));
    assert_eq!((&answer.body[..], answer.broke_off.unwrap().to_string()), (&b"half"[..], "the rest is missing".into()));
}

#[test]
fn a_handler_waits_for_what_another_thread_does() {
    async fn waits() -> &'static str {
        let mut started = false;
        poll_fn(|context| {
            if std::mem::replace(&mut started, true) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                waker.wake();
            });
            Poll::Pending
        })
        .await;
        time::sleep(Duration::from_millis(1)).await;
        "done"
    }
    test::call(waits, test::get("/")).expect_text("done");
}

#[test]
fn events_have_the_form_that_browsers_read() {
    fn events() -> wasmway::Response {
        sse::events(async |mut events| {
            events.send(sse::Event::data("two\r\nlines").kind("a\nb").id(7)).await;
            events.keep_alive().await;
            Ok(())
        })
    }
    let answer = test::call(events, test::get("/")).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    answer.expect_text("id: 7\nevent: a b\ndata: two\ndata: lines\n\n:\n\n");
}

#[test]
fn a_router_knows_methods_and_what_is_in_a_path() {
    fn pair(wasmway::Path(found): wasmway::Path<Vec<(String, String)>>) -> String {
        format!("{found:?}")
    }
    async fn route(request: Request) -> wasmway::Response {
        Router::new().get("/{a}/{b}", pair).delete("/{a}/{b}", || StatusCode::NO_CONTENT).route(request).await
    }
    test::call(route, test::get("/x%20y/1+1=2&c=d")).expect(200).expect_text(r#"[("a", "x y"), ("b", "1+1=2&c=d")]"#);
    test::call(route, test::request("HEAD", "/a/b", ())).expect(200);
    test::call(route, test::request("DELETE", "/a/b", ())).expect(204);
    let answer = test::call(route, test::post("/a/b", "")).expect(405);
    assert_eq!(answer.header("allow"), Some("GET, DELETE"));
    test::call(route, test::get("/a")).expect(404);
}

#[test]
fn a_test_that_says_nothing_of_the_other_side_is_told_how() {
    async fn calls() -> Result<wasmway::Response> {
        client::get("http://example.com/").await
    }
    test::call(calls, test::get("/")).expect(500);
    let line = test::lines().pop().unwrap();
    assert!(line.contains("no answer of http://example.com/") && line.contains("set_outbound"), "{line}");
    test::set_outbound(|request| {
        assert_eq!(request.method(), Method::GET);
        wasmway::Response::new("fine".into())
    });
    test::call(calls, test::get("/")).expect_text("fine");
    test::call(calls, test::get("/")).expect_text("fine");
}

#[test]
fn lines_have_levels() {
    fn chatty() {
        log::debug!("unseen");
        log::info!("so");
        log::warn!("well");
        log::error!("oh");
    }
    test::call(chatty, test::get("/"));
    assert_eq!(test::lines(), ["so", "well", "error: oh"]);
}
