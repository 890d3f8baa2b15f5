//! Traces: what a receiver of OTLP gets to see of a call, and that nobody waits for it.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::{Builder, PATIENCE, Platform, Receiver, Span, eventually, free_port, with_kept_connection};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A platform that sends its traces to `receiver`, and whose functions may call each other.
fn tracing_to(receiver: &Receiver) -> Builder {
    Platform::builder().arg("--otlp-endpoint").arg(receiver.endpoint()).arg("--outbound-allow-private")
}

/// Deploys `inspect`, and `outbound`, which may call it. Answers with the address of `inspect`.
async fn deploy_both(platform: &Platform) -> String {
    platform.deploy("inspect").await;
    let origin = platform.data().to_owned();
    platform.deploy_with("outbound", &format!("[outbound]\nallow = [\"{origin}\"]\n")).await;
    format!("{origin}/inspect/x?secret=1")
}

/// A header as `inspect` saw it.
fn seen(answer: &Value, name: &str) -> Option<String> {
    let headers = answer["headers"].as_array().unwrap();
    headers.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
}

#[track_caller]
fn the<'a>(spans: &'a [Span], what: &str, is_it: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| is_it(span)).collect();
    assert_eq!(found.len(), 1, "{what} among {spans:#?}");
    found[0]
}

/// The span of the call of a function.
#[track_caller]
fn invocation<'a>(spans: &'a [Span], function: &str) -> &'a Span {
    the(spans, function, |span| span.kind == SpanKind::Server && span.name == function)
}

/// A span right below another.
#[track_caller]
fn below<'a>(spans: &'a [Span], parent: &Span, name: &str) -> &'a Span {
    the(spans, name, |span| span.parent == parent.id && span.name == name)
}

#[track_caller]
fn expect_attributes(span: &Span, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(span.attributes.get(*name), Some(value), "{name} of {span:#?}");
    }
}

#[tokio::test]
async fn a_call_what_it_waited_for_and_what_it_sent_out_are_one_trace() {
    let receiver = Receiver::start().await;
    // Without programs in memory, each call loads its own.
    let platform = tracing_to(&receiver).arg("--program-cache=0MiB").start().await;
    let url = deploy_both(&platform).await;
    let call = platform.get(&format!("/outbound/a?url={url}")).header("traceparent", &traceparent("01"));
    let answer = call.header("tracestate", "vendor=1").header("x-request-id", "id-1").await.expect(200).json();

    // Two invocations, each with the load of its program and its instance, and the request between them. On a busy machine
    // they may have waited for the CPU too.
    let spans = receiver.trace(TRACE, 2).await;
    assert_eq!(spans.iter().filter(|span| span.name != "queue").count(), 7, "{spans:#?}");
    let first = invocation(&spans, "outbound");
    assert_eq!((&*first.parent, &*first.state, first.failed), (CALLER, "vendor=1", false));
    let host = platform.data_address().split_once(':').unwrap();
    expect_attributes(
        first,
        &[
            ("faas.name", "outbound".into()),
            ("faas.version", "1".into()),
            ("faas.coldstart", true.into()),
            ("faas.invocation_id", "id-1".into()),
            ("faas.trigger", "http".into()),
            ("http.request.method", "GET".into()),
            ("http.response.status_code", 200.into()),
            ("url.path", "/outbound/a".into()),
            ("url.scheme", "http".into()),
            ("server.address", host.0.into()),
            ("server.port", host.1.parse::<u16>().unwrap().into()),
            ("network.protocol.version", "1.1".into()),
            ("wasmway.namespace", "default".into()),
            ("wasmway.outcome", "ok".into()),
            ("wasmway.outbound_requests", 1.into()),
        ],
    );
    for name in ["wasmway.cpu_us", "wasmway.memory_bytes", "wasmway.queued_us"] {
        assert!(first.attributes[name].as_u64().is_some_and(|number| number > 0), "{name} of {first:#?}");
    }
    assert_eq!(first.resource["service.name"], "wasmway");

    let sent = below(&spans, first, "GET");
    assert_eq!(sent.kind, SpanKind::Client);
    let asked = format!("{}/inspect/x", platform.data());
    expect_attributes(sent, &[("http.response.status_code", 200.into()), ("url.full", asked.into())]);
    let second = invocation(&spans, "inspect");
    assert_eq!((&second.parent, &*second.state), (&sent.id, "vendor=1"));
    assert_eq!(seen(&answer, "traceparent"), Some(format!("00-{TRACE}-{}-01", second.id)));
    assert_eq!(seen(&answer, "tracestate").as_deref(), Some("vendor=1"));

    for invocation in [first, second] {
        let load = below(&spans, invocation, "load");
        expect_attributes(load, &[("wasmway.load.source", "cache".into())]);
        let steps = [load, below(&spans, invocation, "instantiate")];
        for span in steps.into_iter().chain([sent].into_iter().filter(|_| invocation.id == first.id)) {
            assert!(invocation.times[0] <= span.times[0] && span.times[0] <= span.times[1], "{span:#?}");
            assert!(span.times[1] <= invocation.times[1], "{span:#?} after the end of {invocation:#?}");
        }
    }
}

