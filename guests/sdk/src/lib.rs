//! Every part of the Rust SDK, each at a path of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmway::http::{HeaderMap, Method, StatusCode, Uri};
use wasmway::{Body, Error, Json, OrStatus as _, Path, Query, Request, Response, Result, Router};
use wasmway::{client, config, log, sse, time};

#[derive(Deserialize)]
struct Order {
    cents: u64,
    count: u64,
}

#[derive(Serialize)]
struct Invoice {
    total: u64,
}

#[derive(Deserialize)]
struct User {
    id: u32,
    name: String,
}

#[derive(Deserialize)]
struct Target {
    url: String,
}

#[wasmway::handler]
async fn everything(request: Request) -> Response {
    Router::new()
        .post("/invoice", invoice)
        .get("/users/{id}/{name}", user)
        .on(Method::PATCH, "/head", head)
        .post("/echo", echo)
        .get("/ticks", ticks)
        .get("/fetch", fetch)
        .post("/relay", relay)
        .get("/greeting", greeting)
        .get("/log", write_lines)
        .get("/fail", fail)
        .get("/break-off", break_off)
        .get("/panic", panic)
        .route(request)
        .await
}

async fn invoice(Json(order): Json<Order>) -> Json<Invoice> {
    Json(Invoice { total: order.cents * order.count })
}

fn user(Path(user): Path<User>) -> String {
    format!("{} is {}\n", user.id, user.name)
}

fn head(method: Method, uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
    let test = headers.get_all("x-test").iter().map(|value| value.to_str().unwrap_or_default());
    let host = headers.contains_key("host");
    (StatusCode::ACCEPTED, format!("{method} {uri} {host} {}\n", test.collect::<Vec<_>>().join("+")))
}

fn echo(body: Body) -> Body {
    body
}

fn ticks() -> Response {
    sse::events(async |mut events| {
        for number in 0..3_u32 {
            events.send(sse::Event::data(format!("tick\nof {number}")).kind("tick").id(number)).await;
            time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
}

async fn fetch(Query(target): Query<Target>) -> Result<Response> {
    client::get(target.url).await
}

async fn relay(Query(target): Query<Target>, body: Body) -> Result<Response> {
    let request = wasmway::http::Request::put(target.url).extension(client::Timeout(Duration::from_secs(5)));
    client::send(request.body(body)?).await
}

fn greeting() -> Result<String> {
    let times: usize = config::parse("TIMES")?.unwrap_or(1);
    Ok(config::require("GREETING")?.repeat(times))
}

fn write_lines() {
    log::debug!("not shown");
    log::info!("by the way");
    log::warn!("look here");
    log::error!("look here at once");
}

fn fail() -> Result<&'static str> {
    let number: u32 = "none".parse()?;
    if number == 0 {
        return Err(Error::new(StatusCode::NOT_FOUND, "nothing"));
    }
    None.or_status(StatusCode::GONE, "gone")
}

fn break_off() -> Body {
    Body::written(async |mut out| {
        out.write("half of it").await;
        Err(Error::new(StatusCode::INTERNAL_SERVER_ERROR, "the disk is full"))
    })
}

fn panic() {
    panic!("this cannot be");
}
