//! Logs and metrics by OTLP: what a receiver gets to see of them, and that nobody waits for it. Traces have tests of their
//! own.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::harness::{Builder, PATIENCE, Platform, Receiver, Refusal, eventually, free_port, with_kept_connection};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A platform that sends these signals to `receiver`, metrics often.
fn sending(signals: &str, receiver: &Receiver) -> Builder {
    let builder = Platform::builder().arg("--otlp-endpoint").arg(receiver.endpoint());
    builder.arg("--otlp-signals").arg(signals).env("OTEL_METRIC_EXPORT_INTERVAL", "200")
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-b7ad6b7169203331-{flags}")
}

/// A function that prints a line to each of its streams and breaks off then: the platform says why.
async fn deploy_printing(platform: &Platform) {
    platform.deploy_with("hello-std", "[limits]\nresponse_body = \"5B\"\n").await;
}

/// Paths that something was sent to.
fn paths(receiver: &Receiver) -> BTreeSet<String> {
    receiver.requests().into_iter().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn lines_arrive_with_the_trace_of_their_call() {
    let receiver = Receiver::start().await;
    let platform = sending("traces,logs", &receiver).env("OTEL_SERVICE_NAME", "shop").start().await;
    deploy_printing(&platform).await;
    for flags in ["01", "00"] {
        let call = platform.get("/hello-std/").header("traceparent", &traceparent(flags));
        call.header("x-request-id", &format!("id-{flags}")).await.expect(502);
    }
    let all = async || Some(receiver.records()).filter(|records| records.len() == 6);
    let records = eventually("the lines", PATIENCE, all).await;
    let of =
        |id: &str| records.iter().filter(|record| record.attributes["faas.invocation_id"] == id).collect::<Vec<_>>();

    let span = receiver.trace(TRACE, 1).await.into_iter().find(|span| span.name == "hello-std").unwrap();
    let expected = [
        (9, "INFO", "hello stdout", Some("stdout")),
        (13, "WARN", "hello stderr", Some("stderr")),
        (17, "ERROR", "5", None),
    ];
    for (record, (severity, name, body, stream)) in of("id-01").into_iter().zip(expected) {
        assert_eq!((record.severity.0, &*record.severity.1), (severity, name), "{record:#?}");
        assert!(record.body.as_str().unwrap().contains(body), "{record:#?}");
        assert_eq!(record.attributes.get("log.iostream").and_then(Value::as_str), stream, "{record:#?}");
        assert_eq!((&record.trace, &record.span, record.flags), (&span.trace, &span.id, 1), "{record:#?}");
        for name in ["faas.name", "faas.version", "faas.invocation_id", "wasmway.namespace"] {
            assert_eq!(record.attributes[name], span.attributes[name], "{record:#?}");
        }
        assert_eq!(record.resource, span.resource);
        assert!(span.times[0] <= record.times[0] && record.times[0] <= record.times[1], "{record:#?} {span:#?}");
    }
    assert_eq!(span.resource["service.name"], "shop");
    for record in of("id-00") {
        assert_eq!((&*record.trace, record.flags), (TRACE, 0), "its caller has decided that it is not recorded");
    }
    let counted = platform.metrics().await.value("wasmway_log_records_total", &[("result", "sent")]);
    assert_eq!(counted, 6.0);
}

#[tokio::test]
async fn what_is_not_named_is_not_sent() {
    let receiver = Receiver::start().await;
    let platform = sending("logs", &receiver).start().await;
    deploy_printing(&platform).await;
    platform.deploy("inspect").await;
    platform.get("/hello-std/").header("traceparent", &traceparent("01")).await.expect(502);
    let seen = platform.get("/inspect/").await.expect(200).json();
    let names: Vec<_> = seen["headers"].as_array().unwrap().iter().map(|pair| pair[0].clone()).collect();
    assert!(!names.contains(&json!("traceparent")), "{names:?}");
    let all = async || Some(receiver.records()).filter(|records| records.len() == 3);
    for record in eventually("the lines", PATIENCE, all).await {
        assert_eq!((&*record.trace, &*record.span, record.flags), ("", "", 0), "{record:#?}");
    }
    assert_eq!(paths(&receiver), ["/v1/logs".to_owned()].into());

    // As it was before there was a choice.
    let receiver = Receiver::start().await;
    let mut platform = Platform::builder().arg("--otlp-endpoint").arg(receiver.endpoint()).start().await;
    deploy_printing(&platform).await;
    platform.get("/hello-std/").await.expect(502);
    assert_eq!(platform.terminate().await.code(), Some(0));
    assert_eq!(paths(&receiver), ["/v1/traces".to_owned()].into());
}

#[tokio::test]
async fn metrics_arrive_with_their_units_and_an_exemplar() {
    let receiver = Receiver::start().await;
    let platform = sending("traces,metrics", &receiver).start().await;
    platform.deploy("hello").await;
    platform.get("/hello/").header("traceparent", &traceparent("01")).await.expect(200);
    platform.get("/hello/").header("traceparent", &traceparent("00")).await.expect(200);
    let name = "wasmway_invocation_duration_seconds";
    let both = async || receiver.latest(name, Some("hello")).filter(|point| point.buckets.1.iter().sum::<u64>() == 2);
    let duration = eventually("both calls", PATIENCE, both).await;
    assert_eq!((duration.kind, &*duration.unit), ("histogram", "s"));
    assert_eq!(duration.description, "Wall-clock time of an invocation, its bodies included.");
    assert_eq!((duration.buckets.0.len(), duration.buckets.1.len()), (18, 19));
    assert!(duration.value > 0.0 && duration.times[0] < duration.times[1], "{duration:#?}");
    let [exemplar] = &duration.exemplars[..] else { panic!("of the one that is recorded: {duration:#?}") };
    let span = receiver.trace(TRACE, 1).await.into_iter().find(|span| span.name == "hello").unwrap();
    assert_eq!((&exemplar.trace, &exemplar.span), (&span.trace, &span.id));
    let bucket = duration.buckets.0.partition_point(|upper| *upper < exemplar.value);
    assert!(duration.buckets.1[bucket] > 0 && duration.value > exemplar.value, "{duration:#?}");
    assert!(duration.times[0] < exemplar.time && exemplar.time < duration.times[1], "{duration:#?}");
    assert_eq!(duration.resource, span.resource);

    let calls = receiver.point("wasmway_invocations_total", Some("hello")).await;
    assert_eq!((calls.kind, calls.value, &*calls.unit), ("sum", 2.0, ""));
    assert_eq!((&calls.attributes["namespace"], &calls.attributes["outcome"]), (&json!("default"), &json!("ok")));
    let started = receiver.point("wasmway_demotions_total", None).await.times[0];
    assert!(started < calls.times[0], "a function counts from its deploy on");
    for (name, kind, unit) in [
        ("wasmway_memory_used_ratio", "gauge", "1"),
        ("process_resident_memory_bytes", "gauge", "By"),
        ("wasmway_runtime_busy_seconds_total", "sum", "s"),
        ("wasmway_functions", "gauge", ""),
    ] {
        let point = receiver.point(name, None).await;
        assert_eq!((point.kind, &*point.unit), (kind, unit), "{point:#?}");
        assert!(point.value > 0.0, "{point:#?}");
    }
    let sent = async || (counted("wasmway_metric_points_total", "sent", &platform).await > 50.0).then_some(());
    eventually("the values to be counted", PATIENCE, sent).await;

    // One that is gone leaves nothing behind.
    assert!(platform.wasmway(&["delete", "hello", "--yes"]).0);
    let gone = async || (receiver.latest("wasmway_functions", None)?.value == 0.0).then_some(());
    eventually("it to be gone", PATIENCE, gone).await;
    let last = receiver.point("wasmway_functions", None).await.times[1];
    assert!(receiver.point(name, Some("hello")).await.times[1] < last);
}

#[tokio::test]
async fn a_stop_sends_the_metrics_and_lines_that_are_left() {
    let receiver = Receiver::start().await;
    let builder = sending("logs,metrics", &receiver).env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
    let mut platform = builder.start().await;
    deploy_printing(&platform).await;
    platform.get("/hello-std/").await.expect(502);
    assert_eq!(receiver.latest("wasmway_functions", None).map(|point| point.value), None);
    assert_eq!(platform.terminate().await.code(), Some(0));
    assert_eq!(receiver.records().len(), 3);
    let calls = receiver.latest("wasmway_invocation_cpu_seconds", Some("hello-std")).unwrap();
    assert_eq!((calls.buckets.1.iter().sum::<u64>(), calls.exemplars.len()), (1, 0));
}

#[tokio::test]
async fn a_registry_sends_its_metrics_too() {
    let receiver = Receiver::start().await;
    let _registry = sending("traces,logs,metrics", &receiver).role("registry").start().await;
    assert_eq!(receiver.point("wasmway_ready", None).await.value, 1.0);
}

#[tokio::test]
async fn what_may_be_taken_later_is_sent_again() {
    let receiver = Receiver::start().await;
    let mut platform = sending("logs", &receiver)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=general")
        .env("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-api-key=a%20secret")
        .start()
        .await;
    deploy_printing(&platform).await;
    let count = async |result| counted("wasmway_log_records_total", result, &platform).await;
    // Which of them go in one message is a matter of luck.
    let print = async |all: f64| {
        platform.get("/hello-std/").await.expect(502);
        let all = async || {
            let (sent, failed) = (count("sent").await, count("failed").await);
            (sent + failed == all).then_some(failed)
        };
        eventually("all lines to be counted", PATIENCE, all).await
    };
    receiver.refuse([Refusal::Status(503, 0), Refusal::Status(429, 1)]);
    let began = Instant::now();
    assert_eq!(print(3.0).await, 0.0);
    assert!(began.elapsed() > Duration::from_secs(1), "it was to come back after a second");
    assert_eq!(receiver.records().len(), 3);
    assert!(receiver.requests().iter().all(|(_, headers)| headers["x-api-key"] == "a secret"));
    receiver.refuse([Refusal::Partial(1)]);
    assert_eq!(print(6.0).await, 1.0);
    assert_eq!(print(9.0).await, 1.0);
    // Nothing but time makes these better.
    receiver.refuse([Refusal::Status(400, 0)]);
    assert!(print(12.0).await > 1.0);
    assert_eq!(platform.terminate().await.code(), Some(0));
    let log = platform.process().log();
    for said in [
        "lines of functions cannot be sent; they are lost until they can",
        "were refused: too late",
        "lines of functions are sent again",
        "it was answered 400",
    ] {
        assert!(log.contains(said), "{said:?} in {log}");
    }
    assert!(!log.contains("a secret"), "{log}");
}

#[tokio::test]
async fn variables_that_make_no_sense_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, said) in [
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "1m",
            "OTEL_METRIC_EXPORT_INTERVAL is \"1m\": set it to a number of milliseconds",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT is \"0\""),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "OTEL_EXPORTER_OTLP_HEADERS is not NAME=VALUE"),
    ] {
        let start = crate::harness::binary()
            .args(["up", "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--otlp-signals=metrics", "--data-dir"])
            .arg(folder.path())
            .args(["--otlp-endpoint", "http://127.0.0.1:1"])
            .env(name, value)
            .output();
        let output = start.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && text.contains(said) && !text.contains("secret"), "{text}");
    }
}

