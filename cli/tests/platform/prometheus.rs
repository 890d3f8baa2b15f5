//! What operators look at, asked of a real Prometheus: every query of the dashboards and every rule, while functions
//! are called, some of which fail.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::harness::{PATIENCE, Platform, Receiver, eventually, http_client};

/// How long functions are called at least: some scrapes' time.
const LOAD: Duration = Duration::from_secs(10);
/// A dashboard's rates are taken over so long.
const RATE: &str = "10s";

fn deploy_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy"))
}

/// A Prometheus that scrapes one platform, gone when it is dropped.
struct Prometheus {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts it with the project's own rules, all of them evaluated each second.
    async fn start(folder: &Path, platform: &Platform) -> Self {
        let rules = deploy_folder().join("prometheus/rules/wasmway.rules.yml");
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "wasmway",
                "static_configs": [{ "targets": [platform.control_address()] }],
            }],
        });
        // JSON is YAML too.
        let (file, log) = (folder.join("prometheus.yml"), folder.join("prometheus.log"));
        fs::write(&file, config.to_string()).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage"])
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("prometheus is needed: `cargo xtask toolchain` installs it");
        let address = eventually("Prometheus to listen", PATIENCE, async || {
            let log = fs::read_to_string(&log).unwrap();
            let line = log.lines().find(|line| line.contains("msg=\"Listening on\""))?;
            line.split_whitespace().find_map(|word| word.strip_prefix("address=")).map(str::to_owned)
        })
        .await;
        Self { process, url: format!("http://{address}/api/v1"), http: http_client() }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), query).unwrap();
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Why an expression does not return a number now, if it does not.
    async fn trouble(&self, expression: &str) -> Option<String> {
        let answer = self.get("/query", &[("query", expression)]).await;
        if answer["status"] != "success" {
            return Some(answer["error"].to_string());
        }
        let samples = answer["data"]["result"].as_array().unwrap();
        let is_number = |sample: &&Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
        match (samples.len(), samples.iter().filter(is_number).count()) {
            (0, _) => Some("returns nothing".to_owned()),
            (_, 0) => Some(format!("returns no number: {}", answer["data"]["result"])),
            _ => None,
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already, as far as either fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A query of a dashboard, and where it is.
struct Query {
    place: String,
    expression: String,
    /// Of an annotation: there may be nothing to note.
    may_be_empty: bool,
}

/// Every query of every dashboard, with its variables as Grafana would send them when all is selected.
fn dashboard_queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for file in fs::read_dir(deploy_folder().join("grafana/dashboards")).unwrap() {
        let dashboard: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let title = dashboard["title"].as_str().unwrap();
        let mut add = |place: &str, text: &str, may_be_empty| {
            let expression = substituted(text);
            queries.push(Query { place: format!("{title}, {place}"), expression, may_be_empty });
        };
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                add(panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap(), false);
            }
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            if let Some(text) = annotation["expr"].as_str() {
                add(annotation["name"].as_str().unwrap(), text, true);
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            // label_values(SERIES, LABEL) asks for the series.
            let series = variable["definition"].as_str().and_then(|text| text.strip_prefix("label_values("));
            if let Some((series, _)) = series.and_then(|text| text.rsplit_once(',')) {
                add(variable["name"].as_str().unwrap(), series, false);
            }
        }
    }
    queries
}

fn substituted(text: &str) -> String {
    let mut text = text.replace("$__rate_interval", RATE);
    for (variable, all) in [("$job", "wasmway"), ("$instance", ".+"), ("$namespace", ".*"), ("$function", ".*")] {
        text = text.replace(variable, all);
    }
    assert!(!text.contains('$'), "a variable that is not known here: {text}");
    text
}

