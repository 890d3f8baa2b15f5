//! [`Platform`], with a component of `cargo xtask guests sdk-hello`: `cargo xtask test` runs it.

use wasmway::test::{self, Platform};

const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/sdk-hello.wasm");

#[test]
#[ignore = "needs wasmway and a component: cargo xtask test"]
fn a_component_runs_on_a_platform_of_the_tests_own() {
    let platform = Platform::start();
    platform.deploy("hello", COMPONENT);
    let answer = platform.call("hello", test::request("GET", "/?name=Ada", ()).map(|_| Vec::new())).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    answer.expect_text("Hello, Ada!\n");
    assert_eq!(platform.logs("hello"), "");
}
