//! Deploys that are refused: each names its cause, and leaves nothing behind.

use reqwest::Method;
use reqwest::multipart::{Form, Part};

use crate::harness::{Platform, Wire, empty_component, guest, importing};

/// Deploys `component`, which must be refused; answers with the detail.
async fn refused(platform: &Platform, component: impl Into<Vec<u8>>, status: u16, code: &str) -> String {
    platform.upload("refused", component).answer().await.expect_problem(status, code, "platform")
}

async fn nothing_was_left(platform: &Platform) {
    let list = platform.api(Method::GET, "/functions").await.expect(200).json();
    assert_eq!(list["functions"].as_array().unwrap().len(), 0, "{list}");
    let incoming = platform.folder().join("artifacts/incoming");
    let left: Vec<_> = std::fs::read_dir(&incoming).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    let making = std::fs::read_dir(platform.folder().join("code")).unwrap();
    let making = making.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("making-"));
    assert_eq!(making.count(), 0, "half-made native code");
}

#[tokio::test]
async fn what_is_no_component_is_told_what_it_is() {
    let platform = Platform::start().await;
    let hello = guest("hello");
    for (bytes, said) in [
        (b"#!/bin/sh\n".to_vec(), "not WebAssembly"),
        (b"".to_vec(), "empty"),
        (b"(component)".to_vec(), "wasm-tools parse"),
        (b"\0asm\x01\0\0\0".to_vec(), "wasm-tools component new"),
        (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "gzip"),
        (b"PK\x03\x04".to_vec(), "zip"),
        (hello[..hello.len() / 2].to_vec(), "cut short"),
        (hello[..hello.len() - 1].to_vec(), "cut short"),
    ] {
        let detail = refused(&platform, bytes, 400, "not-a-component").await;
        assert!(detail.contains(said), "{said:?} in {detail:?}");
    }
    nothing_was_left(&platform).await;
}

#[tokio::test]
async fn native_code_is_never_taken() {
    let platform = Platform::start().await;
    refused(&platform, b"\x7fELF\x02\x01\x01\0rest".to_vec(), 400, "precompiled-refused").await;

    // Also not what this very platform has made.
    platform.deploy("hello").await;
    let code = std::fs::read_dir(platform.folder().join("code")).unwrap().map(|entry| entry.unwrap().path());
    let code = code.filter(|path| path.is_dir()).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let code: Vec<_> = code.map(|entry| entry.unwrap().path()).collect();
    let native = code.iter().find(|path| path.extension().is_some_and(|it| it == "cwasm")).expect("compiled code");
    refused(&platform, std::fs::read(native).unwrap(), 400, "precompiled-refused").await;
}

#[tokio::test]
async fn a_component_that_cannot_run_here_is_told_why() {
    let platform = Platform::start().await;
    let detail = refused(&platform, empty_component(), 422, "missing-export").await;
    assert!(detail.contains("wasi:http/incoming-handler@0.2.x") && detail.contains("nothing"), "{detail}");
    let detail = refused(&platform, importing("acme:queue/sender@1.0.0"), 422, "unknown-import").await;
    assert!(detail.contains("acme:queue/sender@1.0.0"), "{detail}");
    nothing_was_left(&platform).await;
}

#[tokio::test]
async fn a_damaged_component_does_not_compile() {
    let platform = Platform::start().await;
    let mut component = guest("hello");
    // In the middle lies the code of its functions.
    let middle = component.len() / 2;
    component[middle..middle + 64].fill(0xff);
    let answer = platform.upload("refused", component).answer().await;
    assert!(matches!(answer.status.as_u16(), 400 | 422), "{answer}");
    nothing_was_left(&platform).await;
}

