//! OpenMetrics, for those who ask for it: read by the parser of Prometheus' client for Python, which takes nothing for it
//! that is not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::Value;

use crate::harness::{PATIENCE, Platform, Receiver};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Prints each family as JSON: name, type, unit, help, and samples with name, labels, value and exemplar.
const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = [[s.name, s.labels, s.value, s.exemplar and [s.exemplar.labels, s.exemplar.value, float(s.exemplar.timestamp)]]
               for s in family.samples]
    print(json.dumps([family.name, family.type, family.unit, family.documentation, samples]))
";

/// What the parser makes of a text.
fn parsed(text: &str) -> BTreeMap<String, Value> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    assert!(python.is_file(), "{} is missing: cargo xtask toolchain brings it", python.display());
    let mut parser = Command::new(python)
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // In a thread of its own: it prints while it reads.
    let (mut stdin, all) = (parser.stdin.take().unwrap(), text.to_owned());
    let writing = std::thread::spawn(move || stdin.write_all(all.as_bytes()));
    let output = parser.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{text}");
    writing.join().unwrap().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let families = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    families.map(|family| (family[0].as_str().unwrap().to_owned(), family)).collect()
}

/// The samples of a family that are of a function, by name.
fn samples<'a>(family: &'a Value, function: &str) -> Vec<&'a Value> {
    let samples = family[4].as_array().unwrap().iter();
    samples.filter(|sample| sample[1]["function"] == function).collect()
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_all_metrics_and_exemplars() {
    let receiver = Receiver::start().await;
    let platform = Platform::builder().arg("--otlp-endpoint").arg(receiver.endpoint()).start().await;
    platform.deploy("hello").await;
    for flags in ["01", "00"] {
        let call = platform.get("/hello/").header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-{flags}"));
        call.await.expect(200);
    }
    platform.invocations("hello", 2).await;
    platform.idle(PATIENCE).await;
    let scrape = |accept| platform.control(Method::GET, "/metrics").header("accept", accept);

    let answer = scrape("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("accept"));
    let families = parsed(answer.text());
    let duration = &families["wasmway_invocation_duration_seconds"];
    assert_eq!((&duration[1], &duration[2]), (&"histogram".into(), &"seconds".into()));
    let of_hello = samples(duration, "hello");
    assert_eq!(of_hello.len(), 19 + 2, "{of_hello:#?}");
    let bounds: Vec<_> = of_hello.iter().filter_map(|sample| sample[1]["le"].as_str()).collect();
    assert_eq!((bounds[0], bounds[4], bounds[17], bounds[18]), ("5e-05", "0.001", "30.0", "+Inf"));
    let exemplars: Vec<_> = of_hello.iter().map(|sample| &sample[3]).filter(|exemplar| !exemplar.is_null()).collect();
    let [exemplar] = exemplars[..] else { panic!("of the one that is recorded: {of_hello:#?}") };
    let span = receiver.trace(TRACE, 1).await.into_iter().find(|span| span.name == "hello").unwrap();
    assert_eq!((&exemplar[0]["trace_id"], &exemplar[0]["span_id"]), (&TRACE.into(), &span.id.into()));
    assert!(exemplar[1].as_f64().unwrap() > 0.0, "{exemplar}");
    let calls = &families["wasmway_invocations"];
    assert_eq!((&calls[1], &samples(calls, "hello")[0][2]), (&"counter".into(), &2.0.into()));
    assert_eq!(families["wasmway_memory_used_ratio"][2], "ratio");

    // The same in both, and nothing new for those who do not ask.
    let answer = scrape("text/plain").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!answer.text().contains(TRACE) && !answer.text().contains("# EOF"));
    let kinds = answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let plain: BTreeMap<_, _> = kinds.map(|(name, kind)| (name.trim_end_matches("_total"), kind)).collect();
    assert_eq!(plain.keys().copied().collect::<Vec<_>>(), families.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, kind) in plain {
        assert_eq!(families[name][1], kind, "{name}");
        assert!(answer.text().contains(families[name][3].as_str().unwrap()), "{name}");
    }
}
