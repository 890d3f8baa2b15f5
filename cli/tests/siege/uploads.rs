//! Uploads that attack: cases 38 to 51.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::stream;
use reqwest::Method;

use crate::case::{Answered, By, Case, armed};
use crate::components::{giant_function, large_memory, many_sections, many_types};
use crate::harness::{Answer, Platform, Server, Wire, guest, importing};

pub(crate) fn cases() -> Vec<Case> {
    let upload = By::Upload;
    let small = &["--max-upload=1MiB"];
    let jail = &["--compile-cpu=3s"];
    vec![
        upload.attacks(38, "what is no WebAssembly", |server| Box::pin(no_wasm(server))),
        upload.attacks(39, "a component that is cut short", |server| Box::pin(truncated(server))),
        upload.attacks_own(40, "100 MB over the cap", small, |platform| Box::pin(too_large(platform))),
        upload.attacks(41, "a million types, a million sections", |server| Box::pin(too_many(server))),
        upload.attacks_own(42, "a giant function", jail, |platform| Box::pin(giant(platform))),
        upload.attacks(43, "unknown imports", |server| Box::pin(unknown_imports(server))),
        upload.attacks_own(44, "native code", &[], |platform| Box::pin(native_code(platform))),
        upload.attacks(45, "what is compressed", |server| Box::pin(compressed(server))),
        upload.attacks(46, "names with ../, NUL, and long ones", |server| Box::pin(bad_names(server, PATHS))),
        upload.attacks(47, "homoglyphs and names that run backwards", |server| Box::pin(bad_names(server, LOOKALIKES))),
        upload.attacks(48, "a name that another tenant has", |server| Box::pin(squatting(server))),
        upload.attacks(49, "a component that another tenant has", |server| Box::pin(shared_component(server))),
        upload.attacks(50, "ten deploys at once", |server| Box::pin(at_once(server))),
        upload.attacks(51, "more initial memory than the limit", |server| Box::pin(initial_memory(server))),
    ]
}

const NAME: &str = "siege-refused";

/// Deploys what must be refused; nothing of it may be left.
async fn refused(server: &Server, component: impl Into<Vec<u8>>, status: u16, code: &str) -> String {
    let detail = server.upload(NAME, component).answer().await.expect_problem(status, code, "platform");
    server.api(Method::GET, &format!("/functions/{NAME}")).await.expect(404);
    detail
}

async fn no_wasm(server: &Server) -> Answered {
    let texts: [&[u8]; 5] = [b"", b"#!/bin/sh\nrm -rf /\n", b"(component)", b"PK\x03\x04", b"\0asm\xff\xff\xff\xff"];
    for bytes in texts {
        refused(server, bytes, 400, "not-a-component").await;
    }
    refused(server, vec![0xff; 1 << 20], 400, "not-a-component").await;
    Ok("6 times 400 not-a-component".to_owned())
}

async fn truncated(server: &Server) -> Answered {
    let hello = guest("hello");
    let lengths = [9, hello.len() / 3, hello.len() / 2, hello.len() - 1];
    for length in lengths {
        refused(server, &hello[..length], 400, "not-a-component").await;
    }
    Ok(format!("{} times 400 not-a-component", lengths.len()))
}

async fn too_large(platform: &Platform) -> Answered {
    // Of unknown length: it shows only as it comes.
    let pieces = std::iter::repeat_n(Bytes::from_static(&[b'x'; 64 << 10]), 1600);
    let body = reqwest::Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)));
    let put = platform.api(Method::PUT, &format!("/functions/{NAME}")).header("content-type", "application/wasm");
    put.body(body).await.expect_problem(413, "body-too-large", "platform");
    // Announced: not a byte of it is waited for.
    let mut wire = Wire::connect_control(platform).await;
    let token = platform.token();
    wire.send(format!(
        "PUT /api/v1/functions/{NAME} HTTP/1.1\r\nhost: any\r\nauthorization: Bearer {token}\r\n\
         content-type: application/wasm\r\ncontent-length: 104857600\r\n\r\n"
    ))
    .await;
    let answer = wire.read_to("}").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let incoming = platform.folder().join("artifacts/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "a leftover of the upload");
    Ok("413 body-too-large, announced or not, and nothing is left".to_owned())
}