async fn counted(name: &str, result: &str, platform: &Platform) -> f64 {
    platform.metrics().await.value(name, &[("result", result)])
}

#[tokio::test]
async fn calls_do_not_notice_that_nobody_takes_anything() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let builder = Platform::builder().arg("--otlp-endpoint").arg(nobody).arg("--otlp-signals=traces,logs,metrics");
    let mut platform = builder.env("OTEL_METRIC_EXPORT_INTERVAL", "200").start().await;
    deploy_printing(&platform).await;
    platform.get("/hello-std/").await.expect(502);
    for (name, items) in [
        ("wasmway_spans_total", "spans"),
        ("wasmway_log_records_total", "lines of functions"),
        ("wasmway_metric_points_total", "metrics"),
    ] {
        let failed = async || (counted(name, "failed", &platform).await > 0.0).then_some(());
        eventually(items, PATIENCE, failed).await;
        let log = platform.process().log();
        assert_eq!(log.matches(&format!("{items} cannot be sent")).count(), 1, "{log}");
        assert_eq!(counted(name, "sent", &platform).await, 0.0);
    }
    assert_eq!(platform.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_beyond_those_that_may_wait_are_dropped_and_counted() {
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let builder = Platform::builder().arg("--otlp-endpoint").arg(endpoint).arg("--otlp-signals=logs,metrics");
    let mut platform = builder.env("OTEL_METRIC_EXPORT_INTERVAL", "200").start().await;
    platform.deploy("hello-std").await;
    let address = platform.data_address().to_owned();
    let calling = tokio::spawn(with_kept_connection(address, "/hello-std/"));
    let dropped = async || (counted("wasmway_log_records_total", "dropped", &platform).await > 0.0).then_some(());
    eventually("lines to be dropped", PATIENCE, dropped).await;
    let began = Instant::now();
    let status = timeout(Duration::from_secs(10), platform.terminate()).await.expect("an end within some seconds");
    assert_eq!(status.code(), Some(0), "after {:?}", began.elapsed());
    assert!(calling.await.unwrap().unwrap() > 1000);
    let log = platform.process().log();
    for items in ["lines of functions", "metrics"] {
        assert!(log.contains(&format!("the last {items} were not sent")), "{log}");
    }
}