#[tokio::test]
async fn a_component_over_the_size_limit_is_refused() {
    let platform = Platform::builder().arg("--max-upload=64KiB").start().await;
    let detail = refused(&platform, vec![0; 65 << 10], 413, "body-too-large").await;
    assert!(detail.contains("65536") && detail.contains("--max-upload"), "{detail}");
    let form = Form::new().part("component", Part::bytes(vec![0; 65 << 10]));
    let answer = platform.api(Method::PUT, "/functions/refused").form(form).await;
    answer.expect_problem(413, "body-too-large", "platform");

    // One that says how long it is, is refused before it is read.
    let mut wire = Wire::connect_control(&platform).await;
    let token = platform.token();
    wire.send(format!(
        "PUT /api/v1/functions/refused HTTP/1.1\r\nhost: any\r\nauthorization: Bearer {token}\r\n\
         content-type: application/wasm\r\ncontent-length: 10000000000\r\n\r\n"
    ))
    .await;
    let answer = wire.read_to("}").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"body-too-large\""), "{answer}");
    nothing_was_left(&platform).await;
    platform.deploy("hello").await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let platform = Platform::start().await;
    let long = "a".repeat(64);
    for name in ["Hello", "a_b", "-a", "a-", "1a", "a%00", "h%C3%A9llo", "a.b", "..%2F..%2Fetc", &long] {
        let answer = platform.deploy("hello").named(name).answer().await;
        let detail = answer.expect_problem(400, "invalid-name", "platform");
        assert!(detail.contains("lower-case"), "{name}: {detail}");
    }
    nothing_was_left(&platform).await;
    platform.deploy("hello").named(&"a".repeat(63)).await;
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_is_refused_by_field() {
    let platform = Platform::start().await;
    for (manifest, field) in [
        ("[limits]\nmemory = \"9TiB\"\n", "limits.memory"),
        ("[limits]\ncpu = \"0s\"\n", "limits.cpu"),
        ("[limits]\ntimeout = 10\n", "limits.timeout"),
        ("[limits]\nconcurrency = 0\n", "limits.concurrency"),
        ("[limits]\nmemroy = \"1MiB\"\n", "limits.memroy"),
        ("[[routes]]\npath = \"no-slash\"\n", "routes[0]"),
        ("[outbound]\nallow = [\"ftp://example.com\"]\n", "outbound.allow"),
        ("[env]\n\"A=B\" = \"x\"\n", "env"),
        ("name = \"other\"\n", "name"),
        ("name = \n", "line 1"),
    ] {
        let answer = platform.deploy_with("hello", manifest).answer().await;
        let detail = answer.expect_problem(400, "invalid-manifest", "platform");
        assert!(detail.contains(field), "{field:?} in {detail:?}");
    }
    nothing_was_left(&platform).await;
}

#[tokio::test]
async fn limits_that_this_node_or_the_component_cannot_keep_are_refused() {
    let platform = Platform::builder().arg("--max-memory=64MiB").start().await;
    let over = |memory: &str| format!("[limits]\nmemory = \"{memory}\"\n");
    let answer = platform.deploy_with("hello", &over("65MiB")).answer().await;
    let detail = answer.expect_problem(422, "limits-refused", "platform");
    assert!(detail.contains("limits.memory") && detail.contains("--max-memory"), "{detail}");
    let answer = platform.deploy_with("hello", &over("1MiB")).answer().await;
    let detail = answer.expect_problem(422, "limits-refused", "platform");
    assert!(detail.contains("limits.memory") && detail.contains("begins with"), "{detail}");
    nothing_was_left(&platform).await;
    platform.deploy_with("hello", &over("64MiB")).await;
    platform.get("/hello/").await.expect(200);
}

#[tokio::test]
async fn a_request_of_another_form_is_told_what_there_is() {
    let platform = Platform::start().await;
    let put = || platform.api(Method::PUT, "/functions/hello");
    let answer = put().header("content-type", "text/html").body("<html>").await;
    assert!(answer.expect_problem(415, "unsupported-media-type", "platform").contains("application/wasm"));
    let form = Form::new().part("manifest", Part::text(""));
    assert!(put().form(form).await.expect_problem(400, "bad-request", "platform").contains("`component`"));
    let form = Form::new().part("wasm", Part::bytes(guest("hello")));
    assert!(put().form(form).await.expect_problem(400, "bad-request", "platform").contains("`wasm`"));

    platform.api(Method::GET, "/no/such/thing").await.expect_problem(404, "not-found", "platform");
    platform.api(Method::PATCH, "/functions").await.expect_problem(405, "method-not-allowed", "platform");
    nothing_was_left(&platform).await;
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_why_it_was_refused() {
    let platform = Platform::builder().arg("--max-upload=64KiB").start().await;
    for _ in 0..20 {
        let upload = |token: &str| {
            let call = platform.control(Method::PUT, "/api/v1/functions/it").header("authorization", token);
            call.header("content-type", "application/wasm").body(vec![0; 20 << 20])
        };
        upload("Bearer wrong").await.expect_problem(401, "unauthorized", "platform");
        upload(&format!("Bearer {}", platform.token())).await.expect_problem(413, "body-too-large", "platform");
    }
}