async fn too_many(server: &Server) -> Answered {
    refused(server, many_types(1_000_000), 422, "too-complex").await;
    let answer = server.upload(NAME, many_sections(1_000_000)).answer().await;
    assert_eq!(answer.status, 422, "{answer}");
    Ok(format!("422 too-complex, 422 {}", answer.json()["code"].as_str().unwrap()))
}

async fn giant(platform: &Platform) -> Answered {
    refused(platform, giant_function(9 << 20), 422, "too-complex").await;
    // Smaller than any cap, and yet more than the compiler gets to do.
    let detail = refused(platform, giant_function(7 << 20), 422, "too-complex").await;
    platform.deploy("echo").named("siege-after").await;
    platform.get("/siege-after/").await.expect(200);
    Ok(format!("422 too-complex twice, the second when the compiler was stopped: {detail}"))
}

async fn unknown_imports(server: &Server) -> Answered {
    let detail = refused(server, importing("acme:queue/sender@1.0.0"), 422, "unknown-import").await;
    assert!(detail.contains("acme:queue/sender@1.0.0"), "{detail}");
    Ok("422 unknown-import, naming acme:queue/sender@1.0.0".to_owned())
}

async fn native_code(platform: &Platform) -> Answered {
    refused(platform, b"\x7fELF\x02\x01\x01\0rest", 400, "precompiled-refused").await;
    let folders = std::fs::read_dir(platform.folder().join("code")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let native = files.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|it| it == "cwasm"));
    refused(platform, std::fs::read(native.unwrap()).unwrap(), 400, "precompiled-refused").await;
    Ok("400 precompiled-refused, also for what this very server has made".to_owned())
}

async fn compressed(server: &Server) -> Answered {
    // Nothing is ever unpacked, so that it does not matter what it would become.
    let bomb = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0; 1 << 20]].concat();
    let put = server.api(Method::PUT, &format!("/functions/{NAME}")).header("content-encoding", "gzip");
    let answer = put.header("content-type", "application/wasm").body(bomb).await;
    assert!(matches!(answer.status.as_u16(), 400 | 413 | 415), "{answer}");
    Ok(format!("{} {}", answer.status.as_u16(), answer.json()["code"].as_str().unwrap()))
}

const PATHS: &[&str] = &["..%2F..%2Fetc%2Fpasswd", "..", "a%2F..%2Fb", "a%00b", "a%0d%0ab", "a%5cb", "-rf", LONG];
const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// `hello` with a Cyrillic е, full-width letters, a zero-width joiner, letters that run backwards, capitals.
const LOOKALIKES: &[&str] =
    &["h%D0%B5llo", "%EF%BD%88ello", "hel%E2%80%8Dlo", "%E2%80%AEolleh", "HELLO", "h%C3%A9llo", "xn--hllo_"];

async fn bad_names(server: &Server, names: &[&str]) -> Answered {
    let list = async || server.api(Method::GET, "/functions?limit=1000").await.expect(200).json();
    let before = list().await;
    for name in names {
        let answer = server.deploy("hello").named(name).answer().await;
        // A path that a client has straightened out leads to no function at all.
        assert!(matches!(answer.status.as_u16(), 400 | 404 | 405), "{name}: {answer}");
        let answer = server.api(Method::GET, &format!("/functions?namespace={name}")).await;
        assert_eq!(answer.status, 400, "as a namespace: {answer}");
    }
    assert_eq!(list().await["functions"].as_array().map(Vec::len), before["functions"].as_array().map(Vec::len));
    Ok(format!("{} names refused, as functions and as namespaces", names.len()))
}

/// Two tenants with functions of one name.
struct Tenants<'a> {
    server: &'a Server,
    name: String,
}

const TENANTS: [&str; 2] = ["siege-a", "siege-b"];