#[tokio::test]
async fn a_long_call_waits_for_its_turn() {
    let receiver = Receiver::start().await;
    let platform = tracing_to(&receiver).start().await;
    platform.deploy_with("loop", "[limits]\ncpu = \"100ms\"\n").await;
    platform.get("/loop/").header("traceparent", &traceparent("01")).await.expect(504);
    let spans = receiver.trace(TRACE, 1).await;
    let call = invocation(&spans, "loop");
    below(&spans, call, "queue");
    below(&spans, call, "instantiate");
}

#[tokio::test]
async fn a_function_may_pass_its_trace_on_add_spans_of_its_own_or_speak_of_another() {
    let receiver = Receiver::start().await;
    let platform = tracing_to(&receiver).start().await;
    let url = deploy_both(&platform).await;
    let own = "1111111111111111";
    let wishes =
        ["trace".to_owned(), "traceparent=00-TRACE-1111111111111111-01".to_owned(), "traceparent=?".to_owned()];
    for (number, wish) in wishes.into_iter().enumerate() {
        let trace = format!("{:032x}", number + 1);
        let path = format!("/outbound/?{}&url={url}", wish.replace("TRACE", &trace));
        let call = platform.get(&path).header("traceparent", &format!("00-{trace}-{CALLER}-01"));
        let answer = call.await.expect(200).json();
        let spans = receiver.trace(&trace, 2).await;
        let (first, second) = (invocation(&spans, "outbound"), invocation(&spans, "inspect"));
        let sent = the(&spans, "the request", |span| span.kind == SpanKind::Client);
        assert_eq!(sent.parent, if wish.contains(own) { own } else { &first.id }, "{wish}");
        assert_eq!(second.parent, sent.id, "{wish}");
        assert_eq!(seen(&answer, "traceparent"), Some(format!("00-{trace}-{}-01", second.id)), "{wish}");
    }
    let other = "f".repeat(32);
    platform.get(&format!("/outbound/?traceparent=00-{other}-{own}-01&url={url}")).await.expect(200);
    let spans = receiver.trace(&other, 1).await;
    assert_eq!(invocation(&spans, "inspect").parent, own, "its word stands");
}

/// Calls `inspect` with and without a caller that has decided; answers with what it saw: its traceparent without a caller,
/// of one that is not sampled, of one that is.
async fn sampled(builder: Builder, receiver: &Receiver) -> [String; 3] {
    let platform = builder.start().await;
    platform.deploy("inspect").await;
    let alone = platform.get("/inspect/").await.expect(200).json();
    let unsampled = platform.get("/inspect/").header("traceparent", &traceparent("00")).await.expect(200).json();
    let last = format!("00-{}-{CALLER}-01", "e".repeat(32));
    let of_sampled = platform.get("/inspect/").header("traceparent", &last).await.expect(200).json();
    // They are sent in the order in which they end.
    receiver.trace(&"e".repeat(32), 1).await;
    [alone, unsampled, of_sampled].map(|answer| seen(&answer, "traceparent").unwrap())
}

#[tokio::test]
async fn whoever_began_a_trace_decides_whether_it_is_recorded() {
    for ratio in ["0", "1"] {
        let receiver = Receiver::start().await;
        let seen = sampled(tracing_to(&receiver).arg("--trace-ratio").arg(ratio), &receiver).await;
        let spans = receiver.spans();
        assert_eq!(spans.iter().filter(|span| span.trace == TRACE).count(), 0, "its caller decided against it");
        let own = seen[0].split('-').nth(1).unwrap();
        assert_eq!(spans.iter().any(|span| span.trace == own), ratio == "1", "{seen:?} {spans:#?}");
        assert!(seen[0].ends_with(&format!("-0{ratio}")), "{seen:?}: others are told");
        assert!(seen[1].starts_with(&format!("00-{TRACE}-")) && seen[1].ends_with("-00"), "{seen:?}");
        assert!(seen[2].starts_with("00-eeee") && seen[2].ends_with("-01"), "{seen:?}");
    }
}

#[tokio::test]
async fn the_variables_of_the_standard_are_heard() {
    let receiver = Receiver::start().await;
    let builder = Platform::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=secret")
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=no");
    let seen = sampled(builder, &receiver).await;
    assert!(seen[0].ends_with("-00"), "{seen:?}");
    let spans = receiver.spans();
    assert!(spans.iter().all(|span| span.resource["service.name"] == "shop"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.resource["deployment.environment.name"] == "test"), "{spans:#?}");
    assert!(receiver.requests().iter().all(|(_, headers)| headers["x-api-key"] == "secret"));
}

