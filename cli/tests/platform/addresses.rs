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