impl Tenants<'_> {
    async fn call(&self, tenant: &str) -> Answer {
        self.server.get(&format!("/{}.{tenant}/", self.name)).await
    }

    async fn delete(&self, tenant: &str) {
        let path = format!("/functions/{}?namespace={tenant}", self.name);
        self.server.api(Method::DELETE, &path).await.expect(204);
    }
}

async fn squatting(server: &Server) -> Answered {
    let tenants = Tenants { server, name: armed("squatted") };
    server.deploy("hello").named(&tenants.name).namespace(TENANTS[0]).await;
    server.deploy("echo").named(&tenants.name).namespace(TENANTS[1]).await;
    tenants.call(TENANTS[0]).await.expect(200).expect_text("Hello from Wasmway!\n");
    tenants.call(TENANTS[1]).await.expect(200).expect_text("");
    // Nor does a route that is taken change hands.
    let route = "[[routes]]\nhost = \"siege.example\"\npath = \"/\"\n";
    server.deploy_with("hello", route).named(&tenants.name).namespace(TENANTS[0]).await;
    let taken = server.deploy_with("echo", route).named(&tenants.name).namespace(TENANTS[1]).answer().await;
    taken.expect_problem(409, "route-conflict", "platform");
    for tenant in TENANTS {
        tenants.delete(tenant).await;
    }
    Ok("each namespace has its own; 409 route-conflict for a host that is taken".to_owned())
}

async fn shared_component(server: &Server) -> Answered {
    let tenants = Tenants { server, name: armed("shared") };
    for tenant in TENANTS {
        server.deploy("hello").named(&tenants.name).namespace(tenant).await;
    }
    tenants.delete(TENANTS[0]).await;
    let path = format!("/functions/{}/versions/1/component?namespace=", tenants.name);
    server.api(Method::GET, &format!("{path}{}", TENANTS[0])).await.expect(404);
    tenants.call(TENANTS[0]).await.expect(404);
    tenants.call(TENANTS[1]).await.expect(200).expect_text("Hello from Wasmway!\n");
    let kept = server.api(Method::GET, &format!("{path}{}", TENANTS[1])).await.expect(200);
    assert!(kept.body == guest("hello"), "another component");
    tenants.delete(TENANTS[1]).await;
    Ok("one deleted it and has it no more, the other still has it".to_owned())
}

async fn at_once(server: &Server) -> Answered {
    let name = armed("at-once");
    let deploys = (0..10).map(|number| {
        let manifest = format!("[env]\nNUMBER = \"{number}\"\n");
        server.deploy_with("inspect", &manifest).named(&name).answer()
    });
    let mut versions = BTreeSet::new();
    for answer in futures::future::join_all(deploys).await {
        versions.insert(answer.expect(201).json()["version"].as_u64().unwrap());
    }
    assert_eq!(versions, (1..=10).collect(), "each has a version of its own");
    let list = server.api(Method::GET, &format!("/functions/{name}/versions")).await.expect(200).json();
    let list = list["versions"].as_array().unwrap();
    let sent: BTreeSet<_> = list.iter().map(|version| version["manifest"]["env"]["NUMBER"].to_string()).collect();
    assert_eq!((list.len(), sent.len()), (10, 10), "none is lost");
    let active: Vec<_> = list.iter().filter(|version| version["active"] == true).collect();
    assert!(active.len() == 1 && active[0]["version"] == 10, "the last is the one that answers");
    let answer = server.get(&format!("/{name}/")).await.expect(200).json();
    assert_eq!(answer["env"]["NUMBER"], active[0]["manifest"]["env"]["NUMBER"]);
    Ok("versions 1 to 10, and 10 answers".to_owned())
}

async fn initial_memory(server: &Server) -> Answered {
    let begins_with_64_mib = server.upload(NAME, large_memory(1024)).manifest("[limits]\nmemory = \"32MiB\"\n");
    begins_with_64_mib.answer().await.expect_problem(422, "limits-refused", "platform");
    // Nor 4 GiB, which no function may ask for here.
    let answer = server.upload(NAME, large_memory(65_536)).answer().await;
    assert_eq!(answer.status, 422, "{answer}");
    Ok(format!("422 limits-refused; with 4 GiB 422 {}", answer.json()["code"].as_str().unwrap()))
}
