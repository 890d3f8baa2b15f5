//! Deploying: what the control plane takes and who may ask it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures::future::join_all;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::harness::{Platform, guest};

#[tokio::test]
async fn a_deploy_answers_with_the_function() {
    let platform = Platform::start().await;
    let component = guest("hello");
    let size = component.len();
    let answer = platform.upload("greeter", component).answer().await.expect(201);
    let function = answer.json();
    assert_eq!((&function["namespace"], &function["name"]), (&json!("default"), &json!("greeter")));
    assert_eq!((&function["version"], &function["size"]), (&json!(1), &json!(size)));
    assert!(function["digest"].as_str().unwrap().starts_with("sha256:"), "{function}");
    assert_eq!(function["url"], format!("{}/greeter/", platform.process().run().data));
    let imports = function["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import.as_str().unwrap().starts_with("wasi:http/types@0.2.")), "{function}");
    for time in ["created_at", "deployed_at"] {
        function[time].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    let limits = &function["manifest"]["limits"];
    assert_eq!((&limits["memory"], &limits["cpu"]), (&json!("128MiB"), &json!("1s")), "defaults are filled in");
    // How long that took is no part of the function.
    let mut function = function;
    assert!(function.as_object_mut().unwrap().remove("compile_ms").unwrap().is_u64());
    assert_eq!(platform.function("greeter").await, function);
}

#[tokio::test]
async fn a_form_is_taken_with_its_parts_in_any_order() {
    let platform = Platform::start().await;
    let component = || Part::bytes(guest("inspect"));
    let manifest = |order: &str| Part::text(format!("[env]\nORDER = \"{order}\"\n"));
    let forms = [
        ("first", Form::new().part("manifest", manifest("first")).part("component", component())),
        ("last", Form::new().part("component", component()).part("manifest", manifest("last"))),
    ];
    for (order, form) in forms {
        platform.api(Method::PUT, "/functions/inspect").form(form).await.expect(201);
        assert_eq!(platform.get("/inspect/").await.json()["env"]["ORDER"], order);
    }
    // Without a manifest every setting has its default: a deploy says all there is to say.
    let form = Form::new().part("component", component());
    platform.api(Method::PUT, "/functions/inspect").form(form).await.expect(201);
    assert_eq!(platform.get("/inspect/").await.json()["env"], json!({}));
}

#[tokio::test]
async fn the_api_asks_for_the_token() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    for (method, path) in [
        (Method::GET, "/functions"),
        (Method::PUT, "/functions/hello"),
        (Method::DELETE, "/functions/hello"),
        (Method::GET, "/functions/hello/logs"),
        (Method::POST, "/functions/hello/rollback"),
    ] {
        let path = format!("/api/v1{path}");
        let answer = platform.control(method.clone(), &path).await;
        let detail = answer.expect_problem(401, "unauthorized", "platform");
        assert!(detail.contains("admin.token"), "{detail}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        for wrong in ["Bearer wrong".to_owned(), format!("Basic {}", platform.token()), "Bearer ".to_owned()] {
            let call = platform.control(method.clone(), &path).header("authorization", &wrong);
            call.await.expect_problem(401, "unauthorized", "platform");
        }
    }
    assert_eq!(platform.function("hello").await["version"], 1);
}

#[tokio::test]
async fn in_development_programs_of_this_machine_need_no_token() {
    let platform = Platform::builder().arg("--dev").start().await;
    let call = platform.control(Method::PUT, "/api/v1/functions/hello").body(guest("hello"));
    call.await.expect(201);
    let list = platform.control(Method::GET, "/api/v1/functions");
    assert_eq!(list.await.expect(200).json()["functions"][0]["name"], "hello");
    // A page of another site in this machine's browser does.
    let foreign = platform.control(Method::DELETE, "/api/v1/functions/hello").header("origin", "http://evil.example");
    foreign.await.expect_problem(403, "foreign-origin", "platform");
    platform.get("/hello/").await.expect(200);
}

#[tokio::test]
async fn namespaces_are_apart() {
    let platform = Platform::start().await;
    platform.upload("it", guest("hello")).await;
    platform.upload("it", guest("inspect")).namespace("shop").await;
    platform.get("/it/").await.expect(200).expect_text("Hello from Wasmway!\n");
    assert_eq!(platform.get("/it.shop/").await.expect(200).json()["method"], "GET");

    let names = async |query: &str| -> Vec<String> {
        let list = platform.api(Method::GET, &format!("/functions{query}")).await.expect(200).json();
        let functions = list["functions"].as_array().unwrap();
        functions.iter().map(|f| format!("{}/{}", f["namespace"], f["name"]).replace('"', "")).collect()
    };
    assert_eq!(names("").await, ["default/it"]);
    assert_eq!(names("?namespace=shop").await, ["shop/it"]);
    assert!(names("?namespace=other").await.is_empty());

    platform.api(Method::DELETE, "/functions/it?namespace=shop").await.expect(204);
    platform.get("/it.shop/").await.expect_problem(404, "unknown-function", "platform");
    platform.get("/it/").await.expect(200);
    let refused = platform.api(Method::GET, "/functions?namespace=Not_One").await;
    assert!(refused.expect_problem(400, "invalid-name", "platform").contains("namespace"));
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let platform = Platform::start().await;
    for name in ["c", "a", "d", "b", "e"] {
        platform.upload(name, guest("hello")).await;
    }
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = platform.api(Method::GET, &format!("/functions?limit=2{after}")).await.expect(200).json();
        let functions = page["functions"].as_array().unwrap();
        assert!(functions.len() <= 2, "{page}");
        found.extend(functions.iter().map(|function| function["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found, ["a", "b", "c", "d", "e"]);
    let refused = platform.api(Method::GET, "/functions?limit=0").await;
    assert!(refused.expect_problem(400, "bad-request", "platform").contains("limit"));
}

#[tokio::test]
async fn deploys_at_the_same_time_get_one_order_and_none_is_lost() {
    const DEPLOYS: u32 = 12;
    let platform = Platform::start().await;
    let deploys = (0..DEPLOYS).map(async |number| {
        let manifest = format!("[env]\nNUMBER = \"{number}\"\n");
        let answer = platform.deploy_with("inspect", &manifest).answer().await.expect(201);
        (answer.json()["version"].as_u64().unwrap(), number.to_string())
    });
    let mut deployed = join_all(deploys).await;
    deployed.sort();
    let versions: Vec<_> = deployed.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=u64::from(DEPLOYS)).collect::<Vec<_>>());

    let list = platform.api(Method::GET, "/functions/inspect/versions").await.expect(200).json();
    let mut kept: Vec<_> = list["versions"].as_array().unwrap().iter().map(numbered).collect();
    kept.sort();
    assert_eq!(kept, deployed, "each version is the one that its deploy was told");
    let (newest, number) = deployed.last().unwrap();
    assert_eq!(platform.function("inspect").await["version"], *newest);
    assert_eq!(&platform.get("/inspect/").await.json()["env"]["NUMBER"], number.as_str());
}

fn numbered(version: &Value) -> (u64, String) {
    let number = version["manifest"]["env"]["NUMBER"].as_str().unwrap();
    (version["version"].as_u64().unwrap(), number.to_owned())
}

#[tokio::test]
async fn the_api_describes_itself() {
    let platform = Platform::start().await;
    let document = platform.control(Method::GET, "/openapi.json").await.expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let all = [
        "/api/v1/functions",
        "/api/v1/functions/{name}",
        "/api/v1/functions/{name}/versions",
        "/api/v1/functions/{name}/versions/{version}",
        "/api/v1/functions/{name}/versions/{version}/component",
        "/api/v1/functions/{name}/plan",
        "/api/v1/functions/{name}/rollback",
        "/api/v1/functions/{name}/traffic",
        "/api/v1/functions/{name}/logs",
        "/api/v1/functions/{name}/invocations",
        "/api/v1/functions/{name}/invocations/{request_id}",
        "/api/v1/functions/{name}/recording",
        "/api/v1/functions/{name}/recording/captures/{number}",
        "/api/v1/invocations/{request_id}",
        "/api/v1/namespaces",
        "/api/v1/namespaces/{namespace}/quota",
        "/api/v1/nodes",
        "/api/v1/tokens",
        "/api/v1/tokens/{id}",
        "/api/v1/audit",
    ];
    assert_eq!(described, BTreeSet::from(all));
    let methods: Vec<_> = document["paths"]["/api/v1/functions/{name}"].as_object().unwrap().keys().collect();
    for method in ["get", "put", "delete"] {
        assert!(methods.iter().any(|found| *found == method), "{method}: {methods:?}");
    }
    let page = platform.control(Method::GET, "/docs").await.expect(200);
    assert!(page.text().to_lowercase().contains("<html"), "{page}");
    keeps_its_word(&document);
}

/// The description is also a file, so that a change of the API is seen where it is made.
fn keeps_its_word(document: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let served = format!("{document:#}\n");
    if std::env::var_os("WASMWAY_BLESS").is_some() {
        fs::write(&file, &served).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written == served, "the API is not what docs/openapi.json says: write it anew with WASMWAY_BLESS=1");
}

const CHECKS: [&str; 5] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
];

/// Whatever a program may send, by the description, nothing fails, and nothing is answered that is not described.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_what_it_says_it_is() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let schemathesis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/schemathesis");
    assert!(schemathesis.is_file(), "{} is missing: cargo xtask toolchain brings it", schemathesis.display());
    let mut run = tokio::process::Command::new(schemathesis);
    run.args(["run", &format!("{}/openapi.json", platform.control_url())])
        .args(["--header", &format!("Authorization: Bearer {}", platform.token())])
        // The same each time; others by hand: `--seed N --max-examples M`.
        .args(["--seed", "1", "--max-examples", "15", "--request-timeout", "20", "--generation-database", "none"])
        .args(["--checks", &CHECKS.join(",")])
        .current_dir(platform.scratch());
    let output = run.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    platform.control(Method::GET, "/readyz").await.expect(200);
}
