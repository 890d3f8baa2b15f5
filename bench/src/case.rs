//! What `speed` asks servers for.

use std::path::PathBuf;

use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;

use crate::Bench;
use crate::client::Target;
use crate::server::{Kind, Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// A short answer, at once
    Hello,
    /// Half a kilobyte of JSON in, an invoice in JSON out
    Json,
    /// A body of 64 KiB, sent back
    Echo,
    /// A body of 10 MiB, sent back as it comes, over few connections
    Stream,
    /// SHA-256 over a megabyte
    Hash,
    /// hello in JavaScript
    Javascript,
    /// hello in Python
    Python,
    /// hello of WASI 0.3
    Wasi3,
    /// hello of WASI 0.3, whose instances serve 128 requests each
    Wasi3Reused,
}

/// Bytes of a body that is echoed.
const ECHO_BYTES: usize = 64 << 10;
/// Bytes of a body that is streamed.
const STREAM_BYTES: usize = 10 << 20;
/// Connections that bodies are streamed over.
const STREAM_CONNECTIONS: u32 = 4;

impl Case {
    /// As a function's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Case::Hello => "hello",
            Case::Json => "json",
            Case::Echo => "echo",
            Case::Stream => "stream",
            Case::Hash => "hash",
            Case::Javascript => "javascript",
            Case::Python => "python",
            Case::Wasi3 => "wasi3",
            Case::Wasi3Reused => "wasi3-reused",
        }
    }

    pub(crate) fn component(self, bench: &Bench) -> PathBuf {
        match self {
            Case::Hello | Case::Json | Case::Echo | Case::Hash => bench.guest(self.name()),
            Case::Stream => bench.guest("echo"),
            Case::Wasi3 | Case::Wasi3Reused => bench.guest("hello-p3"),
            Case::Javascript => bench.example("hello-javascript"),
            Case::Python => bench.example("hello-python"),
        }
    }

    /// The limits that a function needs for it on Wasmway.
    pub(crate) fn manifest(self) -> &'static str {
        match self {
            Case::Stream => "[limits]\ncpu = \"10s\"\n",
            Case::Wasi3Reused => "[instances]\nreuse = 128\n",
            _ => "",
        }
    }

    /// The request, to the function's address.
    pub(crate) fn request(self, to: Target) -> Target {
        let body = match self {
            Case::Echo => Bytes::from(vec![b'x'; ECHO_BYTES]),
            Case::Stream => Bytes::from(vec![b'x'; STREAM_BYTES]),
            Case::Json => order(),
            Case::Hello | Case::Hash | Case::Javascript | Case::Python | Case::Wasi3 | Case::Wasi3Reused => return to,
        };
        Target { body: Some(body), ..to }
    }

    /// Connections of the closed loop, where nobody says how many.
    pub(crate) fn connections(self) -> u32 {
        if self == Case::Stream { STREAM_CONNECTIONS } else { 32 }
    }

    /// Whether this server can answer it, or something like it.
    pub(crate) fn is_for(self, kind: Kind) -> bool {
        match kind {
            Kind::Wasmway | Kind::WasmtimeServe | Kind::WasmtimeServeDefaults => true,
            Kind::BareHyper => matches!(self, Case::Hello | Case::Echo | Case::Stream),
            Kind::Node | Kind::Deno | Kind::Bun | Kind::Workerd => matches!(self, Case::Hello | Case::Javascript),
        }
    }

    /// The server as it has to be started for this.
    pub(crate) fn settings(self, program: Program) -> Program {
        match (self, program.kind) {
            // A fresh instance for each request, as everybody here has; what it has by itself for WASI 0.3 is 128 for one.
            (Case::Wasi3, Kind::WasmtimeServe) => {
                program.with("-Sp3").with("-Wcomponent-model-async").with("--max-instance-reuse-count=1")
            }
            (Case::Wasi3Reused, Kind::WasmtimeServe)
            | (Case::Wasi3 | Case::Wasi3Reused, Kind::WasmtimeServeDefaults) => {
                program.with("-Sp3").with("-Wcomponent-model-async")
            }
            _ => program,
        }
    }
}

fn order() -> Bytes {
    let item = |number: u32| format!(r#"{{"name":"item number {number}","cents":{},"count":{number}}}"#, 99 * number);
    let items: Vec<_> = (1..=10).map(item).collect();
    Bytes::from(format!(r#"{{"for":"somebody@example.com","items":[{}]}}"#, items.join(",")))
}