#[tokio::test]
async fn a_traceparent_that_is_none_begins_a_trace() {
    let receiver = Receiver::start().await;
    let platform = tracing_to(&receiver).start().await;
    platform.deploy("inspect").await;
    let good = traceparent("01");
    let hostile = [
        "x".repeat(8000),
        good.to_uppercase(),
        good.replace('-', "--"),
        format!("{good}-more"),
        good.replacen("00", "ff", 1),
        format!("00-{}-{CALLER}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        "00-1-1-01".to_owned(),
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    ];
    for hostile in hostile {
        let call = platform.get("/inspect/").header("traceparent", &hostile).header("tracestate", "vendor=1");
        let answer = call.await.expect(200).json();
        let given = seen(&answer, "traceparent").unwrap();
        assert_eq!((given.len(), seen(&answer, "tracestate")), (good.len(), None), "{hostile}");
        let trace = given.split('-').nth(1).unwrap();
        assert_ne!(trace, TRACE, "{hostile}");
        let spans = receiver.trace(trace, 1).await;
        assert_eq!(invocation(&spans, "inspect").parent, "", "{hostile}");
    }
    let call = platform.get("/inspect/").header("traceparent", &good).header("traceparent", &good);
    let answer = call.await.expect(200).json();
    assert!(!seen(&answer, "traceparent").unwrap().contains(TRACE), "two are none");
}

#[tokio::test]
async fn what_went_wrong_is_an_error_and_says_what() {
    let receiver = Receiver::start().await;
    let platform = tracing_to(&receiver).start().await;
    platform.deploy("outbound").await;
    platform.deploy("trap").await;
    platform.get("/trap/").header("traceparent", &traceparent("01")).await.expect(502);
    let spans = receiver.trace(TRACE, 1).await;
    let call = invocation(&spans, "trap");
    assert!(call.failed, "{call:#?}");
    expect_attributes(call, &[("error.type", "trap".into()), ("http.response.status_code", 502.into())]);

    let last = format!("00-{}-{CALLER}-01", "e".repeat(32));
    let url = format!("/outbound/?url=http://127.0.0.1:{}/x", free_port());
    platform.get(&url).header("traceparent", &last).await.expect(500);
    let spans = receiver.trace(&"e".repeat(32), 1).await;
    let sent = the(&spans, "the request", |span| span.kind == SpanKind::Client);
    assert!(sent.failed, "{sent:#?}");
    expect_attributes(sent, &[("error.type", "HttpRequestDenied".into())]);
}

#[tokio::test]
async fn a_stop_sends_what_is_left() {
    let receiver = Receiver::start().await;
    let mut platform = tracing_to(&receiver).start().await;
    platform.deploy("hello").await;
    for _ in 0..20 {
        platform.get("/hello/").await.expect(200);
    }
    assert_eq!(platform.terminate().await.code(), Some(0));
    let calls = receiver.spans().iter().filter(|span| span.kind == SpanKind::Server).count();
    assert_eq!(calls, 20);
}

async fn spans_that(result: &str, platform: &Platform) -> f64 {
    platform.metrics().await.value("wasmway_spans_total", &[("result", result)])
}

#[tokio::test]
async fn calls_do_not_notice_that_nobody_takes_their_spans() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let mut platform = Platform::builder().arg("--otlp-endpoint").arg(nobody).start().await;
    platform.deploy("hello").await;
    platform.get("/hello/").await.expect(200);
    eventually("the spans to be given up", PATIENCE, async || {
        platform.get("/hello/").await.expect(200);
        (spans_that("failed", &platform).await > 0.0).then_some(())
    })
    .await;
    assert!(platform.process().log().contains("spans cannot be sent"), "{}", platform.process().log());
    assert_eq!(platform.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_beyond_those_that_may_wait_are_dropped_and_counted() {
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut platform = Platform::builder().arg("--otlp-endpoint").arg(endpoint).start().await;
    platform.deploy("hello").await;
    let address = platform.data_address().to_owned();
    let calling = tokio::spawn(with_kept_connection(address, "/hello/"));
    eventually("spans to be dropped", PATIENCE, async || (spans_that("dropped", &platform).await > 0.0).then_some(()))
        .await;
    let began = Instant::now();
    assert_eq!(platform.terminate().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "the end took {:?}", began.elapsed());
    let answered = calling.await.unwrap().unwrap();
    assert!(answered > 1000, "only {answered} calls were answered");
    assert!(platform.process().log().contains("the last spans were not sent"), "{}", platform.process().log());
}