/// Calls functions for a while that answer, crash, run out of CPU time and are throttled, and deploys others.
async fn load(platform: &Platform) {
    // To the end of the last deploy: rates are taken over the time just before.
    let over = Cell::new(false);
    let again = async |path: &'static str, pause: u64| {
        while !over.get() {
            platform.post(path, "12345").await;
            sleep(Duration::from_millis(pause)).await;
        }
    };
    let deploy = async {
        // Each of a component of its own, which has to be compiled.
        for name in ["inspect", "json", "hash", "fill", "count-body"] {
            platform.deploy(name).await;
            sleep(LOAD / 5).await;
        }
        over.set(true);
    };
    tokio::join!(
        again("/hello/", 5),
        again("/echo.shop/", 5),
        again("/trap/", 50),
        again("/loop/", 200),
        again("/nothing/", 200),
        again("/sleep/300", 0),
        again("/sleep/300", 10),
        deploy,
    );
}

#[tokio::test]
async fn prometheus_answers_every_query_of_the_dashboards_and_every_rule() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy("echo").namespace("shop").await;
    platform.deploy("trap").await;
    platform.deploy_with("loop", "[limits]\ncpu = \"20ms\"\n").await;
    platform.deploy_with("sleep", "[limits]\nconcurrency = 1\n").await;
    let prometheus = Prometheus::start(platform.scratch(), &platform).await;
    load(&platform).await;

    let queries = dashboard_queries();
    assert!(queries.len() > 80, "only {} queries were found", queries.len());
    let mut trouble = Vec::new();
    for Query { place, expression, may_be_empty } in &queries {
        if let Some(why) = prometheus.trouble(expression).await
            && !(*may_be_empty && why == "returns nothing")
        {
            trouble.push(format!("{place}: {why}: {expression}"));
        }
    }
    let answer = prometheus.get("/rules", &[]).await;
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 30, "only {} rules were found", rules.len());
    for rule in rules {
        let name = rule["name"].as_str().unwrap();
        if rule["health"] != "ok" {
            trouble.push(format!("{name}: {}", rule["lastError"]));
        } else if rule["type"] == "recording"
            && let Some(why) = prometheus.trouble(name).await
        {
            trouble.push(format!("{name}: {why}: {}", rule["query"]));
        }
    }
    assert!(trouble.is_empty(), "{}", trouble.join("\n"));
}

/// The alert on a function that runs as many requests as it may, from the platform's own metrics.
#[tokio::test]
async fn a_throttled_function_is_seen_by_prometheus() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\nconcurrency = 1\n").await;
    let prometheus = Prometheus::start(platform.scratch(), &platform).await;
    let ratio = r#"namespace_function:wasmway_throttled:ratio_rate5m{function="sleep"} > 0.05"#;
    let calling = async {
        loop {
            tokio::join!(platform.get("/sleep/200"), platform.get("/sleep/200"), platform.get("/sleep/200"));
        }
    };
    let seen = eventually("Prometheus to see it", PATIENCE, async || {
        sleep(Duration::from_millis(200)).await;
        prometheus.trouble(ratio).await.is_none().then_some(())
    });
    tokio::select! {
        () = seen => {}
        _ = timeout(PATIENCE, calling) => panic!("the calls came to an end first"),
    }
}

/// From the latency of a function to a call that took so long.
#[tokio::test]
async fn prometheus_knows_the_trace_of_a_slow_call() {
    let receiver = Receiver::start().await;
    let platform = Platform::builder().arg("--otlp-endpoint").arg(receiver.endpoint()).start().await;
    platform.deploy("sleep").await;
    let prometheus = Prometheus::start(platform.scratch(), &platform).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let call = platform.get("/sleep/300").header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"));
    call.await.expect(200);
    let query = r#"wasmway_invocation_duration_seconds_bucket{function="sleep"}"#;
    let found = eventually("Prometheus to have the exemplar", PATIENCE, async || {
        sleep(Duration::from_millis(200)).await;
        // Both ends are needed; all of it is now.
        let range = [("query", query), ("start", "0"), ("end", "9999999999")];
        let answer = prometheus.get("/query_exemplars", &range).await;
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].as_array().unwrap().first().cloned()
    })
    .await;
    let exemplar = &found["exemplars"][0];
    assert_eq!(exemplar["labels"]["trace_id"], trace, "{found}");
    let value: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
    assert!(value >= 0.3, "{found}");
}
