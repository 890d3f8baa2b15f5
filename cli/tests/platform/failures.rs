//! Failed calls: each keeps its cause, for its developer to find.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, eventually};

/// The call of that id, once it is over.
async fn call(platform: &Platform, name: &str, id: &str) -> Value {
    let path = format!("/functions/{name}/invocations/{}", id.replace('/', "%2F"));
    eventually(&format!("the call {id}"), Duration::from_secs(20), async || {
        let answer = platform.api(Method::GET, &path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

#[tokio::test]
async fn a_limit_is_named_with_what_was_used_of_it() {
    let platform = Platform::start().await;
    platform.deploy_with("loop", "[limits]\ncpu = \"200ms\"\n").await;
    platform.deploy_with("memory", "[limits]\nmemory = \"32MiB\"\ncpu = \"30s\"\n").await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"300ms\"\n").await;
    platform.deploy_with("hello", "[limits]\nresponse_body = \"10B\"\n").await;
    let cause = async |name: &str, path: &str, id: &str| {
        let answer = platform.get(&format!("/{name}/{path}")).header("x-request-id", id).await;
        assert!(answer.status.is_server_error(), "{answer}");
        let found = call(&platform, name, id).await;
        let cause = found["error"].as_str().unwrap_or_else(|| panic!("no cause in {found}")).to_owned();
        let logged = platform.logs(name).await;
        assert!(logged.iter().any(|line| line["stream"] == "platform" && line["message"] == cause), "{logged:?}");
        cause
    };
    let said = cause("loop", "", "spins").await;
    assert!(said.starts_with("the function used up its 200ms of CPU time: it used 2"), "{said}");
    let said = cause("memory", "", "grows").await;
    let numbers = said.split(|character: char| !character.is_ascii_digit());
    let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    assert!(matches!(numbers[..], [limit, had, asked] if had <= limit && limit < asked), "{said}");
    let said = cause("sleep", "60000", "a/b").await;
    assert!(said.starts_with("the function did not finish within 300ms: ") && said.contains("CPU"), "{said}");
    let said = cause("hello", "", "talks").await;
    assert!(said.contains("10 bytes") && said.contains("it has sent 20"), "{said}");
}

#[tokio::test]
async fn the_end_of_its_standard_error_is_kept_and_shown_where_that_is_wanted() {
    let platform = Platform::start().await;
    let limits = "[limits]\nresponse_body = \"5B\"\n";
    platform.deploy_with("hello-std", limits).await;
    let answer = platform.get("/hello-std/").header("x-request-id", "stranger").await;
    answer.expect_problem(502, "response-too-large", "function");
    for hidden in ["stderr", "used"] {
        assert!(answer.json().get(hidden).is_none(), "a stranger is told what is inside: {answer}");
    }
    let found = call(&platform, "hello-std", "stranger").await;
    assert_eq!(found["stderr"], "hello stderr\n", "{found}");
    let listed = &platform.invocations("hello-std", 1).await[0];
    assert!(listed.get("stderr").is_none(), "the list is short: {listed}");

    platform.deploy_with("hello-std", &format!("debug = true\n{limits}")).await;
    let answer = platform.get("/hello-std/").await;
    let detail = answer.expect_problem(502, "response-too-large", "function");
    assert_eq!(detail, found["error"].as_str().unwrap());
    let problem = answer.json();
    assert_eq!(problem["stderr"], found["stderr"]);
    for used in ["cpu_us", "memory_bytes", "wall_us"] {
        assert!(problem["used"][used].as_u64().unwrap() > 0, "{answer}");
    }
}

#[tokio::test]
async fn a_failure_is_found_after_a_flood_of_good_calls() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"200ms\"\n").await;
    platform.get("/sleep/60000").header("x-request-id", "the-one").await.expect(504);
    call(&platform, "sleep", "the-one").await;
    for _ in 0..250 {
        platform.get("/sleep/0").await.expect(200);
    }
    assert_eq!(call(&platform, "sleep", "the-one").await["outcome"], "timeout");
    let list = platform.invocations("sleep", 201).await;
    assert_eq!(list.len(), 201, "the latest 200, and one failure from before");
    assert_eq!(list[200]["request_id"], "the-one");

    for path in ["/functions/sleep/invocations/nobody", "/functions/sleep/invocations/the-one?namespace=shop"] {
        let answer = platform.api(Method::GET, path).await;
        let code = if path.ends_with("shop") { "unknown-function" } else { "unknown-invocation" };
        answer.expect_problem(404, code, "platform");
    }
}

/// A guest that is over when it is known to have answered is answered for as a whole, wherever it ran: also one that is thought
/// to take long, and ends on another thread while that of its connection has hardly turned away.
#[tokio::test]
async fn an_answer_over_the_limit_is_refused_whole_wherever_the_guest_ran() {
    let platform = &Platform::start().await;
    platform.deploy_with("count-body", "[limits]\nresponse_body = \"1B\"\n").await;
    for _ in 0..20 {
        for _ in 0..3 {
            let long = platform.post("/count-body/", vec![0; 8 << 20]).await;
            long.expect_problem(502, "response-too-large", "function");
        }
        for _ in 0..25 {
            let answer = platform.get("/count-body/").attempt().await;
            let answer = answer.expect("a function that has ended is no reason to break off");
            answer.expect_problem(502, "response-too-large", "function");
        }
    }
}
