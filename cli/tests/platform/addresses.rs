//! Which function answers at which address.

use reqwest::Method;

use crate::harness::{Platform, Wire};

const HELLO: &str = "Hello from Wasmway!\n";

/// The path and query that `inspect` was called with.
async fn seen_path(platform: &Platform, path: &str, host: Option<&str>) -> String {
    let mut call = platform.get(path);
    if let Some(host) = host {
        call = call.header("host", host);
    }
    call.await.expect(200).json()["path_with_query"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_part_of_the_path_names_the_function() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy("inspect").await;
    platform.deploy("inspect").namespace("shop").await;

    for path in ["/hello/", "/hello", "/hello/deep/below?with=query", "/hello.default/", "/hello.default"] {
        platform.get(path).await.expect(200).expect_text(HELLO);
    }
    for (path, seen) in [
        ("/inspect/a/b?c=d&e=%20", "/a/b?c=d&e=%20"),
        ("/inspect", "/"),
        ("/inspect/", "/"),
        ("/inspect?x=1", "/?x=1"),
        ("/inspect.shop/a%2Fb", "/a%2Fb"),
    ] {
        assert_eq!(seen_path(&platform, path, None).await, seen, "{path}");
    }
}

#[tokio::test]
async fn an_address_of_no_function_is_not_found() {
    let platform = Platform::start().await;
    platform.deploy("hello").namespace("shop").await;
    for path in ["/", "/nothing/", "/hello/", "/hello.default/", "/hello.shop.x/", "/hellox.shop/", "/%68ello.shop/"] {
        let detail = platform.get(path).await.expect_problem(404, "unknown-function", "platform");
        assert!(detail.contains("/FUNCTION/"), "{detail}");
    }
    platform.get("/hello.shop/").await.expect(200).expect_text(HELLO);
}

#[tokio::test]
async fn a_host_below_the_domain_names_function_and_namespace() {
    let platform = Platform::builder().arg("--domain=fn.example.com").start().await;
    platform.deploy("inspect").namespace("shop").await;
    for host in ["inspect.shop.fn.example.com", "INSPECT.shop.fn.Example.COM:8080", "inspect.shop.fn.example.com."] {
        assert_eq!(seen_path(&platform, "/a/b?c", Some(host)).await, "/a/b?c", "{host}");
    }
    for host in ["nothing.shop.fn.example.com", "inspect.fn.example.com", "fn.example.com", "example.com"] {
        platform.get("/").header("host", host).await.expect_problem(404, "unknown-function", "platform");
    }
    assert_eq!(seen_path(&platform, "/inspect.shop/x", Some("fn.example.com")).await, "/x");
}

#[tokio::test]
async fn a_function_answers_at_the_routes_that_it_declares() {
    let platform = Platform::start().await;
    let routes = "[[routes]]\nhost = \"shop.example.com\"\npath = \"/api\"\n[[routes]]\npath = \"/anywhere\"\n";
    platform.deploy_with("inspect", routes).await;
    let at = Some("shop.example.com:80");
    assert_eq!(seen_path(&platform, "/api/items?page=2", at).await, "/items?page=2");
    assert_eq!(seen_path(&platform, "/api", at).await, "/");
    assert_eq!(seen_path(&platform, "/anywhere/x", None).await, "/x");
    for (path, host) in [("/apis", "shop.example.com"), ("/", "shop.example.com"), ("/api/", "other.example.com")] {
        platform.get(path).header("host", host).await.expect_problem(404, "unknown-function", "platform");
    }

    // The longer prefix wins, and a name at the head of the path beats a route for any host.
    platform.deploy_with("hello", "[[routes]]\nhost = \"shop.example.com\"\npath = \"/api/hello\"\n").await;
    platform.get("/api/hello/x").header("host", "shop.example.com").await.expect(200).expect_text(HELLO);
    platform.get("/hello/").await.expect(200).expect_text(HELLO);
}

#[tokio::test]
async fn a_route_belongs_to_one_function() {
    let platform = Platform::start().await;
    let route = "[[routes]]\nhost = \"shop.example.com\"\npath = \"/api\"\n";
    platform.deploy_with("inspect", route).namespace("shop").await;
    let refused = platform.deploy_with("hello", route).answer().await;
    let detail = refused.expect_problem(409, "route-conflict", "platform");
    assert!(detail.contains("shop/inspect") && detail.contains("shop.example.com/api"), "{detail}");
    platform.api(Method::GET, "/functions/hello").await.expect_problem(404, "unknown-function", "platform");

    // A version without it gives the route back.
    platform.deploy("inspect").namespace("shop").await;
    platform.deploy_with("hello", route).await;
    platform.get("/api").header("host", "shop.example.com").await.expect(200).expect_text(HELLO);
}

#[tokio::test]
async fn a_request_must_name_one_host() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    for head in [
        "GET /hello/ HTTP/1.1\r\n\r\n",
        "GET /hello/ HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n",
        "GET /hello/ HTTP/1.1\r\nhost: a@b\r\n\r\n",
    ] {
        let mut wire = Wire::connect(&platform).await;
        wire.send(head).await;
        let answer = wire.read_to("}").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert!(answer.contains("\"code\":\"bad-request\""), "{head:?}: {answer}");
    }
    let mut wire = Wire::connect(&platform).await;
    wire.send("GET /hello/ HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with(HELLO), "{answer}");
}

#[tokio::test]
async fn one_label_of_a_host_may_be_any() {
    let platform = Platform::builder().arg("--domain=fn.example.com").start().await;
    let routes = "[[routes]]\nhost = \"*.shop.example\"\n[[routes]]\nhost = \"*.fn.example.com\"\n";
    platform.deploy_with("inspect", routes).await;
    platform.deploy_with("hello", "[[routes]]\nhost = \"hello.shop.example\"\n").await;
    for host in ["a.shop.example", "B.Shop.Example:8080", "unknown.fn.example.com"] {
        assert_eq!(seen_path(&platform, "/x", Some(host)).await, "/x", "{host}");
    }
    // Neither a host of somebody's own nor a name below the domain is covered by it.
    for host in ["hello.shop.example", "hello.fn.example.com"] {
        platform.get("/").header("host", host).await.expect(200).expect_text(HELLO);
    }
    for host in ["shop.example", "a.b.shop.example"] {
        platform.get("/").header("host", host).await.expect_problem(404, "unknown-function", "platform");
    }
    let refused = platform.deploy_with("hello", "[[routes]]\nhost = \"*.example\"\n").answer().await;
    refused.expect_problem(400, "invalid-manifest", "platform");
}

#[tokio::test]
async fn a_version_may_have_an_address_of_its_own() {
    let platform = Platform::builder().arg("--domain=fn.example.com").start().await;
    let saying = |what: &str| format!("preview = true\n[env]\nSAY = \"{what}\"\n");
    let said = async |path: &str, host: Option<&str>| {
        let call = platform.get(path);
        let call = if let Some(host) = host { call.header("host", host) } else { call };
        call.await.expect(200).json()["env"]["SAY"].as_str().unwrap().to_owned()
    };
    platform.deploy_with("inspect", "[env]\nSAY = \"hidden\"\n").await;
    platform.deploy_with("inspect", &saying("two")).await;
    let third = platform.deploy_with("inspect", &saying("three")).traffic(0).await;
    assert_eq!(third["preview_url"], format!("{}/inspect@3/", platform.data()));

    assert_eq!(said("/inspect/", None).await, "two");
    for (path, host, what) in [
        ("/inspect@3/", None, "three"),
        ("/inspect.default@3/", None, "three"),
        ("/inspect@2/", None, "two"),
        ("/", Some("3.inspect.fn.example.com"), "three"),
        ("/", Some("3.inspect.default.fn.example.com"), "three"),
    ] {
        assert_eq!(said(path, host).await, what, "{path} {host:?}");
    }
    assert_eq!(seen_path(&platform, "/inspect@3/a/b?c", None).await, "/a/b?c");
    // A version that does not allow it has none.
    for path in ["/inspect@1/", "/inspect@4/", "/inspect@03/", "/inspect@/"] {
        platform.get(path).await.expect_problem(404, "unknown-function", "platform");
    }
    let list = platform.api(Method::GET, "/functions/inspect/versions").await.expect(200).json();
    let has_one: Vec<bool> =
        list["versions"].as_array().unwrap().iter().map(|version| version["preview_url"].is_string()).collect();
    assert_eq!(has_one, [true, true, false]);

    // It stays the same, whoever gets the requests, until ten newer ones are there.
    platform.api(Method::PUT, "/functions/inspect/traffic").body(r#"{"weights": {"3": 100}}"#).await.expect(200);
    assert_eq!((said("/inspect/", None).await, said("/inspect@2/", None).await), ("three".into(), "two".into()));
    for number in 4..=12 {
        platform.deploy_with("inspect", &saying(&number.to_string())).await;
    }
    platform.get("/inspect@2/").await.expect_problem(404, "unknown-function", "platform");
    assert_eq!(said("/inspect@3/", None).await, "three");
    platform.api(Method::DELETE, "/functions/inspect").await.expect(204);
    platform.get("/inspect@3/").await.expect_problem(404, "unknown-function", "platform");
}
